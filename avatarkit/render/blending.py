"""Blending tiles front to back: the inner loop of the CPU rasterizer.

Tiles are cut into blocks of one vector each (``tiles``).  A batch of entries is laid out first, WIDTH Gaussians at once: each
exponent is expanded about the tile's centre in float64, so that long needles keep their precision in float32 lanes, and the blocks
that each ellipse touches are found exactly.  Then the batch is blended block by block, only where it touches, with the block in
registers, so that no branch waits for a Gaussian.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import literal_unroll

from avatarkit.render.compiled import kernel
from avatarkit.render.lane_columns import gather_columns, narrow, pairs
from avatarkit.render.lanes import (
    WIDTH,
    bits,
    bits_across,
    count_bits,
    exp2,
    fma,
    iota,
    load,
    lowest,
    maximum,
    minimum,
    put_word,
    select,
    splat,
    store,
)
from avatarkit.render.memory import BLOCK_WIDTH, number, prefetch_gaussians
from avatarkit.render.projection import TILE
from avatarkit.render.tiles import (
    BLOCK_HEIGHT,
    BLOCKS,
    HALF_HEIGHT,
    HALF_WIDTH,
    PIXELS,
    inside_tile,
    read_tile,
    write_tile,
)

CUT = float(np.float32(-np.log2(255.0)))
"""α ≥ 1/255 as a test on the exponent."""
CAP = float(np.float32(0.999))
STOP = float(np.float32(1e-4))
BATCH = 64
"""Entries whose shapes are laid out side by side: one bit each in a machine word."""
NOBODY = BATCH
"""The place of a shape that is nowhere seen: the second of a pair, where a block's entries are odd in number."""
ROOM = BATCH + WIDTH
GUARD = 1e-3
"""Slack of the test of blocks, in units of the exponent: far above rounding, far below what would cost time."""


@kernel
def lay_out(chosen, count, records, centre_x, centre_y, shapes):  # type: ignore[no-untyped-def]
    """The exponents of a batch, P + x·(X + A·x + B·y) + y·(Y + C·y) in pixels from the tile's centre, and where they peak.

    chosen (ROOM,) int64 names ``count`` rows of records and is padded by any that exist; shapes receives, side by side,
    P, X, Y, A, B, C, the peak's x and y, the depth and the three channels that records may hold, float32.  What pads a batch is
    seen nowhere.
    """
    for first in range(0, count, WIDTH):
        mean_x, mean_y, a, b, c, log_opacity, z_red, green_blue = gather_columns(records, chosen, first)
        u, v = centre_x - mean_x, centre_y - mean_y
        across, down = a * u + b * v, c * v
        used = iota() < count - first
        store(shapes, first, select(used, narrow(log_opacity + u * across + v * down), splat(np.float32(-1e6))))
        store(shapes, ROOM + first, narrow(across + a * u))
        store(shapes, 2 * ROOM + first, narrow(2.0 * down + b * u))
        store(shapes, 3 * ROOM + first, narrow(a))
        store(shapes, 4 * ROOM + first, narrow(b))
        store(shapes, 5 * ROOM + first, narrow(c))
        store(shapes, 6 * ROOM + first, narrow(mean_x - centre_x))
        store(shapes, 7 * ROOM + first, narrow(mean_y - centre_y))
        depth, red = pairs(z_red)
        green, blue = pairs(green_blue)
        store(shapes, 8 * ROOM + first, depth)
        store(shapes, 9 * ROOM + first, red)
        store(shapes, 10 * ROOM + first, green)
        store(shapes, 11 * ROOM + first, blue)


