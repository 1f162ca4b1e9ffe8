"""Adaptive density that keeps bindings: where Gaussians are split, cloned and pruned.

A child inherits its parent's triangle or joint, its label logits and its group, and remembers its parent's id, so that an
edit can follow Gaussians through densification.  Offsets of a split are drawn in the *local* frame of the binding, in the
Gaussian's own axes (GaussianAvatars draws them in the world; DESIGN section 5).  No Gaussian is kept merely because its
triangle would be empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatarkit.gaussians.gaussians import Gaussians

SPLIT_SHRINK = 1.6  # 3DGS: children of a split have their parent's scale over 0.8 · 2


@dataclass(frozen=True)
class Change:
    """A new table of Gaussians, and which old row each row came from; ``fresh`` rows start with empty moments."""

    gaussians: Gaussians
    source: Tensor  # (M,) int64
    fresh: Tensor  # (M,) bool
    next_id: int


def split_worst(gaussians: Gaussians, score: Tensor, count: int, next_id: int, random: np.random.Generator) -> Change:
    """Replace the ``count`` Gaussians with the largest positive ``score`` (N,) by two children each: N + count rows."""
    count = min(count, int((score > 0).sum()))
    chosen = torch.topk(score, count).indices.sort().values
    device = score.device
    keep = torch.ones(len(gaussians), dtype=torch.bool, device=device)
    keep[chosen] = False
    stay = torch.nonzero(keep)[:, 0]
    twice = chosen.repeat_interleave(2)
    children = _children(gaussians, twice, next_id)
    noise = torch.from_numpy(random.standard_normal((len(twice), 3))).float().to(device)
    _offset(children, noise)
    children.log_scales = children.log_scales - float(np.log(SPLIT_SHRINK))
    fresh = torch.zeros(len(stay) + len(twice), dtype=torch.bool, device=device)
    fresh[len(stay) :] = True
    table = Gaussians.cat([gaussians.select(stay), children])
    return Change(table, torch.cat([stay, twice]), fresh, next_id + len(twice))


def clone_and_split(
    gaussians: Gaussians, gradient: Tensor, threshold: float, size: Tensor, clone_size: float, limit: int, next_id: int,
    random: np.random.Generator,
) -> Change:  # fmt: skip
    """3DGS' rule: above ``threshold`` a small Gaussian is cloned and a large one split in two, up to ``limit`` in all.

    gradient (N,) mean screen gradient in normalised device coordinates; size (N,) largest standard deviation, metres.
    """
    over = gradient >= threshold
    room = max(0, limit - len(gaussians))
    if int(over.sum()) > room:
        best = torch.topk(torch.where(over, gradient, torch.zeros_like(gradient)), room).indices
        over = torch.zeros_like(over)
        over[best] = True
    clone = torch.nonzero(over & (size <= clone_size))[:, 0]
    split = over & (size > clone_size)
    stay = torch.nonzero(~split)[:, 0]
    twice = torch.nonzero(split)[:, 0].repeat_interleave(2)
    clones = _children(gaussians, clone, next_id)
    halves = _children(gaussians, twice, next_id + len(clone))
    _offset(halves, torch.from_numpy(random.standard_normal((len(twice), 3))).float().to(twice.device))
    halves.log_scales = halves.log_scales - float(np.log(SPLIT_SHRINK))
    table = Gaussians.cat([gaussians.select(stay), clones, halves])
    fresh = torch.zeros(len(table), dtype=torch.bool, device=twice.device)
    fresh[len(stay) :] = True
    return Change(table, torch.cat([stay, clone, twice]), fresh, next_id + len(clone) + len(twice))


def prune(gaussians: Gaussians, keep: Tensor, next_id: int) -> Change:
    """Only the rows where ``keep`` (N,) is true."""
    rows = torch.nonzero(keep)[:, 0]
    return Change(gaussians.select(rows), rows, torch.zeros(len(rows), dtype=torch.bool, device=rows.device), next_id)


def _children(gaussians: Gaussians, rows: Tensor, next_id: int) -> Gaussians:
    children = gaussians.select(rows)
    children.parents = gaussians.ids[rows].clone()
    children.ids = torch.arange(next_id, next_id + len(rows), device=rows.device)
    return children


def _offset(children: Gaussians, noise: Tensor) -> None:
    """Move by a draw from each Gaussian itself: R(q) (s ∘ noise), local frame."""
    w, x, y, z = torch.nn.functional.normalize(children.quats, dim=1).unbind(1)
    axis, local = torch.stack([x, y, z], 1), noise * children.log_scales.exp()
    turn = 2 * torch.linalg.cross(axis, local)
    children.means = children.means + local + w[:, None] * turn + torch.linalg.cross(axis, turn)
