"""The same Gaussians in another frame: free ones on triangles, all of them in the world.

What other tools hold is either bound to triangles (GaussianAvatars) or stands in the world (every splat viewer), and both evaluate
spherical harmonics along world directions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.gaussians.binding import gaussians_in_pose, pose_gaussians
from avatarkit.gaussians.correctives import corrected
from avatarkit.gaussians.frames import DEGENERATE, Frames, quat_from_matrix, quat_multiply, triangle_frames
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.ply_file import Splats
from avatarkit.gaussians.skin_frames import posed_frames, skin_frames
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.render.sh_rotation import rotated_sh

CANDIDATES = 12  # triangles that are tried for a free Gaussian, nearest first
SAMPLED = 16  # moments of the motion over which they are compared


def frame_rotations(gaussians: Gaussians, pose: HeadPose, faces: Tensor) -> Tensor:
    """(N, 3, 3): the frame that carries each Gaussian in one pose, local → world."""
    rotation = torch.cat([bound_frames(pose, faces).rotation, pose.joints[0, :, :3, :3].flip(0)])
    return rotation[gaussians.binding.long()]


def bound_frames(pose: HeadPose, faces: Tensor) -> Frames:
    """The frames that carry bound Gaussians in one pose: skin frames where it has them."""
    if pose.skin is None:
        return triangle_frames(pose.vertices[0], faces)
    return posed_frames(skin_frames(pose.skin, faces), pose.vertices[0], pose.joints[0], faces)


def world_sh(gaussians: Gaussians, pose: HeadPose, faces: Tensor) -> Tensor:
    """(N, K, 3): coefficients for world directions that give in ``pose`` what the stored ones give for the frame's."""
    return rotated_sh(gaussians.sh, frame_rotations(gaussians, pose, faces))


def world_splats(gaussians: Gaussians, pose: HeadPose, faces: Tensor, *, world_directions: bool = False) -> Splats:
    """Every Gaussian where it stands in one pose, metres.  ``world_directions``: its colours are along world directions already."""
    gaussians, pose = corrected(gaussians, pose.weights), replace(pose, weights=None)
    with torch.no_grad():
        posed = gaussians_in_pose(gaussians, pose, faces)
        sh = gaussians.sh if world_directions else world_sh(gaussians, pose, faces)
    quats = posed.quats / posed.quats.norm(dim=1, keepdim=True)
    return Splats(
        posed.means.numpy(), quats.numpy(), posed.scales.log().numpy(), gaussians.opacity_logits.detach().numpy(),
        sh.detach().numpy(),
    )  # fmt: skip


def off_skin_frames(
    gaussians: Gaussians, head: HeadModel, pose: HeadPose, motion: HeadParams
) -> tuple[Gaussians, Tensor]:
    """Bound Gaussians that ride on skin frames, in the frames of their own triangles: exactly where they were in ``pose``.

    Returns the Gaussians and the mean distance (B,) over ``motion``, metres, of the B bound ones from where skin frames carry them.
    """
    rows = torch.nonzero(~gaussians.free)[:, 0]
    bound, faces = gaussians.select(rows), head.faces
    own = bound.binding.long()
    with torch.no_grad():
        posed = gaussians_in_pose(bound, pose, faces)
        here = triangle_frames(pose.vertices[0], faces)
        rotation, size = here.rotation[own], here.size[own]
        sh = bound.sh
        if bound.sh_degree:
            sh = rotated_sh(sh, rotation.mT @ frame_rotations(bound, pose, faces))
        moved = replace(
            bound, means=_into(here, own, posed.means), sh=sh, log_scales=(posed.scales / size[:, None]).log(),
            quats=quat_multiply(quat_from_matrix(rotation.mT.contiguous()), posed.quats),
        )  # fmt: skip
        strays = torch.zeros(len(rows))
        moments = _moments(motion)
        for moment in moments:
            then = head.pose(motion[moment])
            skinned = gaussians_in_pose(bound, then, faces).means
            frames = triangle_frames(then.vertices[0], faces)
            strays += (_out_of(frames, own, moved.means) - skinned).norm(dim=1) / len(moments)
    return _with_rows(gaussians, rows, moved), strays


