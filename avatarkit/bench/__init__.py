"""Benchmarks: ``avatarkit bench …``."""
