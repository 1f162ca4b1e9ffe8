"""Tiles of an image in block order: whole ones by vectors, those at the edge pixel by pixel, both against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.render.projection import TILE
from avatarkit.render.tiles import BLOCK_HEIGHT, PIXELS, read_tile, write_tile


def in_blocks(tile: np.ndarray) -> np.ndarray:
    """(16, 16) → (256,): blocks 4 wide and BLOCK_HEIGHT high, row by row."""
    return tile.reshape(TILE // BLOCK_HEIGHT, BLOCK_HEIGHT, 4, 4).transpose(0, 2, 1, 3).reshape(-1)


@pytest.mark.parametrize(("x0", "y0"), [(0, 0), (16, 16), (32, 0), (0, 32), (32, 32)])
def test_a_tile_is_read_and_written(x0: int, y0: int) -> None:
    random = np.random.default_rng(0)
    image = random.random((41, 37), np.float32)
    padded = np.zeros((48, 48), np.float32)
    padded[:41, :37] = image
    truth = in_blocks(padded[y0 : y0 + TILE, x0 : x0 + TILE])
    out = np.full(PIXELS + 8, 7.0, np.float32)
    read_tile(image, x0, y0, out, 8)
    np.testing.assert_array_equal(out[8:], truth)
    assert (out[:8] == 7.0).all()
    back = np.full_like(image, -1.0)
    write_tile(out, 8, back, x0, y0)
    inside = np.zeros_like(image, bool)
    inside[y0 : y0 + TILE, x0 : x0 + TILE] = True
    np.testing.assert_array_equal(back[inside], image[inside])
    assert (back[~inside] == -1.0).all()  # no neighbour is touched
