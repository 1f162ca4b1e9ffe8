"""Blending tiles front to back: the inner loop of the CPU rasterizer.

A tile of 16×16 pixels is cut into blocks of WIDTH pixels, four wide: one vector each.  Blocks beat rows: a splat of radius
4 px touches 6.7 blocks of 4×4 but 10.6 rows of 16.  For each entry, the blocks that its ellipse touches are found exactly and
for all blocks at once (one lane per block), then only those are evaluated.  A batch of
entries is blended block by block, with the block in registers, so that no branch waits for a Gaussian.  The exponent is expanded about the tile's centre
in float64 (one point per entry), so that long needles keep their precision in float32 lanes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avatarkit.render.compiled import kernel
from avatarkit.render.lanes import (
    WIDTH,
    bits,
    count_bits,
    exp2,
    fma,
    load,
    lowest,
    maximum,
    minimum,
    select,
    splat,
    store,
)
from avatarkit.render.projection import MX, MY, TILE, A, B, C, L, Z

PIXELS = TILE * TILE
BLOCKS = PIXELS // WIDTH
BLOCK_WIDTH = 4
BLOCK_HEIGHT = WIDTH // BLOCK_WIDTH
CUT = float(np.float32(-np.log2(255.0)))
"""α ≥ 1/255 as a test on the exponent."""
CAP = float(np.float32(0.999))
STOP = float(np.float32(1e-4))
BATCH = 64
"""Entries whose shapes are laid out side by side: one bit each in a machine word."""
GUARD = 1e-3
"""Slack of the test of blocks, in units of the exponent: far above rounding, far below what would cost time."""


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
def expand(record, centre_x, centre_y):  # type: ignore[no-untyped-def]
    """The exponent as P + x·(X + A·x + B·y) + y·(Y + C·y) in pixels from the tile's centre: (P, X, Y, A, B, C) float32."""
    u, v = centre_x - record[MX], centre_y - record[MY]
    a, b, c = record[A], record[B], record[C]
    constant = record[L] + u * (a * u + b * v) + c * v * v
    return (
        np.float32(constant), np.float32(2 * a * u + b * v), np.float32(2 * c * v + b * u),
        np.float32(a), np.float32(b), np.float32(c), np.float32(-u), np.float32(-v),
    )  # fmt: skip


@kernel
def exponent(shape, x, y):  # type: ignore[no-untyped-def]
    """The first six results of ``expand``, as vectors, at pixels (x, y)."""
    p, px, py, a, b, c = shape
    return fma(x, fma(a, x, fma(b, y, px)), fma(y, fma(c, y, py), p))


