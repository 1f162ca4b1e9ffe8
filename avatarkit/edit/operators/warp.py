"""Shape and place of parts, by a smooth displacement of space around the head at rest.

What lies in the part moves in full, what lies far from it not at all, and between the two the displacement falls off, so nothing tears.  The
mesh takes it as a static offset, and everything that rides on it (Gaussians, expressions, poses) follows at every time; Gaussians
that ride on joints (hair, hats) take it themselves, and all grow or shrink with their surroundings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.edit.membership import groups_of, is_thing, kind_of
from avatarkit.edit.pieces import ZONES, face_coordinates, zone
from avatarkit.edit.plan import Operation
from avatarkit.edit.region import Located
from avatarkit.edit.scene import Scene
from avatarkit.edit.vocabulary import ADDABLE, GROUPS
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX, LABELS

Displacement = Callable[[Tensor], Tensor]

REGIONS: dict[str, tuple[str, ...]] = {
    "nose": ("nose",), "l_eye": ("l_eye", "l_eye_region"), "r_eye": ("r_eye", "r_eye_region"), "l_brow": ("l_brow",), "r_brow": ("r_brow",),
    "l_ear": ("l_ear",), "r_ear": ("r_ear",), "u_lip": ("u_lip",), "l_lip": ("l_lip",), "mouth": ("u_lip", "l_lip", "mouth"),
    "neck": ("neck",), "face": ("face",),
}  # fmt: skip
"""Regions of a head model that a label's shape is changed by."""
FALL_OFF: dict[str, float] = {
    "l_brow": 0.006,
    "r_brow": 0.006,
    "u_lip": 0.005,
    "l_lip": 0.005,
    "l_ear": 0.006,
    "r_ear": 0.006,
}
"""Metres over which the displacement falls to 0.6 beside a part; larger parts need more room."""
PLAIN_FALL_OFF = 0.010
HAIRLINE = 0.03  # metres from the skin over which hair that gets more volume stays at its line
STRAY = 3.0  # fall-offs beyond which nothing moves
AXES: dict[str, tuple[float, float, float]] = {
    "": (1, 1, 1), "size": (1, 1, 1), "width": (1, 0, 0), "height": (0, 1, 0), "length": (0, 1, 0), "thickness": (0, 1, 0), "depth": (0, 0, 1),
}  # fmt: skip
"""By dimension: along which axes at rest a part grows."""
NOSE_AXES = (1, 0.5, 1)
"""A bigger nose is broader and stands out more; as much longer, it would reach the mouth."""
WHOLE = ("face", "head")
LENGTH_AXES: dict[str, tuple[float, float, float]] = {"nose": (0, 0.4, 1), "lashes": (0, 0, 1), "neck": (0, 1, 0)}


@dataclass(frozen=True)
class _Part:
    """Where a part is at rest: points (M, 3) of it, how far around it space follows, metres, and a middle (3,)."""

    points: Tensor
    reach: float
    centre: Tensor


def scale_part(scene: Scene, operation: Operation, located: Located) -> Avatar:
    """The part of ``operation.target`` grown by ``attributes.size`` along ``attributes.dimension``, about its root."""
    attributes = operation.attributes
    factor = 1.0 + operation.strength * (attributes.size - 1.0)
    dimension = attributes.dimension
    axes = LENGTH_AXES.get(operation.target, AXES[dimension]) if dimension == "length" else AXES[dimension]
    if operation.target == "nose" and dimension in ("", "size"):
        axes = NOSE_AXES
    growth = torch.tensor([1.0 + (factor - 1.0) * share for share in axes])
    if _is_worn(scene, operation.target):
        return _scale_worn(scene, operation, located, growth)
    moved = scene.avatar
    for part in _parts(scene, operation.target):
        displacement = partial(_outward, held=_root(operation.target, dimension, part), growth=growth)
        moved = warped(scene.with_avatar(moved), part.points, part.reach, displacement)
    return moved


def _outward(points: Tensor, held: Tensor, growth: Tensor) -> Tensor:
    """(N, 3): how far ``points`` go when everything grows by ``growth`` (3,) around ``held``."""
    return (points - held) * (growth - 1.0)


def move_part(scene: Scene, operation: Operation, located: Located) -> Avatar:
    """The part moved by ``attributes.offset``, head widths to the subject's left, up, forward."""
    offset = head_width(scene) * operation.strength * torch.tensor(operation.attributes.offset)
    if _is_worn(scene, operation.target):
        return _moved_worn(scene, located, offset.expand(len(scene.avatar.gaussians), 3))
    moved = scene.avatar
    for part in _parts(scene, operation.target):
        moved = warped(scene.with_avatar(moved), part.points, part.reach, offset.expand_as, operation.target in WHOLE)
    return moved


def head_width(scene: Scene) -> float:
    """Metres between the two sides of the head at rest, ears left out."""
    head, vertices = scene.head, scene.rest.vertices
    ears = (head.regions["l_ear"] > 0.5) | (head.regions["r_ear"] > 0.5)
    skull = vertices[((head.regions["scalp"] > 0.5) | (head.regions["face"] > 0.5)) & ~ears]
    return float(skull[:, 0].max() - skull[:, 0].min())


