"""How an edit is scored, without learned weights: pixels against the subject drawn again with that edit, and its true labels and geometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.looks import LOOKS
from avatarkit.bench.edit.masks import EDGE, OUTSIDE_DELTA, OUTSIDE_SHARE, grown, shrunk
from avatarkit.bench.edit.scores import HOLD, Score
from avatarkit.bench.edit.solid import SOLID
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.bench.edit.truth import Shot, head_width, landmarks, project, unproject
from avatarkit.gaussians.avatar import Avatar
from avatarkit.losses.colour_difference import chroma, ciede2000, hue, hue_difference, lab

COLOUR_DELTA, HUE_OFF = 10.0, 15.0
RESIDUE_SHARE, COVERED = 0.02, 0.98
COLOURED = 10.0  # chroma from which a colour has a hue
TRULY = 5.0  # CIEDE2000 between the subject before and after from which a pixel is part of the edit
SEEN = 6.0  # and between the avatar before and after, from which a pixel was changed
FEW = 6  # pixels: less is not seen
REACH = 6  # pixels that what shows may lie beside the true thing
HIDDEN = 0.006  # metres: what lies farther behind the true surface does not show
ROOM = 0.12  # head widths that another make of a thing may go beyond the true one


def score(case: Case, who: Sitter, shots: list[Shot], edited: Avatar | None = None) -> Score:
    """Score one edit by its case's probe; ``edited``: for probes that look at the avatar itself (``ON_AVATAR``)."""
    if case.probe in ON_AVATAR:
        assert edited is not None
        return ON_AVATAR[case.probe](case, who, edited)
    return PROBES[case.probe](case, who, shots)


def outside_change(shots: list[Shot], region: Callable[[Shot], Tensor]) -> float:
    """Share of a picture, in the mean over ``shots``, that changed visibly outside ``region`` (H, W) bool and its edge."""
    shares = []
    for shot in shots:
        near = grown(region(shot), 2 * EDGE)
        shares.append(float(((shot.changed > OUTSIDE_DELTA) & ~near).float().mean()))
    return sum(shares) / len(shares)


def colour(case: Case, who: Sitter, shots: list[Shot]) -> Score:
    """Median CIEDE2000 to the truth inside at most 10, hue within 15°, at most 2 % of the pixels outside changed."""
    inside: list[tuple[Tensor, Tensor]] = []
    for shot in shots:
        part = shrunk(shot.truly_changed > TRULY) & shot.labelled(*case.labels, after=True)
        if not bool(part.any()):
            part = (shot.truly_changed > TRULY) & shot.labelled(*case.labels, after=True)
        inside.append((shot.after[part], shot.truth_after[part]))
    found, truth = torch.cat([a for a, _ in inside]), torch.cat([b for _, b in inside])
    if not len(found):
        return Score(False, {}, "the edit shows in no picture of the truth")
    delta = float(ciede2000(lab(found), lab(truth)).median())
    mean_found, mean_truth = lab(found.median(0).values), lab(truth.median(0).values)
    values = {"delta": delta, "pixels": float(len(found))}
    if float(chroma(mean_truth)) > COLOURED:
        values["hue"] = float(hue_difference(hue(mean_found), hue(mean_truth)))
    values["outside"] = outside_change(
        shots, lambda s: (s.truly_changed > OUTSIDE_DELTA) | _on_its_half(s, s.labelled(*case.labels, after=True))
    )
    if delta > COLOUR_DELTA:
        return Score(False, values, f"colour is {delta:.1f} off")
    if values.get("hue", 0.0) > HUE_OFF:
        return Score(False, values, f"hue is {values['hue']:.0f} degrees off")
    if values["outside"] > OUTSIDE_SHARE:
        return Score(False, values, f"{100 * values['outside']:.1f} % changed outside")
    return Score(True, values)


