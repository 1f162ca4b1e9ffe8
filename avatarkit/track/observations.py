"""What a landmark detector saw in a capture: the input of the landmark fit, whatever detector it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.errors import InputError
from avatarkit.types import BoolArray, FloatArray, IntArray

# MediaPipe's 478 landmarks by what they lie on; l and r are the subject's sides.
RIGHT_EYE = (7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246)
LEFT_EYE = (249, 263, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466)
RIGHT_BROW = (46, 52, 53, 55, 63, 65, 66, 70, 105, 107)
LEFT_BROW = (276, 282, 283, 285, 293, 295, 296, 300, 334, 336)
OUTER_LIPS = (0, 17, 37, 39, 40, 61, 84, 91, 146, 181, 185, 267, 269, 270, 291, 314, 321, 375, 405, 409)
INNER_LIPS = (13, 14, 78, 80, 81, 82, 87, 88, 95, 178, 191, 308, 310, 311, 312, 317, 318, 324, 402, 415)
NOSE = (168, 6, 197, 195, 5, 4, 129, 98, 97, 2, 326, 327, 358)
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
RIGHT_IRIS, LEFT_IRIS = (468, 469, 470, 471, 472), (473, 474, 475, 476, 477)
PARTS: dict[str, tuple[int, ...]] = {
    "eyes": RIGHT_EYE + LEFT_EYE,
    "brows": RIGHT_BROW + LEFT_BROW,
    "lips": OUTER_LIPS + INNER_LIPS,
    "nose": NOSE,
    "oval": OVAL,
    "irises": RIGHT_IRIS + LEFT_IRIS,
}
NUM_LANDMARKS = 478


@dataclass(frozen=True)
class LandmarkObservations:
    """Landmarks of T timesteps in C cameras.

    points (T, C, 478, 2) float32 pixels, anything where not valid; valid (T, C) bool; scores (T, K) float32 in [0, 1],
    blendshape scores averaged over cameras, NaN where nothing was seen; score_names (K,) ARKit names; times (T,) seconds;
    canonical (478, 3): the detector's average face, any scale, NaN where it has no point, or None.
    """

    points: FloatArray
    valid: BoolArray
    scores: FloatArray
    score_names: tuple[str, ...]
    times: FloatArray
    canonical: FloatArray | None = None

    def __post_init__(self) -> None:
        steps, cameras = self.valid.shape
        wanted = {
            "points": (steps, cameras, NUM_LANDMARKS, 2),
            "scores": (steps, len(self.score_names)),
            "times": (steps,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"landmarks: '{name}' has shape {getattr(self, name).shape}; expected {shape}")
        if not np.isfinite(self.points[self.valid]).all():
            raise InputError("landmarks: a valid landmark is not finite; mark that frame as not valid")

    def __len__(self) -> int:
        return int(self.valid.shape[0])


def part_of(indices: IntArray) -> list[str]:
    """The part of the face that each MediaPipe landmark lies on; "face" where it is none of ``PARTS``."""
    known = {index: part for part, members in PARTS.items() for index in members}
    return [known.get(int(index), "face") for index in indices]
