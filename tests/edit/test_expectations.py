"""What a picture should show after an edit: kinds, words, and sides that agree with where the head's own parts are seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from avatarkit.cameras import intrinsics, look_at
from avatarkit.edit.expectations import Expectation, expectations, expected, with_article
from avatarkit.edit.plan import Attributes, EditRequest, Operation, Region
from avatarkit.edit.rules import RulesRefiner
from avatarkit.events import Run
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams

SHOWN = frozenset({"skin", "hair", "glasses", "earring", "l_brow", "r_brow", "l_ear", "r_ear", "nose", "hat", "u_lip", "l_lip"})  # fmt: skip


def of(prompt: str, azimuth: float = 0.0) -> list[Expectation]:
    plan = RulesRefiner().refine(EditRequest(prompt, SHOWN), Run())
    return [e for operation in plan.operations for e in expectations(operation, azimuth)]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("blue hair", [Expectation("attribute", "blue hair")]),
        ("a red hat", [Expectation("attribute", "a red hat")]),
        ("copper red hair", [Expectation("attribute", "copper red hair")]),
        ("a pearl necklace", [Expectation("attribute", "a pearl necklace")]),
        ("remove the glasses", [Expectation("negation", "glasses")]),
        ("take off the hat", [Expectation("negation", "a hat")]),
        ("remove the left earring", []),
        ("make him smile", []),
        ("make it a pencil sketch", []),
        (
            "make the left eyebrow red",
            [Expectation("attribute", "a red eyebrow"), Expectation("spatial", "a red eyebrow", "right_of", "a face")],
        ),
        (
            "an earring on the ear on the viewer's left",
            [Expectation("attribute", "an earring"), Expectation("spatial", "an earring", "left_of", "a face")],
        ),
    ],
)
def test_prompts_become_what_should_be_seen(prompt: str, wanted: list[Expectation]) -> None:
    assert of(prompt) == wanted


def test_a_number_is_a_number_of_one_thing_where_both_sides_show() -> None:
    operation = Operation("add", "earring", Region("l_ear"), Attributes(count=3, colour="#ff0000"))
    number, place = expectations(operation)
    assert number == Expectation("number", "a red earring", count=3)
    assert (place.kind, place.thing, place.relation) == ("spatial", "a red earring", "right_of")
    assert expectations(operation, 0.8)[0] == Expectation("attribute", "a red earring")
    assert of("gold hoop earrings")[0] == Expectation("number", "a gold hoop earring", count=2)


@pytest.mark.parametrize(
    ("caption", "thing"),
    [
        ("a photo of a person with crimson hair", "crimson hair"),
        ("a portrait of somebody whose hair is crimson", "red hair"),
        ("a photo of a person with the upper half of the hair red", "red hair"),
        ("", "red hair"),
    ],
)
def test_words_are_the_captions_where_it_names_the_thing(caption: str, thing: str) -> None:
    operation = Operation("recolour", "hair", attributes=Attributes(colour="#ff0000"), target_caption=caption)
    assert expectations(operation) == (Expectation("attribute", thing),)


@pytest.mark.parametrize(("frame", "seen"), [("subject", "right_of"), ("viewer", "left_of")])
def test_the_viewers_left_is_the_pictures_from_the_front(frame: str, seen: str) -> None:
    operation = Operation("add", "nose_ring", Region("nose", "left_of", frame))
    assert expectations(operation)[1] == Expectation("spatial", "a nose ring", seen, "a nose")
    behind = "left_of" if seen == "right_of" else "right_of"
    assert expectations(operation, math.pi)[1] == Expectation("spatial", "a nose ring", behind, "a nose")


def test_above_and_below_are_the_same_from_everywhere() -> None:
    operation = Operation("add", "moustache", Region("mouth", "above"))
    for azimuth in (0.0, 1.5, 3.0):
        assert Expectation("spatial", "a moustache", "above", "a mouth") in expectations(operation, azimuth)


def test_halves_of_a_thing_lie_beside_the_face_and_not_above_themselves() -> None:
    half = Operation("recolour", "hair", Region("hair", "left_of"), Attributes(colour="#0000ff"))
    assert Expectation("spatial", "blue hair", "right_of", "a face") in expectations(half)
    upper = Operation("recolour", "hair", Region("hair", "above"), Attributes(colour="#0000ff"))
    assert expectations(upper) == (Expectation("attribute", "blue hair"),)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("azimuth", [-3.0, -2.2, -0.9, 0.0, 0.4, 1.1, 2.5, math.pi])
def test_sides_are_where_the_heads_own_ears_are_seen(side: str, azimuth: float) -> None:
    """The head model's ear against the middle between its ears, projected by a camera at that azimuth."""
    head = load_head("bust")
    vertices = head.pose(HeadParams.zeros(1, head.num_shape, head.num_expr)).vertices[0]
    ears = {name: vertices[head.regions[f"{name[0]}_ear"] > 0.5].mean(0) for name in ("left", "right")}
    middle = torch.stack(list(ears.values())).mean(0)
    place = middle.numpy() + np.array([math.sin(azimuth), 0.0, math.cos(azimuth)])
    view = torch.tensor(look_at(place, middle.numpy()), dtype=torch.float32)
    K = torch.tensor(intrinsics(200.0, 200.0, 64.0, 64.0), dtype=torch.float32)

    def across(point: torch.Tensor) -> float:
        local = K @ (view[:3, :3] @ point + view[:3, 3])
        return float(local[0] / local[2])

    seen = "left_of" if across(ears[side]) < across(middle) else "right_of"
    operation = Operation("add", "earring", Region(f"{side[0]}_ear"))
    assert Expectation("spatial", "an earring", seen, "a face") in expectations(operation, azimuth)


def test_a_profile_tells_no_sides() -> None:
    operation = Operation("add", "earring", Region("l_ear"))
    assert expected([operation], [math.pi / 2, 0.0]) == (
        (Expectation("attribute", "an earring"),),
        (Expectation("attribute", "an earring"), Expectation("spatial", "an earring", "right_of", "a face")),
    )


def test_a_side_beside_a_sided_part_says_something_only_where_they_agree() -> None:
    """Left of the left eye is left of the face; right of the left eye may be either."""
    kinds = {
        relation: [e.kind for e in expectations(Operation("add", "mole", Region("l_eye", relation)))]
        for relation in ("left_of", "right_of", "behind")
    }
    assert kinds == {"left_of": ["attribute", "spatial"], "right_of": ["attribute"], "behind": ["attribute"]}


def test_articles() -> None:
    said = [with_article(words) for words in ("red hat", "earring", "blue hair", "red lips", "round glasses")]
    assert said == ["a red hat", "an earring", "blue hair", "red lips", "round glasses"]
    assert of("make the lower lip red")[0].thing == "a red lower lip"