def gone(case: Case, who: Sitter, shots: list[Shot]) -> Score:
    """At most 2 % of what was to go is left, at least 98 % of what shows in its place is there."""
    left = place = covered = needed = 0.0
    for shot in shots:
        part = (shot.truly_changed > TRULY) & (shot.labelled(*case.labels) | shot.labelled(*case.labels, after=True))
        part = shrunk(part) if float(shrunk(part).sum()) > FEW else part
        thing = part & (shot.truly_changed > 2 * TRULY)
        to_old, to_new = (
            ciede2000(lab(shot.after), lab(shot.truth_before)),
            ciede2000(lab(shot.after), lab(shot.truth_after)),
        )
        as_it_was = (to_old < COLOUR_DELTA) | (shot.changed < COLOUR_DELTA)  # what filled it badly is no rest of it
        left += float((thing & (to_old < to_new) & (to_new > 2 * TRULY) & as_it_was).sum())
        place += float(thing.sum())
        stays = part & shot.mask_after
        needed += float(stays.sum())
        covered += float((stays & (shot.alpha > 0.5)).sum())
    values = {"residue": left / max(place, 1.0), "covered": covered / max(needed, 1.0)}
    values["outside"] = outside_change(
        shots, lambda s: (s.truly_changed > OUTSIDE_DELTA) | _on_its_half(s, s.labelled(*case.labels))
    )
    if place < FEW:
        return Score(False, values, "the thing shows in no picture of the truth")
    if values["residue"] > RESIDUE_SHARE:
        return Score(False, values, f"{100 * values['residue']:.1f} % is left")
    if values["covered"] < COVERED:
        return Score(False, values, f"only {100 * values['covered']:.1f} % is covered")
    if values["outside"] > OUTSIDE_SHARE:
        return Score(False, values, f"{100 * values['outside']:.1f} % changed outside")
    return Score(True, values)


def place(case: Case, who: Sitter, shots: list[Shot]) -> Score:
    """What changed lies where it was asked for: in the head's frame (lifted by depth) and in the picture, in at least 90 % of the pictures
    that show it; it shows in at least 90 % of those in which it should; and at most 2 % of the pixels changed anywhere else."""
    args = case.args
    held = flat = shown = due = 0
    width = head_width(who)
    for shot in shots:
        found = landmarks(who, shot.params)
        found["eyes"] = 0.5 * (found["l_eye"] + found["r_eye"])
        expected = _expected(case, who, shot)
        part = _thing(shot)
        there = shot.surface_before if case.probe.startswith("placed") else None  # what was there is known exactly
        points = unproject(part, shot.depth if there is None else there, shot.place)
        seen = len(points) >= FEW
        if expected is None:
            continue
        due += 1
        if seen and int((part & grown(expected, REACH)).sum()) >= FEW:
            shown += 1
            held += _in_head(args, points, found, width, EDGE * width / width_in_pixels(who, shot))
            flat += _in_picture(args, part, shot, found)
    values = {"seen": shown / max(due, 1), "head": held / max(shown, 1), "picture": flat / max(shown, 1)}
    values["outside"] = outside_change(shots, lambda s: _room(case, who, s))
    if not due:
        return Score(False, values, "the thing shows in no picture of the truth")
    if values["seen"] < HOLD:
        return Score(False, values, f"it shows in {shown} of the {due} pictures in which it should")
    if values["head"] < HOLD:
        return Score(False, values, f"it is in its place in {100 * values['head']:.0f} % of the pictures")
    if values["picture"] < HOLD:
        return Score(False, values, f"in the picture it is in its place in {100 * values['picture']:.0f} %")
    if values["outside"] > OUTSIDE_SHARE:
        return Score(False, values, f"{100 * values['outside']:.1f} % changed elsewhere")
    return Score(True, values)


def placed_colour(case: Case, who: Sitter, shots: list[Shot]) -> Score:
    """A part on one side has the colour, by ``colour``, and what changed lies on that side, by ``place``."""
    return _both(place(case, who, shots), colour(case, who, shots))


def placed_gone(case: Case, who: Sitter, shots: list[Shot]) -> Score:
    """The thing of one side is gone, by ``gone``, and nothing of the other side changed, by ``place``."""
    return _both(place(case, who, shots), gone(case, who, shots))


def _both(first: Score, second: Score) -> Score:
    values = {**second.values, **first.values}
    values["outside"] = max(score.values.get("outside", 0.0) for score in (first, second))
    return Score(first.success and second.success, values, first.why or second.why)