def _is_worn(scene: Scene, target: str) -> bool:
    """Whether a target can move without the skin below it."""
    grown = ("hair", "cloth", "beard", "moustache")
    added = target in groups_of(scene.avatar) and kind_of(scene.avatar, target) in grown
    return is_thing(scene.avatar, target) or target in ("hair", "cloth") or added


def _moved_worn(scene: Scene, located: Located, offsets: Tensor) -> Avatar:
    share = _full(located.weights)
    gaussians = scene.avatar.gaussians
    means = gaussians.means + scene.local_offsets(offsets * share[:, None])
    moved = torch.where((share > 0)[:, None], means, gaussians.means)
    return replace(scene.avatar, gaussians=replace(gaussians, means=moved))


def _scale_worn(scene: Scene, operation: Operation, located: Located, growth: Tensor) -> Avatar:
    """A worn thing grows about its middle; hair, and what hangs, from where it is fixed."""
    points = scene.rest.means
    inside = points[located.core]
    kind = kind_of(scene.avatar, operation.target)
    kind = ADDABLE.get(kind, kind)
    if kind == "hair":
        return _longer_hair(scene, located, growth)
    held = 0.5 * (inside.quantile(0.02, dim=0) + inside.quantile(0.98, dim=0))
    if kind == "earring":  # each from its own lobe
        held = held.expand(len(points), 3).clone()
        for side in (-1.0, 1.0):
            own = inside[side * inside[:, 0] > 0]
            if len(own):
                top = torch.stack([own[:, 0].median(), own[:, 1].quantile(0.98), own[:, 2].median()])
                held[side * points[:, 0] > 0] = top
    elif kind == "hat":
        held = torch.stack([held[0], inside[:, 1].quantile(0.02), held[2]])
    moved = _moved_worn(scene, located, (points - held) * (growth - 1.0))
    return _grown(moved, _full(located.weights), growth)


def _longer_hair(scene: Scene, located: Located, growth: Tensor) -> Avatar:
    """Length moves hair away from the ear line downwards, size and width away from the skull's middle."""
    points = scene.rest.means
    middle = 0.5 * (
        scene.rest.vertices[scene.head.regions["scalp"] > 0.5].amin(0)
        + scene.rest.vertices[scene.head.regions["scalp"] > 0.5].amax(0)
    )
    if float(growth[0]) == 1.0:
        hanging = (middle[1] - points[:, 1]).clamp(min=0.0)
        offsets = torch.zeros_like(points)
        offsets[:, 1] = -hanging * (growth[1] - 1.0)
        held = (hanging > 0).float()
    else:
        offsets = (points - middle) * (growth - 1.0) * torch.tensor([1.0, 0.6, 1.0])
        skin = scene.avatar.gaussians.label_logits.argmax(1) == LABEL_INDEX["skin"]
        away = cKDTree(points[skin].numpy()).query(points.numpy())[0] if bool(skin.any()) else np.full(len(points), 1.0)
        held = (torch.from_numpy(away).float() / HAIRLINE).clamp(0.0, 1.0)
    grown = _moved_worn(scene, located, offsets * held[:, None])
    return _grown(grown, _full(located.weights) * held, growth)


def _grown(avatar: Avatar, share: Tensor, growth: Tensor) -> Avatar:
    """Gaussians as large as what they cover has become, so that no gaps open."""
    factor = 1.0 + share * (float(growth.prod()) ** (1.0 / max(1, int((growth != 1.0).sum()))) - 1.0)
    log_scales = avatar.gaussians.log_scales + factor.clamp(min=0.2).log()[:, None]
    return replace(avatar, gaussians=replace(avatar.gaussians, log_scales=log_scales))


def _full(weights: Tensor) -> Tensor:
    """Membership as a share of the whole displacement: all or nothing but for a narrow edge."""
    return ((weights - 0.4) / 0.2).clamp(0.0, 1.0)


def _parts(scene: Scene, target: str) -> list[_Part]:
    """What moves as one: eyes, brows and ears one by one, everything else whole."""
    labels = GROUPS.get(target, (target,))
    if target == "cheeks":
        return [_zone_part(scene, "l_cheek"), _zone_part(scene, "r_cheek")]
    if target in ZONES or target in ("teeth", "tongue"):
        return [_zone_part(scene, target)]
    if target in ("eyes", "brows", "ears"):
        return [_region_part(scene, (label,)) for label in labels]
    if target in ("face", "head"):
        return [_region_part(scene, ("face",))]
    return [_region_part(scene, tuple(label for label in labels if label in LABELS))]


def _region_part(scene: Scene, labels: tuple[str, ...]) -> _Part:
    regions = [name for label in labels for name in REGIONS.get(label, ("face",)) if name in scene.head.regions]
    inside = torch.stack([scene.head.regions[name] for name in regions]).amax(0) > 0.5
    points = scene.rest.vertices[inside]
    reach = max(FALL_OFF.get(label, PLAIN_FALL_OFF) for label in labels)
    return _Part(points, reach, _middle(points))


