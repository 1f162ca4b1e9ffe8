"""The first Gaussians: some on every triangle, and free ones where the matte has more than the head model.

Hair, shoulders and clothes are not in a head model.  Gaussians bound to its triangles would smear to reach them, so free
ones are placed there: above the neck they ride on the joint that carries the skull, below it on the root.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.gaussians.binding import triangle_frames
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose
from avatarkit.recon.config import ReconConfig
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.track.sequence import Sequence
from avatarkit.types import ByteArray, FloatArray

MAX_VIEWS = 48


def initial_gaussians(sequence: Sequence, head: HeadModel, pose: HeadPose, config: ReconConfig) -> Gaussians:
    """Bound Gaussians coloured from the training pictures, and free ones from the mattes.

    ``pose`` holds every timestep.  Deterministic given ``config.seed``.
    """
    random = np.random.default_rng([config.seed, 1])
    views = _spread(sequence.capture.indices("train"), MAX_VIEWS)
    colours = triangle_colours(sequence, head, pose, views)
    bound = bound_gaussians(colours, config, random)
    free = (
        free_gaussians(sequence, head, pose, views, config)
        if config.free_gaussians and sequence.capture.masked
        else None
    )
    if free is None:
        return bound
    both = Gaussians.cat([bound, free])
    both.ids = torch.arange(len(both))
    both.parents = both.ids.clone()
    return both


def bound_gaussians(colours: Tensor, config: ReconConfig, random: np.random.Generator) -> Gaussians:
    """``gaussians_per_triangle`` on each of F triangles: at the centroid, or spread over the triangle if more than one.

    colours (F, 3) in [0, 1].  A Gaussian at the centroid has the size of its triangle: 0.5 k along it, flatter across.
    """
    count, each = len(colours), config.gaussians_per_triangle
    binding = torch.arange(count).repeat_interleave(each)
    means = torch.zeros(count * each, 3)
    if each > 1:
        means[:, [0, 2]] = torch.from_numpy(random.uniform(-0.4, 0.4, (count * each, 2))).float()
    size = 0.5 / each**0.5
    scales = torch.log(torch.tensor([size, 0.3 * size, size])).repeat(
        count * each, 1
    )  # a1, the second axis, is the normal
    return Gaussians.fresh(means, scales, 0.7, colours.repeat_interleave(each, 0), binding, config.sh_degree)


def triangle_colours(sequence: Sequence, head: HeadModel, pose: HeadPose, views: list[int]) -> Tensor:
    """(F, 3) mean colour over the pictures of the triangle as the camera sees it; unseen triangles get the mean skin."""
    faces = head.faces.numpy()
    total, weight = np.zeros((len(faces), 3)), np.zeros(len(faces))
    for index in views:
        drawn = _draw_head(sequence, pose, faces, index)
        picture = sequence.capture.composited(index, np.ones(3))
        mask = sequence.capture.mask(index)
        seen = (drawn >= 0) if mask is None else (drawn >= 0) & (mask > 200)
        np.add.at(total, drawn[seen], picture[seen])
        np.add.at(weight, drawn[seen], 1.0)
    known = weight > 0
    colours = np.full((len(faces), 3), 0.5)
    if known.any():
        colours[:] = total[known].sum(0) / weight[known].sum()
        colours[known] = total[known] / weight[known, None]
    return torch.from_numpy(colours).float()


def free_gaussians(
    sequence: Sequence, head: HeadModel, pose: HeadPose, views: list[int], config: ReconConfig
) -> Gaussians | None:
    """Free Gaussians on a voxel grid, in joint frames: matte pixels beside the drawn head, put at the head's own depth.

    A voxel counts how many views put a matte pixel there and is kept if it projects inside the matte in nine of ten views.
    """
    capture, faces = sequence.capture, head.faces.numpy()
    skull, root = head.joint_names.index("neck"), head.joint_names.index("root")
    points: dict[int, list[FloatArray]] = {skull: [], root: []}
    colours: dict[int, list[FloatArray]] = {skull: [], root: []}
    chin = chin_heights(head, pose)
    for index in views:
        frame, mask = capture.frames[index], capture.mask(index)
        assert mask is not None
        outside = (mask > 200) & (_draw_head(sequence, pose, faces, index) < 0)
        rows, columns = np.nonzero(outside)
        step = max(1, len(rows) // 4000)
        rows, columns = rows[::step], columns[::step]
        world = _at_head_depth(sequence, pose, index, columns + 0.5, rows + 0.5)
        picture = capture.composited(index, np.ones(3))[rows, columns]
        low = world[:, 1] < chin[frame.timestep]
        for joint, here in ((root, low), (skull, ~low)):
            points[joint].append(_to_joint(world[here], pose.joints[frame.timestep, joint]))
            colours[joint].append(picture[here])
    parts = []
    total = sum(len(block) for blocks in points.values() for block in blocks)
    if total == 0:
        return None
    for joint in (skull, root):
        cells, tint, votes = _voxels(np.concatenate(points[joint]), np.concatenate(colours[joint]), config.free_voxel)
        inside = _inside_share(sequence, pose, views, joint, cells)
        keep = np.flatnonzero((inside >= 0.9) & (votes >= max(2, 0.03 * len(views))))
        keep = keep[np.argsort(-votes[keep], kind="stable")][: config.free_gaussians // 2]
        if len(keep):
            scales = torch.full((len(keep), 3), float(np.log(0.6 * config.free_voxel)))
            binding = torch.full((len(keep),), -1 - joint)
            tints = torch.from_numpy(tint[keep]).float()
            parts.append(
                Gaussians.fresh(torch.from_numpy(cells[keep]).float(), scales, 0.5, tints, binding, config.sh_degree)
            )
    return Gaussians.cat(parts) if parts else None


def chin_heights(head: HeadModel, pose: HeadPose) -> FloatArray:
    """(T,) world height that parts the skull's free Gaussians from the root's: a little above the neck joint."""
    neck = head.joint_names.index("neck")
    jaw = head.joint_names.index("jaw")
    joints = pose.joints[:, :, 1, 3]
    return (0.5 * (joints[:, neck] + joints[:, jaw])).numpy()


def mean_triangle_size(head: HeadModel) -> float:
    """Mean k of the template's triangles, metres."""
    return float(triangle_frames(head.template, head.faces).size.mean())


