"""What the model is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from avatarkit_openai_images.wording import instruction

from avatarkit.contracts import EditStep
from avatarkit.edit.plan import KeyframeText, Operation

HAIR = Operation("recolour", "hair", prompt="make the hair red", target_caption="a person with red hair")
TEXT = KeyframeText(
    "t0 c0", "make the hair red, in the upper middle of the picture", "a frontal view of a person with red hair"
)


def said(operation: Operation = HAIR, text: KeyframeText = TEXT, reference: bool = False, **changes: Any) -> str:
    return instruction(EditStep(operation, (text,), **changes), 0, reference)


def test_the_whole_of_a_plain_one() -> None:
    assert said() == (
        "Make the hair red, in the upper middle of the picture. The result is a frontal view of a person with red hair. "
        "Change only what lies in the transparent part of the mask; keep who the person is, the expression, the pose and size of "
        "the head, the framing, the light and the background exactly as they are."
    )


def test_the_operations_words_stand_in_for_a_views() -> None:
    words = said(replace(HAIR, negative="a hat"), KeyframeText("t0 c0", "", ""))
    assert words.startswith("Make the hair red. The result is a person with red hair. ")
    assert words.endswith("The result must not show: a hat.")


def test_what_an_operation_is_about_is_not_kept() -> None:
    assert "who the person is" not in said(replace(HAIR, kind="identity")) and "the expression" in said(
        replace(HAIR, kind="identity")
    )
    assert "the expression" not in said(replace(HAIR, kind="expression"))


def test_what_is_preserved_is_said_as_people_say_it() -> None:
    assert "Do not change left eye or lower lip or mouth." in said(
        replace(HAIR, preserve=("l_eye", "l_lip", "whole_mouth"))
    )


def test_a_weak_edit_is_said_to_be_one() -> None:
    assert "about 40% of the way" in said(replace(HAIR, strength=0.4)) and "%" not in said()


def test_a_reference_is_explained() -> None:
    assert "The second picture" in said(reference=True) and "second picture" not in said()


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"latent": "add"}, "This is still missing: make the hair red"),
        ({"latent": "change"}, "This is there, but not as it was asked for; change it: make the hair red"),
        (
            {"latent": "reposition", "shift": (0.1, -0.05)},
            "This is in the wrong place: Make the hair red, in the upper middle of the picture. Move it by 10% of the picture's width "
            "to the right and by 5% of the picture's height up, and paint what was behind it. The result",
        ),
        ({"latent": "reposition", "shift": (-0.2, 0.0)}, "This is in the wrong place: Make the hair red, in the upper middle of the "
         "picture. Move it by 20% of the picture's width to the left, and"),
        ({"latent": "reposition"}, "Make the hair red, in the upper middle of the picture. The result"),
        (
            {"latent": "delete"},
            "Remove what does not belong there (it was painted there as a frontal view of a person with red hair), and paint what is "
            "behind it as if it had never been there. Change only",
        ),
    ],
)  # fmt: skip
def test_corrections(changes: dict[str, Any], begins: str) -> None:
    assert said(**changes).startswith(begins)


def test_a_deletion_corrected_by_deleting_names_no_result() -> None:
    bald = Operation("delete", "hair", prompt="remove the hair", target_caption="a person without hair")
    words = said(bald, KeyframeText("t0 c0", "remove the hair", "a person without hair"), latent="delete")
    assert words.startswith(
        "This has not been done yet: remove the hair, and paint what is behind it as if it had never been there. Change only"
    )