@kernel
def reached_blocks(shapes, block_x, block_y, reach):  # type: ignore[no-untyped-def]
    """Bit j of ``reach[block]``: does the exponent of the batch's entry j reach the cut anywhere in the block?

    WIDTH entries at once.  The largest value of a concave quadratic in a box that does not hold its peak lies on the
    vertical or the horizontal edge that faces the peak; if the box holds the peak both candidates are the peak.
    """
    for block in range(BLOCKS):
        reach[block] = 0
    for first in range(0, BATCH, WIDTH):
        a, b, c = load(shapes, 3 * BATCH + first), load(shapes, 4 * BATCH + first), load(shapes, 5 * BATCH + first)
        px, py = load(shapes, BATCH + first), load(shapes, 2 * BATCH + first)
        shape = (load(shapes, first), px, py, a, b, c)
        peak_x, peak_y = load(shapes, 6 * BATCH + first), load(shapes, 7 * BATCH + first)
        across, down = -0.5 / a, -0.5 / c
        for block in range(BLOCKS):
            left, right = block_x[block] - np.float32(HALF_WIDTH), block_x[block] + np.float32(HALF_WIDTH)
            up, low = block_y[block] - np.float32(HALF_HEIGHT), block_y[block] + np.float32(HALF_HEIGHT)
            edge_x = minimum(maximum(peak_x, left), right)
            best_y = minimum(maximum(fma(b, edge_x, py) * down, up), low)
            edge_y = minimum(maximum(peak_y, up), low)
            best_x = minimum(maximum(fma(b, edge_y, px) * across, left), right)
            highest = maximum(exponent(shape, edge_x, best_y), exponent(shape, best_x, edge_y))
            reach[block] |= bits(highest >= CUT - GUARD) << first


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
def read_tile(image, x0, y0, out, base):  # type: ignore[no-untyped-def]
    """A tile of a (H, W) plane in block order, to ``out[base:]``; pixels outside the image are 0."""
    height, width = image.shape
    for block in range(BLOCKS):
        for r in range(BLOCK_HEIGHT):
            y, x = y0 + (block // 4) * BLOCK_HEIGHT + r, x0 + (block % 4) * BLOCK_WIDTH
            at = base + block * WIDTH + r * BLOCK_WIDTH
            if y < height and x + BLOCK_WIDTH <= width:
                for c in range(BLOCK_WIDTH):
                    out[at + c] = image[y, x + c]
            else:
                for c in range(BLOCK_WIDTH):
                    out[at + c] = image[y, x + c] if y < height and x + c < width else np.float32(0)


@kernel
def write_tile(tile, base, image, x0, y0):  # type: ignore[no-untyped-def]
    """The inverse of ``read_tile``."""
    height, width = image.shape
    for block in range(BLOCKS):
        for r in range(BLOCK_HEIGHT):
            y, x = y0 + (block // 4) * BLOCK_HEIGHT + r, x0 + (block % 4) * BLOCK_WIDTH
            at = base + block * WIDTH + r * BLOCK_WIDTH
            if y < height:
                if x + BLOCK_WIDTH <= width:
                    for c in range(BLOCK_WIDTH):
                        image[y, x + c] = tile[at + c]
                else:
                    for c in range(width - x):
                        image[y, x + c] = tile[at + c]


def make_blend(three: bool, top: bool) -> tuple[Any, Any]:
    """(all tiles, one tile): the forward kernels for exactly three channels, or any number; with or without ``top``."""

    @kernel
    def blend_tile(starts, tile, entries, records, features, centre_x, centre_y, masks, tables, work):  # type: ignore[no-untyped-def]
        """Blend one tile's list, BATCH entries at a time; within a batch block by block, with the block in registers.

        ``work``: transmittance, alpha, channels, depth, best weight and its position, each (256,), and scratch.
        """
        pixel_x, pixel_y, block_x, block_y = tables
        running, covered, colour, depth, best, winner, shapes, reach = work
        channels = features.shape[1]
        zero = splat(np.float32(0))
        evaluated, blended = 0, 0
        first, end = starts[tile], starts[tile + 1]
        while first < end:
            count = min(BATCH, end - first)
            for j in range(count):
                i = entries[first + j, 1]
                p, px, py, a, b, c, peak_x, peak_y = expand(records[i], centre_x, centre_y)
                shapes[j], shapes[BATCH + j], shapes[2 * BATCH + j] = p, px, py
                shapes[3 * BATCH + j], shapes[4 * BATCH + j], shapes[5 * BATCH + j] = a, b, c
                shapes[6 * BATCH + j], shapes[7 * BATCH + j] = peak_x, peak_y
                shapes[8 * BATCH + j] = np.float32(records[i, Z])
                if three:
                    shapes[9 * BATCH + j] = features[i, 0]
                    shapes[10 * BATCH + j] = features[i, 1]
                    shapes[11 * BATCH + j] = features[i, 2]
            for j in range(count, BATCH):
                shapes[j], shapes[BATCH + j], shapes[2 * BATCH + j] = -1e6, 0.0, 0.0
                shapes[3 * BATCH + j], shapes[4 * BATCH + j], shapes[5 * BATCH + j] = -1.0, 0.0, -1.0
            reached_blocks(shapes, block_x, block_y, reach)
            alive = 0
            for block in range(BLOCKS):
                todo = reach[block]
                at = block * WIDTH
                before = load(running, at)
                if bits(before >= STOP) == 0:
                    reach[block] = 0
                    continue
                alive += 1
                if todo == 0:
                    continue
                x, y = load(pixel_x, at), load(pixel_y, at)
                total, far = load(covered, at), load(depth, at)
                if three:
                    red, green, blue = load(colour, at), load(colour, at + PIXELS), load(colour, at + 2 * PIXELS)
                hit = 0
                while todo != 0:
                    j = lowest(todo)
                    todo &= todo - 1
                    evaluated += 1
                    shape = (
                        splat(shapes[j]), splat(shapes[BATCH + j]), splat(shapes[2 * BATCH + j]),
                        splat(shapes[3 * BATCH + j]), splat(shapes[4 * BATCH + j]), splat(shapes[5 * BATCH + j]),
                    )  # fmt: skip
                    power = exponent(shape, x, y)
                    alpha = select(power >= CUT, minimum(exp2(power), CAP), zero)
                    weight = select(before >= STOP, alpha * before, zero)
                    before = before - alpha * before
                    total += weight
                    seen = bits(weight > 0.0)
                    hit |= np.int64(seen != 0) << j
                    blended += count_bits(seen)
                    far = fma(weight, splat(shapes[8 * BATCH + j]), far)
                    if three:
                        red = fma(weight, splat(shapes[9 * BATCH + j]), red)
                        green = fma(weight, splat(shapes[10 * BATCH + j]), green)
                        blue = fma(weight, splat(shapes[11 * BATCH + j]), blue)
                    else:
                        i = entries[first + j, 1]
                        for k in range(channels):
                            plane = at + k * PIXELS
                            store(colour, plane, fma(weight, splat(features[i, k]), load(colour, plane)))
                    if top:
                        champion = load(best, at)
                        place = splat(np.float32(first + j - starts[tile]))
                        store(winner, at, select(weight > champion, place, load(winner, at)))
                        store(best, at, maximum(weight, champion))
                store(running, at, before)
                store(covered, at, total)
                store(depth, at, far)
                if three:
                    store(colour, at, red)
                    store(colour, at + PIXELS, green)
                    store(colour, at + 2 * PIXELS, blue)
                reach[block] = hit
            for j in range(count):
                touched = 0
                for block in range(BLOCKS):
                    touched |= ((reach[block] >> j) & 1) << block
                masks[first + j] = touched
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
        shapes, reach = np.empty(12 * BATCH, np.float32), np.empty(BLOCKS, np.int64)
        colour = np.empty(channels * PIXELS, np.float32)
        depth = np.empty(PIXELS, np.float32)
        best = np.empty(PIXELS, np.float32)
        winner = np.empty(PIXELS, np.float32)
        work = (transmittance, covered, colour, depth, best, winner, shapes, reach)
        for tile in range(part, starts.shape[0] - 1, parts):
            x0, y0 = (tile % columns) * TILE, (tile // columns) * TILE
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
                for k in range(channels):
                    if background.shape[1] == 1:
                        best[:] = background[k, 0, 0]
                    else:
                        read_tile(background[k], x0, y0, best, 0)
                    for p in range(0, PIXELS, WIDTH):
                        front = load(colour, k * PIXELS + p)
                        store(colour, k * PIXELS + p, fma(1.0 - load(covered, p), load(best, p), front))
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
                        chosen = np.int64(winner[p])
                        top_image[y, x] = entries[starts[tile] + chosen, 1] if chosen >= 0 else -1

    return blend, blend_tile
