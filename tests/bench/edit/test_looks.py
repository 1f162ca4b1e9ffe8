"""The metric of styles, identities and mixed edits: the truth passes; nothing, another style, a leak, and a face without the expression fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from avatarkit.bench.edit import looks
from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.kinds import identity_cases, mixed_cases, style_cases
from avatarkit.bench.edit.looks import identity
from avatarkit.bench.edit.running import QUICK
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.bench.edit.truth import Shot, shots
from avatarkit.edit.asked import request_for
from avatarkit.edit.editing import Tools, edit_avatar
from avatarkit.edit.plan import Attributes, EditPlan, Operation
from avatarkit.edit.planning import make_plan
from avatarkit.events import Run

SMILE = {"jawOpen": 0.9, "mouthSmileLeft": 0.9, "mouthSmileRight": 0.9}


@pytest.fixture
def judged(tiny_sitter: Sitter, few_pictures: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Scores a case as if the avatar looked like ``after`` says: a function of the shots → pictures (H, W, 3)."""
    few = [(1, 1), (3, 2)]
    monkeypatch.setattr("avatarkit.bench.edit.truth.held_out", lambda count=0: few)

    def found(case: Case, after: Callable[[list[Shot]], list[Tensor]]) -> Any:
        def drawn(who: Sitter, edited: Any, change: dict[str, Any], **more: Any) -> list[Shot]:
            made = shots(who, edited, change, **more)
            plain = [replace(shot, before=shot.truth_before) for shot in made]
            return [replace(shot, after=picture) for shot, picture in zip(plain, after(plain), strict=True)]

        monkeypatch.setattr(looks, "shots", drawn)
        return looks.LOOKS[case.probe](case, tiny_sitter, tiny_sitter.avatar)

    return found


def case(name: str, weights: dict[str, float] | None = None) -> Case:
    return Case("a", "tiny", "", "style", "style", args={"style": name, **({"weights": weights} if weights else {})})


def painted(sitter: Sitter, name: str, expressed: bool = True) -> Callable[[list[Shot]], list[Tensor]]:
    """The truth of a style; expressed: with the expression of the truth, or without."""

    def after(made: list[Shot]) -> list[Tensor]:
        pictures = torch.stack([shot.truth_after if expressed else shot.truth_before for shot in made])
        masks = [shot.mask_after if expressed else shot.mask_before for shot in made]
        return list(looks.styled(name, pictures, masks, made, sitter.scene))

    return after


@pytest.mark.parametrize("name", looks.STYLES)
def test_the_truth_passes(judged: Callable[..., Any], tiny_sitter: Sitter, name: str) -> None:
    score = judged(case(name), painted(tiny_sitter, name))
    assert score.success and score.values["nearest"] == 1.0 and score.values["delta"] < 0.5, score.why


def test_nothing_and_another_style_fail(judged: Callable[..., Any], tiny_sitter: Sitter) -> None:
    untouched = judged(case("bronze"), lambda made: [shot.truth_after for shot in made])
    assert not untouched.success and untouched.values["nearest"] == 0.0
    other = judged(case("bronze"), painted(tiny_sitter, "marble"))
    assert not other.success and "0 % of the pictures" in other.why


def test_a_background_that_changed_fails(judged: Callable[..., Any], tiny_sitter: Sitter) -> None:
    def after(made: list[Shot]) -> list[Tensor]:
        pictures = painted(tiny_sitter, "bronze")(made)
        for picture in pictures:
            picture[:12, :30] = 0.3
        return pictures

    score = judged(case("bronze"), after)
    assert not score.success and score.why.endswith("changed around the subject")


def test_a_style_without_the_expression_fails(judged: Callable[..., Any], tiny_sitter: Sitter) -> None:
    wanted = case("cartoon", SMILE)
    right, still = (
        judged(wanted, painted(tiny_sitter, "cartoon")),
        judged(wanted, painted(tiny_sitter, "cartoon", False)),
    )
    assert right.success and right.values["told"] >= 1 and right.values["expressed"] == 1.0, right.why
    assert not still.success and still.why.startswith("the expression shows in 0 %")


def carried(sitter: Sitter, *operations: Operation) -> Any:
    plan = EditPlan("by hand", operations, refiner="test")
    tools = Tools(sitter.scene.head, sitter.scene.rasterizer, replace(QUICK, size=80))
    return edit_avatar(sitter.avatar, plan, tools, Run())[0]


def test_shapes_are_measured_by_their_sign(tiny_sitter: Sitter, few_pictures: None) -> None:
    wider = carried(tiny_sitter, Operation("shape", "jaw", attributes=Attributes(size=1.15, dimension="width")))
    by_name = {
        name: Case("a", "tiny", "", "identity", "identity", args={"name": name})
        for name in ("masculine", "feminine", "elf")
    }
    assert identity(by_name["masculine"], tiny_sitter, wider).success
    assert not identity(by_name["feminine"], tiny_sitter, wider).success
    unchanged = identity(by_name["elf"], tiny_sitter, tiny_sitter.avatar)
    assert not unchanged.success and unchanged.why == "l_ear grown is 0.00"


@pytest.mark.parametrize(
    ("name", "colour", "fine"),
    [("smurf", "#5a8fd6", True), ("smurf", "#8a9a72", False), ("zombie", "#8a9a72", True), ("ghost", "#f4efec", True), ("ghost", "#402010", False)],
)  # fmt: skip
def test_colours_are_those_of_the_name(judged: Callable[..., Any], name: str, colour: str, fine: bool) -> None:
    ink = torch.tensor([int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)])

    def after(made: list[Shot]) -> list[Tensor]:
        skin = [shot.labelled("skin", "nose", "neck", "l_ear", "r_ear")[..., None] for shot in made]
        return [
            torch.where(part, ink * (0.7 + 0.3 * shot.before.mean(-1, keepdim=True)), shot.before)
            for part, shot in zip(skin, made, strict=True)
        ]

    score = judged(Case("a", "tiny", "", "identity", "identity", args={"name": name}), after)
    assert score.success == fine, score


def test_clothes_that_changed_fail(judged: Callable[..., Any]) -> None:
    def after(made: list[Shot]) -> list[Tensor]:
        blue = torch.tensor([0.35, 0.56, 0.84])
        return [
            torch.where(
                (shot.labels_before > 0)[..., None],
                blue * (0.7 + 0.3 * shot.before.mean(-1, keepdim=True)),
                shot.before,
            )
            for shot in made
        ]

    score = judged(Case("a", "tiny", "", "identity", "identity", args={"name": "smurf"}), after)
    assert not score.success and score.why.endswith("changed outside the head")


@pytest.mark.parametrize("made", [*style_cases(), *identity_cases(), *mixed_cases()], ids=lambda one: one.prompt)
def test_every_prompt_is_understood_as_it_is_scored(made: Case, tiny_sitter: Sitter) -> None:
    plan = make_plan(request_for(tiny_sitter.avatar, made.prompt), Run())
    styles = [one.attributes.style for one in plan.operations if one.kind == "restyle"]
    names = [one.attributes.name for one in plan.operations if one.kind == "identity"]
    expressed = {
        weight.name for one in plan.operations if one.kind == "expression" for weight in one.attributes.weights
    }
    if made.kind == "identity":
        assert len(names) == 1 and made.args["name"] == names[0]
        return
    assert styles == [made.args["style"]]
    if made.kind == "mixed":
        assert expressed & set(made.args["weights"])


def test_there_are_twenty_of_each() -> None:
    assert [len(table()) for table in (style_cases, identity_cases, mixed_cases)] == [20, 20, 20]
