"""Views as squares that the API takes, and its answers as views again."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from avatarkit.types import ByteArray

PRESENT = 0.1
"""From here on a mask counts: a feathered rim too must have something painted under it."""
MAX_PIXELS = 4096 * 4096  # of an answer
OBLONG = 0.05  # sides of an answer may differ by as much: some servers round to whole cells
FORMATS = ("PNG", "JPEG", "WEBP")


class UnusablePicture(Exception):
    """What a server sent cannot be used; ``str`` says why."""


@dataclass(frozen=True)
class Square:
    """A view of height × width pixels is resized to rows × columns, in the middle of side × side; its edges go on beyond it."""

    height: int
    width: int
    side: int

    @property
    def rows(self) -> int:
        return max(1, round(self.height * self.side / max(self.height, self.width)))

    @property
    def columns(self) -> int:
        return max(1, round(self.width * self.side / max(self.height, self.width)))

    @property
    def top(self) -> int:
        return (self.side - self.rows) // 2

    @property
    def left(self) -> int:
        return (self.side - self.columns) // 2

    def shown(self, pictures: Tensor) -> Tensor:
        """(B, C, height, width) → (B, C, side, side), both in [0, 1]."""
        right, bottom = self.side - self.columns - self.left, self.side - self.rows - self.top
        resized = _resized(pictures, self.rows, self.columns)
        return torch.nn.functional.pad(resized, (self.left, right, self.top, bottom), mode="replicate")

    def wanted(self, masks: Tensor, grow: float) -> Tensor:
        """(B, 1, height, width) in [0, 1] → (B, side, side) bool: where the model may paint, widened by ``grow`` of the side."""
        right, bottom = self.side - self.columns - self.left, self.side - self.rows - self.top
        present = _resized((masks > PRESENT).float(), self.rows, self.columns)
        present = torch.nn.functional.pad(present, (self.left, right, self.top, bottom))
        reach = round(grow * self.side)
        for kernel, padding in (((1, 2 * reach + 1), (0, reach)), ((2 * reach + 1, 1), (reach, 0))):
            present = torch.nn.functional.max_pool2d(present, kernel, 1, padding)
        return present[:, 0] > PRESENT

    def back(self, pixels: ByteArray) -> Tensor:
        """(h, w, 3) of a square of any size → (3, height, width) in [0, 1]."""
        picture = torch.from_numpy(pixels.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
        picture = _resized(picture, self.side, self.side)
        inside = picture[..., self.top : self.top + self.rows, self.left : self.left + self.columns]
        return _resized(inside, self.height, self.width)[0]


def picture_png(picture: Tensor) -> bytes:
    """(3, h, w) in [0, 1] as an 8-bit PNG file."""
    return pixels_png((picture * 255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def pixels_png(pixels: ByteArray) -> bytes:
    """(h, w, 3) or (h, w, 4) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def mask_png(wanted: Tensor) -> bytes:
    """(h, w) bool as the API has masks: black, transparent (alpha 0) where the model may paint."""
    pixels = np.zeros((*wanted.shape, 4), np.uint8)
    pixels[..., 3] = np.where(wanted.numpy(), 0, 255)
    return pixels_png(pixels)


def decoded(file: bytes, beneath: Tensor) -> ByteArray:
    """A PNG, JPEG or WEBP file that should be square → (h, w, 3).

    beneath: (3, s, s) in [0, 1], what shows through where the file is transparent.  Raises UnusablePicture for anything else
    than a square of at most ``MAX_PIXELS``; its pixels are not unpacked before they are counted.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            opened: Any = Image.open(io.BytesIO(file), formats=FORMATS)
        with opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise UnusablePicture(f"a picture of {width}×{height} pixels")
            if abs(width - height) > OBLONG * max(width, height):
                raise UnusablePicture(f"a picture of {width}×{height} pixels, which is no square")
            see_through = opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info
            pixels = np.asarray(opened.convert("RGBA" if see_through else "RGB"))
    except Image.DecompressionBombError:
        raise UnusablePicture("a picture of a gigantic size") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
    ) as error:  # pillow's for damaged files, UnidentifiedImageError too
        if isinstance(error, UnusablePicture):
            raise
        raise UnusablePicture("no PNG, JPEG or WEBP picture that can be read") from error
    if not see_through:
        return pixels
    below = _resized(beneath[None], height, width)[0].permute(1, 2, 0).numpy() * 255.0
    alpha = pixels[..., 3:].astype(np.float32) / 255.0
    return np.asarray(np.round(alpha * pixels[..., :3] + (1.0 - alpha) * below), np.uint8)


def _resized(pictures: Tensor, height: int, width: int) -> Tensor:
    if pictures.shape[-2:] == (height, width):
        return pictures
    resized = torch.nn.functional.interpolate(
        pictures, (height, width), mode="bicubic", align_corners=False, antialias=True
    )
    return resized.clamp(0.0, 1.0)