def _draw_head(sequence: Sequence, pose: HeadPose, faces: np.ndarray, index: int) -> np.ndarray:
    frame = sequence.capture.frames[index]
    camera = sequence.capture.cameras[frame.camera]
    vertices = pose.vertices[frame.timestep].numpy()
    view, K = sequence.viewmats[frame.camera].numpy(), sequence.Ks[frame.camera].numpy()
    return rasterize_mesh(vertices, faces, view, K, camera.width, camera.height).triangle


def _at_head_depth(sequence: Sequence, pose: HeadPose, index: int, x: FloatArray, y: FloatArray) -> FloatArray:
    """Pixels (n,), (n,) lifted to the camera plane through the middle of the head, (n, 3) world."""
    frame = sequence.capture.frames[index]
    view, K = sequence.viewmats[frame.camera].double().numpy(), sequence.Ks[frame.camera].double().numpy()
    vertices = pose.vertices[frame.timestep].double().numpy()
    depth = (0.5 * (vertices.min(0) + vertices.max(0)) @ view[:3, :3].T + view[:3, 3])[2]
    rays = np.stack([x, y, np.ones_like(x)], 1) @ np.linalg.inv(K).T
    return (rays * depth - view[:3, 3]) @ view[:3, :3]


def _to_joint(world: FloatArray, joint: Tensor) -> FloatArray:
    frame = joint.double().numpy()
    return (world - frame[:3, 3]) @ frame[:3, :3]


def _voxels(points: FloatArray, colours: FloatArray, size: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cell centres (n, 3), mean colours (n, 3) and counts (n,) of the occupied cells."""
    if len(points) == 0:
        return np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0)
    cells, inverse, counts = np.unique(
        np.floor(points / size).astype(np.int64), axis=0, return_inverse=True, return_counts=True
    )
    tint = np.zeros((len(cells), 3))
    np.add.at(tint, inverse.reshape(-1), colours)
    return (cells + 0.5) * size, tint / counts[:, None], counts.astype(np.float64)


def _inside_share(sequence: Sequence, pose: HeadPose, views: list[int], joint: int, points: FloatArray) -> FloatArray:
    """(n,) share of the views that see each joint-frame point inside the matte; outside the picture counts as inside."""
    inside = np.zeros(len(points))
    for index in views:
        frame = sequence.capture.frames[index]
        mask: ByteArray | None = sequence.capture.mask(index)
        assert mask is not None
        transform = pose.joints[frame.timestep, joint].double().numpy()
        view, K = sequence.viewmats[frame.camera].double().numpy(), sequence.Ks[frame.camera].double().numpy()
        camera = (points @ transform[:3, :3].T + transform[:3, 3]) @ view[:3, :3].T + view[:3, 3]
        pixel = camera @ K.T
        column = np.floor(pixel[:, 0] / pixel[:, 2]).astype(np.int64)
        row = np.floor(pixel[:, 1] / pixel[:, 2]).astype(np.int64)
        within = (column >= 0) & (column < mask.shape[1]) & (row >= 0) & (row < mask.shape[0])
        value = np.full(len(points), 255, np.uint8)
        value[within] = mask[row[within], column[within]]
        inside += value > 100
    return inside / max(1, len(views))


def _spread(indices: list[int], count: int) -> list[int]:
    """At most ``count`` of ``indices``, evenly spread."""
    if len(indices) <= count:
        return indices
    return [indices[i] for i in np.linspace(0, len(indices) - 1, count).round().astype(int)]
