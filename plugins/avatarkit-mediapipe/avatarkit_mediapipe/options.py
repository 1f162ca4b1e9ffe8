"""Options of the tracker; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MediapipeConfig:
    """Settings of the MediaPipe tracker."""

    model: str = ""
    """A face_landmarker.task file; default: the asset mediapipe-face-landmarker, or AVATARKIT_FACE_LANDMARKER."""
    confidence: float = 0.5
    """Lowest score of a face, 0 to 1."""
    faces: int = 3
    """How many faces are looked for, to tell which one to follow."""
    landmark_bias: bool = True
    """Learn where on this head the detector's landmarks lie (one offset per landmark for the whole clip)."""