def negation(case: Case, who: Sitter, shots: list[Shot]) -> Score:
    """What was asked is done, by the probe ``args["inner"]``, and of the parts ``args["kept"]`` at most 2 % of the pixels changed."""
    done = PROBES[case.args["inner"]](case, who, shots)
    altered = total = 0.0
    for shot in shots:
        part = shot.labelled(*case.args["kept"]) & ~grown(shot.truly_changed > OUTSIDE_DELTA, EDGE)
        part = shrunk(part) if int(shrunk(part).sum()) > FEW else part  # frames of glasses are edge alone
        altered += float((part & (shot.changed > OUTSIDE_DELTA)).sum())
        total += float(part.sum())
    share = altered / max(total, 1.0)
    values = {**done.values, "altered": share}
    if not done.success:
        return Score(False, values, done.why)
    if total < FEW:
        return Score(False, values, "what was to stay shows in no picture")
    fine = share <= OUTSIDE_SHARE
    return Score(fine, values, "" if fine else f"{100 * share:.0f} % of what was to stay changed")


def moved(case: Case, who: Sitter, shots: list[Shot]) -> Score:
    """The thing, by its true mask, is found again along the head's up axis: on the asked side of where it was, by at least
    ``args["least"]`` head widths, in at least 90 % of the pictures that show it."""
    width, least, sign = head_width(who), case.args["least"], case.args["sign"]
    gaps: list[float] = []
    for shot in shots:
        mask = shot.labelled(*case.labels)
        if int(mask.sum()) < 4 * FEW:
            continue
        found = landmarks(who, shot.params)
        ends = project(torch.stack([found["centre"], found["centre"] + width * found["up"]]), shot.place)
        gaps.append(_found_again(shot, mask, ends[1] - ends[0]))
    values = {"moved": float(torch.tensor(gaps).median()) if gaps else 0.0}
    values["head"] = sum(gap * sign >= least for gap in gaps) / max(len(gaps), 1)
    values["outside"] = outside_change(
        shots, lambda s: grown(s.labelled(*case.labels), round(width_in_pixels(who, s) * case.args["room"]))
    )
    if not gaps:
        return Score(False, values, "the thing shows in no picture of the truth")
    if values["head"] < HOLD:
        return Score(False, values, f"it moved that way in {100 * values['head']:.0f} % of the pictures")
    if values["outside"] > OUTSIDE_SHARE:
        return Score(False, values, f"{100 * values['outside']:.1f} % changed elsewhere")
    return Score(True, values)


def _found_again(shot: Shot, mask: Tensor, along: Tensor) -> float:
    """How far the pixels of ``mask`` went, in units of ``along`` (2,) pixels: where the picture after is like them and was not before."""
    rows, columns = torch.nonzero(mask, as_tuple=True)
    wanted = lab(shot.before[rows, columns])
    gaps: dict[float, float] = {}
    for step in range(-12, 13):
        share = step / 60.0
        y = (rows + along[1] * share).round().long().clamp(0, mask.shape[0] - 1)
        x = (columns + along[0] * share).round().long().clamp(0, mask.shape[1] - 1)
        now, then = (ciede2000(lab(picture[y, x]), wanted).mean() for picture in (shot.after, shot.before))
        gaps[share] = float(now - then)
    best = min(gaps, key=lambda share: gaps[share])
    return best if gaps[best] < gaps[0.0] else 0.0


def width_in_pixels(who: Sitter, shot: Shot) -> float:
    """Head widths as the picture has them at the head's distance."""
    camera, view = shot.place.cameras, shot.place.cameras.viewmats[0]
    z = float((view[:3, :3] @ landmarks(who, shot.params)["centre"] + view[:3, 3])[2])
    return float(camera.Ks[0, 0, 0]) * head_width(who) / z


def _expected(case: Case, who: Sitter, shot: Shot) -> Tensor | None:
    """(H, W) bool: where the thing should show; None in pictures that hide it.  From the truth where the subject can wear the
    thing; a nose ring around the wing of the asked side, where that is not hidden."""
    if case.change:
        part = shot.truly_changed > TRULY
        if case.labels:
            part = part & (shot.labelled(*case.labels) | shot.labelled(*case.labels, after=True))
        return part if int(part.sum()) >= 2 * FEW else None
    found = landmarks(who, shot.params)
    spot = found["l_wing" if case.args["sign"] > 0 else "r_wing"]
    assert shot.surface is not None
    (x, y), view = project(spot[None], shot.place)[0].round().long().tolist(), shot.place.cameras.viewmats[0]
    z = float((view[:3, :3] @ spot + view[:3, 3])[2])
    near = shot.surface[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
    if not near.numel() or float((near - z).abs().min()) > HIDDEN:
        return None
    return _disc(shot, (x, y), case.args["within"] * width_in_pixels(who, shot) / 3)


def _room(case: Case, who: Sitter, shot: Shot) -> Tensor:
    """(H, W) bool: where the edit may show: the true thing with a margin for another make of it; without one, around ``near``."""
    if case.change:
        part = (shot.truly_changed > TRULY) | _on_its_half(shot, shot.labelled(*case.labels, after=True))
        return grown(part, 0 if case.probe != "place" else round(ROOM * width_in_pixels(who, shot)))
    x, y = project(landmarks(who, shot.params)[case.args["near"]][None], shot.place)[0].tolist()
    return _disc(shot, (x, y), case.args["within"] * width_in_pixels(who, shot))


def _disc(shot: Shot, at: tuple[float, float], radius: float) -> Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(float(n)) for n in shot.mask_after.shape), indexing="ij")
    return torch.hypot(rows - at[1], columns - at[0]) < radius


