"""Edits that the subject cannot wear: styles, identities, and a style together with an expression.

A style's truth is what the painter makes of the subject's own held-out pictures, which no fit ever saw: the avatar has to look more like the
asked style's than like any other's.  An identity's truth is what its name means: larger ears, a wider jaw, green skin; shapes are measured on
the mesh, colours in the pixels of the subject's true labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.masks import EDGE, OUTSIDE_DELTA, OUTSIDE_SHARE, grown, shrunk
from avatarkit.bench.edit.scores import HOLD, Score
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.bench.edit.truth import Shot, expression_added, shots
from avatarkit.contracts import EditStep
from avatarkit.edit.painting import together
from avatarkit.edit.plan import Attributes, KeyframeText, Operation
from avatarkit.edit.scene import Scene
from avatarkit.events import Run
from avatarkit.gaussians.avatar import Avatar
from avatarkit.losses.colour_difference import ciede2000, hue, hue_difference, lab
from avatarkit.registry import registry

EXPRESSED = (
    5.0  # CIEDE2000 between the style's picture with and without the expression, from which a pixel tells them apart
)
FEW = 12  # pixels: a picture with less says nothing of the expression
STYLES = ("oil", "cartoon", "sketch", "marble", "bronze", "pop_art", "watercolour", "wood", "comic", "mosaic")
"""Among these the asked one has to be the nearest; the unpainted subject is one more."""
UNPAINTED = ""
LEAST_GROWTH = 0.03  # of an extent: what a name's part has to grow or shrink by
HUE_OFF = 35.0  # degrees between a part's hue and that of the name
LIGHTER, PALER, TINTED = 4.0, 2.0, 6.0
"""CIELAB: lightness gained, chroma lost, and the least chroma of a colour that has a hue."""
FEATURES = ("skin", "nose", "l_ear", "r_ear", "l_brow", "r_brow", "u_lip", "l_lip", "l_eye", "r_eye", "hair", "hat")


def style(case: Case, who: Sitter, edited: Avatar) -> Score:
    """In at least 90 % of the held-out pictures the avatar is nearest to the asked style, ``args["style"]``, of the subject; at most 2 % of the pixels
    around the subject changed.  With ``args["weights"]`` it also has to be nearer to the style of the expression than of the face without."""
    weights = case.args.get("weights")
    made = shots(who, edited, {}, motion=expression_added(weights) if weights else None)
    scene = who.scene.with_avatar(edited)
    whole = [shot.mask_before | shot.mask_after for shot in made]
    after = torch.stack([shot.truth_after for shot in made])
    painted = {name: styled(name, after, [shot.mask_after for shot in made], made, scene) for name in STYLES}
    painted[UNPAINTED] = after
    nearest, errors = 0, []
    for k, shot in enumerate(made):
        part = shrunk(shot.labelled(*FEATURES, after=True) & shot.mask_after)
        gaps = {name: float(_delta(shot.after, pictures[k])[part].mean()) for name, pictures in painted.items()}
        nearest += min(gaps, key=lambda name: gaps[name]) == case.args["style"]
        errors.append(gaps[case.args["style"]])
    values = {"nearest": nearest / len(made), "delta": sum(errors) / len(errors)}
    values["outside"] = sum(
        float(((shot.changed > OUTSIDE_DELTA) & ~grown(part, 2 * EDGE)).float().mean())
        for shot, part in zip(made, whole, strict=True)
    ) / len(made)
    if weights:
        told, held = _expressed(case, made, painted[case.args["style"]], scene)
        values |= {"told": float(told), "expressed": held / max(told, 1)}
        if not told:
            return Score(False, values, "the expression shows in no picture of the truth")
    if values["nearest"] < HOLD:
        return Score(
            False, values, f"it looks most like {case.args['style']} in {100 * values['nearest']:.0f} % of the pictures"
        )
    if weights and values["expressed"] < HOLD:
        return Score(False, values, f"the expression shows in {100 * values['expressed']:.0f} % of the pictures")
    if values["outside"] > OUTSIDE_SHARE:
        return Score(False, values, f"{100 * values['outside']:.1f} % changed around the subject")
    return Score(True, values)


def _expressed(case: Case, made: list[Shot], with_it: Tensor, scene: Scene) -> tuple[int, int]:
    """Pictures that can tell the expression, and those in which the avatar has it."""
    still = torch.stack([shot.truth_before for shot in made])
    without = styled(case.args["style"], still, [shot.mask_before for shot in made], made, scene)
    told = held = 0
    for k, shot in enumerate(made):
        part = (_delta(with_it[k], without[k]) > EXPRESSED) & shot.mask_before & shot.mask_after
        part &= (
            ciede2000(lab(shot.truth_before), lab(shot.truth_after)) > EXPRESSED
        )  # strokes that fell elsewhere are no smile
        if int(part.sum()) < FEW:
            continue
        told += 1
        held += float(_delta(shot.after, with_it[k])[part].mean()) < float(_delta(shot.after, without[k])[part].mean())
    return told, held


def styled(name: str, pictures: Tensor, masks: list[Tensor], made: list[Shot], scene: Scene) -> Tensor:
    """Pictures (B, H, W, 3) of the subject as the painter makes them in a style, inside masks (H, W) bool."""
    places = [shot.place for shot in made]
    operation = Operation("restyle", "head", attributes=Attributes(style=name))
    step = EditStep(operation, tuple(KeyframeText(place.name, "", "", "") for place in places))
    painted = registry().create("editor", "paint").edit(
        pictures.permute(0, 3, 1, 2).contiguous(), torch.stack([mask.float() for mask in masks])[:, None], step, references=None,
        cameras=together(places), correspondences=scene.correspondences(places), seed=0, run=Run(),
    )  # fmt: skip
    result: Tensor = painted.permute(0, 2, 3, 1)
    return result


@dataclass(frozen=True)
class Meaning:
    """What a name means of one part.  part: regions of the head (``grown``) or true classes; how: "grown" along ``axis`` (0 across, 1 up, 2
    forward) by ``sign``, "hue" of ``colour``, "lighter", or "paler"."""

    part: tuple[str, ...]
    how: str
    axis: int = 1
    sign: float = 1.0
    colour: str = ""


EARS, EYES, SKIN, HAIR = ("l_ear", "r_ear"), ("l_eye_region", "r_eye_region"), ("skin", "nose"), ("hair",)
GREEN, BLUE = "#7a9a50", "#5a8fd6"
MEANINGS: dict[str, tuple[Meaning, ...]] = {
    "elf": (Meaning(EARS, "grown"),),
    "zombie": (Meaning(SKIN, "hue", colour=GREEN),),
    "vampire": (Meaning(SKIN, "lighter"),),
    "orc": (Meaning(SKIN, "hue", colour=GREEN), Meaning(("jaw",), "grown", 0)),
    "goblin": (Meaning(SKIN, "hue", colour=GREEN), Meaning(EARS, "grown"), Meaning(("nose",), "grown", 2)),
    "alien": (Meaning(EYES, "grown", 0), Meaning(("nose",), "grown", 2, -1.0)),
    "smurf": (Meaning(SKIN, "hue", colour=BLUE),),
    "ghost": (Meaning(SKIN, "lighter"), Meaning(SKIN, "paler")),
    "baby": (Meaning(EYES, "grown", 0), Meaning(("nose",), "grown", 2, -1.0)),
    "older": (Meaning(HAIR, "paler"), Meaning(EARS, "grown")),
    "younger": (Meaning(("nose",), "grown", 2, -1.0),),
    "masculine": (Meaning(("jaw",), "grown", 0),),
    "feminine": (Meaning(("jaw",), "grown", 0, -1.0),),
}
"""By name: what everybody means by it, and a recipe has to come to."""


def identity(case: Case, who: Sitter, edited: Avatar) -> Score:
    """Everything that ``args["name"]`` means holds, and at most 2 % of the pixels of clothes and background changed."""
    made = shots(who, edited, {})
    values: dict[str, float] = {}
    why = ""
    for meaning in MEANINGS[case.args["name"]]:
        value, fine = MEASURES[meaning.how](meaning, who, edited, made)
        said = f"{meaning.part[0]} {meaning.how}"
        values[said] = value
        if not fine and not why:
            why = f"{said} is {value:.2f}"
    outside = [shrunk(shot.labelled("background", "cloth"), 2 * EDGE) for shot in made]
    changed = sum(int(((shot.changed > OUTSIDE_DELTA) & part).sum()) for shot, part in zip(made, outside, strict=True))
    values["outside"] = changed / sum(shot.changed.numel() for shot in made)
    if not why and values["outside"] > OUTSIDE_SHARE:
        why = f"{100 * values['outside']:.1f} % changed outside the head"
    return Score(not why, values, why)


def _grew(meaning: Meaning, who: Sitter, edited: Avatar, made: list[Shot]) -> tuple[float, bool]:
    """How much the extents of a part of the mesh grew at rest, in the mean of its sides."""
    before, after = who.scene.rest.vertices, who.scene.with_avatar(edited).rest.vertices
    shares = []
    for name in meaning.part:
        rows = who.scene.head.regions[name] > 0.5
        first, second = (vertices[rows][:, meaning.axis] for vertices in (before, after))
        shares.append(float((second.max() - second.min()) / (first.max() - first.min())) - 1.0)
    value = sum(shares) / len(shares)
    return value, meaning.sign * value >= LEAST_GROWTH


def _colours(meaning: Meaning, made: list[Shot]) -> tuple[Tensor, Tensor]:
    """Median colours (3,) CIELAB of a part's true pixels, before and after."""
    parts = [shrunk(shot.labelled(*meaning.part)) for shot in made]
    return tuple(  # type: ignore[return-value]
        lab(torch.cat([getattr(shot, name)[part] for shot, part in zip(made, parts, strict=True)])).median(0).values
        for name in ("before", "after")
    )


