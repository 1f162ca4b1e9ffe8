"""From the sums of each Gaussian's entries to the gradients of its parameters and of the camera: reduction, then the chain rule."""

from __future__ import annotations

import numpy as np

from avatarkit.render.blending_backward import MOMENTS
from avatarkit.render.compiled import exact_kernel
from avatarkit.render.memory import prefetch
from avatarkit.render.projection import CHUNK, LOG2E, LOW_PASS, MX, MY, TILE, A, B, C, factor, limits

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
def project_backward(  # type: ignore[no-untyped-def]
    part, parts, means, quats, scales, opacities, camera, width, height, antialiased, extra, absolute,
    moving, records, covariances, counts, sums, d_means, d_quats, d_scales, d_opacities, d_features, d_means2d, chunk_cameras,
):  # fmt: skip
    """Add this part's gradients, from ``reduce``'s sums, to d_means … d_features (float32); write d_means2d (N, 2).

    chunk_cameras (chunks, 16) float64 receives one camera gradient for each CHUNK of Gaussians; 0 unless ``moving``.
    """
    count, channels = means.shape[0], d_features.shape[1]
    at_features = MOMENTS + (1 if extra else 0) + (2 if absolute else 0)
    left, right, upper, lower = limits(camera, width, height)
    fx, fy = camera[12], camera[13]
    rotated = np.empty((3, 3), np.float64)  # W·R·S, columns scaled
    d_rotated = np.empty((3, 3), np.float64)
    world = np.empty((3, 3), np.float64)  # R
    d_world = np.empty((3, 3), np.float64)
    for chunk in range(part, chunk_cameras.shape[0], parts):
        d_camera = chunk_cameras[chunk]
        d_camera[:] = 0.0
        for i in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            d_means2d[i, 0] = 0.0
            d_means2d[i, 1] = 0.0
            if counts[i] == 0:
                continue
            record = records[i]
            a2, b2, c2 = record[A], record[B], record[C]
            total = sums[i]
            s0, su, sv, suu, suv, svv = total[0], total[1], total[2], total[3], total[4], total[5]
            d_z = total[MOMENTS] if extra else 0.0
            s0, su, sv, suu, suv, svv = LN2 * s0, LN2 * su, LN2 * sv, LN2 * suu, LN2 * suv, LN2 * svv
            for d in range(channels):
                d_features[i, d] += total[at_features + d]
            d_u = -(2 * a2 * su + b2 * sv)
            d_v = -(2 * c2 * sv + b2 * su)
            d_means2d[i, 0] = LN2 * total[at_features - 2] if absolute else d_u
            d_means2d[i, 1] = LN2 * total[at_features - 1] if absolute else d_v
            d_log_opacity = s0 * LOG2E
            d_opacities[i] += d_log_opacity / opacities[i]

            # conic → covariance: ∂Σ = −Λ·∂Λ·Λ.
            la, lb, lc = -2 * LN2 * a2, -LN2 * b2, -2 * LN2 * c2
            ga, gb, gc = -0.5 * LOG2E * suu, -0.5 * LOG2E * suv, -0.5 * LOG2E * svv
            t00, t01 = la * ga + lb * gb, la * gb + lb * gc
            t10, t11 = lb * ga + lc * gb, lb * gb + lc * gc
            gxx = -(t00 * la + t01 * lb)
            gxy = -(t00 * lb + t01 * lc)
            gyy = -(t10 * lb + t11 * lc)
            if antialiased:
                xx, xy, yy = covariances[i, 0], covariances[i, 1], covariances[i, 2]
                full = xx * yy - xy * xy
                thin = (xx - LOW_PASS) * (yy - LOW_PASS) - xy * xy
                gxx += 0.5 * d_log_opacity * ((yy - LOW_PASS) / thin - yy / full)
                gyy += 0.5 * d_log_opacity * ((xx - LOW_PASS) / thin - xx / full)
                gxy += 0.5 * d_log_opacity * (xy / full - xy / thin)

            mean_x, mean_y, mean_z = np.float64(means[i, 0]), np.float64(means[i, 1]), np.float64(means[i, 2])
            x = camera[0] * mean_x + camera[1] * mean_y + camera[2] * mean_z + camera[9]
            y = camera[3] * mean_x + camera[4] * mean_y + camera[5] * mean_z + camera[10]
            z = camera[6] * mean_x + camera[7] * mean_y + camera[8] * mean_z + camera[11]
            iz = 1.0 / z
            ratio_x, ratio_y = min(max(x * iz, left), right), min(max(y * iz, upper), lower)
            j00, j02, j11, j12 = fx * iz, -fx * ratio_x * iz, fy * iz, -fy * ratio_y * iz
            r0, r1, r2, q = factor(quats[i], scales[i])
            dj00, dj02, dj11, dj12 = 0.0, 0.0, 0.0, 0.0
            for k in range(3):
                world[0, k], world[1, k], world[2, k] = r0[k], r1[k], r2[k]
                scale = np.float64(scales[i, k])
                for r in range(3):
                    rotated[r, k] = scale * (
                        camera[3 * r] * r0[k] + camera[3 * r + 1] * r1[k] + camera[3 * r + 2] * r2[k]
                    )
                root0 = j00 * rotated[0, k] + j02 * rotated[2, k]
                root1 = j11 * rotated[1, k] + j12 * rotated[2, k]
                d0, d1 = 2 * (gxx * root0 + gxy * root1), 2 * (gxy * root0 + gyy * root1)
                dj00 += d0 * rotated[0, k]
                dj02 += d0 * rotated[2, k]
                dj11 += d1 * rotated[1, k]
                dj12 += d1 * rotated[2, k]
                d_rotated[0, k] = j00 * d0
                d_rotated[1, k] = j11 * d1
                d_rotated[2, k] = j02 * d0 + j12 * d1
                # d(R·S) = Wᵀ·d(W·R·S), then the scale and the rotation of this column.
                d_scale = 0.0
                for r in range(3):
                    column = (
                        camera[r] * d_rotated[0, k] + camera[3 + r] * d_rotated[1, k] + camera[6 + r] * d_rotated[2, k]
                    )
                    d_scale += column * world[r, k]
                    d_world[r, k] = column * scale
                    if moving:
                        for c in range(3):
                            d_camera[3 * c + r] += d_rotated[c, k] * scale * world[r, k]
                d_scales[i, k] += d_scale

            # u = x/z clamped: J02 = −fx·u/z.
            dx, dy = d_u * fx * iz, d_v * fy * iz
            dz = d_z - (dx * x + dy * y) * iz
            dz -= (dj00 * j00 + dj02 * j02 + dj11 * j11 + dj12 * j12) * iz
            if ratio_x == x * iz:
                du = -dj02 * fx * iz
                dx += du * iz
                dz -= du * x * iz * iz
            if ratio_y == y * iz:
                dv = -dj12 * fy * iz
                dy += dv * iz
                dz -= dv * y * iz * iz
            if moving:
                d_camera[9] += dx
                d_camera[10] += dy
                d_camera[11] += dz
                d_camera[12] += d_u * x * iz + (dj00 - dj02 * ratio_x) * iz
                d_camera[13] += d_v * y * iz + (dj11 - dj12 * ratio_y) * iz
                d_camera[14] += d_u
                d_camera[15] += d_v
                d_camera[0] += dx * mean_x
                d_camera[1] += dx * mean_y
                d_camera[2] += dx * mean_z
                d_camera[3] += dy * mean_x
                d_camera[4] += dy * mean_y
                d_camera[5] += dy * mean_z
                d_camera[6] += dz * mean_x
                d_camera[7] += dz * mean_y
                d_camera[8] += dz * mean_z
            for r in range(3):
                d_means[i, r] += camera[r] * dx + camera[3 + r] * dy + camera[6 + r] * dz

            # R(q) of the unit quaternion, then the normalisation.
            w, qx, qy, qz, inverse = q
            g = d_world
            dw = 2 * (qx * (g[2, 1] - g[1, 2]) + qy * (g[0, 2] - g[2, 0]) + qz * (g[1, 0] - g[0, 1]))
            dqx = 2 * (
                -2 * qx * (g[1, 1] + g[2, 2])
                + qy * (g[0, 1] + g[1, 0])
                + qz * (g[0, 2] + g[2, 0])
                + w * (g[2, 1] - g[1, 2])
            )
            dqy = 2 * (
                qx * (g[0, 1] + g[1, 0])
                - 2 * qy * (g[0, 0] + g[2, 2])
                + qz * (g[1, 2] + g[2, 1])
                + w * (g[0, 2] - g[2, 0])
            )
            dqz = 2 * (
                qx * (g[0, 2] + g[2, 0])
                + qy * (g[1, 2] + g[2, 1])
                - 2 * qz * (g[0, 0] + g[1, 1])
                + w * (g[1, 0] - g[0, 1])
            )
            along = dw * w + dqx * qx + dqy * qy + dqz * qz
            d_quats[i, 0] += (dw - along * w) * inverse
            d_quats[i, 1] += (dqx - along * qx) * inverse
            d_quats[i, 2] += (dqy - along * qy) * inverse
            d_quats[i, 3] += (dqz - along * qz) * inverse
