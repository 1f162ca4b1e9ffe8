"""Did an operation do what was asked, and nothing else?  Measured on the avatar before and after, in its own pictures and at rest.

What cannot be seen in the avatar (whether a picture is *like* an oil painting) is not judged here; that something changed where it should, by
how much, and what changed elsewhere, is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import max_pool2d

from avatarkit.edit.gate import strong_change
from avatarkit.edit.membership import HAIRY, colours, membership, skin_lightness
from avatarkit.edit.operators.recolour import EYES, iris, wanted_colour
from avatarkit.edit.operators.warp import head_width
from avatarkit.edit.plan import Operation, Region
from avatarkit.edit.region import Located, anchor_points, direction, mask_core, region_mask
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.errors import InputError
from avatarkit.labels import LABELS
from avatarkit.losses.colour_difference import chroma, ciede2000, hue, hue_difference, lab, srgb_from_linear

LOOKED_AT = 6
"""Pictures that are compared; half of them at timesteps and cameras that no keyframe used, where the avatar has some."""
SEEN = 3.0  # CIEDE2000 from which on a pixel changed
LEAST_INSIDE = 2.0  # CIEDE2000 in the region (``gate.strong_change``) that counts as an edit
MOST_OUTSIDE = 0.02  # share of the picture that may change outside the region
MARGIN = 5  # pixels around the region that belong to its edge
RESIDUE = 0.10  # share of a deleted thing's pixels that may be left
RESIDUE_OF_PIECE = 0.3
"""The same for what no label names: under a shaven chin there is a shadow, as dark as a beard."""
HOLES = 0.10  # share of its pixels behind which nothing opaque may be left
HUE, CHROMATIC = 25.0, 12.0
"""Degrees by which a recoloured part may miss its hue, where both are coloured at all."""
FARTHER = 3.0  # CIEDE2000 by which a recoloured part may go away from its colour
PALE = 0.5  # share of its chroma that a part may keep that is to become grey
PAIRS = ("eyes", "brows", "ears", "cheeks", "earring")
"""Targets of which each of two grows by itself."""
FOLLOWED = 0.4  # of a displacement or growth that has to be there
LEAST_MOVED = 0.0004  # metres: of what moved most; less moves nothing
TOUCHING = 0.03  # metres from its anchor within which a thing that is on it begins
NOTHING = "nothing changed"
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
    if operation.kind in WARPS:  # a faint smile is hardly a change of colour anywhere
        measures["displaced"] = _displaced(before, after, places)
    if inside < LEAST_INSIDE and outside < 0.002 and measures.get("displaced", 0.0) < LEAST_MOVED:
        return Verdict(False, NOTHING, "add" if operation.kind in ("add", "restyle") else "change", measures)
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


def _displaced(before: Scene, after: Scene, places: list[Place]) -> float:
    """Metres: how far the hundredth part of the mesh that moved most did, at the time when it did so most."""
    most = 0.0
    for timestep in {place.timestep for place in places}:
        shift = after.pose(timestep).vertices[0] - before.pose(timestep).vertices[0]
        most = max(most, float(shift.norm(dim=1).quantile(0.99)))
    if len(after.avatar.gaussians) == len(before.avatar.gaussians):  # glasses, hair
        most = max(most, float((after.rest.means - before.rest.means).norm(dim=1).max()))
    return most


def _recoloured(before: Scene, after: Scene, operation: Operation, located: Located, places: list[Place]) -> Verdict:
    """The region's colour went to that of the operation: its hue where there is one, else lighter, darker, richer or paler."""
    attributes = operation.attributes
    weights = located.weights * iris(before) if operation.target in EYES else located.weights
    old, new = _median_colour(before, before, weights, places), _median_colour(before, after, weights, places)
    if old is None or new is None:
        return Verdict(False, "the region does not show")
    if not attributes.colour and not attributes.material:
        return _shaded(old, new, operation)
    asked = lab(srgb_from_linear(wanted_colour(torch.full((3,), 0.2), attributes)))
    measures = {"delta": float(ciede2000(new, asked))}
    reason = ""
    if operation.strength > 0.7 and float(chroma(asked)) > CHROMATIC:
        measures["hue"] = float(hue_difference(hue(new), hue(asked)))
        if measures["hue"] > HUE and float(chroma(new)) > 0.5 * CHROMATIC:
            reason = f"its hue is {measures['hue']:.0f} degrees off"
        elif float(chroma(new)) < 0.2 * float(chroma(asked)):
            reason = "it has hardly any colour"
    elif operation.strength > 0.7 and float(chroma(new)) > float(chroma(asked)) + CHROMATIC + PALE * float(chroma(old)):
        reason = "it still has a colour of its own"
    if not reason and measures["delta"] > float(ciede2000(old, asked)) + FARTHER:
        reason = "it is farther from its colour than before"
    return Verdict(not reason, reason, "change" if reason else "", measures)


