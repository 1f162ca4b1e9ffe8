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
from avatarkit.render.blending import BATCH, NOBODY, ROOM
from avatarkit.render.compiled import kernel, run_parts
from avatarkit.render.cpu import TABLES, Frame
from avatarkit.render.projection import LOG2E, TILE
from avatarkit.render.tiles import BLOCKS, PIXELS

LIST = 128
"""Splats of the dense tile: what a tile of 50k splats of radius 4 px at 512² has."""


@functools.cache
def _loops() -> tuple[Any, Any]:
    blend_tile = blending.make_blend(True, False, ready=True)[1]
    tile_backward = blending_backward.make_blend_backward(True, False, False, ready=True)[1]

    @kernel
    def forward(part, parts, rounds, starts, entries, records, features, shapes, reach, tables, pairs):  # type: ignore[no-untyped-def]
        found = np.empty(entries.shape[0], np.int64)
        running, covered, depth = (
            np.empty(PIXELS, np.float32),
            np.empty(PIXELS, np.float32),
            np.empty(PIXELS, np.float32),
        )
        colour = np.empty(3 * PIXELS, np.float32)
        best, winner = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        hits, chosen = np.empty((8, BLOCKS), np.uint8), np.empty(0, np.int64)
        work = (running, covered, colour, depth, best, winner, shapes, reach, hits, chosen)
        for _ in range(rounds):
            running[:] = 1.0
            covered[:] = 0.0
            colour[:] = 0.0
            depth[:] = 0.0
            pairs[part] += blend_tile(starts, 0, entries, records, features, 8.0, 8.0, found, tables, work)[0]

    @kernel
    def backward(part, parts, rounds, starts, entries, records, features, shapes, masks, tables, pairs):  # type: ignore[no-untyped-def]
        running, rest = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        d_colour, weights = np.ones(3 * PIXELS, np.float32), np.empty(PIXELS, np.float32)
        partials = np.empty((entries.shape[0], 9), np.float32)
        nothing = np.empty(0, np.int64)
        work = (running, rest, d_colour, weights, weights, weights, shapes, nothing, nothing)
        for _ in range(rounds):
            running[:] = 1.0
            rest[:] = 1.0
            pairs[part] += tile_backward(starts, 0, entries, records, features, 8.0, 8.0, masks, tables, work, partials)

    return forward, backward


def dense() -> Peak:
    """The peak of a tile of faint splats that cover it whole."""
    random = np.random.default_rng(0)
    records = np.zeros((LIST, 8))
    records[:, :2] = random.uniform(4.0, 12.0, (LIST, 2))
    records[:, 2] = records[:, 4] = -0.5 * LOG2E / 40.0  # variance 40 px²: all of the tile is inside
    records[:, 5] = np.log2(random.uniform(0.05, 0.1, LIST))  # so faint that no pixel stops early
    records[:, 6:].view(np.float32)[:] = 1.0, *random.random(3)
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
    chosen = frame.entries[own]
    centre = (tile % frame.columns + 0.5) * TILE, (tile // frame.columns + 0.5) * TILE
    return Peak(frame.records[chosen], features[chosen], frame.masks[own].copy(), centre)


def _laid_out(records: Any, centre: tuple[float, float]) -> tuple[Any, Any]:
    """Shapes (batches, 12·ROOM) and, per batch, the entries that reach each block (batches, BLOCKS) of one list."""
    batches = max(1, -(-len(records) // BATCH))
    shapes, reach = np.zeros((batches, 12 * ROOM), np.float32), np.zeros((batches, BLOCKS), np.int64)
    shapes[:, NOBODY] = -1e6
    chosen = np.zeros(ROOM, np.int64)
    for batch in range(batches):
        count = min(BATCH, len(records) - batch * BATCH)
        chosen[:count] = np.arange(count) + batch * BATCH
        chosen[count:] = chosen[count - 1]
        blending.lay_out(chosen, count, records, *centre, shapes[batch])
        blending.reached_blocks(count, shapes[batch], TABLES[2], TABLES[3], reach[batch])
    return shapes, reach


class Peak:
    """Measures the micro-kernel; call ``sample`` between other measurements, on the same machine at the same time.

    records (L, 8) float64, features (L, 3) float32, masks (L,) int64 of one tile's list with its centre in pixels.
    """

    def __init__(self, records: Any, features: Any, masks: Any, centre: tuple[float, float]) -> None:
        seen = np.flatnonzero(masks)  # what the backward pass gathers
        flat_masks, starts = masks[seen], np.array([0, len(records)])
        shapes, reach = _laid_out(records, centre)
        shapes_seen, _ = _laid_out(records[seen], centre)
        entries = np.arange(len(records), dtype=np.int32)
        common = entries, records, features
        self._arguments = (
            (starts, *common, shapes, reach, TABLES),
            (np.array([0, len(seen)]), *common, shapes_seen, flat_masks, TABLES),
        )
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
        for loop, arguments, results in zip(_loops(), self._arguments, (self.forward, self.backward), strict=True):
            pairs = np.zeros(threads, np.int64)
            start = time.perf_counter()
            run_parts(threads, loop, rounds, *arguments, pairs)
            seconds = time.perf_counter() - start
            results.setdefault(threads, []).append(float(pairs.sum()) * blending.WIDTH / seconds)

    def rates(self, threads: int) -> tuple[float, float]:
        """Median pairs per second, (forward, backward)."""
        return float(np.median(self.forward[threads])), float(np.median(self.backward[threads]))