@kernel
def choose(entries, first, count, chosen):  # type: ignore[no-untyped-def]
    """The Gaussians of the entries first … first + count − 1, count > 0, then the last of them again to a whole vector."""
    for j in range(count):
        chosen[j] = np.int64(number(entries, first + j))
    for j in range(count, -(-count // WIDTH) * WIDTH):
        chosen[j] = chosen[count - 1]


@kernel
def exponent(shape, x, y):  # type: ignore[no-untyped-def]
    """P + x·(X + A·x + B·y) + y·(Y + C·y), the six as vectors, at pixels (x, y)."""
    p, px, py, a, b, c = shape
    return fma(x, fma(a, x, fma(b, y, px)), fma(y, fma(c, y, py), p))


@kernel
def facing_edge(peak, low, high, p, here, there, square, mixed, half):  # type: ignore[no-untyped-def]
    """The exponent on the edge that faces the peak, as value + t·(slope + …·t), and the t where it is highest."""
    edge = minimum(maximum(peak, low), high)
    slope = fma(mixed, edge, there)
    return fma(edge, fma(square, edge, here), p), slope, slope * half


@kernel
def highest_on(edge, low, high, square):  # type: ignore[no-untyped-def]
    """The largest value between ``low`` and ``high`` on a ``facing_edge``."""
    value, slope, best = edge
    t = minimum(maximum(best, low), high)
    return fma(t, fma(square, t, slope), value)


@kernel
def seen_by(shapes, j, x, y):  # type: ignore[no-untyped-def]
    """α of the batch's entry j at pixels (x, y)."""
    shape = (
        splat(shapes[j]), splat(shapes[ROOM + j]), splat(shapes[2 * ROOM + j]),
        splat(shapes[3 * ROOM + j]), splat(shapes[4 * ROOM + j]), splat(shapes[5 * ROOM + j]),
    )  # fmt: skip
    power = exponent(shape, x, y)
    return select(power >= CUT, minimum(exp2(power), CAP), splat(np.float32(0)))


@kernel
def crown(best, winner, at, weight, place):  # type: ignore[no-untyped-def]
    """Where ``weight`` is the largest yet, ``place`` is the top contributor."""
    champion = load(best, at)
    store(winner, at, select(weight > champion, splat(np.float32(place)), load(winner, at)))
    store(best, at, maximum(weight, champion))


@kernel
def reached_blocks(count, shapes, block_x, block_y, reach):  # type: ignore[no-untyped-def]
    """Bit j of ``reach[block]``: does the exponent of the batch's entry j reach the cut anywhere in the block?

    WIDTH entries at once.  The largest value of a concave quadratic in a box that does not hold its peak lies on the
    vertical or the horizontal edge that faces the peak; if the box holds the peak both candidates are the peak.
    """
    for block in range(BLOCKS):
        reach[block] = 0
    for first in range(0, count, WIDTH):
        p, px, py = load(shapes, first), load(shapes, ROOM + first), load(shapes, 2 * ROOM + first)
        a, b, c = load(shapes, 3 * ROOM + first), load(shapes, 4 * ROOM + first), load(shapes, 5 * ROOM + first)
        peak_x, peak_y = load(shapes, 6 * ROOM + first), load(shapes, 7 * ROOM + first)
        across, down = -0.5 / a, -0.5 / c
        # What is the same for a column of blocks, for each of the four columns.
        columns = (
            facing_edge(peak_x, block_x[0] - HALF_WIDTH, block_x[0] + HALF_WIDTH, p, px, py, a, b, down),
            facing_edge(peak_x, block_x[1] - HALF_WIDTH, block_x[1] + HALF_WIDTH, p, px, py, a, b, down),
            facing_edge(peak_x, block_x[2] - HALF_WIDTH, block_x[2] + HALF_WIDTH, p, px, py, a, b, down),
            facing_edge(peak_x, block_x[3] - HALF_WIDTH, block_x[3] + HALF_WIDTH, p, px, py, a, b, down),
        )
        for start in range(0, BLOCKS, 4):
            up, low = block_y[start] - HALF_HEIGHT, block_y[start] + HALF_HEIGHT
            row = facing_edge(peak_y, up, low, p, py, px, c, b, across)
            for k in literal_unroll((0, 1, 2, 3)):
                left, right = block_x[k] - HALF_WIDTH, block_x[k] + HALF_WIDTH
                highest = maximum(highest_on(columns[k], up, low, c), highest_on(row, left, right, a))
                reach[start + k] |= bits(highest >= CUT - GUARD) << first


def make_blend(three: bool, top: bool, ready: bool = False) -> tuple[Any, Any]:
    """(all tiles, one tile): the forward kernels for exactly three channels, or any number; with or without ``top``.

    ``ready``: the tile's shapes (batches, 12·ROOM) and the entries that reach its blocks (batches, BLOCKS) are given, and
    only blending is left: what ``bench.peak`` measures.
    """

    @kernel
    def blend_tile(starts, tile, entries, records, features, centre_x, centre_y, masks, tables, work):  # type: ignore[no-untyped-def]
        """Blend one tile's list, BATCH entries at a time; within a batch block by block, with the block in registers.

        ``work``: transmittance, alpha, channels, depth, best weight and its position, each (256,), and scratch.
        """
        pixel_x, pixel_y, block_x, block_y = tables
        running, covered, colour, depth, best, winner, all_shapes, all_reach, hits, chosen = work
        channels = features.shape[1]
        zero = splat(np.float32(0))
        evaluated, blended = 0, 0
        first, end = starts[tile], starts[tile + 1]
        while first < end:
            count = min(BATCH, end - first)
            if ready:
                batch = (first - starts[tile]) // BATCH
                shapes, reach = all_shapes[batch], all_reach[batch]
            else:
                shapes, reach = all_shapes[0], all_reach[0]
                shapes[NOBODY] = -1e6
                prefetch_gaussians(first + count, min(first + count + BATCH, end), entries, records, features, three)
                choose(entries, first, count, chosen)
                lay_out(chosen, count, records, centre_x, centre_y, shapes)
                reached_blocks(count, shapes, block_x, block_y, reach)
            alive = 0
            for block in range(BLOCKS):
                todo = reach[block]
                at = block * WIDTH
                before = load(running, at)
                if bits(before >= STOP) == 0:
                    put_word(hits, block, 0)
                    continue
                alive += 1
                if todo == 0:
                    put_word(hits, block, 0)
                    continue
                x, y = load(pixel_x, at), load(pixel_y, at)
                total, far = load(covered, at), load(depth, at)
                if three:
                    red, green, blue = load(colour, at), load(colour, at + PIXELS), load(colour, at + 2 * PIXELS)
                hit = 0
                # Two at a time: the exponentials overlap, where the machine looks ahead too little to see the next one.
                while todo != 0:
                    j = lowest(todo)
                    todo &= todo - 1
                    evaluated += 1
                    other = NOBODY
                    if todo != 0:
                        other = lowest(todo)
                        todo &= todo - 1
                        evaluated += 1
                    alpha, alpha_other = seen_by(shapes, j, x, y), seen_by(shapes, other, x, y)
                    taken = alpha * before
                    weight = select(before >= STOP, taken, zero)
                    before = before - taken
                    taken = alpha_other * before
                    weight_other = select(before >= STOP, taken, zero)
                    before = before - taken
                    total += weight
                    total += weight_other
                    seen, seen_other = bits(weight > 0.0), bits(weight_other > 0.0)
                    hit |= np.int64(seen != 0) << j
                    hit |= np.int64(seen_other != 0) << (other & (BATCH - 1))
                    blended += count_bits(seen) + count_bits(seen_other)
                    far = fma(weight, splat(shapes[8 * ROOM + j]), far)
                    far = fma(weight_other, splat(shapes[8 * ROOM + other]), far)
                    if three:
                        red = fma(weight, splat(shapes[9 * ROOM + j]), red)
                        green = fma(weight, splat(shapes[10 * ROOM + j]), green)
                        blue = fma(weight, splat(shapes[11 * ROOM + j]), blue)
                        red = fma(weight_other, splat(shapes[9 * ROOM + other]), red)
                        green = fma(weight_other, splat(shapes[10 * ROOM + other]), green)
                        blue = fma(weight_other, splat(shapes[11 * ROOM + other]), blue)
                    else:
                        i = entries[first + j]
                        i_other = i if other == NOBODY else entries[first + other]
                        for k in range(channels):
                            plane = at + k * PIXELS
                            sum_here = fma(weight, splat(features[i, k]), load(colour, plane))
                            store(colour, plane, fma(weight_other, splat(features[i_other, k]), sum_here))
                    if top:
                        crown(best, winner, at, weight, first + j - starts[tile])
                        crown(best, winner, at, weight_other, first + other - starts[tile])
                store(running, at, before)
                store(covered, at, total)
                store(depth, at, far)
                if three:
                    store(colour, at, red)
                    store(colour, at + PIXELS, green)
                    store(colour, at + 2 * PIXELS, blue)
                put_word(hits, block, hit)
            for j in range(count):
                masks[first + j] = bits_across(hits, j, BLOCKS)
            first += count
            if alive == 0:
                for rest in range(first, end):
                    masks[rest] = 0
                break
        return evaluated, blended

    @kernel
    def blend(  # type: ignore[no-untyped-def]
        part, parts, starts, entries, records, features, background, has_background, masks, tables, columns,
        image, alpha, depth_image, top_image, statistics,
    ):  # fmt: skip
        """This part's tiles of one camera.

        features (N, D); background (D, 1, 1) or (D, H, W); masks (E,) int64 receives the blocks that each entry reached;
        image (D, H, W), alpha, depth_image (H, W), top_image (H, W) int32; statistics (parts, 8) counts evaluated and blended pairs.
        """
        height, width = alpha.shape
        channels = features.shape[1]
        transmittance, covered = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        shapes, reach = np.zeros((1, 12 * ROOM), np.float32), np.empty((1, BLOCKS), np.int64)
        hits, chosen = np.empty((8, BLOCKS), np.uint8), np.empty(ROOM, np.int64)
        colour = np.empty(channels * PIXELS, np.float32)
        depth = np.empty(PIXELS, np.float32)
        best = np.empty(PIXELS, np.float32)
        winner = np.empty(PIXELS, np.float32)
        work = (transmittance, covered, colour, depth, best, winner, shapes, reach, hits, chosen)
        for tile in range(part, starts.shape[0] - 1, parts):
            x0, y0 = (tile % columns) * TILE, (tile // columns) * TILE
            if tile + parts < starts.shape[0] - 1:
                ahead = starts[tile + parts]
                prefetch_gaussians(
                    ahead, min(ahead + BATCH, starts[tile + parts + 1]), entries, records, features, three
                )
            inside_tile(width - x0, height - y0, transmittance)
            colour[:] = 0.0
            depth[:] = 0.0
            covered[:] = 0.0
            if top:
                best[:] = 0.0
                winner[:] = -1.0
            evaluated, blended = blend_tile(
                starts, tile, entries, records, features, x0 + 0.5 * TILE, y0 + 0.5 * TILE, masks, tables, work
            )
            statistics[part, 0] += evaluated * WIDTH
            statistics[part, 1] += blended
            if has_background:
                flat = background.shape[1] == 1
                for k in range(channels):
                    if not flat:
                        read_tile(background[k], x0, y0, best, 0)
                    same = splat(background[k, 0, 0])
                    for p in range(0, PIXELS, WIDTH):
                        front, behind = load(colour, k * PIXELS + p), same if flat else load(best, p)
                        store(colour, k * PIXELS + p, fma(1.0 - load(covered, p), behind, front))
            for k in range(channels):
                write_tile(colour, k * PIXELS, image[k], x0, y0)
            for p in range(0, PIXELS, WIDTH):
                alpha_here = load(covered, p)
                store(depth, p, select(alpha_here > 0.0, load(depth, p) / maximum(alpha_here, 1e-30), 0.0))
            write_tile(covered, 0, alpha, x0, y0)
            write_tile(depth, 0, depth_image, x0, y0)
            if top:
                for p in range(PIXELS):
                    block, lane = p // WIDTH, p % WIDTH
                    x = x0 + (block % 4) * BLOCK_WIDTH + lane % BLOCK_WIDTH
                    y = y0 + (block // 4) * BLOCK_HEIGHT + lane // BLOCK_WIDTH
                    if x < width and y < height:
                        best_place = np.int64(winner[p])
                        top_image[y, x] = entries[starts[tile] + best_place] if best_place >= 0 else -1

    return blend, blend_tile
