"""Ray as an engine of avatarkit's batches."""
