"""Identities as recipes: steps that the operators take, scaled by how much is asked, opposites included."""

from __future__ import annotations

import pytest
import torch

from avatarkit.edit.editing import OPERATORS
from avatarkit.edit.operators.identity import RECIPES, SAME, recipe
from avatarkit.edit.plan import EditPlan, EditRequest, plan_json
from avatarkit.edit.region import locate
from avatarkit.edit.validation import read_plan
from avatarkit.errors import InputError

from ..labelled import Labelled, operation


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_valid_plans(name: str) -> None:
    plan = EditPlan("x", RECIPES[name])
    assert read_plan(plan_json(plan), EditRequest("x")).operations == plan.operations


@pytest.mark.parametrize("name", [*RECIPES, *SAME])
def test_recipes_change_the_head(bare: Labelled, name: str) -> None:
    scene, done = bare.scene, 0
    for step in recipe(operation("identity", "head", name=name, amount=1.0), False)[:3]:
        try:
            scene, done = scene.with_avatar(OPERATORS[step.kind](scene, step, locate(scene, step))), done + 1
        except InputError:
            continue
    assert done > 0
    first, second = bare.avatar.gaussians, scene.avatar.gaussians
    moved = float((scene.rest.vertices - bare.scene.rest.vertices).abs().max()) > 5e-4
    assert moved or not torch.equal(first.sh, second.sh)


def test_an_elf_has_taller_ears(bare: Labelled) -> None:
    ears = [
        step for step in recipe(operation("identity", "head", name="elf", amount=1.0), False) if step.target == "ears"
    ]
    assert len(ears) == 1
    after = bare.scene.with_avatar(OPERATORS["shape"](bare.scene, ears[0], locate(bare.scene, ears[0])))
    for name in ("l_ear", "r_ear"):
        part = bare.scene.head.regions[name] > 0.5
        spans = [(p.amax(0) - p.amin(0))[1] for p in (bare.scene.rest.vertices[part], after.rest.vertices[part])]
        assert float(spans[1] / spans[0]) == pytest.approx(1.45, abs=0.03)


def test_an_editor_that_paints_leaves_only_shape() -> None:
    assert {step.kind for step in recipe(operation("identity", "head", name="zombie", amount=1.0), True)} == {"shape"}
    assert "recolour" in {step.kind for step in recipe(operation("identity", "head", name="zombie", amount=1.0), False)}


@pytest.mark.parametrize(
    ("name", "opposite"),
    [("older", "younger"), ("younger", "older"), ("masculine", "feminine"), ("feminine", "masculine")],
)
def test_less_of_something_is_its_opposite(name: str, opposite: str) -> None:
    less = recipe(operation("identity", "head", name=name, amount=-1.0), False)
    assert less == recipe(operation("identity", "head", name=opposite, amount=1.0), False)
    assert recipe(operation("identity", "head", name="elf", amount=-1.0), False) == ()


def test_amount_and_strength_scale_every_step() -> None:
    half = recipe(operation("identity", "head", name="elf", amount=0.5), False)
    assert {step.strength for step in half} == {0.5}
    assert {step.strength for step in recipe(operation("identity", "head", strength=0.5, name="Elf "), False)} == {0.5}
    assert {step.strength for step in recipe(operation("identity", "head", name="older", amount=0.5), False)} == {1.0}
    assert recipe(operation("identity", "head", name="Ada Lovelace"), False) == ()
