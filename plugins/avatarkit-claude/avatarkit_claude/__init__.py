"""Anthropic models as an avatarkit refiner."""
