"""Skin frames: the rotation that linear blend skinning gives a triangle, its size at rest, its centroid now.

With unit quaternions q_j of the joints, signs chosen along the root's, and w_j the mean skinning weights of the three corners:
R = R(Σ w_j q_j)·R_rest, k = k_rest, t = centroid.  R_rest and k_rest are the triangle's own frame on the neutral head.
"""

from __future__ import annotations

import weakref
from typing import NamedTuple

import torch
from torch import Tensor

from avatarkit.gaussians.frames import Frames, quat_from_matrix, quat_multiply, triangle_frames
from avatarkit.head.parameters import Skinning


class SkinFrames(NamedTuple):
    """quats (F, 4) wxyz and sizes (F,), metres, of the neutral head's triangles; weights (F, J)."""

    quats: Tensor
    sizes: Tensor
    weights: Tensor


_last: list[tuple[weakref.ref[Tensor], weakref.ref[Tensor], SkinFrames]] = []


def skin_frames(skin: Skinning, faces: Tensor) -> SkinFrames:
    """The constant part; kept while the same neutral head comes again."""
    for neutral, triangles, kept in tuple(_last):  # one entry; a copy, since other threads may put theirs
        if neutral() is skin.neutral and triangles() is faces:
            return kept
    with torch.no_grad():
        rest = triangle_frames(skin.neutral.T.contiguous(), faces)
        weights = skin.weights.T[faces.long()].mean(1).contiguous()
        made = SkinFrames(quat_from_matrix(rest.rotation).contiguous(), rest.size.contiguous(), weights)
    _last[:] = [(weakref.ref(skin.neutral), weakref.ref(faces), made)]
    return made


def joint_quats(joints: Tensor) -> Tensor:
    """(J, 4) unit quaternions of (J, 4, 4) joints, in the half-space of the root's."""
    quats = quat_from_matrix(joints[:, :3, :3])
    side = torch.where((quats * quats[:1]).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(quats)
    return quats * side


def posed_frames(skin: SkinFrames, vertices: Tensor, joints: Tensor, faces: Tensor) -> Frames:
    """Frames of all triangles on vertices (V, 3) and joints (J, 4, 4); differentiable in both."""
    blended = skin.weights.to(joints) @ joint_quats(joints)
    turned = quat_multiply(torch.nn.functional.normalize(blended, dim=-1), skin.quats.to(joints))
    return Frames(rotation_matrices(turned), vertices[faces.long()].mean(1), skin.sizes.to(vertices))


def rotation_matrices(quats: Tensor) -> Tensor:
    """(…, 3, 3) of unit quaternions wxyz (…, 4)."""
    w, x, y, z = quats.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)
