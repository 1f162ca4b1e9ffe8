"""The gradient of blending, front to back, without per-pixel lists and without atomics.

For a pixel with colour C = Σ w_i·c_i + T_end·c_background, w_i = α_i·T_i, and g_i = ∂loss/∂C · c_i:

    ∂loss/∂α_i = T_i·g_i − R_i / (1 − α_i),      R_i = Σ_{j>i} w_j·g_j + T_end·(∂loss/∂C · c_background)

so that one scalar per pixel, R, which starts as ∂loss/∂C · C and loses w_i·g_i at each entry, is all that is carried.  α's
exponent is a quadratic about the tile's centre: six moments of G = ∂loss/∂exponent give the gradients of mean, conic and
opacity.  Each entry's sums go side by side
to its place in the tile's list; ``projection_backward.reduce`` finds those of each Gaussian and adds them in a fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avatarkit.render.blending import (
    BATCH,
    CAP,
    CUT,
    ROOM,
    STOP,
    exponent,
    lay_out,
)
from avatarkit.render.compiled import kernel
from avatarkit.render.lanes import (
    WIDTH,
    exp2,
    fma,
    hsum,
    load,
    lowest,
    magnitude,
    minimum,
    select,
    splat,
    store,
    store_sums,
)
from avatarkit.render.memory import number, prefetch_gaussians
from avatarkit.render.projection import TILE
from avatarkit.render.tiles import PIXELS, inside_tile, read_tile

MOMENTS = 6  # Σ G·(1, x, y, x², x·y, y²)


def partial_size(channels: int, extra: bool, absolute: bool) -> int:
    """An entry's sums: the moments, Σ w·∂loss/∂depth where ``extra``, Σ |∂loss/∂mean2d| (x, y) where ``absolute``, the channels."""
    return MOMENTS + extra + 2 * absolute + channels


