"""Which Gaussians each tile blends, nearest first: a radix sort by depth, then a stable counting sort by tile.

Entries, the (tile, Gaussian) pairs, have two numbers: a *position* in the list of its tile, where the backward pass leaves its
partial gradients, and a *slot*, where a Gaussian's own entries stand side by side, which tells their tiles and positions, so that
they are summed in fixed order.
"""

from __future__ import annotations

import numpy as np

from avatarkit.render.compiled import exact_kernel
from avatarkit.render.lane_columns import first_of_pair
from avatarkit.render.projection import FEW, Z_RED, tile_span

DIGIT = 11


@exact_kernel
def sort_by_depth(counts, records, offsets, order, keys, spare_order, spare_keys):  # type: ignore[no-untyped-def]
    """Visible Gaussians by float32 depth, ties by index, into ``order``; first slots into ``offsets`` (N + 1).

    Returns how many are visible.  Least-significant-digit radix sort on the bits of positive floats.
    """
    visible, slot = 0, 0
    depth = np.empty(1, np.float32)
    bits = depth.view(np.uint32)
    smallest, largest = np.uint32(0xFFFFFFFF), np.uint32(0)
    for i in range(counts.shape[0]):
        offsets[i] = slot
        if counts[i] > 0:
            slot += counts[i]
            depth[0] = first_of_pair(records[i, Z_RED])
            keys[visible] = bits[0]
            order[visible] = i
            smallest, largest = min(smallest, bits[0]), max(largest, bits[0])
            visible += 1
    offsets[counts.shape[0]] = slot
    if visible == 0:
        return 0
    span = np.int64(largest) - np.int64(smallest)
    histogram = np.empty(1 << DIGIT, np.int64)
    shift, passes = 0, 0
    while (span >> shift) > 0:
        source_order, source_keys, to_order, to_keys = order, keys, spare_order, spare_keys
        if passes % 2 == 1:
            source_order, source_keys, to_order, to_keys = spare_order, spare_keys, order, keys
        histogram[:] = 0
        for k in range(visible):
            histogram[((np.int64(source_keys[k]) - np.int64(smallest)) >> shift) & ((1 << DIGIT) - 1)] += 1
        total = 0
        for d in range(1 << DIGIT):
            here = histogram[d]
            histogram[d] = total
            total += here
        for k in range(visible):
            digit = ((np.int64(source_keys[k]) - np.int64(smallest)) >> shift) & ((1 << DIGIT) - 1)
            to_order[histogram[digit]] = source_order[k]
            to_keys[histogram[digit]] = source_keys[k]
            histogram[digit] += 1
        shift += DIGIT
        passes += 1
    if passes % 2 == 1:
        order[:visible] = spare_order[:visible]
    return visible


@exact_kernel
def list_tiles(part, parts, counts, offsets, records, covariances, rects, height, columns, slot_tiles):  # type: ignore[no-untyped-def]
    """The tile of each slot of this part's Gaussians."""
    count = counts.shape[0]
    for i in range(count * part // parts, count * (part + 1) // parts):
        if counts[i] == 0:
            continue
        slot = offsets[i]
        first, last, top, bottom = rects[i, 0], rects[i, 1], rects[i, 2], rects[i, 3]
        few = (last - first + 1) * (bottom - top + 1) <= FEW
        for column in range(first, last + 1):
            if not few:
                top, bottom = tile_span(
                    records[i], covariances[i, 0], covariances[i, 1], covariances[i, 2], column, height
                )
            for row in range(top, bottom + 1):
                slot_tiles[slot] = row * columns + column
                slot += 1


@exact_kernel
def count_tiles(part, parts, visible, order, offsets, slot_tiles, histograms):  # type: ignore[no-untyped-def]
    """How many entries this part of the depth order puts into each tile."""
    histogram = histograms[part]
    histogram[:] = 0
    for k in range(visible * part // parts, visible * (part + 1) // parts):
        for slot in range(offsets[order[k]], offsets[order[k] + 1]):
            histogram[slot_tiles[slot]] += 1


@exact_kernel
def start_lists(histograms, starts):  # type: ignore[no-untyped-def]
    """Turn counts into first positions, per tile and part; ``starts`` (tiles + 1) is where each tile's list begins."""
    total = 0
    for tile in range(histograms.shape[1]):
        starts[tile] = total
        for run in range(histograms.shape[0]):
            here = histograms[run, tile]
            histograms[run, tile] = total
            total += here
    starts[histograms.shape[1]] = total


@exact_kernel
def fill_lists(part, parts, visible, order, offsets, slot_tiles, histograms, entries, slot_positions):  # type: ignore[no-untyped-def]
    """Write Gaussians into the tiles' lists, nearest first, and where each went.  entries, slot_positions (E,) int32."""
    position = histograms[part]
    for k in range(visible * part // parts, visible * (part + 1) // parts):
        i = order[k]
        for slot in range(offsets[i], offsets[i + 1]):
            tile = slot_tiles[slot]
            entries[position[tile]] = i
            slot_positions[slot] = position[tile]
            position[tile] += 1
