"""What one core can blend at best: the rasterizer's own inner loop on one tile that stays in the cache.

The tile is the scene's own, the one with the median number of evaluated pairs, so that the mix of pairs is that of the frame:
how many blocks an entry reaches and how many entries a block blends decide how often a loop ends and how many sums an
entry's gradient costs.  All that is not blending is done beforehand: Gaussians are gathered, their exponents expanded about
the tile's centre, the blocks that they reach found; pixels are neither read nor written.  What a frame reaches of this is
the price of everything around the inner loop.

``dense`` measures the same loops on LIST faint splats that cover a whole tile each, which nothing in a frame resembles: no
branch is ever mispredicted, and an entry's set-up is spread over all of its 256 pixels.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np

from avatarkit.render import blending, blending_backward
from avatarkit.render.blending import BATCH, BLOCKS, PIXELS, ROOM
from avatarkit.render.compiled import kernel, run_parts
from avatarkit.render.cpu import TABLES, Frame
from avatarkit.render.projection import LOG2E, TILE, Z

LIST = 128
"""Splats of the dense tile: what a tile of 50k splats of radius 4 px at 512² has."""


@functools.cache
def _loops() -> tuple[Any, Any]:
    blend_tile = blending.make_blend(True, False, ready=True)[1]
    tile_backward = blending_backward.make_blend_backward(True, False, False, ready=True)[1]

    @kernel
    def forward(part, parts, rounds, starts, entries, records, features, shapes, reach, rows, masks, tables, pairs):  # type: ignore[no-untyped-def]
        found = np.empty(entries.shape[0], np.int64)
        running, covered, depth = (
            np.empty(PIXELS, np.float32),
            np.empty(PIXELS, np.float32),
            np.empty(PIXELS, np.float32),
        )
        colour = np.empty(3 * PIXELS, np.float32)
        best, winner = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        hits = np.empty(BLOCKS, np.int64)
        work = (running, covered, colour, depth, best, winner, shapes, reach, hits)
        for _ in range(rounds):
            running[:] = 1.0
            covered[:] = 0.0
            colour[:] = 0.0
            depth[:] = 0.0
            pairs[part] += blend_tile(starts, 0, entries, records, features, 8.0, 8.0, found, tables, work)[0]

    @kernel
    def backward(part, parts, rounds, starts, entries, records, features, shapes, reach, rows, masks, tables, pairs):  # type: ignore[no-untyped-def]
        running, rest = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        d_colour, weights = np.ones(3 * PIXELS, np.float32), np.empty(PIXELS, np.float32)
        slots = np.empty((entries.shape[0], 9), np.float32)
        work = (running, rest, d_colour, weights, weights, weights, rows)
        for _ in range(rounds):
            running[:] = 1.0
            rest[:] = 1.0
            pairs[part] += tile_backward(starts, 0, entries, records, features, 8.0, 8.0, masks, tables, work, slots)

    return forward, backward


def dense() -> Peak:
    """The peak of a tile of faint splats that cover it whole."""
    random = np.random.default_rng(0)
    records = np.zeros((LIST, 8))
    records[:, :2] = random.uniform(4.0, 12.0, (LIST, 2))
    records[:, 2] = records[:, 4] = -0.5 * LOG2E / 40.0  # variance 40 px²: all of the tile is inside
    records[:, 5] = np.log2(random.uniform(0.05, 0.1, LIST))  # so faint that no pixel stops early
    records[:, 6] = 1.0
    everywhere = np.full(LIST, -1 if BLOCKS == 64 else (1 << BLOCKS) - 1, np.int64)
    return Peak(records, random.random((LIST, 3), np.float32), everywhere, (TILE / 2, TILE / 2))


def typical(frame: Frame, features: Any) -> Peak:
    """The peak of the frame's tile with the median number of evaluated pairs; features (N, 3) float32."""
    reached = np.array([int(mask).bit_count() & 0xFF for mask in frame.masks.view(np.uint64)])
    total = np.concatenate([[0], np.cumsum(reached)])
    per_tile = total[frame.starts[1:]] - total[frame.starts[:-1]]
    used = np.flatnonzero(per_tile)
    tile = int(used[np.argsort(per_tile[used], kind="stable")[len(used) // 2]])
    own = slice(int(frame.starts[tile]), int(frame.starts[tile + 1]))
    chosen = frame.entries[own, 1]
    centre = (tile % frame.columns + 0.5) * TILE, (tile // frame.columns + 0.5) * TILE
    return Peak(frame.records[chosen], features[chosen], frame.masks[own].copy(), centre)


class Peak:
    """Measures the micro-kernel; call ``sample`` between other measurements, on the same machine at the same time.

    records (L, 8) float64, features (L, 3) float32, masks (L,) int64 of one tile's list with its centre in pixels.
    """

    def __init__(self, records: Any, features: Any, masks: Any, centre: tuple[float, float]) -> None:
        count = len(records)
        batches = -(-count // BATCH)
        shapes, reach = np.zeros((batches, 12, ROOM), np.float32), np.zeros((batches, BLOCKS), np.int64)
        rows = np.zeros((count, 16), np.float32)
        shapes[:, 0], shapes[:, 3], shapes[:, 5] = -1e6, -1.0, -1.0
        for k in range(count):
            own = np.array([*blending.expand(records, k, *centre), records[k, Z], *features[k]], np.float32)
            shapes[k // BATCH, :, k % BATCH] = own
            rows[k, :6], rows[k, 6:10] = own[:6], own[8:]
        for batch in range(batches):
            flat, room = shapes[batch].reshape(-1), min(BATCH, count - batch * BATCH)
            blending.reached_blocks(room, flat, TABLES[2], TABLES[3], reach[batch])
        entries = np.stack([np.arange(count)] * 2, 1).astype(np.int32)
        starts = np.array([0, count])
        flat_shapes = shapes.reshape(batches, 12 * ROOM)
        self._arguments = (starts, entries, records, features, flat_shapes, reach, rows, masks, TABLES)
        self.forward: dict[int, list[float]] = {}
        self.backward: dict[int, list[float]] = {}
        self.sample(1, rounds=1)
        self.forget()

    def forget(self) -> None:
        """Drop all measurements."""
        self.forward.clear()
        self.backward.clear()

    def sample(self, threads: int, rounds: int = 1000) -> None:
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
