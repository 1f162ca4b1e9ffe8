"""Figures of merit: avatars against held-out frames, whole and by region, beside trivial predictors."""
