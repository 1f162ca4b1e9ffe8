"""Lists of the tiles against NumPy's stable sort, where radix digits, insertion and the comparison sort each have to end the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avatarkit.render import binning
from avatarkit.render.projection import RECORD, Z_RED

SPAN, COLUMNS, ROWS = 3000, 5, 4


def depths(kind: str, random: np.random.Generator) -> Any:
    if kind == "near":
        return random.uniform(0.5, 0.6, SPAN).astype(np.float32)
    if kind == "wide":  # bits left over after two passes: a few neighbours to insert
        return np.exp(random.uniform(-4, 9, SPAN)).astype(np.float32)
    if kind == "equal":
        return np.full(SPAN, 0.7, np.float32)
    wall = (2.0 + 1e-5 * random.random(SPAN)).astype(np.float32)  # one digit holds them all, because of the far one
    wall[17] = 1e30
    return wall


def sorted_by_depth(z: Any, counts: Any) -> tuple[int, Any, Any]:
    count = len(z)
    records = np.zeros((count, RECORD), np.float64)
    records[:, Z_RED : Z_RED + 1].view(np.float32)[:, 0] = z
    offsets, order = np.empty(count + 1, np.int64), np.full(count, -1, np.int32)
    keys, spare = np.empty(count, np.int64), np.empty(count, np.int64)
    return binning.sort_by_depth(counts, records, offsets, order, keys, spare), order, offsets


@pytest.mark.parametrize("kind", ["near", "wide", "equal", "wall"])
def test_nearest_first_and_ties_by_index(kind: str) -> None:
    random = np.random.default_rng(0)
    z, counts = depths(kind, random), random.integers(0, 3, SPAN).astype(np.int32)
    visible, order, offsets = sorted_by_depth(z, counts)
    shown = np.flatnonzero(counts)
    assert visible == len(shown)
    assert np.array_equal(order[:visible], shown[np.argsort(z[shown], kind="stable")])
    assert np.array_equal(offsets, np.concatenate([[0], np.cumsum(counts)]))


def test_nothing_visible() -> None:
    visible, _, offsets = sorted_by_depth(np.ones(5, np.float32), np.zeros(5, np.int32))
    assert visible == 0 and not offsets.any()


@pytest.mark.parametrize(("threads", "shares"), [(1, 1), (2, 2), (3, 3), (6, 4)])
def test_lists_of_tiles(threads: int, shares: int) -> None:
    random = np.random.default_rng(1)
    first = random.integers(0, [COLUMNS, ROWS], (SPAN, 2))
    size = np.minimum(random.integers(0, 2, (SPAN, 2)), [COLUMNS - 1, ROWS - 1] - first)
    rects = np.stack([first[:, 0], first[:, 0] + size[:, 0], first[:, 1], first[:, 1] + size[:, 1]], 1).astype(np.int32)
    hidden = random.random(SPAN) < 0.3
    counts = np.where(hidden, 0, np.prod(size + 1, 1)).astype(np.int32)
    z = depths("near", random)
    visible, order, offsets = sorted_by_depth(z, counts)
    total, tiles = int(offsets[-1]), COLUMNS * ROWS
    share, slot_tiles = np.empty(SPAN, np.int32), np.empty(total, np.int32)
    histograms, positions = np.empty((threads, shares, tiles), np.int32), np.empty((shares, tiles), np.int64)
    starts, entries = np.empty(tiles + 1, np.int64), np.empty(total, np.int32)
    slot_positions = np.empty(total, np.int32)
    unused = np.zeros((SPAN, RECORD)), np.zeros((SPAN, 3))
    binning.share_out(visible, order, share, shares)
    for part in range(threads):
        binning.list_tiles(
            part, threads, counts, offsets, *unused, rects, 16 * ROWS, COLUMNS, share, slot_tiles, histograms
        )
    binning.start_lists(histograms, positions, starts)
    for part in range(shares):
        binning.fill_lists(part, shares, visible, order, offsets, slot_tiles, positions, entries, slot_positions)
    x, y = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS))
    for tile, (column, row) in enumerate(zip(x.ravel(), y.ravel(), strict=True)):
        inside = (rects[:, 0] <= column) & (column <= rects[:, 1]) & (rects[:, 2] <= row) & (row <= rects[:, 3])
        mine = np.flatnonzero(inside & ~hidden)
        expected = mine[np.argsort(z[mine], kind="stable")]
        assert np.array_equal(entries[starts[tile] : starts[tile + 1]], expected)
    for i in np.flatnonzero(~hidden):
        for slot in range(offsets[i], offsets[i + 1]):
            assert entries[slot_positions[slot]] == i
            tile = slot_tiles[slot]
            assert starts[tile] <= slot_positions[slot] < starts[tile + 1]
