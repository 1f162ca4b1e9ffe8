"""Which Gaussians a target of an operation is made of: labels, groups of labels, pieces, and what earlier edits added.

Labels ride on Gaussians, so this answers "where" for every time and every camera at once; rendered, it is the region's mask.
"""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.edit.pieces import ZONES, face_coordinates, zone
from avatarkit.edit.scene import Scene
from avatarkit.edit.vocabulary import ADDABLE, GROUPS
from avatarkit.errors import InputError
from avatarkit.gaussians.avatar import Avatar
from avatarkit.labels import LABEL_INDEX, LABELS
from avatarkit.losses.colour_difference import lab
from avatarkit.render.sh import Y00

WORN = ("glasses", "hat", "earring", "necklace", "hair")
"""Classes whose Gaussians count for the label whoever added them; facial hair and nose rings are no skin or nose."""
THINGS = ("glasses", "hat", "earring", "necklace", "nose_ring")
"""What is on somebody or not, and never in part."""
FACIAL = ("beard", "moustache")
GROWS_OR_PAINTED = ("hair", "beard", "moustache", "tattoo", "freckles", "mole", "scar")
HAIRY = ("beard", "moustache", "lashes")
"""Pieces that are of another colour than the skin that they grow on."""
HAIR_CONTRAST = (8.0, 22.0)
"""Lightness (CIELAB) below the skin's at which a Gaussian begins to be hair, and is."""
STRAND = 0.004  # metres around a brow's Gaussians in which what is dark belongs to it
PALE = (40.0, 55.0)  # lightness from which on the inside of a mouth is teeth
RED = (14.0, 24.0)  # a* from which on what is not pale there is tongue
DARK = (22.0, 32.0)  # lightness from which on it is tongue and not the lining, which is as red
HAIRLINE = 0.010
"""Metres from skin within which a Gaussian of the hair may be as much of the forehead: labels are as coarse as Gaussians."""
TOLD_APART = 20.0  # CIELAB distance of hair and skin from which on their colours tell them apart
FOREHEAD = (0.45, 0.6)
"""How far on the way from the hair's colour to the skin's a Gaussian at the hairline begins to be skin, and is."""
FRINGE = 0.006
"""Metres around a beard's zone in which hairs are of the beard, too."""
GROWN = 0.45
"""Share of the Gaussians of a beard's or a moustache's zone that are hair, from which on there is one."""
PRESENT = 0.5
"""Gaussians that are at least so much of a target are counted as it."""
LEAST = 5
"""A target of fewer Gaussians is not there."""


def colours(avatar: Avatar) -> Tensor:
    """(N, 3) sRGB of the Gaussians as seen from no side in particular."""
    return (0.5 + Y00 * avatar.gaussians.sh[:, 0]).clamp(0.0, 1.0)


def shares(avatar: Avatar) -> Tensor:
    """(N, 19) label probabilities.  Raises InputError for an avatar without labels."""
    logits = avatar.gaussians.label_logits
    if not len(logits) or bool((logits == logits[:, :1]).all()):
        raise InputError("this avatar has no labels, so its parts cannot be found; reconstruct it with a segmenter")
    return torch.softmax(logits, 1)


def groups_of(avatar: Avatar) -> dict[str, int]:
    """Named groups: what earlier edits added, by name."""
    return {str(name): int(number) for name, number in avatar.meta.get("groups", {}).items()}


def membership(scene: Scene, target: str) -> Tensor:
    """(N,) in [0, 1]: how far each Gaussian belongs to ``target``: a label, a group of ``vocabulary``, or a named group.

    Raises InputError for an avatar without labels and for a target that it does not show.
    """
    found = _membership(scene, target)
    if int((found > PRESENT).sum()) < LEAST:
        raise InputError(f"the avatar shows no '{target.replace('_', ' ')}'")
    return found


def pieces_shown(scene: Scene) -> tuple[str, ...]:
    """Beard and moustache, where so much of their zone is hair that it is one and no shadow."""
    return tuple(name for name in FACIAL if _is_grown(scene, name))


def _is_grown(scene: Scene, name: str) -> bool:
    if bool(_things(scene.avatar, name).any()):
        return True
    skin = shares(scene.avatar)[:, LABEL_INDEX["skin"]] * (scene.avatar.gaussians.groups == 0)
    inside = (_zone(scene, name) > PRESENT) & (skin > PRESENT)
    hairs = int((inside & (hairiness(scene.avatar) > PRESENT)).sum())
    return hairs >= LEAST and hairs > GROWN * int(inside.sum())


def _membership(scene: Scene, target: str) -> Tensor:
    avatar = scene.avatar
    own = _things(avatar, target)
    if (target not in LABELS and target not in GROUPS) or (target in HAIRY and bool(own.any())):
        return own
    grown = avatar.gaussians.groups > 0
    probabilities = shares(avatar)
    kept = torch.zeros(len(grown))
    for label in GROUPS.get(target, (target,)):
        other = _of_another_kind(avatar, label) if label in WORN else grown
        kept = kept + torch.where(other, 0.0, probabilities[:, LABEL_INDEX[label]])
    if target == "hair":
        kept = kept * (1.0 - _of_the_forehead(scene, kept))
    if target in ("brows", "l_brow", "r_brow"):
        kept = torch.maximum(kept, hairiness(avatar) * _beside(scene, kept > PRESENT))
    if target == "head":
        kept = torch.where(grown, 1.0 - probabilities[:, 0], kept)
    return torch.maximum((kept * _piece(scene, target)).clamp(0.0, 1.0), own)


