"""Did an operation do what was asked, and nothing else?  Measured on the avatar before and after, in its own pictures and at rest.

What cannot be seen in the avatar (whether a picture is *like* an oil painting) is not judged here; that something changed where it should, by
how much, and what changed elsewhere, is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from avatarkit.edit.gate import strong_change
from avatarkit.edit.membership import groups_of, shares
from avatarkit.edit.operators.recolour import EYES, iris, wanted_colour
from avatarkit.edit.plan import Operation
from avatarkit.edit.region import Located, direction, mask_core, region_mask
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.errors import InputError
from avatarkit.labels import LABEL_INDEX, LABELS
from avatarkit.losses.colour_difference import chroma, ciede2000, hue, hue_difference, lab

LOOKED_AT = 6
"""Pictures that are compared; half of them at timesteps and cameras that no keyframe used, where the avatar has some."""
SEEN = 3.0  # CIEDE2000 from which on a pixel changed
LEAST_INSIDE = 2.0  # CIEDE2000 in the region (``gate.strong_change``) that counts as an edit
MOST_OUTSIDE = 0.02  # share of the picture that may change outside the region
MARGIN = 5  # pixels around the region that belong to its edge
RESIDUE = 0.10  # share of a deleted thing's pixels that may be left
HOLES = 0.10  # share of its pixels behind which nothing opaque may be left
HUE, CHROMATIC = 25.0, 12.0
"""Degrees by which a recoloured part may miss its hue, where both are coloured at all."""
FOLLOWED = 0.4  # of a displacement or growth that has to be there
WARPS = ("move", "shape", "expression", "identity")
"""Kinds that move things across the region's edge: what changes outside is no fault of theirs."""


@dataclass(frozen=True)
class Verdict:
    """accepted; reason: what is wrong, in words for people; latent: which latent operation would mend it ("", "add", "delete",
    "reposition", "change"); measures: figures for the log."""

    accepted: bool
    reason: str = ""
    latent: str = ""
    measures: dict[str, float] = field(default_factory=dict)


def verify(before: Scene, after: Scene, operation: Operation, located: Located) -> Verdict:
    """Judge ``after`` against what ``operation`` asked of ``before``."""
    places = _places(before)
    inside, outside = _changes(before, after, located, places, operation)
    measures = {"inside": inside, "outside": outside}
    if inside < LEAST_INSIDE and outside < 0.002:
        return Verdict(False, "nothing changed", "add" if operation.kind in ("add", "restyle") else "change", measures)
    judge = {
        "recolour": _recoloured, "delete": _deleted, "add": _added, "move": _moved, "shape": _moved,
    }.get(operation.kind)  # fmt: skip
    if judge is not None:
        verdict = judge(before, after, operation, located, places)
        measures |= verdict.measures
        if not verdict.accepted:
            return Verdict(False, verdict.reason, verdict.latent, measures)
    if operation.kind not in WARPS and outside > MOST_OUTSIDE:
        return Verdict(False, f"{100 * outside:.1f} % of the picture changed outside the region", "change", measures)
    return Verdict(True, "", "", measures)


