"""Tiles of 16×16 pixels, cut into blocks of WIDTH pixels, four wide: one vector each.

Blocks beat rows: a splat of radius 4 px touches 6.7 blocks of 4×4 but 10.6 rows of 16.  A tile in memory holds its pixels in
block order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avatarkit.render.compiled import kernel
from avatarkit.render.lanes import WIDTH, load, store
from avatarkit.render.memory import BLOCK_WIDTH, load_blocks, store_blocks
from avatarkit.render.projection import TILE

PIXELS = TILE * TILE
BLOCKS = PIXELS // WIDTH
BLOCK_HEIGHT = WIDTH // BLOCK_WIDTH


def _pixel_tables() -> tuple[Any, Any, Any]:
    """Coordinates from the tile's centre of each pixel in block order (2, 256), and of each block's centre (2, BLOCKS)."""
    block, lane = np.divmod(np.arange(PIXELS), WIDTH)
    x = (block % 4) * BLOCK_WIDTH + lane % BLOCK_WIDTH
    y = (block // 4) * BLOCK_HEIGHT + lane // BLOCK_WIDTH
    pixels = np.stack([x, y]) - (TILE - 1) / 2
    centres = pixels.reshape(2, BLOCKS, WIDTH).mean(2)
    return pixels[0].astype(np.float32), pixels[1].astype(np.float32), np.ascontiguousarray(centres, np.float32)


PIXEL_X, PIXEL_Y, CENTRES = _pixel_tables()
BLOCK_X, BLOCK_Y = CENTRES[0].copy(), CENTRES[1].copy()
HALF_WIDTH, HALF_HEIGHT = (BLOCK_WIDTH - 1) / 2, (BLOCK_HEIGHT - 1) / 2


@kernel
def inside_tile(tile_width, tile_height, transmittance):  # type: ignore[no-untyped-def]
    """1 for the tile's pixels that are in the image, 0 for the others, which then blend nothing."""
    transmittance[:] = 1.0
    if tile_width >= TILE and tile_height >= TILE:
        return
    for pixel in range(PIXELS):
        block, lane = pixel // WIDTH, pixel % WIDTH
        x = (block % 4) * BLOCK_WIDTH + lane % BLOCK_WIDTH
        y = (block // 4) * BLOCK_HEIGHT + lane // BLOCK_WIDTH
        transmittance[pixel] = 1.0 if x < tile_width and y < tile_height else 0.0


@kernel
def is_whole(image, x0, y0):  # type: ignore[no-untyped-def]
    """Does all of the tile lie in the (H, W) plane?"""
    return x0 + TILE <= image.shape[1] and y0 + TILE <= image.shape[0]


@kernel
def read_tile(image, x0, y0, out, base):  # type: ignore[no-untyped-def]
    """A tile of a (H, W) plane in block order, to ``out[base:]``; pixels outside the image are 0."""
    height, width = image.shape
    if is_whole(image, x0, y0):
        for top in range(0, TILE, BLOCK_HEIGHT):
            a, b, c, d = load_blocks(image, (y0 + top) * width + x0, width)
            at = base + top * TILE
            store(out, at, a)
            store(out, at + WIDTH, b)
            store(out, at + 2 * WIDTH, c)
            store(out, at + 3 * WIDTH, d)
        return
    for row in range(TILE):
        at = base + (row // BLOCK_HEIGHT) * (4 * WIDTH) + (row % BLOCK_HEIGHT) * BLOCK_WIDTH
        for x in range(TILE):
            inside = y0 + row < height and x0 + x < width
            out[at + (x // BLOCK_WIDTH) * WIDTH + x % BLOCK_WIDTH] = (
                image[y0 + row, x0 + x] if inside else np.float32(0)
            )


@kernel
def write_tile(tile, base, image, x0, y0):  # type: ignore[no-untyped-def]
    """The inverse of ``read_tile``."""
    height, width = image.shape
    if is_whole(image, x0, y0):
        for top in range(0, TILE, BLOCK_HEIGHT):
            at = base + top * TILE
            blocks = load(tile, at), load(tile, at + WIDTH), load(tile, at + 2 * WIDTH), load(tile, at + 3 * WIDTH)
            store_blocks(image, (y0 + top) * width + x0, width, blocks)
        return
    for row in range(min(TILE, height - y0)):
        at = base + (row // BLOCK_HEIGHT) * (4 * WIDTH) + (row % BLOCK_HEIGHT) * BLOCK_WIDTH
        for x in range(min(TILE, width - x0)):
            image[y0 + row, x0 + x] = tile[at + (x // BLOCK_WIDTH) * WIDTH + x % BLOCK_WIDTH]
