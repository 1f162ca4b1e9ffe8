"""Which Gaussians each tile blends, nearest first: a radix sort by depth, then a stable counting sort by tile.

Entries, the (tile, Gaussian) pairs, have two numbers: a *position* in the list of its tile, where the backward pass leaves its
partial gradients, and a *slot*, where a Gaussian's own entries stand side by side, which tells their tiles and positions, so that
they are summed in fixed order.
"""

from __future__ import annotations

import numpy as np

from avatarkit.render.compiled import exact_kernel
from avatarkit.render.lane_columns import first_of_pair
from avatarkit.render.memory import prefetch
from avatarkit.render.projection import FEW, Z_RED, tile_span

DIGIT = 11
AHEAD = 12
"""Gaussians between asking for a slot's memory, which in depth order lies all over, and using it."""


@exact_kernel
def sort_by_depth(counts, records, offsets, order, keys, spare):  # type: ignore[no-untyped-def]
    """Visible Gaussians by float32 depth, ties by index, into ``order``; first slots into ``offsets`` (N + 1).

    Returns how many are visible.  Keys (N,) int64 are the bits of a positive float above the index.  Two passes of a
    least-significant-digit radix sort put them in order to the leading 22 bits of the depths' span; what is left differs in its last
    bits, stands side by side and is inserted.  Where that is not few (a far point and a wall), a comparison sort ends it.
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
            keys[visible] = (np.int64(bits[0]) << 32) | np.int64(i)
            smallest, largest = min(smallest, bits[0]), max(largest, bits[0])
            visible += 1
    offsets[counts.shape[0]] = slot
    base, span = np.int64(smallest) << 32, np.int64(largest) - np.int64(smallest)
    shift, mask = 32, (1 << DIGIT) - 1
    while visible > 0 and span >> (shift - 32) >= 1 << (2 * DIGIT):
        shift += 1
    low, high = np.zeros(1 << DIGIT, np.int64), np.zeros(1 << DIGIT, np.int64)
    for k in range(visible):
        digits = (keys[k] - base) >> shift
        low[digits & mask] += 1
        high[digits >> DIGIT] += 1
    before_low, before_high = 0, 0
    for d in range(1 << DIGIT):
        here_low, here_high = low[d], high[d]
        low[d], high[d] = before_low, before_high
        before_low += here_low
        before_high += here_high
    for k in range(visible):
        digit = ((keys[k] - base) >> shift) & mask
        spare[low[digit]] = keys[k]
        low[digit] += 1
    for k in range(visible):
        digit = (spare[k] - base) >> (shift + DIGIT)
        keys[high[digit]] = spare[k]
        high[digit] += 1
    _insert(keys, visible)
    for k in range(visible):
        order[k] = keys[k] & 0xFFFFFFFF
    return visible


@exact_kernel
def _insert(keys, count):  # type: ignore[no-untyped-def]
    """Sort ``keys[:count]``, nearly sorted, in place."""
    moves = 0
    for k in range(1, count):
        key, at = keys[k], k
        while at > 0 and keys[at - 1] > key:
            keys[at] = keys[at - 1]
            at -= 1
        keys[at] = key
        moves += k - at
        if moves > 8 * count:
            keys[:count].sort()
            return


@exact_kernel
def share_out(visible, order, shares, parts):  # type: ignore[no-untyped-def]
    """Which part of the depth order each visible Gaussian is in: shares (N,) int32."""
    if parts == 1:
        shares[:] = 0
        return
    for share in range(parts):
        for k in range(visible * share // parts, visible * (share + 1) // parts):
            shares[order[k]] = share


@exact_kernel
def list_tiles(  # type: ignore[no-untyped-def]
    part, parts, counts, offsets, records, covariances, rects, height, columns, shares, slot_tiles, histograms
):  # fmt: skip
    """The tile of each slot of this part's Gaussians; how many of each tile fall to each share, into histograms[part]."""
    count = counts.shape[0]
    histogram = histograms[part]
    histogram[:] = 0
    for i in range(count * part // parts, count * (part + 1) // parts):
        if counts[i] == 0:
            continue
        slot, own = offsets[i], histogram[shares[i]]
        first, last, top, bottom = rects[i, 0], rects[i, 1], rects[i, 2], rects[i, 3]
        few = (last - first + 1) * (bottom - top + 1) <= FEW
        for column in range(first, last + 1):
            if not few:
                top, bottom = tile_span(
                    records[i], covariances[i, 0], covariances[i, 1], covariances[i, 2], column, height
                )
            for row in range(top, bottom + 1):
                slot_tiles[slot] = row * columns + column
                own[row * columns + column] += 1
                slot += 1


@exact_kernel
def start_lists(histograms, positions, starts):  # type: ignore[no-untyped-def]
    """From counts (parts, shares, tiles) to each share's first position in each tile's list, ``positions`` (shares, tiles);
    ``starts`` (tiles + 1) is where each tile's list begins.
    """
    total = 0
    for tile in range(positions.shape[1]):
        starts[tile] = total
        for share in range(positions.shape[0]):
            positions[share, tile] = total
            for part in range(histograms.shape[0]):
                total += histograms[part, share, tile]
    starts[positions.shape[1]] = total


@exact_kernel
def fill_lists(share, parts, visible, order, offsets, slot_tiles, positions, entries, slot_positions):  # type: ignore[no-untyped-def]
    """Write this share's Gaussians into the tiles' lists, nearest first, and where each went.  entries, slot_positions (E,) int32."""
    position = positions[share]
    end = visible * (share + 1) // parts
    for k in range(visible * share // parts, end):
        prefetch(offsets, np.int64(order[min(k + 2 * AHEAD, end - 1)]))
        soon = offsets[order[min(k + AHEAD, end - 1)]]
        prefetch(slot_tiles, soon)
        prefetch(slot_positions, soon)
        i = order[k]
        for slot in range(offsets[i], offsets[i + 1]):
            tile = slot_tiles[slot]
            entries[position[tile]] = i
            slot_positions[slot] = position[tile]
            position[tile] += 1
