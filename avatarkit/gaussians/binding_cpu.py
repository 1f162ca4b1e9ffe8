"""``pose_gaussians`` for float32 on the CPU: one autograd function around two Numba kernels.

A run of Gaussians on one frame is the unit of work (``runs``): the frame is computed once, and the gradient that arrives at it is
kept in registers: a force (3), a torque (3) about its origin and a stretch.  The torque replaces the nine entries of ∂L/∂R:
for a rotation ω of the frame, δ(kRμ) = ω × kRμ and δ(R∘r) = ½(0, ω)∘(R∘r), so neither the matrix nor the branches of the
matrix-to-quaternion formula need a derivative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.gaussians.frames_cpu import blended, frame, joint_quats, quaternion
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.runs import BLOCKS, Corners, Runs, corners, runs
from avatarkit.gaussians.skin_frames import skin_frames
from avatarkit.head.parameters import Skinning
from avatarkit.render.compiled import kernel, run_parts, thread_count
from avatarkit.render.lanes import WIDTH, exp2, load, maximum, minimum, splat, store
from avatarkit.render.sh import Y00
from avatarkit.render.sh_cpu import direction_gradient, fill_basis

_f = np.float32
_Y00, _HALF, _ZERO, _ONE, _THIRD = _f(Y00), _f(0.5), _f(0.0), _f(1.0), _f(1.0 / 3.0)
_NO_SKIN = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
_TINY, _LOG2E, _LIMIT = _f(1e-20), _f(1.4426950408889634), _f(126.0)


def pose_gaussians_cpu(
    gaussians: Gaussians,
    vertices: Tensor,
    joints: Tensor,
    faces: Tensor,
    camera_centre: Tensor | None,
    degree: int,
    skin: Skinning | None = None,
) -> tuple[Tensor, ...]:
    """Means, quats, scales, opacities, colours; see ``binding.pose_gaussians``.  All float32 on the CPU."""
    g = gaussians
    work = runs(g.binding, len(faces), len(joints))
    mesh = corners(faces, len(vertices))
    centre = np.zeros(3, np.float32) if camera_centre is None else camera_centre.detach().to(torch.float32).numpy()
    rest = _NO_SKIN if skin is None else tuple(value.numpy() for value in skin_frames(skin, faces))
    return _Pose.apply(  # type: ignore[no-any-return]
        g.means, g.quats, g.log_scales, g.opacity_logits, g.sh, vertices, joints, work, mesh, np.ascontiguousarray(centre), degree,
        rest,
    )  # fmt: skip


class _Pose(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, quats: Tensor, log_scales: Tensor, logits: Tensor, sh: Tensor,
        vertices: Tensor, joints: Tensor, work: Runs, mesh: Corners, centre: Any, degree: int, rest: Any,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        inputs = [value.contiguous() for value in (means, quats, log_scales, logits, sh, vertices, joints)]
        outputs = [torch.empty_like(value) for value in inputs[:4]]
        outputs.append(torch.empty_like(inputs[0]))
        arrays = [value.detach().numpy() for value in (*inputs, *outputs)]
        _activate(arrays[2].reshape(-1), arrays[9].reshape(-1), arrays[3], arrays[10])
        run_parts(
            thread_count(), _forward, *arrays, mesh.faces, *rest, work.order, work.binding, work.start, work.block,
            centre, degree,
        )  # fmt: skip
        ctx.save_for_backward(*inputs, *outputs)
        ctx.constants = (work, mesh, centre, degree, rest)
        out_means, out_quats, out_scales, out_opacities, out_colours = outputs
        return out_means, out_quats, out_scales, out_opacities, out_colours

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        saved = ctx.saved_tensors
        work, mesh, centre, degree, rest = ctx.constants
        incoming = [value.contiguous() for value in gradients]
        results = [torch.empty_like(value) for value in saved[:5]]
        moves_mesh, moves_joints = ctx.needs_input_grad[5], ctx.needs_input_grad[6]
        # NumPy's zeros: torch would fill them with its own threads, whose barrier can cost more than all the rest.
        corner_grad = np.zeros((len(mesh.faces), 9) if moves_mesh else (1, 9), np.float32)
        joint_grad = np.zeros((len(work.binding), 6) if moves_joints else (1, 6), np.float32)
        arrays = [value.detach().numpy() for value in (*saved, *incoming, *results)] + [corner_grad, joint_grad]
        parts = thread_count()
        run_parts(
            parts, _backward, *arrays, mesh.faces, *rest, work.order, work.binding, work.start, work.block, centre, degree,
            moves_mesh, moves_joints,
        )  # fmt: skip
        vertex_result = joint_result = None
        if moves_mesh:
            vertex_result = torch.empty_like(saved[5])
            run_parts(parts, _gather_vertices, corner_grad, mesh.start, mesh.corner, vertex_result.numpy())
        if moves_joints:
            joint_result = torch.zeros_like(saved[6])
            _gather_joints(joint_grad, work.binding, rest[2], saved[6].numpy(), joint_result.numpy())
        return (*results, vertex_result, joint_result, None, None, None, None, None)


@kernel
def _activate(log_scales, scales, logits, opacities):  # type: ignore[no-untyped-def]
    """Exponentials and sigmoids, WIDTH at a time; exponents are held within what float32 has."""
    count = log_scales.size
    whole = count - count % WIDTH
    for i in range(0, whole, WIDTH):
        store(scales, i, exp2(maximum(minimum(load(log_scales, i) * _LOG2E, _LIMIT), -_LIMIT)))
    for i in range(whole, count):
        scales[i] = np.exp(max(min(log_scales[i], _f(87.0)), _f(-87.0)))
    count = logits.size
    whole = count - count % WIDTH
    one = splat(_ONE)
    for i in range(0, whole, WIDTH):
        store(opacities, i, one / (one + exp2(maximum(minimum(load(logits, i) * -_LOG2E, _LIMIT), -_LIMIT))))
    for i in range(whole, count):
        opacities[i] = _ONE / (_ONE + np.exp(max(min(-logits[i], _f(87.0)), _f(-87.0))))


@kernel
def _forward(  # type: ignore[no-untyped-def]
    part, parts, means, quats, log_scales, logits, sh, vertices, joints,
    out_means, out_quats, out_scales, out_opacities, out_colours,
    faces, rest_quats, rest_sizes, weights, order, run_binding, run_start, block, centre, degree,
):  # fmt: skip
    turns = joint_quats(joints)
    terms = (degree + 1) * (degree + 1)
    basis = np.empty(25, np.float32)
    basis[0] = _Y00
    camera_x, camera_y, camera_z = centre[0], centre[1], centre[2]
    for b in range(part, BLOCKS, parts):
        for run in range(block[b], block[b + 1]):
            ax, ay, az, bx, by, bz, cx, cy, cz, tx, ty, tz, length, height, _, _ = frame(
                vertices, faces, joints, rest_quats, rest_sizes, weights, turns, run_binding[run]
            )
            k = _HALF * (length + height)
            qw, qx, qy, qz = quaternion(ax, ay, az, bx, by, bz, cx, cy, cz)
            for position in range(run_start[run], run_start[run + 1]):
                n = order[position]
                u, v, w = k * means[n, 0], k * means[n, 1], k * means[n, 2]
                x, y, z = ax * u + bx * v + cx * w + tx, ay * u + by * v + cy * w + ty, az * u + bz * v + cz * w + tz
                out_means[n, 0], out_means[n, 1], out_means[n, 2] = x, y, z
                pw, px, py, pz = quats[n, 0], quats[n, 1], quats[n, 2], quats[n, 3]
                out_quats[n, 0] = qw * pw - qx * px - qy * py - qz * pz
                out_quats[n, 1] = qw * px + qx * pw + qy * pz - qz * py
                out_quats[n, 2] = qw * py - qx * pz + qy * pw + qz * px
                out_quats[n, 3] = qw * pz + qx * py - qy * px + qz * pw
                out_scales[n, 0] *= k
                out_scales[n, 1] *= k
                out_scales[n, 2] *= k
                red, green, blue = _HALF + _Y00 * sh[n, 0, 0], _HALF + _Y00 * sh[n, 0, 1], _HALF + _Y00 * sh[n, 0, 2]
                if degree > 0:
                    dx, dy, dz = x - camera_x, y - camera_y, z - camera_z
                    inverse = _ONE / np.sqrt(max(dx * dx + dy * dy + dz * dz, _TINY))
                    fill_basis(
                        (ax * dx + ay * dy + az * dz) * inverse,
                        (bx * dx + by * dy + bz * dz) * inverse,
                        (cx * dx + cy * dy + cz * dz) * inverse,
                        degree,
                        basis,
                    )
                    for i in range(1, terms):
                        red += basis[i] * sh[n, i, 0]
                        green += basis[i] * sh[n, i, 1]
                        blue += basis[i] * sh[n, i, 2]
                out_colours[n, 0] = max(red, _ZERO)
                out_colours[n, 1] = max(green, _ZERO)
                out_colours[n, 2] = max(blue, _ZERO)


@kernel
def _backward(  # type: ignore[no-untyped-def]
    part, parts, means, quats, log_scales, logits, sh, vertices, joints,
    out_means, out_quats, out_scales, out_opacities, out_colours,
    g_means, g_quats, g_scales, g_opacities, g_colours,
    d_means, d_quats, d_log_scales, d_logits, d_sh, corner_grad, joint_grad,
    faces, rest_quats, rest_sizes, weights, order, run_binding, run_start, block, centre, degree, moves_mesh, moves_joints,
):  # fmt: skip
    turns = joint_quats(joints)
    terms = (degree + 1) * (degree + 1)
    stored = sh.shape[1]
    basis = np.empty(25, np.float32)
    weight = np.empty(25, np.float32)
    basis[0] = _Y00
    camera_x, camera_y, camera_z = centre[0], centre[1], centre[2]
    for b in range(part, BLOCKS, parts):
        for run in range(block[b], block[b + 1]):
            binding = run_binding[run]
            ax, ay, az, bx, by, bz, cx, cy, cz, tx, ty, tz, length, height, along, flat = frame(
                vertices, faces, joints, rest_quats, rest_sizes, weights, turns, binding
            )
            k = _HALF * (length + height)
            qw, qx, qy, qz = quaternion(ax, ay, az, bx, by, bz, cx, cy, cz)
            force_x, force_y, force_z = _ZERO, _ZERO, _ZERO
            torque_x, torque_y, torque_z = _ZERO, _ZERO, _ZERO
            stretch = _ZERO
            for position in range(run_start[run], run_start[run + 1]):
                n = order[position]
                gx, gy, gz = g_means[n, 0], g_means[n, 1], g_means[n, 2]

                # Colour: first, since the view direction adds to the gradient of the mean.
                red = g_colours[n, 0] if out_colours[n, 0] > _ZERO else _ZERO
                green = g_colours[n, 1] if out_colours[n, 1] > _ZERO else _ZERO
                blue = g_colours[n, 2] if out_colours[n, 2] > _ZERO else _ZERO
                d_sh[n, 0, 0], d_sh[n, 0, 1], d_sh[n, 0, 2] = _Y00 * red, _Y00 * green, _Y00 * blue
                if degree > 0:
                    dx, dy, dz = out_means[n, 0] - camera_x, out_means[n, 1] - camera_y, out_means[n, 2] - camera_z
                    inverse = _ONE / np.sqrt(max(dx * dx + dy * dy + dz * dz, _TINY))
                    dx, dy, dz = dx * inverse, dy * inverse, dz * inverse
                    lx, ly, lz = ax * dx + ay * dy + az * dz, bx * dx + by * dy + bz * dz, cx * dx + cy * dy + cz * dz
                    fill_basis(lx, ly, lz, degree, basis)
                    for i in range(1, terms):
                        weight[i] = red * sh[n, i, 0] + green * sh[n, i, 1] + blue * sh[n, i, 2]
                        d_sh[n, i, 0], d_sh[n, i, 1], d_sh[n, i, 2] = basis[i] * red, basis[i] * green, basis[i] * blue
                    u, v, w = direction_gradient(lx, ly, lz, degree, weight)
                    hx, hy, hz = ax * u + bx * v + cx * w, ay * u + by * v + cy * w, az * u + bz * v + cz * w
                    torque_x -= dy * hz - dz * hy
                    torque_y -= dz * hx - dx * hz
                    torque_z -= dx * hy - dy * hx
                    radial = dx * hx + dy * hy + dz * hz
                    gx += (hx - radial * dx) * inverse
                    gy += (hy - radial * dy) * inverse
                    gz += (hz - radial * dz) * inverse
                for i in range(terms, stored):
                    d_sh[n, i, 0], d_sh[n, i, 1], d_sh[n, i, 2] = _ZERO, _ZERO, _ZERO

                opacity = out_opacities[n]
                d_logits[n] = g_opacities[n] * opacity * (_ONE - opacity)

                sx, sy, sz = (
                    g_scales[n, 0] * out_scales[n, 0],
                    g_scales[n, 1] * out_scales[n, 1],
                    g_scales[n, 2] * out_scales[n, 2],
                )
                d_log_scales[n, 0], d_log_scales[n, 1], d_log_scales[n, 2] = sx, sy, sz

                u, v, w = ax * gx + ay * gy + az * gz, bx * gx + by * gy + bz * gz, cx * gx + cy * gy + cz * gz
                d_means[n, 0], d_means[n, 1], d_means[n, 2] = k * u, k * v, k * w

                gw, g1, g2, g3 = g_quats[n, 0], g_quats[n, 1], g_quats[n, 2], g_quats[n, 3]
                d_quats[n, 0] = qw * gw + qx * g1 + qy * g2 + qz * g3
                d_quats[n, 1] = qw * g1 - qx * gw - qy * g3 + qz * g2
                d_quats[n, 2] = qw * g2 + qx * g3 - qy * gw - qz * g1
                d_quats[n, 3] = qw * g3 - qx * g2 + qy * g1 - qz * gw

                if moves_mesh or moves_joints:
                    force_x += gx
                    force_y += gy
                    force_z += gz
                    ox, oy, oz = out_means[n, 0] - tx, out_means[n, 1] - ty, out_means[n, 2] - tz
                    pw, px, py, pz = out_quats[n, 0], out_quats[n, 1], out_quats[n, 2], out_quats[n, 3]
                    torque_x += oy * gz - oz * gy + _HALF * (pw * g1 - gw * px + py * g3 - pz * g2)
                    torque_y += oz * gx - ox * gz + _HALF * (pw * g2 - gw * py + pz * g1 - px * g3)
                    torque_z += ox * gy - oy * gx + _HALF * (pw * g3 - gw * pz + px * g2 - py * g1)
                    stretch += means[n, 0] * u + means[n, 1] * v + means[n, 2] * w + (sx + sy + sz) / k

            if binding >= 0:
                if moves_mesh:
                    edge_x, edge_y, edge_z = _ZERO, _ZERO, _ZERO
                    side_x, side_y, side_z = _ZERO, _ZERO, _ZERO
                    if not flat:
                        # How a0, a1, a2 and k follow e = v1 − v0 and f = v2 − v0: da0·a1 = de·a1/|e|, da0·a2 = de·a2/|e|,
                        # da1·a2 = (df·a1 − (f·a0) da0·a1)/h, dh = (f·a0) da0·a2 − df·a2, and k = (|e| + h)/2.
                        t0 = torque_x * ax + torque_y * ay + torque_z * az
                        t1 = torque_x * bx + torque_y * by + torque_z * bz
                        t2 = torque_x * cx + torque_y * cy + torque_z * cz
                        half = _HALF * stretch
                        in_a0 = half
                        in_a1 = (t2 - t0 * along / height) / length
                        in_a2 = (half * along - t1) / length
                        edge_x = in_a0 * ax + in_a1 * bx + in_a2 * cx
                        edge_y = in_a0 * ay + in_a1 * by + in_a2 * cy
                        edge_z = in_a0 * az + in_a1 * bz + in_a2 * cz
                        in_a1 = t0 / height
                        side_x, side_y, side_z = in_a1 * bx - half * cx, in_a1 * by - half * cy, in_a1 * bz - half * cz
                    force_x, force_y, force_z = force_x * _THIRD, force_y * _THIRD, force_z * _THIRD
                    corner_grad[binding, 0] = force_x - edge_x - side_x
                    corner_grad[binding, 1] = force_y - edge_y - side_y
                    corner_grad[binding, 2] = force_z - edge_z - side_z
                    corner_grad[binding, 3] = force_x + edge_x
                    corner_grad[binding, 4] = force_y + edge_y
                    corner_grad[binding, 5] = force_z + edge_z
                    corner_grad[binding, 6] = force_x + side_x
                    corner_grad[binding, 7] = force_y + side_y
                    corner_grad[binding, 8] = force_z + side_z
                if moves_joints and len(rest_sizes) > 0:
                    joint_grad[run, 3], joint_grad[run, 4], joint_grad[run, 5] = torque_x, torque_y, torque_z
            elif moves_joints:
                joint_grad[run, 0], joint_grad[run, 1], joint_grad[run, 2] = force_x, force_y, force_z
                joint_grad[run, 3], joint_grad[run, 4], joint_grad[run, 5] = torque_x, torque_y, torque_z


@kernel
def _gather_vertices(part, parts, corner_grad, start, corner, out):  # type: ignore[no-untyped-def]
    """Sum the corners of every vertex, in a fixed order."""
    flat = corner_grad.reshape(-1)
    count = out.shape[0]
    for v in range(part * count // parts, (part + 1) * count // parts):
        x, y, z = _ZERO, _ZERO, _ZERO
        for i in range(start[v], start[v + 1]):
            at = 3 * corner[i]
            x += flat[at]
            y += flat[at + 1]
            z += flat[at + 2]
        out[v, 0], out[v, 1], out[v, 2] = x, y, z


@kernel
def _gather_joints(joint_grad, run_binding, weights, joints, out):  # type: ignore[no-untyped-def]
    """Sum the runs of every joint.  ∂L/∂R = ½ [torque]× R is the gradient along rotations of R.

    A skin frame turns with Σ w_j q_j / |…| =: q: a rotation ω of joint j turns it by (w_j/|…|)(a ω + ω × b), (a, b) := q_j ∘ q*.
    """
    torque = np.zeros((joints.shape[0], 3), np.float32)
    turns = joint_quats(joints)
    for run in range(run_binding.size):
        if run_binding[run] < 0:
            j = -1 - run_binding[run]
            for i in range(3):
                out[j, i, 3] += joint_grad[run, i]
                torque[j, i] += joint_grad[run, 3 + i]
        elif len(weights) > 0:
            x, y, z = joint_grad[run, 3], joint_grad[run, 4], joint_grad[run, 5]
            qw, qx, qy, qz, inverse = blended(weights, turns, run_binding[run])
            for j in range(joints.shape[0]):
                share = weights[run_binding[run], j] * inverse * inverse
                pw, px, py, pz = turns[j, 0], turns[j, 1], turns[j, 2], turns[j, 3]
                a = pw * qw + px * qx + py * qy + pz * qz
                bx, by, bz = (
                    -pw * qx + px * qw - py * qz + pz * qy,
                    -pw * qy + px * qz + py * qw - pz * qx,
                    -pw * qz - px * qy + py * qx + pz * qw,
                )
                torque[j, 0] += share * (a * x + by * z - bz * y)
                torque[j, 1] += share * (a * y + bz * x - bx * z)
                torque[j, 2] += share * (a * z + bx * y - by * x)
    for j in range(joints.shape[0]):
        x, y, z = _HALF * torque[j, 0], _HALF * torque[j, 1], _HALF * torque[j, 2]
        for c in range(3):
            u, v, w = joints[j, 0, c], joints[j, 1, c], joints[j, 2, c]
            out[j, 0, c] = y * w - z * v
            out[j, 1, c] = z * u - x * w
            out[j, 2, c] = x * v - y * u
