"""Projecting Gaussians to the image: WIDTH of them at once, in float64.

Float64, because a needle's conic in float32 is wrong by 1e-2 a hundred pixels from its centre.  Equations: EWA splatting (Zwicker et al. 2001) as in Kerbl et al. (2023), with gsplat's clamp of
x/z a little outside the image.
"""

from __future__ import annotations

import math

import numpy as np

from avatarkit.render.compiled import exact_kernel
from avatarkit.render.lane_doubles import (
    above,
    at_least,
    ceil,
    choose,
    double,
    exponent,
    floor,
    larger,
    load_strided,
    paired,
    power_of_two,
    quotient,
    root,
    size,
    smaller,
    store_rows,
    store_strided,
)
from avatarkit.render.lane_types import WIDTH

LOW_PASS, PIXEL = 0.3, 0.1  # px², added to both variances; PIXEL in the antialiased mode: about a pixel's own, 1/12
ALPHA_CUT = 1.0 / 255.0
NEAR = 0.01  # metres
LOG2E = 1.4426950408889634
TILE = 16
LOG2_255 = math.log2(255.0)

# Columns of a Gaussian's record (float64, 64 bytes, one cache line).  2^(L + A·u² + B·u·v + C·v²) is the opacity at (u, v)
# pixels from the mean.  The last two hold a ``pair`` of float32 each: depth and the first channel, the other two channels; colours
# are there if there are three, so that blending asks for one line of memory for each Gaussian.
MX, MY, A, B, C, L, Z_RED, GREEN_BLUE = range(8)
RECORD = 8
# Layout of a packed camera: rotation (9, row-major), translation (3), fx, fy, cx, cy.
CAMERA = 16
FEW = 4
"""Up to this many tiles of the bounding box are all listed: blending finds what a corner misses sooner than two roots do."""
CHUNK = 2048
"""Gaussians whose camera gradients are summed together; fixed, so that the sum does not depend on threads."""


@exact_kernel
def rotations(quats, first):  # type: ignore[no-untyped-def]
    """Columns of R (three doubles each) of WIDTH quaternions from row ``first``, then w, x, y, z of unit length and 1/|q|."""
    qw, qx, qy, qz = (
        load_strided(quats, 4 * first, 4),
        load_strided(quats, 4 * first + 1, 4),
        load_strided(quats, 4 * first + 2, 4),
        load_strided(quats, 4 * first + 3, 4),
    )
    inverse = quotient(1.0, root(qw * qw + qx * qx + qy * qy + qz * qz))
    qw, qx, qy, qz = qw * inverse, qx * inverse, qy * inverse, qz * inverse
    return (
        (1.0 - 2.0 * (qy * qy + qz * qz), 2.0 * (qx * qy + qw * qz), 2.0 * (qx * qz - qw * qy)),
        (2.0 * (qx * qy - qw * qz), 1.0 - 2.0 * (qx * qx + qz * qz), 2.0 * (qy * qz + qw * qx)),
        (2.0 * (qx * qz + qw * qy), 2.0 * (qy * qz - qw * qx), 1.0 - 2.0 * (qx * qx + qy * qy)),
        (qw, qx, qy, qz, inverse),
    )


@exact_kernel
def turned(camera, column, scale):  # type: ignore[no-untyped-def]
    """One column of W·R·S: the camera's rotation times ``column`` of R times ``scale``."""
    x, y, z = column
    return (
        scale * (camera[0] * x + camera[1] * y + camera[2] * z),
        scale * (camera[3] * x + camera[4] * y + camera[5] * z),
        scale * (camera[6] * x + camera[7] * y + camera[8] * z),
    )


@exact_kernel
def log2(value):  # type: ignore[no-untyped-def]
    """Of positive normal doubles, within 1e-12: the exponent, and the series of the area tangent for what is left."""
    whole = exponent(value)
    rest = value * power_of_two(-1.0 * whole)
    ratio = quotient(rest - 1.0, rest + 1.0)
    square = ratio * ratio
    series = 1.0 / 15.0 * square + 1.0 / 13.0
    series = series * square + 1.0 / 11.0
    series = series * square + 1.0 / 9.0
    series = series * square + 1.0 / 7.0
    series = series * square + 1.0 / 5.0
    series = series * square + 1.0 / 3.0
    series = series * square + 1.0
    return whole + (2.0 * LOG2E) * (ratio * series)


@exact_kernel
def limits(camera, width, height):  # type: ignore[no-untyped-def]
    """The range of x/z and of y/z outside which the Jacobian is that of the border (gsplat: 15 % of the image)."""
    fx, fy, cx, cy = camera[12], camera[13], camera[14], camera[15]
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    return -cx / fx - margin_x, (width - cx) / fx + margin_x, -cy / fy - margin_y, (height - cy) / fy + margin_y


@exact_kernel
def reach(log_opacity):  # type: ignore[no-untyped-def]
    """The largest Mahalanobis distance, squared, at which α reaches the cut."""
    return (2.0 / LOG2E) * (log_opacity + LOG2_255)


