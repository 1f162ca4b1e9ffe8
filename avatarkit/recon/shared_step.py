"""What the views of one step taught several processes, summed before any of them moves a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import NamedTuple

import torch
from torch import Tensor

from avatarkit.recon.head_tuning import HeadState
from avatarkit.recon.ranks import Ranks


class Learnt(NamedTuple):
    """What views say besides the gradients by parameters, which lie in their ``grad``.

    broken: a loss was not finite.  heads: timestep and gradients by posed vertices and joints, of each view.  visible (N,) bool.
    screen: summed norms of screen gradients, and how often each Gaussian showed, (N,) both.  numbers: for the log.
    """

    broken: bool
    heads: list[tuple[int, Tensor | None, Tensor | None]]
    visible: Tensor
    screen: tuple[Tensor, Tensor]
    numbers: dict[str, float]


def over_ranks(
    own: Learnt, leaves: Mapping[str, Tensor], head: HeadState, ranks: Ranks, timesteps: Many[int]
) -> Learnt:
    """The sum of what all processes learnt, ``grad`` of ``leaves`` included; the same bits on each of them.

    ``timesteps`` of the step's views, in order; none where heads are not tuned.  Gradients by heads stay apart by view, and are added
    up in that order, as one process adds them.  A process whose loss broke sends zeros and a mark, so that all skip the step.
    """
    gradients = [torch.zeros_like(value) if value.grad is None else value.grad for value in leaves.values()]
    by_vertices = head.vertex_gradient.new_zeros(len(timesteps), *head.vertex_gradient.shape[1:])
    by_joints = head.joint_gradient.new_zeros(len(timesteps), *head.joint_gradient.shape[1:])
    for place, (_, vertices, joints) in zip(ranks.places(len(timesteps)), own.heads, strict=False):
        if vertices is not None:
            by_vertices[place] = vertices
        if joints is not None:
            by_joints[place] = joints
    numbers = torch.tensor([float(own.broken), *own.numbers.values()], dtype=torch.float32, device=own.visible.device)
    parts = [*gradients, own.visible.float(), *own.screen, by_vertices, by_joints, numbers]
    if own.broken:  # whatever it holds, NaN perhaps
        parts = [torch.zeros_like(part) for part in parts]
        parts[-1][0] = 1.0
    *gradients, visible, norms, seen, by_vertices, by_joints, numbers = ranks.sum(parts)
    for leaf, gradient in zip(leaves.values(), gradients, strict=True):
        leaf.grad = gradient
    heads: list[tuple[int, Tensor | None, Tensor | None]] = list(zip(timesteps, by_vertices, by_joints, strict=True))
    broken, *values = numbers.tolist()
    return Learnt(broken > 0.0, heads, visible > 0.0, (norms, seen), dict(zip(own.numbers, values, strict=True)))
