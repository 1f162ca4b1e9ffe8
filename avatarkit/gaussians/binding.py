"""Bound Gaussians → world.

A Gaussian with ``binding`` ≥ 0 has coordinates in that triangle's frame R, t, k (GaussianAvatars, Qian et al., CVPR 2024,
eq. 1-3), or in its skin frame (``skin_frames``): μ' = kRμ + t, r' = R∘r, s' = k·s.  One with ``binding`` −1 − j has coordinates in the frame of joint j, with k = 1.

View directions.  GaussianAvatars, like 3DGS, evaluates spherical harmonics along the world direction.  Here the direction is
first turned into the frame that carries the Gaussian.  Reasons: the picture of a head and a camera that move together does not
change, so a tracker may put the motion of a clip into the head or into the camera; directions that training has seen
stay the ones that are evaluated when the head is turned by another motion; and a highlight moves with its
surface.  The price: light that is fixed in the world is baked in as if it turned with the head.

There are two bodies: Numba for float32 on the CPU (``binding_cpu``), plain torch for everything else.  One test holds
both to the same answers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from avatarkit.bodies import compiled
from avatarkit.errors import InputError
from avatarkit.gaussians.carriers import carriers
from avatarkit.gaussians.correctives import corrected
from avatarkit.gaussians.frames import Frames, triangle_frames
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose, Skinning
from avatarkit.render.sh import sh_colours

__all__ = ["Frames", "Posed", "gaussians_in_pose", "pose_gaussians", "pose_gaussians_torch", "triangle_frames"]


class Posed(NamedTuple):
    """Gaussians in the world, as a rasterizer takes them.

    means (N, 3) metres; quats (N, 4) wxyz, as long as the stored ones; scales (N, 3) metres, > 0; opacities (N,) in (0, 1);
    colours (N, 3) ≥ 0.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colours: Tensor


def pose_gaussians(
    gaussians: Gaussians,
    vertices: Tensor,
    joints: Tensor,
    faces: Tensor,
    *,
    camera_centre: Tensor | None = None,
    sh_degree: int | None = None,
    skin: Skinning | None = None,
    weights: Tensor | None = None,
) -> Posed:
    """Carry ``gaussians`` to one pose of the head and evaluate their colours for one camera.

    vertices (V, 3) world, metres; joints (J, 4, 4) rigid, joint frame → world; faces (F, 3) integers; camera_centre (3,) world, or
    None to use the view-independent part of the colour; sh_degree: at most the stored degree, which is the default; skin: of the
    same pose, for ``skin_frames`` in place of the triangles' own; weights (K,) or (1, K): of the pose, for the Gaussians' correctives.

    Differentiable in means, quats, log_scales, opacity_logits, sh, correctives, vertices and joints (not in the camera centre).  The gradient
    for a joint's rotation is the one along rotations: its part off the rotation group, which has no meaning, is zero on the
    CPU.  Gradients for vertices and joints cost nothing when they are not required, and are the same bits for any number
    of threads.  Raises InputError for shapes that do not fit and for a binding outside the head model.
    """
    degree = _degree(gaussians, camera_centre, sh_degree)
    _check(gaussians, vertices, joints, faces, weights)
    gaussians = corrected(gaussians, weights)
    if compiled(vertices, gaussians.means):
        from avatarkit.gaussians.binding_cpu import pose_gaussians_cpu

        return Posed(*pose_gaussians_cpu(gaussians, vertices, joints, faces, camera_centre, degree, skin))
    return pose_gaussians_torch(
        gaussians, vertices, joints, faces, camera_centre=camera_centre, sh_degree=degree, skin=skin
    )


def gaussians_in_pose(
    gaussians: Gaussians, pose: HeadPose, faces: Tensor, *, camera_centre: Tensor | None = None, sh_degree: int | None = None
) -> Posed:  # fmt: skip
    """``pose_gaussians`` to a posed head of one timestep, by its skin and its weights where it has them."""
    return pose_gaussians(
        gaussians, pose.vertices[0], pose.joints[0], faces,
        camera_centre=camera_centre, sh_degree=sh_degree, skin=pose.skin, weights=pose.weights,
    )  # fmt: skip


def pose_gaussians_torch(
    gaussians: Gaussians,
    vertices: Tensor,
    joints: Tensor,
    faces: Tensor,
    *,
    camera_centre: Tensor | None = None,
    sh_degree: int | None = None,
    skin: Skinning | None = None,
) -> Posed:
    """``pose_gaussians`` in plain torch: the reference, and the body for CUDA and float64."""
    degree = _degree(gaussians, camera_centre, sh_degree)
    # Triangles first, then joints: −1 − j becomes F + j.  ``index_select``, since its gradient is a sum by atomics on a GPU, where
    # that of an index is a sort of all Gaussians.
    binding = gaussians.binding.long()
    row = torch.where(binding < 0, len(faces) - 1 - binding, binding)
    frames = carriers(vertices, joints, faces, skin)
    rotation, origin, size, turn = (value.index_select(0, row) for value in frames)
    size = size[:, None]

    means = size * (rotation @ gaussians.means[..., None])[..., 0] + origin
    (w, axis), (v, local) = turn.split((1, 3), 1), gaussians.quats.split((1, 3), 1)
    real = w * v - (axis * local).sum(1, keepdim=True)  # quat_multiply in a third of the launches
    quats = torch.cat([real, w * local + v * axis + torch.linalg.cross(axis, local)], 1)
    scales = size * gaussians.log_scales.exp()
    directions = None
    if degree > 0 and camera_centre is not None:
        offset = means - camera_centre.detach().to(means)
        distance = (offset * offset).sum(-1, keepdim=True).clamp_min(1e-20).sqrt()
        directions = (rotation.transpose(1, 2) @ (offset / distance)[..., None])[..., 0]
    colours = sh_colours(gaussians.sh, directions, degree)
    return Posed(means, quats, scales, torch.sigmoid(gaussians.opacity_logits), colours)


def _degree(gaussians: Gaussians, camera_centre: Tensor | None, sh_degree: int | None) -> int:
    stored = gaussians.sh_degree
    degree = stored if sh_degree is None else sh_degree
    if not 0 <= degree <= stored:
        raise InputError(f"spherical-harmonic degree {degree}; these Gaussians store degree {stored}")
    return 0 if camera_centre is None else degree


def _check(gaussians: Gaussians, vertices: Tensor, joints: Tensor, faces: Tensor, weights: Tensor | None) -> None:
    count = len(gaussians)
    expected = {"means": (count, 3), "quats": (count, 4), "log_scales": (count, 3), "opacity_logits": (count,)}
    expected["sh"] = (count, (gaussians.sh_degree + 1) ** 2, 3)
    expected["binding"] = (count,)
    for name, shape in expected.items():
        found = tuple(getattr(gaussians, name).shape)
        if found != shape:
            raise InputError(f"Gaussians: '{name}' has shape {found}; expected {shape}")
    if weights is not None and gaussians.num_correctives and weights.numel() != gaussians.num_correctives:
        raise InputError(
            f"{weights.numel()} weights of a pose; these Gaussians have {gaussians.num_correctives} correctives"
        )
    for name, value, tail in (("vertices", vertices, (3,)), ("joints", joints, (4, 4)), ("faces", faces, (3,))):
        if value.ndim != len(tail) + 1 or tuple(value.shape[1:]) != tail:
            raise InputError(f"pose_gaussians: '{name}' has shape {tuple(value.shape)}; expected (·, {tail})")