def _on_its_half(shot: Shot, part: Tensor) -> Tensor:
    return part if shot.half is None else part & shot.half


def _thing(shot: Shot) -> Tensor:
    """(H, W) bool: what changed visibly, without specks: a line of one pixel is none."""
    part = shot.changed > SEEN
    around = 9.0 * avg_pool2d(part.float()[None, None], 3, 1, 1)[0, 0]
    return part & (around > 2.5)


def _in_head(args: dict[str, Any], points: Tensor, found: dict[str, Tensor], width: float, edge: float) -> bool:
    """The predicates of a case on world points (M, 3); width: of the head, edge: of what is cut in two, metres."""
    middle = points.median(0).values
    centre = 0.5 * (found["l_eye"] + found["r_eye"])
    fine = True
    if "both" in args:
        sides = (points - centre) @ found["left"]
        near = [(points[sides * sign > 0] - found[name]).norm(dim=1).median() if bool((sides * sign > 0).any()) else None
                for name, sign in zip(args["both"], (1.0, -1.0), strict=True)]  # fmt: skip
        seen = [gap for gap in near if gap is not None]
        return bool(seen) and all(float(gap) < args["within"] * width for gap in seen)
    if "near" in args:
        fine &= float((middle - found[args["near"]]).norm()) < args["within"] * width
    if "axis" in args:
        offsets = (points - centre) @ found[args["axis"]] * args["sign"]
        slack = 0.0 if args["axis"] == "left" else 0.1 * width
        if "half" in args and "near" not in args:
            offsets = offsets[offsets.abs() > edge]
        share = float((offsets > -slack).float().mean()) if len(offsets) else 0.0
        fine &= share >= args.get("share", 0.8)
    if "above" in args:
        fine &= float((middle - found[args["above"]]) @ found["up"]) > 0
    if "below" in args:
        fine &= float((middle - found[args["below"]]) @ found["up"]) < 0
    return fine


def _in_picture(args: dict[str, Any], part: Tensor, shot: Shot, found: dict[str, Tensor]) -> bool:
    """The same in the picture's plane, by projected landmarks; a head seen from the side has no left and right there."""
    rows, columns = torch.nonzero(part, as_tuple=True)
    x, y = float(columns.float().median()), float(rows.float().median())
    at = {
        name: project(point[None], shot.place)[0]
        for name, point in found.items()
        if name not in ("left", "up", "forward")
    }
    fine = True
    if args.get("axis") == "left":
        across = float(at["l_eye"][0] - at["r_eye"][0])  # the subject's left, in pixels of the picture
        if abs(across) > 12:
            own = at["nose"][0] if args.get("near") == "nose" else 0.5 * (at["centre"][0] + at["nose"][0])
            middle = float(own)
            fine &= (x - middle) * across * args["sign"] > -2.0 * abs(across)
    if "above" in args:
        fine &= y < float(at[args["above"]][1]) + 2
    if "below" in args:
        fine &= y > float(at[args["below"]][1]) - 2
    return fine


ON_AVATAR: dict[str, Callable[[Case, Sitter, Avatar], Score]] = {**SOLID, **LOOKS}
"""Probes that make their own pictures, or need none."""
PROBES: dict[str, Callable[[Case, Sitter, list[Shot]], Score]] = {
    "colour": colour, "gone": gone, "place": place, "placed colour": placed_colour, "placed gone": placed_gone, "moved": moved,
    "negation": negation,
}  # fmt: skip