def _beside(scene: Scene, core: Tensor, reach: float = STRAND) -> Tensor:
    """(N,) 1 within ``reach`` metres of a Gaussian of ``core``: hairs are thinner than what a label names."""
    if not bool(core.any()):
        return torch.zeros(len(core))
    points = scene.rest.means
    return torch.from_numpy(cKDTree(points[core].numpy()).query(points.numpy())[0] < reach).float()


def _of_the_forehead(scene: Scene, hair: Tensor) -> Tensor:
    """(N,) how far a Gaussian of the hair, by its membership (N,), is skin by its colour: at the hairline, between the two.

    Recoloured as hair it would glow: it is several times as bright as hair is.
    """
    points, seen = scene.rest.means.numpy(), lab(colours(scene.avatar))
    skin = (shares(scene.avatar)[:, LABEL_INDEX["skin"]] > PRESENT) & (scene.avatar.gaussians.groups == 0)
    none = torch.zeros(len(hair))
    if int(skin.sum()) < LEAST:
        return none
    gaps, beside = (torch.from_numpy(found) for found in cKDTree(points[skin]).query(points, k=LEAST))
    deep = (hair > PRESENT) & (gaps[:, 0] > HAIRLINE)
    if int(deep.sum()) < LEAST:
        return none
    within = torch.from_numpy(cKDTree(points[deep]).query(points, k=LEAST)[1])
    of_skin, of_hair = seen[skin][beside].median(1).values, seen[deep][within].median(1).values
    apart = of_skin - of_hair
    length = apart.norm(dim=1).clamp(min=1e-6)
    way = ((seen - of_hair) * apart).sum(1) / length.square()
    return _ramp(way, FOREHEAD) * ((gaps[:, 0] < HAIRLINE) & (length > TOLD_APART))


def kind_of(avatar: Avatar, target: str) -> str:
    """What a target is: of a named group ("earring 2") what was added ("earring"), else itself."""
    return str(avatar.meta.get("group_kinds", {}).get(target, target))


def is_thing(avatar: Avatar, target: str) -> bool:
    """Whether a target is a thing of its own, lying on the head: an accessory, whoever put it there."""
    added = target in groups_of(avatar) or target in ADDABLE
    return target in THINGS or (added and kind_of(avatar, target) not in GROWS_OR_PAINTED)


def _things(avatar: Avatar, target: str) -> Tensor:
    """What was added under that name ("earring 2"), or as that kind under any name ("earring": all of them)."""
    numbers = [number for name, number in groups_of(avatar).items() if target in (name, kind_of(avatar, name))]
    return torch.isin(avatar.gaussians.groups, torch.tensor(numbers, dtype=torch.int32)).float()


def _of_another_kind(avatar: Avatar, label: str) -> Tensor:
    """(N,) bool: added as something that ``label`` does not name: a parrot has some label, and is no hat."""
    numbers = [number for name, number in groups_of(avatar).items() if ADDABLE.get(kind_of(avatar, name), "") != label]
    return torch.isin(avatar.gaussians.groups, torch.tensor(numbers, dtype=torch.int32))


def _piece(scene: Scene, target: str) -> Tensor:
    """(N,): what of its classes belongs to a piece."""
    rest, avatar = scene.rest, scene.avatar
    if target in ("teeth", "tongue"):
        seen = lab(colours(avatar))
        pale = _ramp(seen[:, 0], PALE) * (1.0 - _ramp(seen[:, 1], RED))
        return pale if target == "teeth" else _ramp(seen[:, 1], RED) * _ramp(seen[:, 0], DARK) * (1.0 - pale)
    if target not in ZONES:
        return torch.ones(len(rest.means))
    inside = _zone(scene, target)
    if target in FACIAL:
        return _facial_hair(scene, target, inside)
    return inside * hairiness(avatar) if target in HAIRY else inside


def _zone(scene: Scene, name: str) -> Tensor:
    return zone(name, face_coordinates(scene.head, scene.rest.vertices)(scene.rest.means))


def _facial_hair(scene: Scene, target: str, inside: Tensor) -> Tensor:
    """(N,): hairs of the zone ``inside`` (N,), and those right beside it; what belongs to a moustache is no beard."""
    hairs = hairiness(scene.avatar)
    of_skin = shares(scene.avatar)[:, LABEL_INDEX["skin"]] > PRESENT
    fringe = hairs * _beside(scene, (inside * hairs > PRESENT) & of_skin, FRINGE)
    other = FACIAL[1 - FACIAL.index(target)]
    if _is_grown(scene, other):
        fringe = fringe * (1.0 - _zone(scene, other))
    return torch.maximum(inside * hairs, fringe)


def hairiness(avatar: Avatar) -> Tensor:
    """(N,) in [0, 1]: how much darker than the skin of this avatar each Gaussian is."""
    return _ramp(skin_lightness(avatar) - lab(colours(avatar))[:, 0], HAIR_CONTRAST)


def skin_lightness(avatar: Avatar) -> float:
    """Lightness (CIELAB) of skin that is in the light: the nose, on which no beard grows."""
    lightness = lab(colours(avatar))[:, 0]
    opaque = avatar.gaussians.opacity_logits.sigmoid() > 0.3
    best = shares(avatar).argmax(1)
    bare = opaque & (best == LABEL_INDEX["nose"])
    if int(bare.sum()) < LEAST:
        bare = opaque & (best == LABEL_INDEX["skin"])
    return float(lightness[bare].median() if bool(bare.any()) else lightness.median())


def _ramp(value: Tensor, edges: tuple[float, float]) -> Tensor:
    return ((value - edges[0]) / (edges[1] - edges[0])).clamp(0.0, 1.0)