def _zone_part(scene: Scene, target: str) -> _Part:
    vertices = scene.rest.vertices
    if target in ZONES:
        inside = zone(target, face_coordinates(scene.head, vertices)(vertices)) * scene.head.regions["face"] > 0.5
    else:
        inside = scene.head.regions["mouth"] > 0.5
    points = vertices[inside]
    return _Part(points, PLAIN_FALL_OFF, _middle(points))


def _middle(points: Tensor) -> Tensor:
    return 0.5 * (points.amin(0) + points.amax(0))


def _root(target: str, dimension: str, part: _Part) -> Tensor:
    """(3,): what stays where it is when a part grows: a nose its root, an ear its seat, a chin its bone."""
    held = part.centre.clone()
    points = part.points
    if target in ("nose", "chin", "jaw", "cheeks", "l_cheek", "r_cheek", "forehead", "lips", "u_lip", "l_lip"):
        held[2] = points[:, 2].quantile(0.1)
    if target == "nose":
        held[1] = points[:, 1].quantile(0.85)
    if target in ("chin", "jaw"):
        held[1] = points[:, 1].quantile(0.9)
    if target in ("ears", "l_ear", "r_ear"):
        held[0] = points[points[:, 0].abs().argmin(), 0]
    return held


def warped(scene: Scene, points: Tensor, reach: float, displacement: Displacement, takes_worn: bool = False) -> Avatar:
    """The avatar with space displaced around ``points`` (M, 3) at rest: all of it on them, falling off over ``reach`` metres.

    displacement: (N, 3) positions → (N, 3) metres.  Glasses and the like stay where they are, unless all of the face moves.
    """
    tree = cKDTree(points.numpy())
    vertices = scene.rest.vertices
    offset = displacement(vertices) * _fall_off(tree, vertices, reach)[:, None]
    offset = _eyeballs_whole(scene, offset)
    motion, gaussians = scene.avatar.motion, scene.avatar.gaussians
    fixed = torch.zeros(len(gaussians), dtype=torch.bool) if takes_worn else _worn(scene.avatar)
    static = offset if motion.static_offset is None else motion.static_offset + offset
    free = gaussians.free
    means = gaussians.means.clone()
    free = free & ~fixed
    if bool(free.any()):
        spots = scene.rest.means[free]
        weight = _fall_off(tree, spots, reach)
        means[free] += displacement(spots) * weight[:, None]  # a joint's axes at rest are the world's
    moved = replace(
        scene.avatar, motion=replace(motion, static_offset=static), gaussians=replace(gaussians, means=means)
    )
    return _others_in_place(scene, moved, fixed)


def _others_in_place(scene: Scene, moved: Avatar, fixed: Tensor) -> Avatar:
    """Joints are regressed from the surface; what rides on one stays where it was at rest when a nose that grew pulls at it.  So do
    the ``fixed`` (N,) Gaussians, whatever carries them."""
    after, gaussians = scene.with_avatar(moved), moved.gaussians
    shift = after.rest.pose.joints[0, :, :3, 3] - scene.rest.pose.joints[0, :, :3, 3]
    means, free = gaussians.means.clone(), gaussians.free
    means[free] -= shift[(-1 - gaussians.binding[free]).long()]
    gaussians = replace(gaussians, means=means)
    rest = scene.rest
    held = after.placed_at_rest(gaussians, rest.means, rest.quats, rest.scales)
    values = {
        name: torch.where(fixed.reshape(-1, *[1] * (value.ndim - 1)), getattr(held, name), value)
        for name, value in gaussians.tensors().items()
    }
    return replace(moved, gaussians=Gaussians(**values))


def _worn(avatar: Avatar) -> Tensor:
    """(N,) bool: things that lie on the head and do not grow with a part of it."""
    chosen = torch.tensor([label in ("glasses", "hat", "earring", "necklace") for label in LABELS])
    return chosen[avatar.gaussians.label_logits.argmax(1)]


def _fall_off(tree: cKDTree, spots: Tensor, reach: float) -> Tensor:
    """(N,) 1 on the points, exp(−½(d/reach)²) beside them, 0 beyond ``STRAY`` reaches."""
    gaps = torch.from_numpy(np.asarray(tree.query(spots.numpy())[0])).float()
    beyond = (gaps - 0.5 * reach).clamp(min=0.0) / reach
    weight = torch.exp(-0.5 * beyond**2)
    return torch.where(beyond > STRAY, torch.zeros_like(weight), weight)


def _eyeballs_whole(scene: Scene, offset: Tensor) -> Tensor:
    """Eyeballs move and grow as wholes: each vertex gets the affine part of its ball's displacement."""
    made = offset.clone()
    for name in ("l_eye", "r_eye"):
        ball = scene.head.regions[name] > 0.5
        points = scene.rest.vertices[ball]
        centred = points - points.mean(0)
        slope = torch.linalg.lstsq(centred, offset[ball] - offset[ball].mean(0)).solution
        made[ball] = offset[ball].mean(0) + centred @ slope
    return made
