"""The rules refiner: prompts that people type, written down before the rules, and what they have to become."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageColor

from avatarkit.edit.colours import oklab
from avatarkit.edit.plan import (
    Attributes,
    EditPlan,
    EditRequest,
    FinalRequest,
    Keyframe,
    Operation,
    plan_json,
)
from avatarkit.edit.planning import final_texts, make_plan
from avatarkit.edit.rules import RulesRefiner, read_prompt
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.validation import read_plan
from avatarkit.errors import InputError
from avatarkit.events import Run

LINES = Path(__file__).with_name("prompts.txt").read_text(encoding="utf-8").splitlines()
CASES = [line for line in LINES if line.strip() and not line.startswith("#")]
SIDED = [
    line for line in CASES if re.search(r"\b(?:left|right)\b", line.rpartition(" | ")[0]) and "next to" not in line
]
WORDS = sorted(" ".join(words) for words in lexicon().phrases) + [
    word for line in CASES for word in line.partition(" | ")[0].split()
]


# Words that turn left and right round, or are free text of a plan, and those whose place is told below.
ELSEWHERE = re.compile(
    r"left|right|viewer|picture|image|photo|view|screen|perspective|seen|see|style|portrait|camera|observer"
)
PLACES = {
    "on the left": "left", "on the left side of the": "left", "the left half of the": "left", "to the left of the": "left", "left": "left",
    "on the viewer's left": "right", "the right half of the picture": "left", "above the nose": "above", "below": "below",
    "the top half of the": "above", "at the back": "behind", "in front of the": "in_front", "on the forehead": "forehead", "to her chin": "chin",
}  # fmt: skip


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
    if not attribute_fits("strength", operation.strength, wanted.pop("strength", ("=", "1"))):
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
    labels, groups = None, tuple[str, ...]()
    if text.startswith("["):
        inside, _, text = text[1:].partition("] ")
        named = inside.split(",")
        labels = frozenset({"skin", "nose", "l_eye", "r_eye", *(name for name in named if name[0] != "+")})
        groups = tuple(name[1:] for name in named if name[0] == "+")
    rest = rest.strip()
    unsure = rest.endswith("?")
    expected = [part.strip() for part in rest.rstrip("?").split(";") if part.strip()]
    return read_prompt(EditRequest(text, labels, groups)), expected, unsure


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
    groups = tuple(re.findall(r"\+([^],]+)", line.partition("] ")[0])) if line.startswith("[") else ()
    again = read_plan(plan_json(plan), EditRequest("", groups=groups)) if plan.operations else plan
    assert again == plan  # every plan of the rules is a valid plan


@given(
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | st.text(max_size=60),
    st.sampled_from((None, frozenset({"hair", "skin", "glasses", "hat"}))),
)
@settings(max_examples=150, deadline=None)
def test_any_words_give_a_valid_plan_or_say_why_not(text: str, labels: frozenset[str] | None) -> None:
    request = EditRequest(text, labels)
    plan = read_prompt(request)
    assert plan.operations or plan.ambiguities
    assert read_plan(plan_json(plan), request) == plan and read_prompt(request) == plan


def mirrored(text: str) -> str:
    """Left and right exchanged, in a prompt or in the JSON of operations."""
    other = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "l": "r", "r": "l"}
    text = re.sub(r"\b(left|right)(?=\b|_of)", lambda match: other[match[0]], text)
    text = re.sub(r'(Left|Right)(?=")', lambda match: other[match[0]], text)
    return re.sub(r"\b[lr](?=_(?:eye|ear|brow|cheek)\b)", lambda match: other[match[0]], text)


def in_json(plan: EditPlan) -> list[Any]:
    """The operations without texts, weights in order."""
    rows = plan_json(plan)["operations"]
    for row in rows:
        for name in ("prompt", "source_caption", "target_caption"):
            del row[name]
        row["attributes"]["weights"].sort(key=str)
    return json.loads(json.dumps(rows))


@pytest.mark.parametrize("line", SIDED, ids=lambda line: line.partition(" | ")[0])
def test_a_mirrored_prompt_has_the_mirrored_plan(line: str) -> None:
    plan, _, _ = plan_of(line)
    other, _, _ = plan_of(mirrored(line))
    expected = json.loads(mirrored(json.dumps(in_json(plan))))
    for row in expected:
        row["attributes"]["offset"][0] *= -1
        row["attributes"]["weights"].sort(key=str)
    assert in_json(other) == expected, f"{said(plan)} | {said(other)}"


def says(plan: EditPlan, where: str) -> bool:
    """Whether an operation of the plan is placed so; left and right are the subject's."""
    if where not in ("left", "right"):
        worn = where == "above" and any(o.target in ("hat", "cap", "beanie", "headband") for o in plan.operations)
        return worn or f'"{where}"' in json.dumps(in_json(plan))
    for o in plan.operations:
        relation = o.region.relation if o.region else ""
        if o.region and o.region.frame == "viewer":
            relation = mirrored(relation)
        named = [o.target, *o.preserve, o.region.anchor if o.region else ""]
        sided = [name for name in named if re.fullmatch(rf"{where[0]}_(?:eye|ear|brow|cheek)", name)]
        weights = [w.name for w in o.attributes.weights if w.name.endswith(where.capitalize())]
        moved = o.attributes.offset[0] * (1 if where == "left" else -1) > 0
        if sided or weights or moved or relation == f"{where}_of":
            return True
    return False


