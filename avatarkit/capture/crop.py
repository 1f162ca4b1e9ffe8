"""One square crop around the head for a whole clip, so that a camera that stands still keeps standing still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatarkit.capture.capture import Crop
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.types import ByteArray

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Located:
    """Boxes as ``Locate`` returns them.  crowded: in how many of the images there are several people."""

    boxes: Sequence[Box | None]
    crowded: int = 0


Locate = Callable[[Sequence[ByteArray]], Sequence[Box | None] | Located]

LOCATE_SIDE = 960  # pictures are shown to the detector no larger than this
# A face box ends at the chin and below the hairline.  In its heights and widths: hair above, shoulders below, air beside.
ABOVE, BELOW, BESIDE = 0.65, 0.95, 0.75
SMALLEST = 64
CROWDED = 0.05  # of the frames that may show several people: a face on a poster, a passer-by


def locate_faces(images: Sequence[ByteArray], locate: Locate, source: str, run: Run | None = None) -> list[Box | None]:
    """Face boxes of (H, W, 3) uint8 images, in their pixels; None where there is no face.

    source: what they are of, for messages.  Raises InputError (``Run.doubt``) where they show several people.
    """
    from PIL import Image

    shown, factors = [], []
    for image in images:
        height, width = image.shape[:2]
        factor = min(1.0, LOCATE_SIDE / max(height, width))
        if factor < 1.0:
            small = Image.fromarray(image).resize((round(width * factor), round(height * factor)), Image.Resampling.BOX)
            image = np.asarray(small)
        shown.append(image)
        factors.append(factor)
    located = locate(shown)
    boxes = list(located.boxes if isinstance(located, Located) else located)
    if len(boxes) != len(images):
        raise InputError(f"the face locator returned {len(boxes)} boxes for {len(images)} images")
    if isinstance(located, Located):
        doubt_crowds(located.crowded, len(images), source, run or Run())
    return [
        None if box is None else tuple(float(value) / factor for value in box)  # type: ignore[misc]
        for box, factor in zip(boxes, factors, strict=True)
    ]


def doubt_crowds(crowded: int, frames: int, source: str, run: Run) -> None:
    """``Run.doubt`` where more than a few of ``frames`` show several people."""
    if crowded > CROWDED * frames:
        run.doubt(
            f"{source}: {crowded} of {frames} frames that were looked at show several people, of whom the largest at first is followed",
            "cut the clip to one person",
        )


def plan_crop(width: int, height: int, size: int | None, boxes: Sequence[Box | None] = ()) -> Crop:
    """The crop of a source of ``width`` × ``height`` pixels, to be scaled to at most ``size`` pixels a side.

    ``boxes``: face boxes of frames spread over the clip; the crop is a square that holds all of them with hair and shoulders,
    as far as the frame does.  Without any box: the centre square.  ``size`` None: the whole frame.  Never enlarges.
    """
    if size is None:
        return Crop(0, 0, width, height, 1.0, (width, height))
    if size < SMALLEST:
        raise InputError(f"size is {size}; expected at least {SMALLEST} pixels")
    shorter = min(width, height)
    side = float(shorter)
    centre_x, centre_y = width / 2, height / 2
    faces = np.array([box for box in boxes if box is not None], np.float64).reshape(-1, 4)
    if len(faces):
        wide = np.median(faces[:, 2] - faces[:, 0])
        tall = np.median(faces[:, 3] - faces[:, 1])
        left, right = faces[:, 0].min() - BESIDE * wide, faces[:, 2].max() + BESIDE * wide
        top, bottom = faces[:, 1].min() - ABOVE * tall, faces[:, 3].max() + BELOW * tall
        side = min(shorter, max(right - left, bottom - top, SMALLEST))
        centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    whole = int(side)
    x = int(np.clip(round(centre_x - whole / 2), 0, width - whole))
    y = int(np.clip(round(centre_y - whole / 2), 0, height - whole))
    return Crop(x, y, whole, whole, max(1.0, whole / size), (width, height))


def cut(image: ByteArray, crop: Crop, size: tuple[int, int]) -> ByteArray:
    """``crop`` of (H, W) or (H, W, 3) uint8, scaled down to ``size`` (width, height)."""
    x, y, width, height = int(crop.x), int(crop.y), int(crop.width), int(crop.height)
    part = image[y : y + height, x : x + width]
    if (width, height) == size:
        return np.ascontiguousarray(part)
    from PIL import Image

    picture: Any = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def scaled_size(crop: Crop) -> tuple[int, int]:
    """(width, height) of a crop's images."""
    return max(1, round(crop.width / crop.scale)), max(1, round(crop.height / crop.scale))
