"""Pictures that were painted before, under AVATARKIT_HOME: what was paid for once is not asked again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from avatarkit.paths import atomic_write, home
from avatarkit.types import ByteArray
from avatarkit_openai_images.pictures import MAX_PIXELS, pixels_png


def folder() -> Path:
    """Where pictures are kept."""
    return home() / "editors"


def read(key: str) -> ByteArray | None:
    """(h, w, 3); None where there is none, or one that cannot be read any more."""
    try:
        with Image.open(io.BytesIO((folder() / f"{key}.png").read_bytes()), formats=("PNG",)) as opened:
            if opened.mode != "RGB" or opened.width * opened.height > MAX_PIXELS:
                return None
            return np.asarray(opened)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def write(key: str, pixels: ByteArray) -> None:
    """Keep (h, w, 3) as a PNG file."""
    with atomic_write(folder() / f"{key}.png") as stream:
        stream.write(pixels_png(pixels))
