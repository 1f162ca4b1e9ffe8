"""The CPU body of the joint chain: rotations, forward kinematics and their derivatives in one compiled pass.

In torch the five joints cost sixty operations of a few microseconds each, forward and backward: more than all the vertices.
The derivation is in the comments; ``avatarkit.head.skinning.joint_transforms_torch`` is the reference.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor


@njit(cache=True, nogil=True)
def rodrigues_factors(t: float) -> Any:
    """a = sin θ/θ, b = (1 − cos θ)/θ² and their derivatives by t = θ²; by series below θ = 0.1."""
    if t < 1e-2:
        a = 1 - t / 6 * (1 - t / 20 * (1 - t / 42 * (1 - t / 72)))
        b = 0.5 - t / 24 * (1 - t / 30 * (1 - t / 56 * (1 - t / 90)))
        da = -1 / 6 + t / 60 * (1 - t / 28 * (1 - t / 54))
        db = -1 / 24 + t / 360 * (1 - 3 * t / 112 * (1 - 2 * t / 135))
        return a, b, da, db
    angle = math.sqrt(t)
    a = math.sin(angle) / angle
    b = 2 * math.sin(0.5 * angle) ** 2 / t
    return a, b, (math.cos(angle) - a) / (2 * t), (0.5 * a - b) / t


@njit(cache=True, nogil=True)
def rotation_of(r: Any, out: Any) -> None:
    """Axis-angle (3,) → out (3, 3) = (1 − b t) I + a K + b r rᵀ."""
    t = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    a, b, _, _ = rodrigues_factors(t)
    for i in range(3):
        for k in range(3):
            out[i, k] = b * r[i] * r[k]
        out[i, i] += 1 - b * t
    out[0, 1] -= a * r[2]
    out[1, 0] += a * r[2]
    out[0, 2] += a * r[1]
    out[2, 0] -= a * r[1]
    out[1, 2] -= a * r[0]
    out[2, 1] += a * r[0]


@njit(cache=True, nogil=True)
def rotation_gradient(r: Any, d: Any, out: Any) -> None:
    """∂L/∂R = d (3, 3) → out = ∂L/∂r.

    ⟨d, R⟩ = (1 − b t)·tr d + a·(s·r) + b·(rᵀ d r), s the vector of d's skew part.
    """
    t = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    a, b, da, db = rodrigues_factors(t)
    s = (d[2, 1] - d[1, 2], d[0, 2] - d[2, 0], d[1, 0] - d[0, 1])
    trace = d[0, 0] + d[1, 1] + d[2, 2]
    along = s[0] * r[0] + s[1] * r[1] + s[2] * r[2]
    quadratic = 0.0
    for i in range(3):
        for k in range(3):
            quadratic += r[i] * d[i, k] * r[k]
    radial = 2 * ((-b - db * t) * trace + da * along + db * quadratic)
    for i in range(3):
        out[i] = radial * r[i] + a * s[i]
        for k in range(3):
            out[i] += b * (d[i, k] + d[k, i]) * r[k]


@njit(cache=True, nogil=True)
def chain(rotvecs: Any, rest: Any, translation: Any, parents: Any, local: Any, turn: Any, place: Any) -> None:
    """One timestep: turn_j = turn_p R_j, place_j = place_p + turn_p (rest_j − rest_p)."""
    for j in range(len(parents)):
        rotation_of(rotvecs[j], local[j])
        p = parents[j]
        for i in range(3):
            if p < 0:
                place[j, i] = rest[j, i] + translation[i]
            else:
                place[j, i] = place[p, i]
            for k in range(3):
                if p < 0:
                    turn[j, i, k] = local[j, i, k]
                else:
                    place[j, i] += turn[p, i, k] * (rest[j, k] - rest[p, k])
                    turn[j, i, k] = 0.0
                    for m in range(3):
                        turn[j, i, k] += turn[p, i, m] * local[j, m, k]


@njit(cache=True, nogil=True)
def kinematics_forward(
    rotvecs: Any, rest: Any, translation: Any, parents: Any, corrective: Any, transforms: Any, affine: Any
) -> None:
    """rotvecs, rest (T, J, 3), translation (T, 3) → corrective (T, J − 1, 3, 3) R − I, transforms (T, J, 4, 4) joint →
    world, affine (T, J, 3, 4) rest position → world."""
    steps, joints = rotvecs.shape[:2]
    local, turn, place = np.empty((joints, 3, 3)), np.empty((joints, 3, 3)), np.empty((joints, 3))
    for step in range(steps):
        chain(rotvecs[step], rest[step], translation[step], parents, local, turn, place)
        for j in range(joints):
            for i in range(3):
                shift = place[j, i]
                for k in range(3):
                    transforms[step, j, i, k] = turn[j, i, k]
                    affine[step, j, i, k] = turn[j, i, k]
                    shift -= turn[j, i, k] * rest[step, j, k]
                    if j > 0:
                        corrective[step, j - 1, i, k] = local[j, i, k] - (1.0 if i == k else 0.0)
                transforms[step, j, i, 3] = place[j, i]
                transforms[step, j, 3, i] = 0.0
                affine[step, j, i, 3] = shift
            transforms[step, j, 3, 3] = 1.0


@njit(cache=True, nogil=True)
def kinematics_backward(
    rotvecs: Any, rest: Any, translation: Any, parents: Any, d_corrective: Any, d_transforms: Any, d_affine: Any,
    d_rotvecs: Any, d_rest: Any, d_translation: Any,
) -> None:  # fmt: skip
    """Reverse of ``kinematics_forward``, children before parents."""
    steps, joints = rotvecs.shape[:2]
    local, turn, place = np.empty((joints, 3, 3)), np.empty((joints, 3, 3)), np.empty((joints, 3))
    d_turn, d_place, d_joint, d_local = (
        np.empty((joints, 3, 3)), np.empty((joints, 3)), np.empty((joints, 3)), np.empty((3, 3)),
    )  # fmt: skip
    d_vector = np.empty(3)
    for step in range(steps):
        chain(rotvecs[step], rest[step], translation[step], parents, local, turn, place)
        d_joint[:] = 0.0
        for j in range(joints):  # shift = place − turn · rest
            for i in range(3):
                d_shift = float(d_affine[step, j, i, 3])
                d_place[j, i] = d_transforms[step, j, i, 3] + d_shift
                for k in range(3):
                    d_turn[j, i, k] = d_transforms[step, j, i, k] + d_affine[step, j, i, k] - d_shift * rest[step, j, k]
                    d_joint[j, k] -= turn[j, i, k] * d_shift
        for j in range(joints - 1, -1, -1):
            p = parents[j]
            for i in range(3):
                for k in range(3):
                    d_local[i, k] = d_corrective[step, j - 1, i, k] if j > 0 else 0.0
            if p < 0:
                for i in range(3):
                    d_joint[j, i] += d_place[j, i]
                    d_translation[step, i] = d_place[j, i]
                    for k in range(3):
                        d_local[i, k] += d_turn[j, i, k]
            else:
                for i in range(3):
                    d_place[p, i] += d_place[j, i]
                    for k in range(3):
                        d_bone = turn[p, i, k] * d_place[j, i]
                        d_joint[j, k] += d_bone
                        d_joint[p, k] -= d_bone
                        d_turn[p, i, k] += d_place[j, i] * (rest[step, j, k] - rest[step, p, k])
                        for m in range(3):  # turn_j = turn_p · local_j
                            d_local[m, k] += turn[p, i, m] * d_turn[j, i, k]
                            d_turn[p, i, m] += d_turn[j, i, k] * local[j, m, k]
            rotation_gradient(rotvecs[step, j], d_local, d_vector)
            for i in range(3):
                d_rotvecs[step, j, i] = d_vector[i]
        d_rest[step] = d_joint


class JointKinematics(torch.autograd.Function):
    """``joint_transforms`` for float32 CPU tensors."""

    @staticmethod
    def forward(
        ctx: Any, rotvecs: Tensor, rest: Tensor, translation: Tensor, parents: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, joints = rotvecs.shape[:2]
        tree = np.asarray(parents, np.int64)
        corrective = torch.empty(steps, joints - 1, 3, 3)
        transforms, affine = torch.empty(steps, joints, 4, 4), torch.empty(steps, joints, 3, 4)
        inputs = [value.detach().contiguous() for value in (rotvecs, rest, translation)]
        kinematics_forward(
            *(value.numpy() for value in inputs), tree, corrective.numpy(), transforms.numpy(), affine.numpy()
        )
        ctx.save_for_backward(*inputs)
        ctx.tree = tree
        return corrective.view(steps, -1), transforms, affine

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, d_corrective: Tensor, d_transforms: Tensor, d_affine: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        inputs = ctx.saved_tensors
        joints = len(ctx.tree)
        results = tuple(torch.empty_like(value) for value in inputs)
        kinematics_backward(
            *(value.numpy() for value in inputs),
            ctx.tree,
            d_corrective.contiguous().view(-1, joints - 1, 3, 3).numpy(),
            d_transforms.contiguous().numpy(),
            d_affine.contiguous().numpy(),
            *(value.numpy() for value in results),
        )
        return results[0], results[1], results[2], None
