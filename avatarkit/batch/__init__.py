"""Many avatars: a manifest of captures and edits, run as tasks by an engine, resumable at any moment."""
