"""Another expression: weights added to the motion at every timestep."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatarkit.edit.plan import Operation
from avatarkit.edit.region import Located
from avatarkit.edit.scene import Scene
from avatarkit.errors import InputError
from avatarkit.gaussians.avatar import Avatar
from avatarkit.head.arkit import fit_named_expressions


def express(scene: Scene, operation: Operation, located: Located) -> Avatar:
    """The avatar with ``attributes.weights`` added to every timestep: it smiles while it speaks.

    A head with modes of ARKit's names takes them as they are, clamped to [0, 1] where the mode was within it; other heads take
    what imitates them best, within ``_bounded``, and no jaw closes beyond shut.  Raises InputError where a head can show none of them.
    """
    head, motion = scene.head, scene.avatar.motion
    names = tuple(weight.name for weight in operation.attributes.weights)
    wanted = operation.strength * torch.tensor([[weight.weight for weight in operation.attributes.weights]])
    expr, jaw, eyes = fit_named_expressions(head).reordered(names)(wanted)
    if float(expr.abs().max()) + float(jaw.abs().max()) + float(eyes.abs().max()) < 1e-6:
        raise InputError(f"the head model '{head.name}' cannot show {', '.join(names)}")
    named = torch.tensor([bool(name) for name in head.expr_names])
    low, high = motion.expr.amin(0).clamp(max=0.0), motion.expr.amax(0).clamp(min=1.0)
    clamped = torch.minimum(torch.maximum(motion.expr + expr, low), high)
    moved = _bounded(motion.jaw_pose, jaw)
    shut = motion.jaw_pose[:, :1].amin(0).clamp(max=0.0)  # the template's mouth is shut, and its jaw turns by 0
    motion = replace(
        motion, expr=torch.where(named, clamped, _bounded(motion.expr, expr)),
        jaw_pose=torch.cat([torch.maximum(moved[:, :1], shut), moved[:, 1:]], 1), eyes_pose=_bounded(motion.eyes_pose, eyes),
    )  # fmt: skip
    return replace(scene.avatar, motion=motion)


def _bounded(motion: Tensor, change: Tensor) -> Tensor:
    """``motion`` (T, D) with ``change`` (1, D) added, but no farther than what the calm head would do, and than half of the change
    beyond what the motion itself did: modes without names have no limits of their own, and a laugh that is asked to smile is one already."""
    low = torch.minimum(motion.amin(0).clamp(max=0.0) + 0.5 * change.clamp(max=0.0), change)
    high = torch.maximum(motion.amax(0).clamp(min=0.0) + 0.5 * change.clamp(min=0.0), change)
    return torch.minimum(torch.maximum(motion + change, low), high)