def _has_hue(meaning: Meaning, who: Sitter, edited: Avatar, made: list[Shot]) -> tuple[float, bool]:
    _, after = _colours(meaning, made)
    wanted = lab(torch.tensor([[int(meaning.colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]]))[0]
    value = float(hue_difference(hue(after), hue(wanted)))
    return value, value <= HUE_OFF and float(after[1:].norm()) >= TINTED


def _lighter(meaning: Meaning, who: Sitter, edited: Avatar, made: list[Shot]) -> tuple[float, bool]:
    before, after = _colours(meaning, made)
    value = float(after[0] - before[0])
    return value, value >= LIGHTER


def _paler(meaning: Meaning, who: Sitter, edited: Avatar, made: list[Shot]) -> tuple[float, bool]:
    before, after = _colours(meaning, made)
    value = float(before[1:].norm() - after[1:].norm())
    return value, value >= PALER


MEASURES: dict[str, Callable[[Meaning, Sitter, Avatar, list[Shot]], tuple[float, bool]]] = {
    "grown": _grew, "hue": _has_hue, "lighter": _lighter, "paler": _paler,
}  # fmt: skip


def _delta(first: Tensor, second: Tensor) -> Tensor:
    return ciede2000(lab(first), lab(second))


LOOKS: dict[str, Callable[[Case, Sitter, Avatar], Score]] = {"style": style, "identity": identity}
"""Probes of this page."""
