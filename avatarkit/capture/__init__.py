"""Captures: images of one head over timesteps and cameras, with masks if there are any."""