@exact_kernel
def column_rows(record, sxx, sxy, syy, low, high):  # type: ignore[no-untyped-def]
    """Range of v (pixels from the mean) of the ellipse within low ≤ u ≤ high, which must touch it."""
    far = reach(record[L])
    top_v = math.sqrt(far * syy)
    top_u = sxy * math.sqrt(far / syy)
    det = sxx * syy - sxy * sxy
    upper, lower = top_v, -top_v
    if top_u < low or top_u > high:
        u = min(max(top_u, low), high)
        upper = (sxy * u + math.sqrt(max(0.0, det * (far * sxx - u * u)))) / sxx
    if -top_u < low or -top_u > high:
        u = min(max(-top_u, low), high)
        lower = (sxy * u - math.sqrt(max(0.0, det * (far * sxx - u * u)))) / sxx
    return lower, upper


@exact_kernel
def tile_span(record, sxx, sxy, syy, column, height):  # type: ignore[no-untyped-def]
    """First and last tile row of one tile column that the ellipse touches at pixel centres; first > last when none."""
    extent = math.sqrt(reach(record[L]) * sxx)
    low = max(column * TILE + 0.5 - record[MX], -extent)
    high = min(column * TILE + TILE - 0.5 - record[MX], extent)
    if low > high:
        return 1, 0
    lower, upper = column_rows(record, sxx, sxy, syy, low, high)
    first = math.ceil(max(record[MY] + lower - 0.5 - 1e-4, 0.0))
    last = math.floor(min(record[MY] + upper - 0.5 + 1e-4, height - 1.0))
    if first > last:
        return 1, 0
    return int(first) // TILE, int(last) // TILE


@exact_kernel
def pixel_tiles(centre, extent, pixels):  # type: ignore[no-untyped-def]
    """First and last tile along one axis with a pixel centre within ``extent`` of ``centre``; 1 and 0 when none."""
    first = ceil(larger(centre - extent - (0.5 + 1e-4), 0.0))
    last = floor(smaller(centre + extent - (0.5 - 1e-4), pixels - 1.0))
    none = above(first, last)
    return choose(none, 1.0, floor(first * (1.0 / TILE))), choose(none, 0.0, floor(last * (1.0 / TILE)))


# Rows of the scratch table between the two halves of projection.
SHOWS, FIRST, LAST, TOP, BOTTOM, RADIUS = range(6)


@exact_kernel
def _project_rows(  # type: ignore[no-untyped-def]
    means, quats, scales, opacities, features, first, camera, width, height, antialiased, records, covariances, box
):  # fmt: skip
    """Records and covariances of WIDTH Gaussians from row ``first``; into ``box`` (6, WIDTH) the tiles around each."""
    mx, my, mz = (
        load_strided(means, 3 * first, 3),
        load_strided(means, 3 * first + 1, 3),
        load_strided(means, 3 * first + 2, 3),
    )
    s0, s1, s2 = (
        load_strided(scales, 3 * first, 3),
        load_strided(scales, 3 * first + 1, 3),
        load_strided(scales, 3 * first + 2, 3),
    )
    opacity = load_strided(opacities, first, 1)
    r0, r1, r2, unit = rotations(quats, first)
    # A sum is finite only if every term is; comparisons with NaN are false.
    inverse = unit[4]
    shows = above(np.inf, size(mx + my + mz + s0 + s1 + s2 + opacity)) & above(inverse, 0.0) & above(1e12, inverse)
    shows = shows & above(s0, 0.0) & above(s1, 0.0) & above(s2, 0.0) & above(opacity, 0.0)
    x = camera[0] * mx + camera[1] * my + camera[2] * mz + camera[9]
    y = camera[3] * mx + camera[4] * my + camera[5] * mz + camera[10]
    z = camera[6] * mx + camera[7] * my + camera[8] * mz + camera[11]
    shows = shows & at_least(z, NEAR)
    fx, fy = camera[12], camera[13]
    left, right, upper, lower = limits(camera, width, height)
    inverse_z = quotient(1.0, z)
    across, down = x * inverse_z, y * inverse_z
    u, v = smaller(larger(across, left), right), smaller(larger(down, upper), lower)
    jx, jy = fx * inverse_z, fy * inverse_z
    a0, a1, a2 = turned(camera, r0, s0)
    b0, b1, b2 = turned(camera, r1, s1)
    c0, c1, c2 = turned(camera, r2, s2)
    ax, ay = jx * (a0 - u * a2), jy * (a1 - v * a2)
    bx, by = jx * (b0 - u * b2), jy * (b1 - v * b2)
    cx, cy = jx * (c0 - u * c2), jy * (c1 - v * c2)
    sxx, sxy, syy = ax * ax + bx * bx + cx * cx, ax * ay + bx * by + cx * cy, ay * ay + by * by + cy * cy
    thin = sxx * syy - sxy * sxy
    low_pass = PIXEL if antialiased else LOW_PASS
    sxx, syy = sxx + low_pass, syy + low_pass
    det = sxx * syy - sxy * sxy
    if antialiased:
        shows = shows & at_least(thin, 1e-14 * det)
        opacity = opacity * root(quotient(larger(thin, 0.0), det))
    # det > 0 always, but rounding can lose it for giants; those show nowhere exactly and are dropped.
    shows = shows & at_least(opacity, ALPHA_CUT) & above(det, 0.0) & above(np.inf, det)
    centre_x, centre_y = fx * across + camera[14], fy * down + camera[15]
    scaled = quotient(LOG2E, det)
    log_opacity = log2(choose(shows, opacity, 1.0))
    if features.shape[1] == 3:
        z_red = paired(z, load_strided(features, 3 * first, 3))
        green_blue = paired(load_strided(features, 3 * first + 1, 3), load_strided(features, 3 * first + 2, 3))
    else:
        z_red, green_blue = paired(z, double(0.0)), double(0.0)
    store_rows(
        records, first,
        (centre_x, centre_y, -0.5 * (scaled * syy), scaled * sxy, -0.5 * (scaled * sxx), log_opacity, z_red, green_blue),
    )  # fmt: skip
    store_strided(covariances, 3 * first, 3, sxx)
    store_strided(covariances, 3 * first + 1, 3, sxy)
    store_strided(covariances, 3 * first + 2, 3, syy)
    far = reach(log_opacity)
    begin, end = pixel_tiles(centre_x, root(far * sxx), width)
    top, bottom = pixel_tiles(centre_y, root(far * syy), height)
    store_strided(box, SHOWS * WIDTH, 1, choose(shows, 1.0, 0.0))
    store_strided(box, FIRST * WIDTH, 1, begin)
    store_strided(box, LAST * WIDTH, 1, end)
    store_strided(box, TOP * WIDTH, 1, top)
    store_strided(box, BOTTOM * WIDTH, 1, bottom)
    store_strided(box, RADIUS * WIDTH, 1, smaller(ceil(root(far * larger(sxx, syy))), 1073741824.0))


