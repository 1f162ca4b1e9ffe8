"""Free Gaussians for what a head model does not have: hair, shoulders, clothes.

Gaussians bound to the model's triangles would smear to reach them.  So space around the head is carved by the mattes, once in
the frame of the joint that carries the skull and once in the root's: a cell stays if it is inside the matte in most views,
hides the face in almost none, and shows beside the drawn head in some.  Hair that hangs on the shoulders passes in both frames;
training decides which carries it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from avatarkit.contracts import HeadModel
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.drawn_head import drawn_head
from avatarkit.track.sequence import Sequence
from avatarkit.types import Float32Array, FloatArray

REACH = 0.09  # metres from the head model's surface: how far hair and clothes are looked for
BELOW = 0.16  # metres below the model: shoulders
INSIDE, HIDING, BESIDE, LEVEL = 0.9, 0.1, 0.03, 0.8  # shares of the views
SEEN = 0.2  # share of the views that a cell has to be in the picture of
SLAB = 0.03  # metres before and behind the head's middle: one camera says nothing of depth, and cells far off turn into floaters
FRONT_MARGIN = 0.006  # metres before the surface that count as hiding it
MATTE = 110  # of 255
ROUNDING = 1e-9  # metres


@dataclass
class Votes:
    """How many views judged a cell (n,), and in how many it was inside, hid the face, showed beside; colour sums (n, 3)."""

    seen: FloatArray
    inside: FloatArray
    hiding: FloatArray
    beside: FloatArray
    level: FloatArray
    colour: FloatArray


def free_gaussians(
    sequence: Sequence, head: HeadModel, pose: HeadPose, views: list[int], config: ReconConfig
) -> Gaussians | None:
    """At most ``config.free_gaussians`` on a grid of cells, or None where the mattes have nothing beside the head.

    views: frames of ``sequence`` that all have mattes; ``pose`` holds every timestep.  Cells start at ``config.free_voxel`` and
    grow until they fit.
    """
    faces = head.faces.numpy()
    drawn = {index: drawn_head(sequence, pose, faces, index) for index in views}
    depths = {index: np.where(d.triangle >= 0, d.depth, np.inf).astype(np.float32) for index, d in drawn.items()}
    parts = []
    for name, share in (("neck", 0.6), ("root", 0.4)):
        joint = head.joint_names.index(name)
        part = _carved(sequence, pose, views, depths, joint, int(share * config.free_gaussians), config)
        if part is not None:
            parts.append(part)
    return Gaussians.cat(parts) if parts else None


def _carved(
    sequence: Sequence, pose: HeadPose, views: list[int], depths: dict[int, Float32Array], joint: int, limit: int,
    config: ReconConfig,
) -> Gaussians | None:  # fmt: skip
    size = config.free_voxel
    while True:
        cells = _cells(pose, views, sequence, joint, size)
        votes = _vote(sequence, pose, views, depths, joint, cells)
        judged = votes.seen >= max(1.0, SEEN * len(views))
        total = np.maximum(votes.seen, 1.0)
        keep = (
            judged
            & (votes.inside >= INSIDE * total)
            & (votes.hiding <= HIDING * total)
            & (votes.beside >= BESIDE * total)
            & (votes.level >= LEVEL * total)
        )
        if int(keep.sum()) <= limit:
            break
        size *= max(1.05, (int(keep.sum()) / limit) ** (1 / 3))
    if not keep.any():
        return None
    count = int(keep.sum())
    colours = votes.colour[keep] / np.maximum(votes.beside[keep], 1.0)[:, None]
    scales = torch.full((count, 3), float(np.log(0.5 * size)))
    binding = torch.full((count,), -1 - joint)
    means = torch.from_numpy(cells[keep]).float()
    return Gaussians.fresh(means, scales, 0.5, torch.from_numpy(colours).float(), binding, config.sh_degree)


def _cells(pose: HeadPose, views: list[int], sequence: Sequence, joint: int, size: float) -> FloatArray:
    """(n, 3) cell centres in the joint's frame, within reach of the head model at the first view's timestep; without those that are level
    in too few views to stay, whatever else these show."""
    timestep = sequence.capture.frames[views[0]].timestep
    frame = pose.joints[timestep, joint].double().numpy()
    surface = (pose.vertices[timestep].double().numpy() - frame[:3, 3]) @ frame[:3, :3]
    low, high = surface.min(0) - REACH, surface.max(0) + REACH
    low[1] -= BELOW - REACH
    axes = [np.arange(a, b, size) + 0.5 * size for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    level = np.zeros(len(grid), np.int32)
    for index in views:
        transform, view, middle = _placed(sequence, pose, index, joint)
        across = transform[:3, :3].T @ view[2, :3]
        level += np.abs(grid @ across + (transform[:3, 3] @ view[2, :3] + view[2, 3] - middle)) <= SLAB + ROUNDING
    grid = grid[level >= LEVEL * SEEN * len(views)]
    if not len(grid):
        return grid
    distance, _ = cKDTree(surface).query(grid, distance_upper_bound=BELOW)
    near = distance <= np.where(grid[:, 1] < surface[:, 1].min() + 0.03, BELOW, REACH)
    return np.asarray(grid[near])


def _vote(
    sequence: Sequence, pose: HeadPose, views: list[int], depths: dict[int, Float32Array], joint: int, cells: FloatArray
) -> Votes:
    count = len(cells)
    inside, hiding, beside, level, seen = np.zeros((5, count))
    votes = Votes(seen, inside, hiding, beside, level, np.zeros((count, 3)))
    for index in views:
        frame = sequence.capture.frames[index]
        mask = sequence.capture.mask(index)
        if mask is None:
            continue
        transform, view, middle = _placed(sequence, pose, index, joint)
        K = sequence.Ks[frame.camera].double().numpy()
        camera = (cells @ transform[:3, :3].T + transform[:3, 3]) @ view[:3, :3].T + view[:3, 3]
        z = np.maximum(camera[:, 2], 1e-3)
        pixel = np.floor((camera @ K.T)[:, :2] / z[:, None]).astype(np.int64)
        within = (pixel >= 0).all(1) & (pixel[:, 0] < mask.shape[1]) & (pixel[:, 1] < mask.shape[0])
        rows, columns = pixel[within, 1], pixel[within, 0]
        surface = depths[index][rows, columns]
        matte = mask[rows, columns] > MATTE
        picture = sequence.capture.image(index)[rows, columns] / 255.0
        beside = np.isinf(surface) & matte
        votes.seen[within] += 1
        votes.inside[within] += matte
        votes.hiding[within] += (z[within] < surface - FRONT_MARGIN) & np.isfinite(surface)
        votes.beside[within] += beside
        votes.level[within] += np.abs(z[within] - middle) <= SLAB
        votes.colour[within] += picture * beside[:, None]
    return votes


def _placed(sequence: Sequence, pose: HeadPose, index: int, joint: int) -> tuple[FloatArray, FloatArray, float]:
    """Of frame ``index``: the joint's transform (4, 4), the view matrix (4, 4), and the z of the head's middle in it, metres."""
    frame = sequence.capture.frames[index]
    view = sequence.viewmats[frame.camera].double().numpy()
    vertices = pose.vertices[frame.timestep].double().numpy()
    middle = 0.5 * (vertices.min(0) + vertices.max(0)) @ view[2, :3] + view[2, 3]
    return pose.joints[frame.timestep, joint].double().numpy(), view, float(middle)
