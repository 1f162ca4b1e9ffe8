"""Projecting Gaussians to the image and back: one scalar float64 kernel each way.

Float64 inside, because a needle's conic in float32 is wrong by 1e-2 a hundred pixels from its centre; the cost is the same
as float32 in scalar code.  Equations: EWA splatting (Zwicker et al. 2001) as in Kerbl et al. (2023), with gsplat's clamp of
x/z a little outside the image.
"""

from __future__ import annotations

import math

import numpy as np

from avatarkit.render.compiled import exact_kernel
from avatarkit.render.lane_columns import pair

LOW_PASS = 0.3  # px², added to both variances
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
def factor(quat, scale):  # type: ignore[no-untyped-def]
    """R (9, row-major) of a quaternion and 1/|q|; the covariance is R·S²·Rᵀ."""
    qw, qx, qy, qz = np.float64(quat[0]), np.float64(quat[1]), np.float64(quat[2]), np.float64(quat[3])
    inverse = 1.0 / math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
    qw *= inverse
    qx *= inverse
    qy *= inverse
    qz *= inverse
    return (
        (1 - 2 * (qy * qy + qz * qz), 2 * (qx * qy - qw * qz), 2 * (qx * qz + qw * qy)),
        (2 * (qx * qy + qw * qz), 1 - 2 * (qx * qx + qz * qz), 2 * (qy * qz - qw * qx)),
        (2 * (qx * qz - qw * qy), 2 * (qy * qz + qw * qx), 1 - 2 * (qx * qx + qy * qy)),
        (qw, qx, qy, qz, inverse),
    )


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
def pixel_tiles(centre, extent, size):  # type: ignore[no-untyped-def]
    """First and last tile along one axis with a pixel centre within ``extent`` of ``centre``; first > last when none."""
    first = math.ceil(max(centre - extent - 0.5 - 1e-4, 0.0))
    last = math.floor(min(centre + extent - 0.5 + 1e-4, size - 1.0))
    if first > last:
        return 1, 0
    return int(first) // TILE, int(last) // TILE


@exact_kernel
def project(  # type: ignore[no-untyped-def]
    part, parts, means, quats, scales, opacities, features, camera, width, height, antialiased,
    records, covariances, rects, counts, radii, means2d,
):  # fmt: skip
    """Fill the records of this part's Gaussians and count the tiles that each touches (0: invisible).

    records (N, 8) float64, covariances (N, 3) float64 with the low-pass, rects (N, 4) int32, counts (N,) int32, radii (N,) int32,
    means2d (N, 2) float32.
    """
    count = means.shape[0]
    left, right, upper, lower = limits(camera, width, height)
    fx, fy, cx, cy = camera[12], camera[13], camera[14], camera[15]
    for i in range(count * part // parts, count * (part + 1) // parts):
        counts[i] = 0
        radii[i] = 0
        means2d[i, 0] = 0.0
        means2d[i, 1] = 0.0
        mx, my, mz = np.float64(means[i, 0]), np.float64(means[i, 1]), np.float64(means[i, 2])
        s0, s1, s2 = np.float64(scales[i, 0]), np.float64(scales[i, 1]), np.float64(scales[i, 2])
        opacity = np.float64(opacities[i])
        q0, q1, q2, q3 = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        # A sum is finite only if every term is; comparisons with NaN are false.
        check = mx + my + mz + s0 + s1 + s2 + opacity + q0 + q1 + q2 + q3
        for k in range(features.shape[1]):
            check += features[i, k]
        norm = np.float64(q0) * q0 + np.float64(q1) * q1 + np.float64(q2) * q2 + np.float64(q3) * q3
        if not (abs(check) < np.inf and norm > 1e-24 and s0 > 0 and s1 > 0 and s2 > 0 and opacity > 0):
            continue
        z = camera[6] * mx + camera[7] * my + camera[8] * mz + camera[11]
        if z < NEAR:
            continue
        x = camera[0] * mx + camera[1] * my + camera[2] * mz + camera[9]
        y = camera[3] * mx + camera[4] * my + camera[5] * mz + camera[10]
        inverse_z = 1.0 / z
        u = min(max(x * inverse_z, left), right)
        v = min(max(y * inverse_z, upper), lower)
        r0, r1, r2, _ = factor(quats[i], scales[i])
        sxx, sxy, syy = 0.0, 0.0, 0.0
        for k in range(3):
            scale = s0 if k == 0 else (s1 if k == 1 else s2)
            f0 = scale * (camera[0] * r0[k] + camera[1] * r1[k] + camera[2] * r2[k])
            f1 = scale * (camera[3] * r0[k] + camera[4] * r1[k] + camera[5] * r2[k])
            f2 = scale * (camera[6] * r0[k] + camera[7] * r1[k] + camera[8] * r2[k])
            g0 = fx * inverse_z * (f0 - u * f2)
            g1 = fy * inverse_z * (f1 - v * f2)
            sxx += g0 * g0
            sxy += g0 * g1
            syy += g1 * g1
        thin = sxx * syy - sxy * sxy
        sxx += LOW_PASS
        syy += LOW_PASS
        det = sxx * syy - sxy * sxy
        if antialiased:
            if thin < 1e-14 * det:
                continue
            opacity *= math.sqrt(thin / det)
        # det > 0 always, but rounding can lose it for giants; those show nowhere exactly and are dropped.
        if not (opacity >= ALPHA_CUT and 0.0 < det < np.inf):
            continue
        record = records[i]
        record[MX] = fx * x * inverse_z + cx
        record[MY] = fy * y * inverse_z + cy
        scaled = LOG2E / det
        record[A] = -0.5 * scaled * syy
        record[B] = scaled * sxy
        record[C] = -0.5 * scaled * sxx
        record[L] = math.log2(opacity)
        if features.shape[1] == 3:
            record[Z_RED], record[GREEN_BLUE] = pair(z, features[i, 0]), pair(features[i, 1], features[i, 2])
        else:
            record[Z_RED] = pair(z, 0.0)
        far = reach(record[L])
        covariances[i, 0], covariances[i, 1], covariances[i, 2] = sxx, sxy, syy
        means2d[i, 0] = record[MX]
        means2d[i, 1] = record[MY]
        first, last = pixel_tiles(record[MX], math.sqrt(far * sxx), width)
        top, bottom = pixel_tiles(record[MY], math.sqrt(far * syy), height)
        tiles = max(last - first + 1, 0) * max(bottom - top + 1, 0)
        rects[i, 0], rects[i, 1], rects[i, 2], rects[i, 3] = first, last, top, bottom
        if tiles > FEW:
            tiles = 0
            for column in range(first, last + 1):
                start, end = tile_span(record, sxx, sxy, syy, column, height)
                tiles += end - start + 1
        if tiles > 0:
            counts[i] = tiles
            radii[i] = int(min(math.ceil(math.sqrt(far * max(sxx, syy))), 1073741824.0))