@kernel
def gather_seen(position, end, entries, masks, partials, seen, chosen):  # type: ignore[no-untyped-def]
    """The next BATCH entries that some pixel saw: their positions and Gaussians; the sums of those passed over become 0.

    Returns (where the next batch starts, how many were found).
    """
    count = 0
    while position < end and count < BATCH:
        if masks[position] == 0:
            for k in range(partials.shape[1]):
                partials[position, k] = 0.0
        else:
            seen[count] = position
            chosen[count] = np.int64(number(entries, position))
            count += 1
        position += 1
    for j in range(count, -(-count // WIDTH) * WIDTH):
        chosen[j] = chosen[count - 1]
    return position, count


def make_blend_backward(three: bool, extra: bool, absolute: bool, ready: bool = False) -> tuple[Any, Any]:
    """(all tiles, one tile) for three or any channels; ``extra``: with gradients of alpha and depth.

    ``ready``: all of the tile's shapes (batches, 12·ROOM) are given, and every entry is seen: what ``bench.peak`` measures.
    """

    at_features = MOMENTS + extra + 2 * absolute

    @kernel
    def tile_backward(starts, tile, entries, records, features, centre_x, centre_y, masks, tables, work, partials):  # type: ignore[no-untyped-def]
        """``work``: transmittance, rest R, ∂colour (D·256), ∂alpha, ∂depth, and scratch for weights (256,)."""
        pixel_x, pixel_y, _, _ = tables
        transmittance, rest, d_colour, d_alpha, d_depth, weights, all_shapes, chosen, seen = work
        channels = features.shape[1]
        zero = splat(np.float32(0))
        evaluated = 0
        size = partials.shape[1]
        position, end = starts[tile], starts[tile + 1]
        while position < end:
            base = position
            if ready:
                shapes, count = all_shapes[(position - starts[tile]) // BATCH], min(BATCH, end - position)
                position += count
            else:
                # Gather a batch first: the loads overlap, and no branch of the loop below waits for one.
                shapes = all_shapes[0]
                position, count = gather_seen(position, end, entries, masks, partials, seen, chosen)
                prefetch_gaussians(position, min(position + BATCH, end), entries, records, features, three)
                lay_out(chosen, count, records, centre_x, centre_y, shapes)
            for j in range(count):
                place = base + j if ready else seen[j]
                todo = masks[place]
                i = np.int64(number(entries, place))
                px, py, a, b, c = (
                    shapes[ROOM + j], shapes[2 * ROOM + j], shapes[3 * ROOM + j], shapes[4 * ROOM + j], shapes[5 * ROOM + j],
                )  # fmt: skip
                shape = (splat(shapes[j]), splat(px), splat(py), splat(a), splat(b), splat(c))
                z = shapes[8 * ROOM + j]
                if three:
                    red, green, blue = shapes[9 * ROOM + j], shapes[10 * ROOM + j], shapes[11 * ROOM + j]
                    sum_red, sum_green, sum_blue = zero, zero, zero
                g0, gx, gy, gxx, gxy, gyy = zero, zero, zero, zero, zero, zero
                sum_z, abs_x, abs_y = zero, zero, zero
                again = todo
                while todo != 0:
                    block = lowest(todo)
                    todo &= todo - 1
                    evaluated += 1
                    at = block * WIDTH
                    before = load(transmittance, at)
                    x, y = load(pixel_x, at), load(pixel_y, at)
                    power = exponent(shape, x, y)
                    full = exp2(power)
                    alpha = select((power >= CUT) & (before >= STOP), minimum(full, CAP), zero)
                    weight = alpha * before
                    if three:
                        d_red, d_green, d_blue = (
                            load(d_colour, at),
                            load(d_colour, at + PIXELS),
                            load(d_colour, at + 2 * PIXELS),
                        )
                        sum_red = fma(weight, d_red, sum_red)
                        sum_green = fma(weight, d_green, sum_green)
                        sum_blue = fma(weight, d_blue, sum_blue)
                        gain = fma(d_blue, splat(blue), fma(d_green, splat(green), d_red * red))
                    else:
                        gain = zero
                        for k in range(channels):
                            gain = fma(load(d_colour, at + k * PIXELS), splat(features[i, k]), gain)
                        store(weights, at, weight)
                    if extra:
                        d_z = load(d_depth, at)
                        sum_z = fma(weight, d_z, sum_z)
                        gain = fma(d_z, splat(z), gain + load(d_alpha, at))
                    won = weight * gain
                    behind = load(rest, at) - won
                    store(rest, at, behind)
                    store(transmittance, at, before - weight)
                    change = won - behind * (alpha / (1.0 - alpha))
                    change = select(full <= CAP, change, zero)
                    g0 += change
                    in_x, in_y = change * x, change * y
                    gx += in_x
                    gy += in_y
                    gxx = fma(in_x, x, gxx)
                    gxy = fma(in_x, y, gxy)
                    gyy = fma(in_y, y, gyy)
                    if absolute:
                        slope_x = fma(splat(np.float32(2) * a), x, fma(splat(b), y, splat(px)))
                        slope_y = fma(splat(np.float32(2) * c), y, fma(splat(b), x, splat(py)))
                        abs_x += magnitude(change * slope_x)
                        abs_y += magnitude(change * slope_y)
                at = place * size
                if three and not extra and not absolute:
                    store_sums(partials, at, (g0, gx, gy, gxx, gxy, gyy, sum_red, sum_green, sum_blue))
                else:
                    store_sums(partials, at, (g0, gx, gy, gxx, gxy, gyy))
                    if extra:
                        partials[place, MOMENTS] = hsum(sum_z)
                    if absolute:
                        store_sums(partials, at + MOMENTS + extra, (abs_x, abs_y))
                    if three:
                        store_sums(partials, at + at_features, (sum_red, sum_green, sum_blue))
                    else:
                        for k in range(channels):
                            total = zero
                            todo = again
                            while todo != 0:
                                block = lowest(todo) * WIDTH
                                todo &= todo - 1
                                total = fma(load(weights, block), load(d_colour, block + k * PIXELS), total)
                            partials[place, at_features + k] = hsum(total)
        return evaluated

    @kernel
    def blend_backward(  # type: ignore[no-untyped-def]
        part, parts, starts, entries, records, features, masks, tables, columns, image, alpha, depth_image,
        d_image, d_alpha_image, d_depth_image, partials, statistics,
    ):  # fmt: skip
        """This part's tiles of one camera; ``image`` has the background in it.  partials (E, partial_size) float32."""
        height, width = alpha.shape
        channels = features.shape[1]
        transmittance, rest = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        d_colour = np.empty(channels * PIXELS, np.float32)
        d_alpha, d_depth = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        weights, blended = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        shapes = np.zeros((1, 12 * ROOM), np.float32)
        chosen, seen = np.empty(ROOM, np.int64), np.empty(BATCH, np.int64)
        work = (transmittance, rest, d_colour, d_alpha, d_depth, weights, shapes, chosen, seen)
        for tile in range(part, starts.shape[0] - 1, parts):
            if starts[tile] == starts[tile + 1]:
                continue
            x0, y0 = (tile % columns) * TILE, (tile // columns) * TILE
            if tile + parts < starts.shape[0] - 1:
                ahead = tile + parts
                prefetch_gaussians(
                    starts[ahead], min(starts[ahead] + BATCH, starts[ahead + 1]), entries, records, features, three
                )
            inside_tile(width - x0, height - y0, transmittance)
            rest[:] = 0.0
            for k in range(channels):
                read_tile(d_image[k], x0, y0, d_colour, k * PIXELS)
                read_tile(image[k], x0, y0, blended, 0)
                for p in range(0, PIXELS, WIDTH):
                    store(rest, p, fma(load(d_colour, k * PIXELS + p), load(blended, p), load(rest, p)))
            if extra:
                # depth = Σ w·z / Σ w: its gradient is that of the sums, by the quotient rule.
                read_tile(alpha, x0, y0, weights, 0)
                read_tile(depth_image, x0, y0, blended, 0)
                read_tile(d_alpha_image, x0, y0, d_alpha, 0)
                read_tile(d_depth_image, x0, y0, d_depth, 0)
                for p in range(PIXELS):
                    d_depth[p] = d_depth[p] / weights[p] if weights[p] > 0 else np.float32(0)
                    d_alpha[p] -= d_depth[p] * blended[p]
                    rest[p] += d_alpha[p] * weights[p] + d_depth[p] * blended[p] * weights[p]
            statistics[part, 0] += tile_backward(
                starts,
                tile,
                entries,
                records,
                features,
                x0 + 0.5 * TILE,
                y0 + 0.5 * TILE,
                masks,
                tables,
                work,
                partials,
            )

    return blend_backward, tile_backward
