"""Gaussians: their parameters, their binding to a head, and the avatar file."""