@given(
    st.lists(st.sampled_from([word for word in WORDS if not ELSEWHERE.search(word)]), max_size=7),
    st.sampled_from(sorted(PLACES)),
    st.integers(0, 7),
    st.sampled_from((None, frozenset({"hair", "skin", "earring", "nose", "l_ear", "r_ear", "l_eye", "r_eye"}))),
)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_no_place_is_lost_in_silence(words: list[str], place: str, at: int, labels: frozenset[str] | None) -> None:
    prompt = " ".join([*words[:at], place, *words[at:]])
    plan = read_prompt(EditRequest(prompt, labels))
    assert plan.ambiguities or says(plan, PLACES[place]), f"{prompt!r}: {said(plan)}"


@pytest.mark.parametrize("place", sorted(PLACES))
def test_no_place_is_lost_beside_what_people_type(place: str) -> None:
    for line in CASES:
        words = re.sub(r"^\[.*?\] ", "", line.rpartition(" | ")[0]).split()
        if ELSEWHERE.search(" ".join(words)):
            continue
        for at in (0, len(words) // 2, len(words)):
            prompt = " ".join([*words[:at], place, *words[at:]])
            plan = read_prompt(EditRequest(prompt))
            assert plan.ambiguities or says(plan, PLACES[place]), f"{prompt!r}: {said(plan)}"


def test_what_cannot_be_done_is_said_in_one_sentence() -> None:
    for prompt, sentence in (
        (
            "eyes further apart",
            "'eyes further apart' cannot be done: a plan has no word for the distance between two parts",
        ),
        ("make her eyes closer together", "'make her eyes closer together' cannot be done"),
        ("a blue streak in the hair", "a plan cannot say 'streak', only whole parts and halves of them"),
        ("blonde highlights", "a plan cannot say 'highlights'"),
        (
            "everything but the hair in black and white",
            "'everything but the hair in black and white' was not understood",
        ),
        ("a red hat with a narrow brim", "'with a narrow brim' cannot be said in a plan"),
        ("smile on the left side", "'on the left side' says where, but no operation of the plan is placed by it"),
        ("add glasses above", "'above' says where, but no operation"),
        ("move the hat up to the forehead", "'to the forehead' was passed over: the hat can only be moved as a whole"),
        ("a hat on the left", "'left' was passed over: hat cannot be on one side only"),
    ):
        (found,) = read_prompt(EditRequest(prompt)).ambiguities
        assert found.startswith(sentence), found


def test_what_was_not_understood_is_an_error_with_the_nearest_word() -> None:
    run = Run()
    for prompt, said in (
        ("yeloww hair", "'yeloww' was not understood; did you mean 'yellow'?"),
        ("add a flamingo", "'flamingo' was not understood; name a part"),
        ("keep the hair", "what is kept says nothing of what changes"),
        ("make it better", "'better' was not understood"),
        ("", "the prompt is empty"),
        (" \ud800\x1b\n", "the prompt is empty"),
        ("x" * 2001, "has 2001 characters; at most 2000"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            make_plan(EditRequest(prompt), run)


def test_degrees_order_sizes() -> None:
    sizes = [
        read_prompt(EditRequest(f"{how} nose")).operations[0].attributes.size
        for how in ("much smaller", "smaller", "slightly smaller", "slightly bigger", "bigger", "much bigger")
    ]
    assert sizes == sorted(sizes) and len(set(sizes)) == 6
    smiles = [
        read_prompt(EditRequest(text)).operations[0].attributes.weights[0].weight
        for text in ("don't smile", "less smile", "smile a bit", "smile", "a bigger smile", "a big smile")
    ]
    assert smiles == sorted(smiles) and len(set(smiles)) == 6 and smiles[1] < 0


def test_operations_wait_for_what_they_stand_on() -> None:
    plan = read_prompt(EditRequest("remove the hat, add a cap and put a red bow on the cap"))
    assert [(o.kind, o.target, o.depends_on) for o in plan.operations] == [
        ("delete", "hat", ()),
        ("add", "cap", (0,)),
        ("add", "object", (0, 1)),
    ]


def test_texts_for_image_editors_use_the_users_words() -> None:
    plan = read_prompt(EditRequest("copper red hair and round black glasses, not blue"))
    hair, glasses = plan.operations
    assert (
        hair.prompt == "make the hair copper red" and hair.target_caption == "a photo of a person with copper red hair"
    )
    assert glasses.prompt == "add round black glasses" and glasses.source_caption == "a photo of a person"
    assert {hair.negative, glasses.negative} == {"blue"}


def test_texts_say_where() -> None:
    for prompt, instruction in (
        ("make the left half of the hair blue", "make the left half of the hair blue"),
        ("hair on the viewer's left green", "make the half of the hair on the viewer's left green"),
        ("lower half of her face green", "make the lower half of the face green"),
        ("make the left earring blue", "make the earring on the left ear blue"),
        ("remove the right earring", "remove the earring on the right ear"),
        ("a gold nose ring in the left nostril", "add a gold nose ring on the left side of the nose"),
        ("a gold chain necklace", "add a gold chain necklace"),
        ("blue eyeshadow on the left eye", "paint blue eyeshadow on the eyelids of the left eye"),
        ("make the left half of the hair longer", "make the left half of the hair longer (1.3 times)"),
        ("like an elf", "make the person look like an elf"),
        ("make him a pirate", "make the person look like a pirate"),
    ):
        (operation,) = read_prompt(EditRequest(prompt)).operations
        assert operation.prompt == instruction
    (elf,) = read_prompt(EditRequest("a zombie")).operations
    assert elf.target_caption == "a photo of a person who looks like a zombie"
    (half,) = read_prompt(EditRequest("make the left half of the hair blue")).operations
    assert half.target_caption == "a photo of a person with the left half of the hair blue"


def test_the_second_turn_says_view_and_place() -> None:
    plan = read_prompt(EditRequest("a red hat"))
    keyframes = (
        Keyframe("front", 0.0, 0.0, (0.3, 0.0, 0.7, 0.3)),
        Keyframe("side", 0.8, 0.5, (0.0, 0.1, 0.3, 0.3)),
        Keyframe("profile", -1.5, 0.0, None),
    )
    texts = final_texts(RulesRefiner(), FinalRequest(plan, 0, keyframes), Run())
    assert [(text.keyframe, text.instruction) for text in texts] == [
        ("front", "add a red hat, in the upper middle of the picture"),
        ("side", "add a red hat, at the upper left of the picture"),
        ("profile", "add a red hat"),
    ]
    assert texts[1].caption.startswith(
        "a three-quarter view from the subject's left and above of a photo of a person with"
    )
    assert "profile view from the subject's right" in texts[2].caption
    assert texts == final_texts(object(), FinalRequest(plan, 0, keyframes), Run())  # a refiner without a second turn
    with pytest.raises(InputError, match="operation 1: the plan has 1"):
        final_texts(object(), FinalRequest(plan, 1, keyframes), Run())
