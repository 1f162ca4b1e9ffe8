"""What paint says beforehand that it can."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from avatarkit.cameras import Cameras
from avatarkit.contracts import EditStep
from avatarkit.edit.paint.asked import STYLES, can_paint, colour_of, refusal, strength_of
from avatarkit.edit.paint.brushes import DRAWN
from avatarkit.edit.paint.decals import OUTLINES
from avatarkit.edit.paint.looks import LOOKS
from avatarkit.edit.paint.materials import ALIKE, MATERIALS
from avatarkit.edit.paint.painter import Paint
from avatarkit.edit.plan import Attributes, Operation
from avatarkit.edit.vocabulary import MAKEUP
from avatarkit.edit.vocabulary import MATERIALS as KNOWN_MATERIALS
from avatarkit.edit.vocabulary import STYLES as KNOWN_STYLES
from avatarkit.errors import InputError
from avatarkit.events import Run


def operation(kind: str, target: str, prompt: str = "", **attributes: object) -> Operation:
    return Operation(kind, target, attributes=Attributes(**attributes), prompt=prompt)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "asked",
    [
        *(operation("restyle", "head", style=style) for style in STYLES if style not in MAKEUP),
        operation("restyle", "lips", style="lipstick", colour="#b3203a"),
        operation("restyle", "face", style="makeup"),
        operation("restyle", "hair", "paint the hair copper red"),
        operation("add", "tattoo", form="heart", colour="#ff0000"),
        operation("add", "freckles"),
        operation("add", "mole", size=0.5),
        operation("add", "scar", count=2),
        operation("recolour", "hair", colour="#b5451f"),
        operation("recolour", "hair", material="gold"),
        operation("recolour", "skin", lightness=-0.2),
        operation("identity", "head", name="zombie"),
        operation("identity", "head", name="Stone Statue"),
        operation("identity", "head", name="older", amount=0.5),
    ],
    ids=lambda asked: f"{asked.kind} {asked.attributes.style or asked.attributes.name or asked.target}",
)
def test_what_can_be_painted(asked: Operation) -> None:
    assert can_paint(asked)
    assert refusal(asked) == ""


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (operation("move", "glasses"), "paint cannot 'move': it changes colours where they are"),
        (operation("restyle", "head", style="other", name="stained glass"), "no style for 'stained glass'"),
        (operation("restyle", "hair", "make it nicer"), "needs a style or a colour"),
        (operation("restyle", "hair", style="lipstick"), "not on 'hair'"),
        (operation("restyle", "lips", style="eyeshadow"), "not on 'lips'"),
        (operation("restyle", "cheeks", style="blush", amount=-0.5), "below 0"),
        (operation("add", "hat"), "cannot add 'hat'"),
        (operation("add", "object", name="crown"), "cannot add 'crown'"),
        (operation("add", "tattoo", form="hoop"), "no tattoo of the form 'hoop'"),
        (operation("add", "tattoo", material="gold"), "needs the colour"),
        (operation("recolour", "cloth", material="denim"), "does not know how denim looks"),
        (operation("recolour", "cloth"), "needs a colour"),
        (operation("identity", "head", name="elf"), "no look for 'elf'"),
        (operation("identity", "head", name="zombi"), "did you mean 'zombie'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_is_said_in_words(asked: Operation, words: str) -> None:
    assert not can_paint(asked)
    said = refusal(asked)
    assert words in said
    assert "\n" not in said and not said.endswith(".")
    views, camera = torch.zeros(1, 3, 8, 8), Cameras(torch.eye(4)[None], torch.eye(3)[None], 8, 8)
    with pytest.raises(InputError, match=re.escape(said)):
        Paint().edit(
            views, views[:, :1], EditStep(asked, ()), references=None, cameras=camera, correspondences=None, seed=0, run=Run()
        )  # fmt: skip


def test_the_tables_of_what_is_known_have_painters() -> None:
    """Every style, form, look and material that is promised stands in the table that paints it, and in the vocabulary."""
    from avatarkit.edit.paint import asked

    assert set(STYLES) == set(MAKEUP) | set(DRAWN) | {"marble", "bronze", "gold", "stone", "wood", "clay"}
    assert set(KNOWN_STYLES) - set(STYLES) == {"other"}
    assert {form for form in asked.FORMS["tattoo"] if form} == set(OUTLINES)
    assert set(asked.LOOKS.values()) == {*LOOKS, "statue"}
    assert {ALIKE.get(name, name) for name in asked.MATERIALS} <= set(MATERIALS)
    assert set(asked.MATERIALS) <= set(KNOWN_MATERIALS)


def test_the_colour_of_an_operation_without_a_style_is_read_from_its_prompt() -> None:
    assert colour_of(operation("restyle", "hair", "paint the hair copper red")) == "#c45a32"
    assert colour_of(operation("restyle", "hair", "paint the hair", colour="#00ff00")) == "#00ff00"
    assert colour_of(operation("restyle", "hair", "paint the red hair", style="oil")) == ""


def test_strength_is_that_of_the_operation_and_of_the_amount() -> None:
    assert strength_of(operation("restyle", "head", style="oil")) == 1.0
    assert strength_of(operation("restyle", "head", style="oil", amount=0.25)) == 0.25
    assert strength_of(operation("identity", "head", name="older", amount=0.5)) == 1.0
    assert (
        strength_of(Operation("restyle", "head", attributes=Attributes(style="oil", amount=0.5), strength=0.5)) == 0.25
    )


def test_asking_loads_nothing_heavy() -> None:
    code = "import sys, avatarkit.edit.paint.asked; print([m for m in ('torch', 'numpy', 'scipy', 'yaml') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
