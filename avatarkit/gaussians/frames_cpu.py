"""Frames that carry Gaussians, inside kernels: a triangle's own, its skin frame, a joint's.  See ``frames`` and ``skin_frames``."""

from __future__ import annotations

import numpy as np

from avatarkit.gaussians.frames import DEGENERATE
from avatarkit.render.compiled import kernel

_f = np.float32
_HALF, _ZERO, _ONE, _THIRD = _f(0.5), _f(0.0), _f(1.0), _f(1.0 / 3.0)
_FLAT, _TINY = _f(DEGENERATE), _f(1e-20)


@kernel
def triangle(vertices, faces, face):  # type: ignore[no-untyped-def]
    """a0, a1, a2 and the centroid (twelve numbers), |v1 − v0|, height, a0·(v2 − v0), whether it is degenerate."""
    i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
    x0, y0, z0 = vertices[i, 0], vertices[i, 1], vertices[i, 2]
    ex, ey, ez = vertices[j, 0] - x0, vertices[j, 1] - y0, vertices[j, 2] - z0
    fx, fy, fz = vertices[k, 0] - x0, vertices[k, 1] - y0, vertices[k, 2] - z0
    tx, ty, tz = x0 + (ex + fx) * _THIRD, y0 + (ey + fy) * _THIRD, z0 + (ez + fz) * _THIRD
    length = np.sqrt(ex * ex + ey * ey + ez * ez)
    if length < _FLAT:
        return _ONE, _ZERO, _ZERO, _ZERO, _ONE, _ZERO, _ZERO, _ZERO, _ONE, tx, ty, tz, _FLAT, _FLAT, _ZERO, True
    inverse = _ONE / length
    ax, ay, az = ex * inverse, ey * inverse, ez * inverse
    nx, ny, nz = ay * fz - az * fy, az * fx - ax * fz, ax * fy - ay * fx
    height = np.sqrt(nx * nx + ny * ny + nz * nz)
    if height < _FLAT:
        return _ONE, _ZERO, _ZERO, _ZERO, _ONE, _ZERO, _ZERO, _ZERO, _ONE, tx, ty, tz, _FLAT, _FLAT, _ZERO, True
    inverse = _ONE / height
    bx, by, bz = nx * inverse, ny * inverse, nz * inverse
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    along = ax * fx + ay * fy + az * fz
    return ax, ay, az, bx, by, bz, cx, cy, cz, tx, ty, tz, length, height, along, False


@kernel
def joint_quats(joints):  # type: ignore[no-untyped-def]
    """(J, 4) unit quaternions of the joints, in the half-space of the root's."""
    quats = np.empty((joints.shape[0], 4), np.float32)
    for j in range(joints.shape[0]):
        m = joints[j]
        w, x, y, z = quaternion(m[0, 0], m[1, 0], m[2, 0], m[0, 1], m[1, 1], m[2, 1], m[0, 2], m[1, 2], m[2, 2])
        along = w * quats[0, 0] + x * quats[0, 1] + y * quats[0, 2] + z * quats[0, 3] if j > 0 else _ONE
        side = -_ONE if along < _ZERO else _ONE
        quats[j, 0], quats[j, 1], quats[j, 2], quats[j, 3] = side * w, side * x, side * y, side * z
    return quats


@kernel
def blended(weights, quats, face):  # type: ignore[no-untyped-def]
    """Σ w_j q_j of one triangle, and 1 over its length."""
    w, x, y, z = _ZERO, _ZERO, _ZERO, _ZERO
    for j in range(quats.shape[0]):
        share = weights[face, j]
        w += share * quats[j, 0]
        x += share * quats[j, 1]
        y += share * quats[j, 2]
        z += share * quats[j, 3]
    return w, x, y, z, _ONE / np.sqrt(max(w * w + x * x + y * y + z * z, _TINY))


@kernel
def skin_frame(vertices, faces, rest_quats, rest_sizes, weights, quats, face):  # type: ignore[no-untyped-def]
    """As ``triangle`` for a skin frame, whose two lengths are both k."""
    i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
    tx = (vertices[i, 0] + vertices[j, 0] + vertices[k, 0]) * _THIRD
    ty = (vertices[i, 1] + vertices[j, 1] + vertices[k, 1]) * _THIRD
    tz = (vertices[i, 2] + vertices[j, 2] + vertices[k, 2]) * _THIRD
    w, x, y, z, inverse = blended(weights, quats, face)
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    pw, px, py, pz = rest_quats[face, 0], rest_quats[face, 1], rest_quats[face, 2], rest_quats[face, 3]
    qw, qx = w * pw - x * px - y * py - z * pz, w * px + x * pw + y * pz - z * py
    qy, qz = w * py - x * pz + y * pw + z * px, w * pz + x * py - y * px + z * pw
    two = _f(2.0)
    size = rest_sizes[face]
    return (
        _ONE - two * (qy * qy + qz * qz), two * (qx * qy + qw * qz), two * (qx * qz - qw * qy),
        two * (qx * qy - qw * qz), _ONE - two * (qx * qx + qz * qz), two * (qy * qz + qw * qx),
        two * (qx * qz + qw * qy), two * (qy * qz - qw * qx), _ONE - two * (qx * qx + qy * qy),
        tx, ty, tz, size, size, _ZERO, True,
    )  # fmt: skip


@kernel
def frame(vertices, faces, joints, rest_quats, rest_sizes, weights, quats, binding):  # type: ignore[no-untyped-def]
    """As ``triangle``, for a joint too: columns of R, origin, two lengths whose mean is k, along, rigid.

    ``rigid``: the corners move the origin only, as for a degenerate triangle.
    """
    if binding >= 0:
        if len(rest_sizes) > 0:
            return skin_frame(vertices, faces, rest_quats, rest_sizes, weights, quats, binding)
        return triangle(vertices, faces, binding)
    m = joints[-1 - binding]
    return (
        m[0, 0], m[1, 0], m[2, 0], m[0, 1], m[1, 1], m[2, 1], m[0, 2], m[1, 2], m[2, 2], m[0, 3], m[1, 3], m[2, 3],
        _ONE, _ONE, _ZERO, False,
    )  # fmt: skip


@kernel
def quaternion(r00, r10, r20, r01, r11, r21, r02, r12, r22):  # type: ignore[no-untyped-def]
    """Shepperd's method, as ``frames.quat_from_matrix``."""
    w, x = _ONE + r00 + r11 + r22, _ONE + r00 - r11 - r22
    y, z = _ONE - r00 + r11 - r22, _ONE - r00 - r11 + r22
    if w >= x and w >= y and w >= z:
        s = _HALF / np.sqrt(w)
        return w * s, (r21 - r12) * s, (r02 - r20) * s, (r10 - r01) * s
    if x >= y and x >= z:
        s = _HALF / np.sqrt(x)
        return (r21 - r12) * s, x * s, (r10 + r01) * s, (r02 + r20) * s
    if y >= z:
        s = _HALF / np.sqrt(y)
        return (r02 - r20) * s, (r10 + r01) * s, y * s, (r21 + r12) * s
    s = _HALF / np.sqrt(z)
    return (r10 - r01) * s, (r02 + r20) * s, (r21 + r12) * s, z * s
