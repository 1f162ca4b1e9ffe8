"""Options of the segmenter; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FaceParsingConfig:
    """Settings of the face parser."""

    model: str = ""
    """A folder with config.json and model.safetensors, or a name on the Hugging Face hub, which is downloaded once.  Default: what
    AVATARKIT_FACE_PARSER says, else jonathandinu/face-parsing."""
    sides: Literal["auto", "picture", "subject"] = "auto"
    """Whose left the model's ``l_`` is: ``picture``, the left of the picture, as CelebAMask-HQ has it; ``subject``, the person's own.
    ``auto`` compares with where the tracked head's eyes, brows and ears are, and is ``picture`` where no head is tracked."""
    size: int = 512
    """Pixels of each side of what the model is shown."""
    margin: float = 0.15
    """How much is shown around the head, as a part of its size on each side; CelebA-HQ's own crops have about as much."""
    mirror: bool = True
    """Look at each picture's mirror image too and average: twice the time, and left and right are treated alike."""
    batch: int = 4
    """Crops that the model sees at once."""
    device: str = "auto"
    """``auto``: the GPU where there is one; or a device of torch, such as ``cpu`` or ``cuda:1``."""
