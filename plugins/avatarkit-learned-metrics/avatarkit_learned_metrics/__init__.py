"""Edits judged by models of transformers: CLIP's direction, and what OWLv2 detects."""
