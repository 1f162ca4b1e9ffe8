"""Gaussians that stand in the world at rest, in the frames that will carry them: joints or triangles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.errors import InputError
from avatarkit.gaussians.frames import Frames, quat_from_matrix, quat_multiply, triangle_frames
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.skin_frames import posed_frames, skin_frames
from avatarkit.head.parameters import HeadPose
from avatarkit.types import IntArray

SMALLEST = 1e-5  # metres: triangles below have no frame to speak of


def ride(world: Gaussians, binding: Tensor, pose: HeadPose, faces: Tensor) -> Gaussians:
    """``world`` in local coordinates, so that ``pose_gaussians`` in ``pose`` gives it back; the view-independent colour stays.

    world: means (N, 3) and quats (N, 4) in the world, log_scales of metres; binding (N,) integers: ≥ 0 a triangle, in its skin
    frame where ``pose`` has them, −1 − j joint j.  pose: of one timestep.  Raises InputError for a binding outside the head.
    """
    count, joints = len(faces), pose.joints.shape[1]
    if len(binding) and not (-joints <= int(binding.min()) and int(binding.max()) < count):
        raise InputError(
            f"bindings lie in [{int(binding.min())}, {int(binding.max())}]; expected −{joints} to {count - 1}"
        )
    own = binding.long()
    with torch.no_grad():
        bound = _frames(pose, faces)
        rotation = torch.cat([bound.rotation, pose.joints[0, :, :3, :3].flip(0)])[own]
        origin = torch.cat([bound.origin, pose.joints[0, :, :3, 3].flip(0)])[own]
        size = torch.cat([bound.size, torch.ones(joints)])[own][:, None]
        means = (rotation.mT @ (world.means - origin)[..., None])[..., 0] / size
        quats = quat_multiply(quat_from_matrix(rotation.mT.contiguous()), world.quats)
        return replace(
            world, means=means, quats=quats, log_scales=world.log_scales - size.log(), binding=own.to(torch.int32)
        )


def on_joint(count: int, joint: int) -> Tensor:
    """(count,) bindings to ``joint``."""
    return torch.full((count,), -1 - joint, dtype=torch.int32)


def on_skin(points: Tensor, anatomy: Anatomy, head: HeadModel) -> Tensor:
    """(N,) the triangle under each of ``points`` (N, 3): the nearest, or the nearest with a usable frame."""
    return torch.from_numpy(usable_triangles(anatomy, anatomy.skin.nearest(points.double().numpy()).triangles)).int()


def usable_triangles(anatomy: Anatomy, triangles: IntArray) -> IntArray:
    """``triangles`` (N,), slivers replaced by the usable triangle whose centroid is nearest."""
    skin = anatomy.skin
    corners = skin.vertices[skin.faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    good = 2 * skin.areas > SMALLEST * longest
    bad = ~good[triangles]
    if not bad.any():
        return triangles
    centroids = corners.mean(1)
    usable = skin.kept[good[skin.kept]]
    gaps = ((centroids[triangles[bad], None] - centroids[usable]) ** 2).sum(2)
    mended = triangles.copy()
    mended[bad] = usable[gaps.argmin(1)]
    return mended


def _frames(pose: HeadPose, faces: Tensor) -> Frames:
    if pose.skin is None:
        return triangle_frames(pose.vertices[0], faces)
    return posed_frames(skin_frames(pose.skin, faces), pose.vertices[0], pose.joints[0], faces)
