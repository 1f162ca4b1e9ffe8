"""Editing by words: plans, regions, operators, editors, fits."""