@exact_kernel
def project(  # type: ignore[no-untyped-def]
    part, parts, means, quats, scales, opacities, features, camera, width, height, antialiased,
    records, covariances, rects, counts, radii, means2d,
):  # fmt: skip
    """Fill the records of this part's Gaussians and count the tiles that each touches (0: invisible).

    records (N, 8) float64, covariances (N, 3) float64 with the low-pass, rects (N, 4) int32, counts (N,) int32, radii (N,) int32,
    means2d (N, 2) float32.  Rows of invisible Gaussians hold anything.
    """
    count = means.shape[0]
    blocks = (count + WIDTH - 1) // WIDTH
    box = np.empty((6, WIDTH), np.float64)
    for block in range(blocks * part // parts, blocks * (part + 1) // parts):
        first = block * WIDTH
        here = min(WIDTH, count - first)
        if here == WIDTH:
            _project_rows(
                means, quats, scales, opacities, features, first, camera, width, height, antialiased, records, covariances, box
            )  # fmt: skip
        else:
            whole_records, whole_covariances = np.empty((WIDTH, RECORD), np.float64), np.empty((WIDTH, 3), np.float64)
            _project_rows(
                filled(means, first), filled(quats, first), filled(scales, first), filled_flat(opacities, first),
                filled(features, first), 0, camera, width, height, antialiased, whole_records, whole_covariances, box,
            )  # fmt: skip
            records[first:count] = whole_records[:here]
            covariances[first:count] = whole_covariances[:here]
        for lane in range(here):
            i = first + lane
            counts[i] = 0
            radii[i] = 0
            means2d[i, 0] = 0.0
            means2d[i, 1] = 0.0
            finite = 0.0
            for k in range(features.shape[1]):
                finite += features[i, k]
            if box[SHOWS, lane] == 0.0 or not abs(finite) < np.inf:
                continue
            means2d[i, 0] = records[i, MX]
            means2d[i, 1] = records[i, MY]
            begin, end = int(box[FIRST, lane]), int(box[LAST, lane])
            top, bottom = int(box[TOP, lane]), int(box[BOTTOM, lane])
            rects[i, 0], rects[i, 1], rects[i, 2], rects[i, 3] = begin, end, top, bottom
            tiles = max(end - begin + 1, 0) * max(bottom - top + 1, 0)
            if tiles > FEW:
                tiles = 0
                for column in range(begin, end + 1):
                    start, stop = tile_span(
                        records[i], covariances[i, 0], covariances[i, 1], covariances[i, 2], column, height
                    )
                    tiles += stop - start + 1
            if tiles > 0:
                counts[i] = tiles
                radii[i] = int(box[RADIUS, lane])


@exact_kernel
def filled(table, first):  # type: ignore[no-untyped-def]
    """WIDTH rows of a table from row ``first``, ones where it has ended."""
    rows = np.ones((WIDTH, table.shape[1]), table.dtype)
    rows[: table.shape[0] - first] = table[first:]
    return rows


@exact_kernel
def filled_flat(values, first):  # type: ignore[no-untyped-def]
    """``filled`` for one number a row."""
    rows = np.ones(WIDTH, values.dtype)
    rows[: values.shape[0] - first] = values[first:]
    return rows