def _shaded(old: Tensor, new: Tensor, operation: Operation) -> Verdict:
    """Lighter is lighter, and paler is paler; colours (3,) in CIELAB."""
    lighter, richer = float(new[0] - old[0]), float(chroma(new) - chroma(old))
    measures = {"lighter": lighter, "richer": richer}
    attributes, reason = operation.attributes, ""
    if attributes.lightness and lighter * attributes.lightness <= 0:
        reason = f"it did not become {'lighter' if attributes.lightness > 0 else 'darker'}"
    elif attributes.saturation and not attributes.lightness and richer * attributes.saturation <= 0:
        reason = f"its colour did not become {'richer' if attributes.saturation > 0 else 'paler'}"
    return Verdict(not reason, reason, "change" if reason else "", measures)


def _median_colour(before: Scene, shown: Scene, weights: Tensor, places: list[Place]) -> Tensor | None:
    """(3,) CIELAB of what is ``shown`` where a region of ``before`` is; None where that is nowhere."""
    pixels = []
    for place in places:
        core = mask_core(region_mask(before, weights, place))
        if bool(core.any()):
            pixels.append(shown.picture(place)[:, core].T)
    return lab(torch.cat(pixels).median(0).values) if pixels else None


def _deleted(before: Scene, after: Scene, operation: Operation, located: Located, places: list[Place]) -> Verdict:
    """Nothing of the thing shows any more, and there is something where it was."""
    remains = _left_over(before, after, operation.target, located)
    area = left = hollow = 0.0
    for place in places:
        core = mask_core(region_mask(before, located.weights, place))
        area += float(core.sum())
        if remains is not None:
            left += float((mask_core(region_mask(after, remains, place)) & core).sum())
        on_mesh = torch.from_numpy(before.mesh(place).triangle >= 0)
        alpha = after.surface_alpha(place)
        hollow += float((core & on_mesh & (alpha[0] < 0.5)).sum())
    residue, holes = left / max(area, 1.0), hollow / max(area, 1.0)
    measures = {"residue": residue, "holes": holes}
    if residue > (RESIDUE if operation.target in LABELS else RESIDUE_OF_PIECE):
        return Verdict(False, f"{100 * residue:.0f} % of it is still there", "delete", measures)
    if holes > HOLES:
        return Verdict(False, f"{100 * holes:.0f} % of its place is a hole", "add", measures)
    return Verdict(True, measures=measures)


def _left_over(before: Scene, after: Scene, target: str, located: Located) -> Tensor | None:
    """(N,) what a target is still made of; None where nothing of it is left.

    Of a beard only what is as dark as the beard rather than as the skin: a shaved chin is in the shade.
    """
    try:
        left = membership(after, target)
    except InputError:
        return None
    if target not in HAIRY:
        return left
    was = float(lab(colours(before.avatar))[located.core, 0].median())
    return left * (lab(colours(after.avatar))[:, 0] < 0.5 * (was + skin_lightness(before.avatar)))


