"""The gradient of blending, front to back, without per-pixel lists and without atomics.

For a pixel with colour C = Σ w_i·c_i + T_end·c_background, w_i = α_i·T_i, and g_i = ∂loss/∂C · c_i:

    ∂loss/∂α_i = T_i·g_i − R_i / (1 − α_i),      R_i = Σ_{j>i} w_j·g_j + T_end·(∂loss/∂C · c_background)

so that one scalar per pixel, R, which starts as ∂loss/∂C · C and loses w_i·g_i at each entry, is all that is carried.  α's
exponent is a quadratic about the tile's centre: six moments of G = ∂loss/∂exponent give the gradients of mean, conic and
opacity.  Each entry's sums go to its slot, and ``projection_backward`` adds slots in a fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avatarkit.render.blending import CAP, CUT, PIXELS, STOP, expand, exponent, read_tile
from avatarkit.render.compiled import kernel
from avatarkit.render.lanes import WIDTH, bits, exp2, fma, hsum, load, lowest, magnitude, minimum, select, splat, store
from avatarkit.render.projection import TILE, Z

LN2 = float(np.float32(np.log(2.0)))
MOMENTS = 6  # Σ G·(1, x, y, x², x·y, y²)
DEPTH = 6  # Σ w·∂loss/∂depth
ABSOLUTE = 7  # Σ |∂loss/∂mean2d|, x and y
FEATURES = 9
"""Layout of a slot; channels follow."""


def make_blend_backward(three: bool, extra: bool, absolute: bool) -> tuple[Any, Any]:
    """(all tiles, one tile) for three or any channels; ``extra``: with gradients of alpha and depth."""

    @kernel
    def tile_backward(starts, tile, entries, records, features, centre_x, centre_y, masks, tables, work, slots):  # type: ignore[no-untyped-def]
        """``work``: transmittance, rest R, ∂colour (D·256), ∂alpha, ∂depth, and scratch for weights (256,)."""
        pixel_x, pixel_y, _, _ = tables
        transmittance, rest, d_colour, d_alpha, d_depth, weights = work
        channels = features.shape[1]
        zero = splat(np.float32(0))
        evaluated = 0
        for position in range(starts[tile], starts[tile + 1]):
            slot = slots[entries[position, 0]]
            todo = masks[position]
            if todo == 0:
                for k in range(FEATURES + channels):
                    slot[k] = 0.0
                continue
            i = entries[position, 1]
            shape = expand(records[i], centre_x, centre_y)
            z = np.float32(records[i, Z])
            _, px, py, a, b, c, _, _ = shape
            if three:
                red, green, blue = features[i, 0], features[i, 1], features[i, 2]
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
                keep = (power >= CUT) & (before >= STOP)
                full = exp2(power)
                alpha = select(keep, minimum(full, CAP), 0.0)
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
                change = select(full <= CAP, change, 0.0)
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
            slot[0] = hsum(g0) * np.float32(LN2)
            slot[1] = hsum(gx) * np.float32(LN2)
            slot[2] = hsum(gy) * np.float32(LN2)
            slot[3] = hsum(gxx) * np.float32(LN2)
            slot[4] = hsum(gxy) * np.float32(LN2)
            slot[5] = hsum(gyy) * np.float32(LN2)
            slot[DEPTH] = hsum(sum_z) if extra else np.float32(0)
            slot[ABSOLUTE] = hsum(abs_x) * np.float32(LN2) if absolute else np.float32(0)
            slot[ABSOLUTE + 1] = hsum(abs_y) * np.float32(LN2) if absolute else np.float32(0)
            if three:
                slot[FEATURES] = hsum(sum_red)
                slot[FEATURES + 1] = hsum(sum_green)
                slot[FEATURES + 2] = hsum(sum_blue)
            else:
                for k in range(channels):
                    total = zero
                    todo = again
                    while todo != 0:
                        at = lowest(todo) * WIDTH
                        todo &= todo - 1
                        total = fma(load(weights, at), load(d_colour, at + k * PIXELS), total)
                    slot[FEATURES + k] = hsum(total)
        return evaluated

    @kernel
    def blend_backward(part, parts, starts, entries, records, features, masks, tables, columns, image, alpha, depth_image,
                       d_image, d_alpha_image, d_depth_image, slots, statistics):  # type: ignore[no-untyped-def]  # fmt: skip
        """This part's tiles of one camera; ``image`` has the background in it.  slots (E, FEATURES + D) float32."""
        height, width = alpha.shape
        channels = features.shape[1]
        transmittance, rest = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        d_colour = np.empty(channels * PIXELS, np.float32)
        d_alpha, d_depth = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        weights, blended = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        inside = np.ones((TILE, TILE), np.float32)
        work = (transmittance, rest, d_colour, d_alpha, d_depth, weights)
        for tile in range(part, starts.shape[0] - 1, parts):
            if starts[tile] == starts[tile + 1]:
                continue
            x0, y0 = (tile % columns) * TILE, (tile // columns) * TILE
            read_tile(inside[: height - y0, : width - x0], 0, 0, transmittance, 0)
            rest[:] = 0.0
            for k in range(channels):
                read_tile(d_image[k], x0, y0, d_colour, k * PIXELS)
                read_tile(image[k], x0, y0, blended, 0)
                for p in range(PIXELS):
                    rest[p] += d_colour[k * PIXELS + p] * blended[p]
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
                starts, tile, entries, records, features, x0 + 0.5 * TILE, y0 + 0.5 * TILE, masks, tables, work, slots
            )

    return blend_backward, tile_backward
