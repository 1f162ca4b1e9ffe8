"""The rules refiner: prompts that people type, written down before the rules, and what they have to become."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageColor

from avatarkit.edit.colours import oklab
from avatarkit.edit.plan import Attributes, EditPlan, EditRequest, Operation, plan_json
from avatarkit.edit.rules import read_prompt
from avatarkit.edit.validation import read_plan

LINES = Path(__file__).with_name("prompts.txt").read_text(encoding="utf-8").splitlines()
CASES = [line for line in LINES if line.strip() and not line.startswith("#")]


def css(name: str) -> str:
    red, green, blue = ImageColor.getrgb(name)[:3]
    return f"#{red:02x}{green:02x}{blue:02x}"


def hue(colour: str) -> float:
    _, a, b = oklab(colour)
    return math.degrees(math.atan2(b, a))


def hue_distance(one: str, other: str) -> float:
    return abs((hue(one) - hue(other) + 180) % 360 - 180)


def colour_fits(found: str, expected: str) -> bool:
    if expected == "any":
        return bool(found)
    how, _, name = expected.rpartition(":")
    if not found or not how:
        return found == css(name)
    if how == "hue":
        return hue_distance(found, css(name)) < 25
    darker = oklab(found)[0] < oklab(css(name))[0] - 0.03
    lighter = oklab(found)[0] > oklab(css(name))[0] + 0.03
    return hue_distance(found, css(name)) < 25 and (darker if how == "dark" else lighter)


def fits(operation: Operation, expected: str) -> bool:
    """Whether every field is as written, and every field that is not written at its default."""
    kind, target, *pairs = shlex.split(expected)
    if (operation.kind, operation.target) != (kind, target):
        return False
    wanted: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        match = re.fullmatch(r"(\w+)([=<>])(.*)", pair)
        assert match, f"cannot read {pair!r}"
        wanted[match[1]] = (match[2], match[3])
    region = operation.region
    shown = ""
    if region is not None:
        shown = f"{region.anchor}/{region.relation}" + ("/viewer" if region.frame == "viewer" else "")
    if shown != wanted.pop("region", ("=", ""))[1]:
        return False
    if ",".join(operation.preserve) != wanted.pop("preserve", ("=", ""))[1]:
        return False
    return (
        all(attribute_fits(name, value, wanted.pop(name, None)) for name, value in vars(operation.attributes).items())
        and not wanted
    )


def attribute_fits(name: str, value: Any, wanted: tuple[str, str] | None) -> bool:
    if wanted is None:
        # How far an identity goes, and that "size" is meant, need not be said.
        return value == getattr(Attributes(), name) or (name, value) == ("dimension", "size")
    sign, text = wanted
    if name == "colour":
        return colour_fits(value, text)
    if name == "weights":
        found = {weight.name: weight.weight for weight in value}
        signs = {part.rstrip("+-"): part[-1] for part in text.split(",")}
        return set(found) == set(signs) and all((found[n] > 0) == (s != "-") and found[n] for n, s in signs.items())
    if name == "offset":
        return all(
            (v == 0) if w == "0" else (v > 0) == (w == "+") and v for v, w in zip(value, text.split(","), strict=True)
        )
    if sign == "=":
        return str(value) == text or (isinstance(value, int | float) and value == float(text))
    return value > float(text) if sign == ">" else value < float(text)


def plan_of(line: str) -> tuple[EditPlan, list[str], bool]:
    text, _, rest = line.rpartition(" | ")
    labels = None
    if text.startswith("["):
        inside, _, text = text[1:].partition("] ")
        labels = frozenset({"skin", "nose", "l_eye", "r_eye", *inside.split(",")})
    rest = rest.strip()
    unsure = rest.endswith("?")
    expected = [part.strip() for part in rest.rstrip("?").split(";") if part.strip()]
    return read_prompt(EditRequest(text, labels)), expected, unsure


def said(plan: EditPlan) -> str:
    rows = [
        f"{o.kind} {o.target} {o.region or ''} { {k: v for k, v in vars(o.attributes).items() if v != getattr(Attributes(), k)} } keep={o.preserve}"
        for o in plan.operations
    ]
    return "; ".join([*rows, *map(repr, plan.ambiguities)])


@pytest.mark.parametrize("line", CASES, ids=lambda line: line.partition(" | ")[0])
def test_a_prompt_becomes_these_operations(line: str) -> None:
    plan, expected, unsure = plan_of(line)
    assert len(plan.operations) == len(expected), said(plan)
    for operation, wanted in zip(plan.operations, expected, strict=True):
        assert fits(operation, wanted), f"expected {wanted}; got {said(plan)}"
    assert bool(plan.ambiguities) == unsure, said(plan)
    again = read_plan(plan_json(plan), EditRequest("")) if plan.operations else plan
    assert again == plan  # every plan of the rules is a valid plan
