"""From the sums of each Gaussian's entries to the gradients of its parameters and of the camera: reduction, then the chain rule."""

from __future__ import annotations

import numpy as np

from avatarkit.render.blending_backward import MOMENTS
from avatarkit.render.compiled import exact_kernel
from avatarkit.render.lane_doubles import (
    choose,
    double,
    equal,
    larger,
    load_strided,
    positive,
    quotient,
    smaller,
    store_strided,
)
from avatarkit.render.lane_doubles import (
    total as lane_total,
)
from avatarkit.render.lane_types import WIDTH
from avatarkit.render.memory import prefetch
from avatarkit.render.projection import (
    CHUNK,
    LOG2E,
    MX,
    MY,
    PIXEL,
    RECORD,
    TILE,
    A,
    B,
    C,
    filled,
    filled_flat,
    limits,
    rotations,
    turned,
)

LN2 = 1.0 / LOG2E
AHEAD = 8
"""Gaussians between asking for their partials, which lie all over memory, and adding them up."""


@exact_kernel
def reduce(part, parts, columns, records, counts, offsets, slot_tiles, slot_positions, partials, sums):  # type: ignore[no-untyped-def]
    """Add up each Gaussian's partials, moved from the tiles' centres to its own: sums (N, partial size) float64, in slot order."""
    count, size = counts.shape[0], partials.shape[1]
    last = count * (part + 1) // parts
    for i in range(count * part // parts, last):
        later = min(i + AHEAD, last - 1)
        for k in range(offsets[later], offsets[later + 1]):
            prefetch(partials, np.int64(slot_positions[k]) * size)
            prefetch(partials, np.int64(slot_positions[k]) * size + size - 1)
        if counts[i] == 0:
            continue
        total = sums[i]
        mean_x, mean_y = records[i, MX], records[i, MY]
        s0, su, sv, suu, suv, svv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for d in range(MOMENTS, size):
            total[d] = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            slot = partials[slot_positions[k]]
            row = slot_tiles[k] // columns
            u = (slot_tiles[k] - row * columns + 0.5) * TILE - mean_x
            v = (row + 0.5) * TILE - mean_y
            m0, mx, my = np.float64(slot[0]), np.float64(slot[1]), np.float64(slot[2])
            s0 += m0
            su += mx + u * m0
            sv += my + v * m0
            suu += slot[3] + u * (2 * mx + u * m0)
            suv += slot[4] + u * my + v * mx + u * v * m0
            svv += slot[5] + v * (2 * my + v * m0)
            for d in range(MOMENTS, size):
                total[d] += slot[d]
        total[0], total[1], total[2], total[3], total[4], total[5] = s0, su, sv, suu, suv, svv


@exact_kernel
def _column(camera, j00, j02, j11, j12, gxx, gxy, gyy, column, scale):  # type: ignore[no-untyped-def]
    """One column of d(W·R·S) and what follows: by the Jacobian (4), the scale, the column of R (3), the camera (9)."""
    t0, t1, t2 = turned(camera, column, scale)
    across, down = j00 * t0 + j02 * t2, j11 * t1 + j12 * t2
    d0, d1 = 2.0 * (gxx * across + gxy * down), 2.0 * (gxy * across + gyy * down)
    e0, e1, e2 = j00 * d0, j11 * d1, j02 * d0 + j12 * d1
    # d(R·S) = Wᵀ·d(W·R·S), then the scale and the rotation of this column.
    g0 = camera[0] * e0 + camera[3] * e1 + camera[6] * e2
    g1 = camera[1] * e0 + camera[4] * e1 + camera[7] * e2
    g2 = camera[2] * e0 + camera[5] * e1 + camera[8] * e2
    x, y, z = column
    return (
        (d0 * t0, d0 * t2, d1 * t1, d1 * t2),
        g0 * x + g1 * y + g2 * z,
        (g0 * scale, g1 * scale, g2 * scale),
        (scale * x, scale * y, scale * z, e0, e1, e2),
    )


@exact_kernel
def _add(table, index, stride, shows, value):  # type: ignore[no-untyped-def]
    store_strided(table, index, stride, load_strided(table, index, stride) + choose(shows, value, 0.0))


@exact_kernel
def _add_row(d_camera, at, shows, d, x, y, z, m0, m1, m2, e0, e1, e2):  # type: ignore[no-untyped-def]
    """Add a row of ∂L/∂W: ``d`` times the means, and e0, e1, e2 times the columns m0, m1, m2 of R·S."""
    d_camera[at] += lane_total(choose(shows, d * x + e0 * m0[0] + e1 * m1[0] + e2 * m2[0], 0.0))
    d_camera[at + 1] += lane_total(choose(shows, d * y + e0 * m0[1] + e1 * m1[1] + e2 * m2[1], 0.0))
    d_camera[at + 2] += lane_total(choose(shows, d * z + e0 * m0[2] + e1 * m1[2] + e2 * m2[2], 0.0))


@exact_kernel
def _project_rows_backward(  # type: ignore[no-untyped-def]
    means, quats, scales, opacities, first, shows, camera, width, height, antialiased, extra, absolute, moving,
    records, covariances, sums, d_means, d_quats, d_scales, d_opacities, d_means2d, d_camera,
):  # fmt: skip
    """Add the gradients of WIDTH Gaussians from row ``first``; those that ``shows`` leaves out get none."""
    each = sums.shape[1]
    at = first * each
    a2, b2, c2 = (
        load_strided(records, RECORD * first + A, RECORD),
        load_strided(records, RECORD * first + B, RECORD),
        load_strided(records, RECORD * first + C, RECORD),
    )
    s0, su, sv = (
        LN2 * load_strided(sums, at, each),
        LN2 * load_strided(sums, at + 1, each),
        LN2 * load_strided(sums, at + 2, each),
    )
    suu, suv, svv = (
        LN2 * load_strided(sums, at + 3, each),
        LN2 * load_strided(sums, at + 4, each),
        LN2 * load_strided(sums, at + 5, each),
    )
    d_z = load_strided(sums, at + MOMENTS, each) if extra else double(0.0)
    d_u, d_v = -1.0 * (2.0 * (a2 * su) + b2 * sv), -1.0 * (2.0 * (c2 * sv) + b2 * su)
    if absolute:
        after = at + MOMENTS + (1 if extra else 0)
        store_strided(d_means2d, 2 * first, 2, choose(shows, LN2 * load_strided(sums, after, each), 0.0))
        store_strided(d_means2d, 2 * first + 1, 2, choose(shows, LN2 * load_strided(sums, after + 1, each), 0.0))
    else:
        store_strided(d_means2d, 2 * first, 2, choose(shows, d_u, 0.0))
        store_strided(d_means2d, 2 * first + 1, 2, choose(shows, d_v, 0.0))
    d_log_opacity = LOG2E * s0
    _add(d_opacities, first, 1, shows, quotient(d_log_opacity, load_strided(opacities, first, 1)))

    # conic → covariance: ∂Σ = −Λ·∂Λ·Λ.
    la, lb, lc = (-2 * LN2) * a2, (-LN2) * b2, (-2 * LN2) * c2
    ga, gb, gc = (-0.5 * LOG2E) * suu, (-0.5 * LOG2E) * suv, (-0.5 * LOG2E) * svv
    t00, t01 = la * ga + lb * gb, la * gb + lb * gc
    t10, t11 = lb * ga + lc * gb, lb * gb + lc * gc
    gxx = -1.0 * (t00 * la + t01 * lb)
    gxy = -1.0 * (t00 * lb + t01 * lc)
    gyy = -1.0 * (t10 * lb + t11 * lc)
    if antialiased:
        xx, xy, yy = (
            load_strided(covariances, 3 * first, 3),
            load_strided(covariances, 3 * first + 1, 3),
            load_strided(covariances, 3 * first + 2, 3),
        )
        full = quotient(0.5 * d_log_opacity, xx * yy - xy * xy)
        thin = quotient(0.5 * d_log_opacity, (xx - PIXEL) * (yy - PIXEL) - xy * xy)
        gxx = gxx + (thin * (yy - PIXEL) - full * yy)
        gyy = gyy + (thin * (xx - PIXEL) - full * xx)
        gxy = gxy + (full * xy - thin * xy)

    mean_x, mean_y, mean_z = (
        load_strided(means, 3 * first, 3),
        load_strided(means, 3 * first + 1, 3),
        load_strided(means, 3 * first + 2, 3),
    )
    x = camera[0] * mean_x + camera[1] * mean_y + camera[2] * mean_z + camera[9]
    y = camera[3] * mean_x + camera[4] * mean_y + camera[5] * mean_z + camera[10]
    z = camera[6] * mean_x + camera[7] * mean_y + camera[8] * mean_z + camera[11]
    fx, fy = camera[12], camera[13]
    left, right, upper, lower = limits(camera, width, height)
    iz = quotient(1.0, z)
    across, down = x * iz, y * iz
    u, v = smaller(larger(across, left), right), smaller(larger(down, upper), lower)
    j00, j11 = fx * iz, fy * iz
    j02, j12 = -1.0 * (j00 * u), -1.0 * (j11 * v)
    r0, r1, r2, (w, qx, qy, qz, inverse) = rotations(quats, first)
    p, ds0, g0, m0 = _column(camera, j00, j02, j11, j12, gxx, gxy, gyy, r0, load_strided(scales, 3 * first, 3))
    q, ds1, g1, m1 = _column(camera, j00, j02, j11, j12, gxx, gxy, gyy, r1, load_strided(scales, 3 * first + 1, 3))
    r, ds2, g2, m2 = _column(camera, j00, j02, j11, j12, gxx, gxy, gyy, r2, load_strided(scales, 3 * first + 2, 3))
    dj00, dj02, dj11, dj12 = p[0] + q[0] + r[0], p[1] + q[1] + r[1], p[2] + q[2] + r[2], p[3] + q[3] + r[3]
    _add(d_scales, 3 * first, 3, shows, ds0)
    _add(d_scales, 3 * first + 1, 3, shows, ds1)
    _add(d_scales, 3 * first + 2, 3, shows, ds2)

    # u = x/z clamped: J02 = −fx·u/z.
    dx, dy = d_u * j00, d_v * j11
    dz = d_z - (dx * x + dy * y) * iz
    dz = dz - (dj00 * j00 + dj02 * j02 + dj11 * j11 + dj12 * j12) * iz
    du = choose(equal(u, across), -1.0 * (dj02 * j00), 0.0)
    dv = choose(equal(v, down), -1.0 * (dj12 * j11), 0.0)
    dx, dy = dx + du * iz, dy + dv * iz
    dz = dz - (du * across + dv * down) * iz
    _add(d_means, 3 * first, 3, shows, camera[0] * dx + camera[3] * dy + camera[6] * dz)
    _add(d_means, 3 * first + 1, 3, shows, camera[1] * dx + camera[4] * dy + camera[7] * dz)
    _add(d_means, 3 * first + 2, 3, shows, camera[2] * dx + camera[5] * dy + camera[8] * dz)
    if moving:
        # Row c of W: row c of d(W·R·S) times the rows of R·S, and the mean.
        _add_row(d_camera, 0, shows, dx, mean_x, mean_y, mean_z, m0, m1, m2, m0[3], m1[3], m2[3])
        _add_row(d_camera, 3, shows, dy, mean_x, mean_y, mean_z, m0, m1, m2, m0[4], m1[4], m2[4])
        _add_row(d_camera, 6, shows, dz, mean_x, mean_y, mean_z, m0, m1, m2, m0[5], m1[5], m2[5])
        d_camera[9] += lane_total(choose(shows, dx, 0.0))
        d_camera[10] += lane_total(choose(shows, dy, 0.0))
        d_camera[11] += lane_total(choose(shows, dz, 0.0))
        d_camera[12] += lane_total(choose(shows, d_u * across + (dj00 - dj02 * u) * iz, 0.0))
        d_camera[13] += lane_total(choose(shows, d_v * down + (dj11 - dj12 * v) * iz, 0.0))
        d_camera[14] += lane_total(choose(shows, d_u, 0.0))
        d_camera[15] += lane_total(choose(shows, d_v, 0.0))

    # R(q) of the unit quaternion, then the normalisation.  g0, g1, g2 are the columns of ∂L/∂R.
    dw = 2.0 * (qx * (g1[2] - g2[1]) + qy * (g2[0] - g0[2]) + qz * (g0[1] - g1[0]))
    dqx = 2.0 * (-2.0 * (qx * (g1[1] + g2[2])) + qy * (g1[0] + g0[1]) + qz * (g2[0] + g0[2]) + w * (g1[2] - g2[1]))
    dqy = 2.0 * (qx * (g1[0] + g0[1]) - 2.0 * (qy * (g0[0] + g2[2])) + qz * (g2[1] + g1[2]) + w * (g2[0] - g0[2]))
    dqz = 2.0 * (qx * (g2[0] + g0[2]) + qy * (g2[1] + g1[2]) - 2.0 * (qz * (g0[0] + g1[1])) + w * (g0[1] - g1[0]))
    along = dw * w + dqx * qx + dqy * qy + dqz * qz
    _add(d_quats, 4 * first, 4, shows, (dw - along * w) * inverse)
    _add(d_quats, 4 * first + 1, 4, shows, (dqx - along * qx) * inverse)
    _add(d_quats, 4 * first + 2, 4, shows, (dqy - along * qy) * inverse)
    _add(d_quats, 4 * first + 3, 4, shows, (dqz - along * qz) * inverse)


@exact_kernel
def project_backward(  # type: ignore[no-untyped-def]
    part, parts, means, quats, scales, opacities, camera, width, height, antialiased, extra, absolute,
    moving, records, covariances, counts, sums, d_means, d_quats, d_scales, d_opacities, d_features, d_means2d, chunk_cameras,
):  # fmt: skip
    """Add this part's gradients, from ``reduce``'s sums, to d_means … d_features (float32); write d_means2d (N, 2).

    chunk_cameras (chunks, 16) float64 receives one camera gradient for each CHUNK of Gaussians; 0 unless ``moving``.
    """
    count, channels = means.shape[0], d_features.shape[1]
    at_features = MOMENTS + (1 if extra else 0) + (2 if absolute else 0)
    for chunk in range(part, chunk_cameras.shape[0], parts):
        d_camera = chunk_cameras[chunk]
        d_camera[:] = 0.0
        for first in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK), WIDTH):
            here = min(WIDTH, count - first)
            for i in range(first, first + here):
                if counts[i] > 0:
                    for d in range(channels):
                        d_features[i, d] += sums[i, at_features + d]
            if here == WIDTH:
                _project_rows_backward(
                    means, quats, scales, opacities, first, positive(counts, first), camera, width, height, antialiased,
                    extra, absolute, moving, records, covariances, sums, d_means, d_quats, d_scales, d_opacities,
                    d_means2d, d_camera,
                )  # fmt: skip
                continue
            marks = np.zeros(WIDTH, np.int32)
            marks[:here] = counts[first:]
            g_means, g_quats, g_scales = filled(d_means, first), filled(d_quats, first), filled(d_scales, first)
            g_opacities, g_means2d = filled_flat(d_opacities, first), filled(d_means2d, first)
            _project_rows_backward(
                filled(means, first), filled(quats, first), filled(scales, first), filled_flat(opacities, first), 0,
                positive(marks, 0), camera, width, height, antialiased, extra, absolute, moving,
                filled(records, first), filled(covariances, first), filled(sums, first),
                g_means, g_quats, g_scales, g_opacities, g_means2d, d_camera,
            )  # fmt: skip
            d_means[first:], d_quats[first:], d_scales[first:] = g_means[:here], g_quats[:here], g_scales[:here]
            d_opacities[first:], d_means2d[first:] = g_opacities[:here], g_means2d[:here]