def _places(scene: Scene) -> list[Place]:
    places = spread_places(scene, LOOKED_AT)
    if scene.avatar.indices("val") or scene.avatar.indices("test"):
        split = "test" if scene.avatar.indices("test") else "val"
        places = places[::2] + spread_places(scene, LOOKED_AT // 2, split)
    return places


def _changes(
    before: Scene, after: Scene, located: Located, places: list[Place], operation: Operation
) -> tuple[float, float]:
    """CIEDE2000 inside the region (of before and after), and the share of the picture that changed outside it."""
    insides, outsides = [], []
    weights = located.weights
    if operation.target in EYES and operation.kind == "recolour":
        weights = weights * iris(before)
    added = _new_rows(before, after)
    for place in places:
        mask = region_mask(before, weights, place)
        if operation.kind == "add":
            mask = mask * 0.0 if located.radius == 0 and bool(added.any()) else mask
            mask = torch.maximum(mask, region_mask(after, added.float(), place))
        elif bool(added.any()):
            mask = torch.maximum(mask, region_mask(after, added.float(), place))
        first, second = before.picture(place), after.picture(place)
        change = ciede2000(lab(first.permute(1, 2, 0)), lab(second.permute(1, 2, 0)))
        near = max_pool2d(mask[None], 2 * MARGIN + 1, 1, MARGIN)[0, 0]
        core = mask_core(mask)
        if bool(core.any()):
            insides.append(change[core])
        outsides.append(float(((change > SEEN) & (near < 0.02)).float().mean()))
    inside = strong_change(torch.cat(insides)) if insides else 0.0
    return inside, sum(outsides) / len(outsides)


def _new_rows(before: Scene, after: Scene) -> Tensor:
    """(N,) bool of ``after``: Gaussians that are no children of a split."""
    known = before.avatar.gaussians.ids
    gaussians = after.avatar.gaussians
    return ~torch.isin(gaussians.ids, known) & ~torch.isin(gaussians.parents, known)


def _recoloured(before: Scene, after: Scene, operation: Operation, located: Located, places: list[Place]) -> Verdict:
    """The region's colour is that of the operation: its hue, where there is one."""
    attributes = operation.attributes
    weights = located.weights * iris(before) if operation.target in EYES else located.weights
    if not attributes.colour and not attributes.material:
        return Verdict(True)
    wanted = wanted_colour(torch.full((3,), 0.2), attributes)
    from avatarkit.losses.colour_difference import srgb_from_linear

    asked = lab(srgb_from_linear(wanted))
    pixels = []
    for place in places:
        core = mask_core(region_mask(before, weights, place))
        if bool(core.any()):
            pixels.append(after.picture(place)[:, core].T)
    if not pixels:
        return Verdict(False, "the region does not show", "", {})
    found = lab(torch.cat(pixels).median(0).values)
    measures = {"delta": float(ciede2000(found, asked))}
    if float(chroma(asked)) > CHROMATIC and operation.strength > 0.7:
        measures["hue"] = float(hue_difference(hue(found), hue(asked)))
        if measures["hue"] > HUE and float(chroma(found)) > 0.5 * CHROMATIC:
            return Verdict(False, f"its hue is {measures['hue']:.0f} degrees off", "change", measures)
        if float(chroma(found)) < 0.2 * float(chroma(asked)):
            return Verdict(False, "it has hardly any colour", "change", measures)
    return Verdict(True, measures=measures)


def _deleted(before: Scene, after: Scene, operation: Operation, located: Located, places: list[Place]) -> Verdict:
    """Nothing of the thing shows any more, and there is something where it was."""
    target = operation.target
    area = left = hollow = 0.0
    for place in places:
        core = mask_core(region_mask(before, located.weights, place))
        area += float(core.sum())
        left += float((_class_mask(after, target, place) & core).sum())
        on_mesh = torch.from_numpy(before.mesh(place).triangle >= 0)
        alpha = after.surface_alpha(place)
        hollow += float((core & on_mesh & (alpha[0] < 0.5)).sum())
    residue, holes = left / max(area, 1.0), hollow / max(area, 1.0)
    measures = {"residue": residue, "holes": holes}
    if residue > RESIDUE:
        return Verdict(False, f"{100 * residue:.0f} % of it is still there", "delete", measures)
    if holes > HOLES:
        return Verdict(False, f"{100 * holes:.0f} % of its place is a hole", "add", measures)
    return Verdict(True, measures=measures)


def _class_mask(scene: Scene, target: str, place: Place) -> Tensor:
    """(H, W) bool: where a class or group is the strongest; empty for pieces, whose class stays."""
    if target in groups_of(scene.avatar):
        own = (scene.avatar.gaussians.groups == groups_of(scene.avatar)[target]).float()
        return scene.field(own[:, None].contiguous(), place)[0][0] > 0.5
    if target not in LABELS:
        return torch.zeros(place.cameras.height, place.cameras.width, dtype=torch.bool)
    try:
        field, alpha, _ = scene.field(shares(scene.avatar), place)
    except InputError:
        return torch.zeros(place.cameras.height, place.cameras.width, dtype=torch.bool)
    return (field.argmax(0) == LABEL_INDEX[target]) & (alpha[0] > 0.5)


def _added(before: Scene, after: Scene, operation: Operation, located: Located, places: list[Place]) -> Verdict:
    """The new thing shows, and stands in the asked relation to its anchor."""
    new = _new_rows(before, after)
    if not bool(new.any()):
        return Verdict(True)  # painted: judged by what changed
    seen = sum(float((region_mask(after, new.float(), place) > 0.3).sum()) > 4 for place in places)
    measures = {"seen": seen / len(places)}
    if seen == 0:
        return Verdict(False, "it does not show from anywhere", "add", measures)
    region = operation.region
    if region is not None and region.relation != "on":
        from avatarkit.edit.membership import membership

        axis, sign = direction(region)
        anchor = before.rest.means[membership(before, region.anchor) > 0.5][:, axis].median()
        gap = sign * float(after.rest.means[new][:, axis].median() - anchor)
        measures["relation"] = gap
        if gap <= 0:
            return Verdict(
                False, f"it is not {region.relation.replace('_', ' ')} the {region.anchor}", "reposition", measures
            )
    return Verdict(True, measures=measures)


def _moved(before: Scene, after: Scene, operation: Operation, located: Located, places: list[Place]) -> Verdict:
    """At rest, the region moved along the offset, or grew along its dimension, by a good part of what was asked."""
    core = located.weights > 0.6
    if not bool(core.any()) or len(after.avatar.gaussians) != len(before.avatar.gaussians):
        return Verdict(True)
    first, second = before.rest.means[core], after.rest.means[core]
    if operation.kind == "move":
        from avatarkit.edit.operators.warp import head_width

        asked = head_width(before) * operation.strength * torch.tensor(operation.attributes.offset)
        share = float((second - first).median(0).values @ asked / (asked @ asked).clamp(min=1e-12))
        measures = {"followed": share}
        return Verdict(share > FOLLOWED, "" if share > FOLLOWED else "it hardly moved", "reposition", measures)
    spread = (second.quantile(0.9, dim=0) - second.quantile(0.1, dim=0)) / (
        first.quantile(0.9, dim=0) - first.quantile(0.1, dim=0)
    ).clamp(min=1e-5)
    factor = float(spread.max() if operation.attributes.size >= 1.0 else spread.min())
    asked_growth = operation.strength * (operation.attributes.size - 1.0)
    moved = float((second - first).norm(dim=1).median())
    measures = {"growth": factor, "moved": moved}
    grew = (factor - 1.0) / asked_growth if asked_growth else 1.0
    fine = grew > FOLLOWED or moved > 0.002
    return Verdict(fine, "" if fine else "its size hardly changed", "", measures)
