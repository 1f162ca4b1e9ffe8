"""New things: accessories made by code, and clouds of faint Gaussians from which an image editor's pictures make anything else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatarkit.edit.ids import next_id
from avatarkit.edit.membership import groups_of, membership
from avatarkit.edit.operators.warp import head_width
from avatarkit.edit.plan import Operation, Region
from avatarkit.edit.region import Located, direction
from avatarkit.edit.scene import SKULL, Scene
from avatarkit.edit.vocabulary import ADDABLE
from avatarkit.errors import InputError
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX, NUM_LABELS

SEEDS = 1500
SEED_OPACITY = 0.02
"""So faint that a cloud does not show, and so strong that it has a gradient."""
SEED_HALF = 0.5
"""Opacity from which what the library made learns whether it is there."""
SEED_SIZE = 0.35  # of a head's width: the diameter of a thing of size 1
CERTAIN = 6.0  # logit of the label of what is added
LEFT = 0.05  # opacity below which a seed that learnt nothing is taken away


def add_accessory(scene: Scene, operation: Operation, located: Located, seed: int = 0) -> Avatar:
    """The avatar with an accessory of the library, as a named group; hair that would stick out of headwear is taken away.

    Raises InputError for what the library does not have.
    """
    from avatarkit.edit.accessories import accessory, estimate, measure, poking_through

    avatar, head = scene.avatar, scene.head
    anatomy = measure(head, avatar.motion, avatar.gaussians)
    made = accessory(operation, anatomy, head, estimate(anatomy, avatar.gaussians), seed)
    hidden = poking_through(made, avatar.gaussians, anatomy, head)
    kept = replace(avatar, gaussians=avatar.gaussians.select(~hidden))
    return with_group(kept, made, operation.target, next_id(avatar))


def with_group(avatar: Avatar, made: Gaussians, kind: str, first_id: int | None = None) -> Avatar:
    """The avatar with new Gaussians as a group of its own: "glasses", and "glasses 2" where that name is taken.  Their ids begin with
    ``first_id``, by default the next free one."""
    groups = groups_of(avatar)
    name, count = kind.replace("_", " "), 2
    while name in groups:
        name, count = f"{kind.replace('_', ' ')} {count}", count + 1
    number = max([0, *groups.values(), *avatar.gaussians.groups.unique().tolist()]) + 1
    first = next_id(avatar) if first_id is None else first_id
    ids = first + torch.arange(len(made))
    terms = avatar.gaussians.sh.shape[1]
    sh = torch.zeros(len(made), terms, 3)
    sh[:, : made.sh.shape[1]] = made.sh[:, :terms]
    made = replace(
        made, sh=sh, ids=ids, parents=ids.clone(), groups=torch.full((len(made),), number, dtype=torch.int32)
    )
    kinds = {**avatar.meta.get("group_kinds", {}), name: kind}
    meta = {**avatar.meta, "groups": {**groups, name: number}, "group_kinds": kinds}
    return replace(avatar, gaussians=Gaussians.cat([avatar.gaussians, made]), meta=meta)


def seed_cloud(scene: Scene, operation: Operation) -> Avatar:
    """The avatar with a cloud of faint free Gaussians where ``operation`` puts its thing; they ride on the skull."""
    centre, radius = _cloud(scene, operation)
    random = np.random.default_rng(SEEDS)
    points = random.normal(size=(SEEDS, 3))
    points *= (random.random(SEEDS) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    world = centre + radius * torch.from_numpy(points).float()
    spacing = radius * (4.2 / SEEDS) ** (1 / 3)
    binding = torch.full((SEEDS,), -1 - SKULL, dtype=torch.int32)
    blank = Gaussians.fresh(
        torch.zeros(SEEDS, 3), torch.zeros(SEEDS, 3), SEED_OPACITY, torch.full((SEEDS, 3), 0.5), binding, scene.avatar.sh_degree
    )  # fmt: skip
    quats = blank.quats
    placed = scene.placed_at_rest(blank, world, quats, torch.full((SEEDS, 3), 0.6 * spacing))
    logits = torch.zeros(SEEDS, NUM_LABELS)
    logits[:, LABEL_INDEX[ADDABLE[operation.target]]] = CERTAIN
    return with_group(scene.avatar, replace(placed, label_logits=logits), operation.attributes.name or operation.target)


def seed_accessory(scene: Scene, operation: Operation, located: Located) -> Avatar:
    """The avatar with an accessory of the library, half there, for an editor's pictures to decide about; a cloud for what it lacks."""
    try:
        avatar = add_accessory(scene, operation, located)
    except InputError:
        return seed_cloud(scene, operation)
    gaussians = avatar.gaussians
    new = gaussians.groups == max(groups_of(avatar).values())
    half = torch.full_like(gaussians.opacity_logits, math.log(SEED_HALF / (1.0 - SEED_HALF)))
    logits = torch.where(new, torch.minimum(gaussians.opacity_logits, half), gaussians.opacity_logits)
    return replace(avatar, gaussians=replace(gaussians, opacity_logits=logits))


def _cloud(scene: Scene, operation: Operation) -> tuple[Tensor, float]:
    """Centre (3,) and radius of what is to be added, metres at rest."""
    width = head_width(scene)
    radius = 0.5 * SEED_SIZE * width * operation.attributes.size
    region = operation.region or Region("head", "above")
    inside = scene.rest.means[membership(scene, region.anchor) > 0.5]
    centre = 0.5 * (inside.quantile(0.05, dim=0) + inside.quantile(0.95, dim=0))
    if region.relation == "on":
        centre[2] = inside[:, 2].quantile(0.9)
    else:
        axis, sign = direction(region)
        centre[axis] = sign * (sign * inside[:, axis]).quantile(0.98) + sign * 0.7 * radius
    return centre, radius


def opaque_seeds(avatar: Avatar, new: Tensor) -> Avatar:
    """The avatar with the Gaussians ``new`` (N,) bool opaque: for masks of where a thing may be."""
    logits = torch.where(new, torch.full_like(avatar.gaussians.opacity_logits, 3.0), avatar.gaussians.opacity_logits)
    return replace(avatar, gaussians=replace(avatar.gaussians, opacity_logits=logits))


def without_idle_seeds(avatar: Avatar, number: int) -> Avatar:
    """The avatar without the Gaussians of a group that are still as faint as they began."""
    idle = (avatar.gaussians.groups == number) & (avatar.gaussians.opacity_logits.sigmoid() < LEFT)
    return replace(avatar, gaussians=avatar.gaussians.select(~idle))
