"""The capture record that every reader returns.

Frames are decoded once into a uint8 memory map (``avatarkit.capture.cache``), so that opening a frame costs a page fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from avatarkit.types import ByteArray, FloatArray

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Crop:
    """Where a camera's images were cut out of what the file holds, after rotation flags and with square pixels.

    ``x, y``: left upper corner, ``width, height``: extent, all in pixels of the upright source, whose size is ``source``
    (width, height).  An image pixel (u, v) is the source's (x + u * scale, y + v * scale), pixel centres at +0.5.
    """

    x: float
    y: float
    width: float
    height: float
    scale: float
    source: tuple[int, int]


@dataclass(frozen=True)
class CaptureCamera:
    """One physical camera.  K (3, 3) pixels and viewmat (4, 4) OpenCV world-to-camera, or None where unknown."""

    name: str
    width: int
    height: int
    K: FloatArray | None = None
    viewmat: FloatArray | None = None
    crop: Crop | None = None


@dataclass(frozen=True)
class Frame:
    """One image.  ``timestep`` and ``camera`` index ``Capture.timestep_names`` and ``Capture.cameras``."""

    timestep: int
    camera: int
    split: Split
    source: str  # file (and frame number) as a person would name it in an error
    time: float = 0.0  # seconds


@dataclass(frozen=True)
class Capture:
    """Images of one head.

    ``image(i)`` → (H, W, 3) uint8 RGB and ``mask(i)`` → (H, W) uint8 alpha (255 = head) or None, for frame ``i`` of
    ``frames``; both are read-only views of a cache.  ``masked`` is true when every frame has a mask.  ``backdrop``: the flat colour
    (3,) in [0, 1] that stands behind the head in every image, if there is one (see ``capture.backdrop``).
    """

    name: str
    cameras: tuple[CaptureCamera, ...]
    frames: tuple[Frame, ...]
    timestep_names: tuple[str, ...]
    image: Callable[[int], ByteArray] = field(repr=False)
    mask: Callable[[int], ByteArray | None] = field(repr=False, default=lambda index: None)
    masked: bool = False
    static_camera: bool = True
    source: str = ""
    cache_key: str = ""  # identifies the pixels: what is derived from them can be cached beside them
    cache_dir: str = ""
    backdrop: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def indices(self, split: Split) -> list[int]:
        """Positions in ``frames`` of one split, in (timestep, camera) order."""
        return [i for i, frame in enumerate(self.frames) if frame.split == split]

    @property
    def num_timesteps(self) -> int:
        return len(self.timestep_names)

    def composited(self, index: int, background: FloatArray) -> FloatArray:
        """(H, W, 3) float32 in [0, 1]: frame ``index`` over ``background`` (3,) where it has a mask."""
        rgb = self.image(index).astype(np.float32) / 255.0
        mask = self.mask(index)
        if mask is None:
            return rgb
        behind = np.asarray(background, np.float32)
        alpha = mask.astype(np.float32)[..., None] / 255.0
        if self.backdrop is not None:
            return np.clip(rgb + (1.0 - alpha) * (behind - self.backdrop.astype(np.float32)), 0.0, 1.0)
        return rgb * alpha + behind * (1.0 - alpha)
