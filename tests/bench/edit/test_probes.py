"""The metric itself: what does nothing fails, the truth passes, and so does nothing that is nearly right in the wrong way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from avatarkit.bench.edit.cases import Case, attribute_cases, spatial_cases
from avatarkit.bench.edit.probes import Score, score
from avatarkit.bench.edit.truth import Shot
from tests.bench.edit.drawn import nothing, perfect, shots, sitter

CASES = {case.prompt: case for case in (*attribute_cases(), *spatial_cases())}
SAMPLE = (
    "copper red hair", "red lips", "white shirt", "make the glasses red", "make his beard orange", "remove the glasses",
    "take off the cap", "shave his beard", "make her bald", "make the left half of the hair blue", "make the right eyebrow red",
    "remove the left earring", "make the right earring blue", "make the hair on the left side of the picture pink",
    "add round black glasses", "a green beanie", "add a gold chain necklace", "give her a moustache",
    "a silver stud in the left ear", "gold hoop earrings",
)  # fmt: skip
"""One case or two of everything that is scored in its own way."""


def judged(prompt: str, edit: dict[str, Any] | Callable[[Shot], Tensor]) -> Score:
    case = CASES[prompt]
    return score(case, sitter(case.subject), shots(case, edit))


def oracle(case: Case) -> dict[str, Any] | Callable[[Shot], Tensor]:
    """The truth: as pictures, and with its own depth where the subject can wear it as it is."""
    return perfect if case.args.get("half") else case.change


@pytest.mark.parametrize("prompt", SAMPLE)
def test_the_truth_passes_and_what_does_nothing_fails(prompt: str) -> None:
    done, undone = judged(prompt, oracle(CASES[prompt])), judged(prompt, nothing)
    assert done.success, done
    assert not undone.success


@pytest.mark.parametrize(
    ("prompt", "instead"),
    [
        ("copper red hair", "make the lips purple"), ("red lips", "white shirt"), ("make the glasses red", "red lips"),
        ("remove the glasses", "no earrings"), ("add round black glasses", "a green beanie"),
        ("give her a moustache", "add round black glasses"), ("gold hoop earrings", "shave his beard"),
        ("a green beanie", "add a gold chain necklace"),
    ],
)  # fmt: skip
def test_the_right_edit_of_another_part_fails(prompt: str, instead: str) -> None:
    assert not judged(prompt, CASES[instead].change).success


@pytest.mark.parametrize(
    "prompt",
    ["make the left half of the hair blue", "make the right eyebrow red", "make the right earring blue", "make his left eye green"],
)  # fmt: skip
def test_a_recoloured_part_of_the_other_side_fails(prompt: str) -> None:
    case = CASES[prompt]

    def other_side(shot: Shot) -> Tensor:
        assert shot.half is not None
        wrong = replace(case, args={**case.args, "half": -case.args["half"]})
        return shots(wrong, perfect)[[s.place.name for s in shots(wrong, nothing)].index(shot.place.name)].after

    assert not judged(prompt, other_side).success


@pytest.mark.parametrize("prompt", ["remove the left earring", "a silver stud in the left ear"])
def test_the_other_ear_fails(prompt: str) -> None:
    change = CASES[prompt].change
    other = {"left": "right", "right": "left"}[change["earring_side"]]
    assert not judged(prompt, {**change, "earring_side": other}).success


@pytest.mark.parametrize("prompt", ["remove the left earring", "a silver stud in the left ear"])
def test_both_ears_are_no_answer_for_one(prompt: str) -> None:
    change = CASES[prompt].change
    both = {"earrings": "none"} if prompt.startswith("remove") else {**change, "earring_side": "both"}
    assert not judged(prompt, both).success


def test_a_colour_that_is_nearly_right_fails() -> None:
    assert judged("#3a86ff hair", {"hair_colour": "#3a86ff", "highlight_colour": "#3a86ff"}).success
    assert not judged("#3a86ff hair", {"hair_colour": "#3a3aff", "highlight_colour": "#3a3aff"}).success
    assert not judged("#3a86ff hair", {"hair_colour": "#1a3f80", "highlight_colour": "#1a3f80"}).success


@pytest.mark.parametrize("prompt", ["red lips", "make the left half of the hair blue", "remove the glasses", "add round black glasses"])  # fmt: skip
def test_an_edit_that_leaks_fails(prompt: str) -> None:
    """The truth, and beside it a patch of 3 % of the picture that nobody asked for: half of the patch is within the bound."""

    def leaking(share: float) -> Callable[[Shot], Tensor]:
        def paint(shot: Shot) -> Tensor:
            picture = shot.truth_after.clone()
            side = round((share * picture.shape[0] * picture.shape[1]) ** 0.5)
            picture[-side:, :side] = torch.tensor([0.1, 0.6, 0.2])
            return picture

        return paint

    assert not judged(prompt, leaking(0.03)).success
    assert judged(prompt, leaking(0.0)).success


def test_half_of_the_hair_in_its_colour_is_no_success() -> None:
    def upper(shot: Shot) -> Tensor:
        rows = torch.arange(len(shot.before))[:, None, None] < len(shot.before) * 0.3
        return torch.where(rows, shot.truth_after, shot.before)

    assert not judged("make her hair blue", upper).success


def test_a_twentieth_of_a_deleted_thing_that_is_left_is_too_much() -> None:
    def nearly(shot: Shot) -> Tensor:
        picture = shot.truth_after.clone()
        rows, columns = torch.nonzero(shot.labelled("glasses"), as_tuple=True)
        left = slice(0, len(rows) // 10)
        picture[rows[left], columns[left]] = shot.truth_before[rows[left], columns[left]]
        return picture

    assert not judged("remove the glasses", nearly).success


def test_a_hole_in_place_of_a_deleted_thing_fails() -> None:
    case = CASES["take off the cap"]
    made = shots(case, case.change)
    assert score(case, sitter(case.subject), made).success
    hollow = [replace(shot, alpha=torch.where(shot.labelled("hat"), 0.0, shot.alpha)) for shot in made]
    found = score(case, sitter(case.subject), hollow)
    assert not found.success and "covered" in found.why


@pytest.mark.parametrize(("pixels", "success"), [(-8, True), (8, False), (0, False)])
def test_what_moves_the_wrong_way_or_not_at_all_fails(pixels: int, success: bool) -> None:
    """A rigid shift of the glasses' pixels, rows downwards, over the face without them."""
    case = CASES["move the glasses up"]
    bare = {s.place.name: s.after for s in shots(CASES["remove the glasses"], CASES["remove the glasses"].change)}

    def shifted(shot: Shot) -> Tensor:
        picture = bare[shot.place.name].clone()
        rows, columns = torch.nonzero(shot.labelled("glasses"), as_tuple=True)
        picture[(rows + pixels).clamp(0, len(picture) - 1), columns] = shot.before[rows, columns]
        return picture

    assert score(case, sitter(case.subject), shots(case, shifted)).success is success
