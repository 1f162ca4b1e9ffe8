"""Options of the photometric tracker; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PhotometricConfig:
    """Settings of the photometric tracker."""

    landmarks: str = ""
    """The tracker that it starts from; default: mediapipe."""
    points: int = 4000
    """How many points on the skin are followed."""
    landmark_noise: float = 8.0
    """By how much landmarks count less than in the fit to landmarks alone."""
