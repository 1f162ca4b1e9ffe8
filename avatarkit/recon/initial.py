"""The first Gaussians: some on every triangle, and free ones where the matte has more than the head model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.gaussians.binding import triangle_frames
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose
from avatarkit.recon.carving import free_gaussians
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.drawn_head import drawn_head
from avatarkit.recon.head_tuning import posed
from avatarkit.track.sequence import Sequence

MAX_VIEWS = 48


def initial_gaussians(
    sequence: Sequence, head: HeadModel, pose: HeadPose, config: ReconConfig, colours: Tensor | None = None
) -> Gaussians:
    """Bound Gaussians coloured from the training pictures, and free ones from the mattes.

    ``pose`` holds every timestep; colours (F, 3): of the triangles where they are known already (``triangles_seen``).
    Deterministic given ``config.seed``.
    """
    random = np.random.default_rng([config.seed, 1])
    views = _spread(sequence.capture.indices("train"), MAX_VIEWS)
    if colours is None:
        colours = triangle_colours(sequence, head, pose, views)
    bound = bound_gaussians(colours, config, random)
    if config.first_bound and len(bound) > config.first_bound:
        bound = thinned(bound, head, config.first_bound)
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


def thinned(bound: Gaussians, head: HeadModel, count: int) -> Gaussians:
    """About ``count`` of Gaussians that lie on triangles, evenly over the surface: each the larger, the more of it is now its own."""
    frames = triangle_frames(head.template, head.faces)
    area = frames.size[bound.binding.long()].double() ** 2
    share = area.cumsum(0) * (count / float(area.sum()))
    keep = torch.cat([torch.ones(1, dtype=torch.bool), share[1:].floor() > share[:-1].floor()])
    chosen = bound.select(keep)
    grown = (float(area.sum()) / int(keep.sum()) / area[keep]).clamp(min=1.0).sqrt().log().float()
    chosen.log_scales = chosen.log_scales + grown[:, None] * torch.tensor([1.0, 0.0, 1.0])
    chosen.ids = torch.arange(len(chosen))
    chosen.parents = chosen.ids.clone()
    return chosen


def triangle_colours(sequence: Sequence, head: HeadModel, pose: HeadPose, views: list[int]) -> Tensor:
    """(F, 3) mean colour over the pictures of the triangle as the camera sees it; unseen triangles get the mean skin."""
    faces = head.faces.numpy()
    total, weight = np.zeros((len(faces), 3)), np.zeros(len(faces))
    for index in views:
        drawn = drawn_head(sequence, pose, faces, index).triangle
        picture = sequence.capture.composited(index, np.ones(3))
        mask = sequence.capture.mask(index)
        seen = (drawn >= 0) if mask is None else (drawn >= 0) & (mask > 200)
        triangle, colour = drawn[seen], picture[seen]
        for channel in range(3):
            total[:, channel] += np.bincount(triangle, colour[:, channel], len(faces))
        weight += np.bincount(triangle, minlength=len(faces))
    known = weight > 0
    colours = np.full((len(faces), 3), 0.5)
    if known.any():
        colours[:] = total[known].sum(0) / weight[known].sum()
        colours[known] = total[known] / weight[known, None]
    return torch.from_numpy(colours).float()


def triangles_seen(sequence: Sequence, head: HeadModel) -> Tensor:
    """``triangle_colours`` at the sequence's own parameters, which tuning does not change: a resumed run finds the same."""
    pose = posed(head, sequence.params)
    return triangle_colours(sequence, head, pose, _spread(sequence.capture.indices("train"), MAX_VIEWS))


def mean_triangle_size(head: HeadModel) -> float:
    """Mean k of the template's triangles, metres."""
    return float(triangle_frames(head.template, head.faces).size.mean())


def _spread(indices: list[int], count: int) -> list[int]:
    """At most ``count`` of ``indices``, evenly spread."""
    if len(indices) <= count:
        return indices
    return [indices[i] for i in np.linspace(0, len(indices) - 1, count).round().astype(int)]
