"""Contact sheets: pictures in rows and columns with short captions."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avatarkit.paths import atomic_write
from avatarkit.types import ByteArray, FloatArray, PathArg

GAP, INK, PAPER = 6, (40, 40, 46), (255, 255, 255)
LEADING = 2  # pixels between the lines of a caption


def to_bytes(picture: FloatArray) -> ByteArray:
    """(H, W, 3) float in [0, 1], clipped → uint8, rounded."""
    return np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


def contact_sheet(
    rows: Sequence[Sequence[ByteArray]], columns: Sequence[str] = (), names: Sequence[str] = (), tile: int | None = None
) -> ByteArray:
    """Rows of (H, W, 3) uint8 pictures → one picture.  ``columns``: captions above, in as many lines as their column asks; ``names``: captions left of the rows.

    ``tile``: height of a tile in pixels; pictures keep their proportions.
    """
    height = tile or max(picture.shape[0] for row in rows for picture in row)
    scaled = [[_scaled(picture, height) for picture in row] for row in rows]
    widths = [max(row[i].width for row in scaled if i < len(row)) for i in range(max(map(len, scaled)))]
    font = _font(max(11, height // 14))
    captions = [_wrapped(text, width, font) for text, width in zip(columns, widths, strict=False)]
    lines = max((text.count("\n") + 1 for text in captions), default=0)
    line = font.getbbox("Ag")[3] + LEADING
    top = lines * line - LEADING + 2 * GAP if lines else GAP
    left = GAP + (max(int(font.getlength(name)) for name in names) + GAP if names else 0)
    sheet = Image.new(
        "RGB", (int(left + sum(widths) + GAP * len(widths)), int(top + (height + GAP) * len(scaled))), PAPER
    )
    draw = ImageDraw.Draw(sheet)
    x = left
    for i, width in enumerate(widths):
        if i < len(captions):
            for k, text in enumerate(captions[i].split("\n")):
                draw.text((x, GAP + k * line), text, INK, font)
        for j, row in enumerate(scaled):
            if i < len(row):
                sheet.paste(row[i], (int(x), int(top + j * (height + GAP))))
        x += width + GAP
    for j, name in enumerate(names):
        draw.text((GAP, top + j * (height + GAP) + GAP), name, INK, font)
    return np.asarray(sheet)


def error_picture(first: FloatArray, second: FloatArray, full: float = 0.2) -> ByteArray:
    """Mean absolute difference over the channels of two (H, W, 3) pictures: white 0, dark red at ``full`` and above."""
    error = np.clip(np.abs(first - second).mean(-1) / full, 0.0, 1.0)[..., None]
    return to_bytes((1.0 - error) * np.array([1.0, 1.0, 1.0]) + error * np.array([0.55, 0.0, 0.1]))


def encode(picture: ByteArray, kind: str = "png") -> bytes:
    """(H, W, 3) uint8 → PNG or JPEG bytes."""
    buffer = io.BytesIO()
    options = {"quality": 90} if kind == "jpeg" else {"optimize": True}
    Image.fromarray(picture).save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def write_picture(path: PathArg, picture: ByteArray) -> None:
    """Write a PNG or JPEG by the suffix, atomically."""
    kind = "jpeg" if str(path).lower().endswith((".jpg", ".jpeg")) else "png"
    with atomic_write(path) as stream:
        stream.write(encode(picture, kind))


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """``text`` in lines of at most ``width`` pixels, broken between words where there are any."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _scaled(picture: ByteArray, height: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture))
    if image.height == height:
        return image
    return image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