def bound_to_triangles(
    gaussians: Gaussians, head: HeadModel, pose: HeadPose, motion: HeadParams
) -> tuple[Gaussians, Tensor]:
    """Free Gaussians on triangles: exactly where they were in ``pose``; elsewhere as near as a triangle can carry them.

    Of the ``CANDIDATES`` triangles nearest in ``pose`` each takes the one that strays least from the joint over ``motion``.
    Returns the Gaussians and that mean distance (F,), metres, for each of the F free ones.
    """
    rows = torch.nonzero(gaussians.free)[:, 0]
    if not len(rows):
        return gaussians, torch.zeros(0)
    from scipy.spatial import cKDTree

    free, faces = gaussians.select(rows), head.faces
    with torch.no_grad():
        posed = pose_gaussians(free, pose.vertices[0], pose.joints[0], faces)
        here = triangle_frames(pose.vertices[0], faces)
    usable = torch.nonzero(here.size > 100 * DEGENERATE)[:, 0]
    count = min(CANDIDATES, len(usable))
    found = cKDTree(here.origin[usable].numpy()).query(posed.means.numpy(), k=count)[1]
    candidates = usable[torch.from_numpy(np.asarray(found).reshape(len(rows), count))]
    local = _into(here, candidates, posed.means[:, None].expand(-1, count, -1))
    strays = torch.zeros(len(rows), count)
    moments = _moments(motion)
    for moment in moments:
        with torch.no_grad():
            then = head.pose(motion[moment])
            joint = pose_gaussians(free, then.vertices[0], then.joints[0], faces).means
        frames = triangle_frames(then.vertices[0], faces)
        strays += (_out_of(frames, candidates, local) - joint[:, None]).norm(dim=2) / len(moments)
    best = strays.argmin(1, keepdim=True)
    chosen = candidates.gather(1, best)[:, 0]
    rotation, size = here.rotation[chosen], here.size[chosen]
    quats = quat_multiply(quat_from_matrix(rotation.mT.contiguous()), posed.quats)
    sh = free.sh
    if free.sh_degree:  # their directions were the joint's
        sh = rotated_sh(sh, rotation.mT @ frame_rotations(free, pose, faces))
    bound = replace(
        free, means=local.gather(1, best[:, :, None].expand(-1, -1, 3))[:, 0], quats=quats, sh=sh,
        log_scales=(posed.scales / size[:, None]).log(), binding=chosen.to(torch.int32),
    )  # fmt: skip
    return _with_rows(gaussians, rows, bound), strays.gather(1, best)[:, 0]


def _moments(motion: HeadParams) -> list[int]:
    """At most ``SAMPLED`` timesteps, evenly spread."""
    spread = np.linspace(0, len(motion) - 1, min(SAMPLED, len(motion)))
    return [int(step) for step in np.unique(spread.round())]


def _with_rows(gaussians: Gaussians, rows: Tensor, changed: Gaussians) -> Gaussians:
    """``gaussians`` with ``changed`` (R) in the places ``rows`` (R,)."""
    values = {name: value.detach().clone() for name, value in gaussians.tensors().items()}
    for name, value in changed.tensors().items():
        values[name][rows] = value
    return Gaussians(**values)


def _into(frames: Frames, chosen: Tensor, points: Tensor) -> Tensor:
    """World points (…, 3) in the frames of triangles ``chosen`` (…)."""
    offset = (points - frames.origin[chosen])[..., None]
    return (frames.rotation[chosen].mT @ offset)[..., 0] / frames.size[chosen][..., None]


def _out_of(frames: Frames, chosen: Tensor, points: Tensor) -> Tensor:
    """The inverse of ``_into``."""
    return (frames.rotation[chosen] @ points[..., None])[..., 0] * frames.size[chosen][..., None] + frames.origin[
        chosen
    ]