def _added(before: Scene, after: Scene, operation: Operation, located: Located, places: list[Place]) -> Verdict:
    """The new thing shows, and stands in the asked relation to its anchor."""
    new = _new_rows(before, after)
    if not bool(new.any()):
        return Verdict(True)  # painted: judged by what changed
    seen = sum(float((region_mask(after, new.float(), place) > 0.3).sum()) > 4 for place in places)
    measures = {"seen": seen / len(places)}
    if seen == 0:
        return Verdict(False, "it does not show from anywhere", "add", measures)
    if operation.region is not None:
        measures["relation"] = _stands(before, after.rest.means[new], operation.region)
        if measures["relation"] <= 0:
            relation, anchor = operation.region.relation, operation.region.anchor
            said = f"it is not {relation.replace('_', ' ')} the {anchor.replace('_', ' ')}"
            return Verdict(False, said, "reposition", measures)
    return Verdict(True, measures=measures)


def _stands(scene: Scene, points: Tensor, region: Region) -> float:
    """Metres by which new points (M, 3) stand in a relation to its anchor; not at all where that is not positive."""
    shown, own = anchor_points(scene, region.anchor)
    if region.relation != "on":
        axis, sign = direction(region)
        return sign * float(points[:, axis].median() - (shown if len(shown) else own)[:, axis].median())
    anchor = torch.cat([shown, own])
    near = torch.from_numpy(cKDTree(anchor.numpy()).query(points.numpy())[0]).float()
    touching = TOUCHING - float(near.quantile(0.05))
    if region.anchor[:2] not in ("l_", "r_") or region.anchor in ("l_lip",):
        return touching
    middle = float(scene.rest.vertices[:, 0].median())
    own = (1.0 if region.anchor.startswith("l_") else -1.0) * (float(points[:, 0].median()) - middle)
    return min(touching, own)


def _moved(before: Scene, after: Scene, operation: Operation, located: Located, places: list[Place]) -> Verdict:
    """At rest, the region moved along the offset, or grew along its dimension, by a good part of what was asked."""
    core = located.weights > 0.6
    if not bool(core.any()) or len(after.avatar.gaussians) != len(before.avatar.gaussians):
        return Verdict(True)
    first, second = before.rest.means[core], after.rest.means[core]
    if operation.kind == "move":
        asked = head_width(before) * operation.strength * torch.tensor(operation.attributes.offset)
        share = float((second - first).median(0).values @ asked / (asked @ asked).clamp(min=1e-12))
        measures = {"followed": share}
        return Verdict(share > FOLLOWED, "" if share > FOLLOWED else "it hardly moved", "reposition", measures)
    if operation.target == "hair" and operation.attributes.dimension == "length":  # only what hangs grows longer
        hanging = first[:, 1] < first[:, 1].median()
        first, second = first[hanging], second[hanging]
    asked_growth = operation.strength * (operation.attributes.size - 1.0)
    growth = _growth(first, second, operation.target in PAIRS)
    factor = float(growth.max() if asked_growth >= 0 else growth.min())
    moved = float((second - first).norm(dim=1).median())
    measures = {"growth": 1.0 + factor, "moved": moved}
    fine = not asked_growth or factor / asked_growth > FOLLOWED
    return Verdict(fine, "" if fine else "its size hardly changed", "", measures)


def _growth(first: Tensor, second: Tensor, pair: bool) -> Tensor:
    """(3,) by what share points (M, 3) spread out along each axis, by least squares; of a pair, what each of the two does."""
    middle = 0.5 * (first[:, 0].min() + first[:, 0].max())
    halves = [first[:, 0] > middle, first[:, 0] <= middle] if pair else [torch.ones(len(first), dtype=torch.bool)]
    found = []
    for half in halves:
        if int(half.sum()) > 3:
            centred = first[half] - first[half].mean(0)
            shift = second[half] - first[half]
            found.append((centred * shift).sum(0) / (centred * centred).sum(0).clamp(min=1e-10))
    return torch.stack(found).mean(0) if found else torch.zeros(3)
