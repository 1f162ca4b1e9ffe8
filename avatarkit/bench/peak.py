"""What one core can blend at best: the rasterizer's own inner loop on one tile that stays in the cache.

Nothing is projected, sorted, gathered from memory or written to an image: one tile, LIST splats that cover it whole, blended
over and over.  What a real frame reaches of this is the price of everything around the inner loop.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np

from avatarkit.render import blending, blending_backward
from avatarkit.render.blending import BLOCKS, PIXELS
from avatarkit.render.compiled import kernel, run_parts
from avatarkit.render.cpu import TABLES
from avatarkit.render.projection import LOG2E

LIST = 128
"""Splats of the tile: what a tile of 50k splats of radius 4 px at 512² has."""


@functools.cache
def _loops() -> tuple[Any, Any]:
    blend_tile = blending.make_blend(True, False)[1]
    tile_backward = blending_backward.make_blend_backward(True, False, False)[1]

    @kernel
    def forward(part, parts, rounds, starts, entries, records, features, tables, pairs):  # type: ignore[no-untyped-def]
        masks = np.empty(entries.shape[0], np.int64)
        running, covered, depth = (
            np.empty(PIXELS, np.float32),
            np.empty(PIXELS, np.float32),
            np.empty(PIXELS, np.float32),
        )
        colour = np.empty(3 * PIXELS, np.float32)
        best, winner = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        shapes, reach = np.empty(12 * blending.BATCH, np.float32), np.empty(BLOCKS, np.int64)
        work = (running, covered, colour, depth, best, winner, shapes, reach)
        for _ in range(rounds):
            running[:] = 1.0
            covered[:] = 0.0
            colour[:] = 0.0
            depth[:] = 0.0
            pairs[part] += blend_tile(starts, 0, entries, records, features, 8.0, 8.0, masks, tables, work)[0]

    @kernel
    def backward(part, parts, rounds, starts, entries, records, features, tables, pairs):  # type: ignore[no-untyped-def]
        masks = np.full(entries.shape[0], (-1 if BLOCKS == 64 else (1 << BLOCKS) - 1), np.int64)
        running, rest = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        d_colour, weights = np.ones(3 * PIXELS, np.float32), np.empty(PIXELS, np.float32)
        shapes = np.empty((blending.BATCH, 16), np.float32)
        slots = np.empty((entries.shape[0], 9), np.float32)
        work = (running, rest, d_colour, weights, weights, weights, shapes)
        for _ in range(rounds):
            running[:] = 1.0
            rest[:] = 1.0
            pairs[part] += tile_backward(starts, 0, entries, records, features, 8.0, 8.0, masks, tables, work, slots)

    return forward, backward


class Peak:
    """Measures the micro-kernel; call ``sample`` between other measurements, on the same machine at the same time."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        records = np.zeros((LIST, 8))
        records[:, :2] = random.uniform(4.0, 12.0, (LIST, 2))
        records[:, 2] = records[:, 4] = -0.5 * LOG2E / 40.0  # variance 40 px²: all of the tile is inside
        records[:, 5] = np.log2(random.uniform(0.05, 0.1, LIST))  # so faint that no pixel stops early
        records[:, 6] = 1.0
        features = random.random((LIST, 3), np.float32)
        entries = np.stack([np.arange(LIST)] * 2, 1).astype(np.int32)
        self._arguments = (np.array([0, LIST]), entries, records, features, TABLES)
        self.forward: dict[int, list[float]] = {}
        self.backward: dict[int, list[float]] = {}
        self.sample(1, rounds=1)
        self.forward.clear()
        self.backward.clear()

    def sample(self, threads: int, rounds: int = 60) -> None:
        """Add one measurement in each direction, pairs per second of all threads together."""
        for loop, results in zip(_loops(), (self.forward, self.backward), strict=True):
            pairs = np.zeros(threads, np.int64)
            start = time.perf_counter()
            run_parts(threads, loop, rounds, *self._arguments, pairs)
            seconds = time.perf_counter() - start
            results.setdefault(threads, []).append(float(pairs.sum()) * blending.WIDTH / seconds)

    def rates(self, threads: int) -> tuple[float, float]:
        """Median pairs per second, (forward, backward)."""
        return float(np.median(self.forward[threads])), float(np.median(self.backward[threads]))
