"""The metric itself: the truth passes, what does nothing fails, and so does what is nearly right in the wrong way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.probes import Score, score
from avatarkit.bench.edit.truth import Shot

from .drawn import SITTER, Paint, Trial, nothing, tinted


def _trial(probe: str, labels: tuple[str, ...], colour: str = "", put: bool = False, **args: Any) -> Trial:
    return Trial(Case("a", "worn", "", "spatial", probe, {"drawn": True}, labels, args), colour, put)


LEFT_EAR = {"near": "l_ear", "within": 0.55, "axis": "left", "sign": 1.0}
TRIALS = {
    "blue hair": _trial("colour", ("hair",), "#2040ff"),
    "green lips": _trial("colour", ("u_lip", "l_lip"), "#108030"),
    "red frames": _trial("colour", ("glasses",), "#ff0000"),
    "no glasses": _trial("gone", ("glasses",)),
    "no necklace": _trial("gone", ("necklace",)),
    "left half blue": _trial("placed colour", ("hair",), "#2040ff", axis="left", sign=1.0, share=0.9, half=1.0),
    "left brow red": _trial("placed colour", ("l_brow",), "#ff0000", near="l_brow", within=0.35, axis="left", sign=1.0, half=1.0),
    "left earring blue": _trial("placed colour", ("earring",), "#2040ff", **LEFT_EAR, half=1.0),
    "no left earring": _trial("placed gone", ("earring",), **LEFT_EAR, half=1.0),
    "glasses": _trial("place", ("glasses",), put=True, near="eyes", within=0.75, axis="forward", sign=1.0, share=0.5),
    "necklace": _trial("place", ("necklace",), put=True, below="chin"),
    "left earring": _trial("place", ("earring",), put=True, **LEFT_EAR, half=1.0),
    "both earrings": _trial("place", ("earring",), put=True, both=("l_ear", "r_ear"), within=0.55),
}  # fmt: skip
SIDED = [name for name in TRIALS if name.startswith(("left", "no left"))]


def judged(trial: Trial, after: Paint | None) -> Score:
    return score(trial.case, SITTER, trial.shots(after))


def mirrored(trial: Trial) -> Trial:
    """The same asked of the other side."""
    return replace(trial, case=replace(trial.case, args={**trial.case.args, "half": -trial.case.args["half"]}))


def like(other: Trial) -> Callable[[Shot], Tensor]:
    """An editor that does what another case asks."""
    made = {shot.place.name: shot.truth_after for shot in other.shots()}
    return lambda shot: made[shot.place.name]


@pytest.mark.parametrize("name", TRIALS)
def test_the_truth_passes_and_what_does_nothing_fails(name: str) -> None:
    done, undone = judged(TRIALS[name], None), judged(TRIALS[name], nothing)
    assert done.success, done
    assert not undone.success


@pytest.mark.parametrize("name", SIDED)
def test_the_other_side_and_both_sides_fail(name: str) -> None:
    trial = TRIALS[name]
    assert not judged(trial, like(mirrored(trial))).success
    whole = {k: v for k, v in trial.case.args.items() if k != "half"}
    assert not judged(trial, like(replace(trial, case=replace(trial.case, args=whole)))).success or "brow" in name


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("blue hair", "green lips"), ("green lips", "blue hair"), ("red frames", "left brow red"), ("no glasses", "no necklace"),
        ("no necklace", "no glasses"), ("glasses", "necklace"), ("necklace", "glasses"), ("both earrings", "necklace"),
    ],
)  # fmt: skip
def test_the_right_edit_of_another_part_fails(name: str, instead: str) -> None:
    other = TRIALS[instead]
    if TRIALS[name].put:
        other = replace(other, put=True)
    assert not judged(TRIALS[name], like(other)).success


@pytest.mark.parametrize(("colour", "success"), [("#2040ff", True), ("#2448f0", True), ("#102060", False), ("#c030ff", False)])  # fmt: skip
def test_a_colour_has_to_be_near_and_of_the_same_hue(colour: str, success: bool) -> None:
    def painted(shot: Shot) -> Tensor:
        return torch.where(shot.labelled("hair")[..., None], tinted(shot.before, colour), shot.before)

    assert judged(TRIALS["blue hair"], painted).success is success


@pytest.mark.parametrize(("share", "success"), [(0.0, True), (0.012, True), (0.03, False)])
@pytest.mark.parametrize("name", ["green lips", "left half blue", "no glasses", "necklace"])
def test_an_edit_may_leak_into_two_percent_of_the_picture(name: str, share: float, success: bool) -> None:
    def leaking(shot: Shot) -> Tensor:
        picture = shot.truth_after.clone()
        side = round((share * picture.shape[0] * picture.shape[1]) ** 0.5)
        picture[:side, :side] = torch.tensor([0.1, 0.6, 0.2])  # an upper corner, where nobody is
        return picture

    trial = TRIALS[name]
    made = [replace(shot, after=leaking(shot)) for shot in trial.shots()]
    found = score(trial.case, SITTER, made)
    assert (found.values["outside"] <= 0.02) is success and found.success <= success
    assert found.success or share > 0


def test_most_of_the_hair_has_to_have_its_colour() -> None:
    def upper(share: float) -> Paint:
        def paint(shot: Shot) -> Tensor:
            rows = torch.nonzero(shot.labelled("hair").any(1))[:, 0]
            line = rows[0] + share * (rows[-1] - rows[0])
            return torch.where(torch.arange(len(shot.before))[:, None, None] < line, shot.truth_after, shot.before)

        return paint

    assert not judged(TRIALS["blue hair"], upper(0.1)).success
    assert judged(TRIALS["blue hair"], upper(0.95)).success


def test_a_tenth_of_a_deleted_thing_is_too_much_to_be_left() -> None:
    def nearly(shot: Shot) -> Tensor:
        picture = shot.truth_after.clone()
        rows, columns = torch.nonzero(shot.labelled("glasses"), as_tuple=True)
        picture[rows[::10], columns[::10]] = shot.truth_before[rows[::10], columns[::10]]
        return picture

    found = judged(TRIALS["no glasses"], nearly)
    assert not found.success and found.values["residue"] > 0.04


def test_a_hole_in_place_of_a_deleted_thing_fails() -> None:
    trial = TRIALS["no necklace"]
    hollow = [replace(shot, alpha=torch.where(shot.labelled("necklace"), 0.0, shot.alpha)) for shot in trial.shots()]
    found = score(trial.case, SITTER, hollow)
    assert not found.success and "covered" in found.why


@pytest.mark.parametrize(("pixels", "sign", "success"), [(-8, 1.0, True), (8, 1.0, False), (0, 1.0, False), (8, -1.0, True)])  # fmt: skip
def test_what_moves_the_wrong_way_or_not_at_all_fails(pixels: int, sign: float, success: bool) -> None:
    """The glasses' pixels shifted by rows, downwards, over the face without them."""
    case = Case("a", "worn", "", "spatial", "moved", {}, ("glasses",), {"sign": sign, "least": 0.03, "room": 0.2})
    bare = {shot.place.name: shot.truth_after for shot in TRIALS["no glasses"].shots()}

    def shifted(shot: Shot) -> Tensor:
        picture = bare[shot.place.name].clone()
        rows, columns = torch.nonzero(shot.labelled("glasses"), as_tuple=True)
        picture[(rows + pixels).clamp(0, len(picture) - 1), columns] = shot.before[rows, columns]
        return picture

    found = score(case, SITTER, Trial(case).shots(shifted))
    assert found.success is success, found
