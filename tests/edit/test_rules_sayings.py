"""What turns of phrase become, and how a guess is told; the plans of many more stand in prompts.txt."""

from __future__ import annotations

import math

import pytest

from avatarkit.edit.colours import oklab
from avatarkit.edit.plan import EditRequest
from avatarkit.edit.rules import read_prompt


def test_what_was_guessed_is_said_in_one_sentence() -> None:
    for prompt, sentence in (
        ("blue hiar", "'hiar' was read as 'hair'"),
        ("curly hair", "curly hair is new hair in place of the present one, in the colour of the eyebrows unless one is named"),
        ("make the glasses round", "round glasses: new, in place of what is there, in the usual colour unless one is named"),
        ("turn the hat into a crown", "a crown is a thing that only an image editor such as ip2p can make; without one the hat goes"),
        ("swap the colours of the hair and the hat", "'swap the colours of the hair and the hat' cannot be done: which colour"),
        ("make the hair less red", "'less red' was taken for less saturated; name a colour for another one"),
        ("move the hat 2 cm to the left", "'2 cm' was taken for 0.13 head widths, a head being 15 cm wide"),
        ("make the star tattoo blue", "no edit of this avatar added the tattoo, so what should change is not known"),
        ("a hat on the viewer's right side", "'on the viewer's right side' was passed over: hat cannot be on one side only"),
        ("a square hat", "'square' was passed over: hat has no such form; it has round, wide_brim"),
        ("like a Van Gogh painting", "'like a van gogh painting' became an oil painting"),
        ("the left half of the hair curly", "only all of the hair can become curly, not a part of it"),
    ):  # fmt: skip
        (found,) = read_prompt(EditRequest(prompt)).ambiguities
        assert found.startswith(sentence), found


def test_a_move_by_a_distance_is_in_head_widths() -> None:
    for prompt, offset in (
        ("move the hat 3 cm up", (0.0, 0.2, 0.0)),
        ("move the hat to the left by 15 mm", (0.1, 0.0, 0.0)),
        ("raise the hat 3 cm", (0.0, 0.2, 0.0)),
        ("move the hat 3 cm to the left and 15 mm down", (0.2, -0.1, 0.0)),
        ("move the hat down 50 cm", (0.0, -1.0, 0.0)),
    ):
        assert read_prompt(EditRequest(prompt)).operations[0].attributes.offset == pytest.approx(offset)


def test_grey_makes_a_colour_dull() -> None:
    colours = [
        read_prompt(EditRequest(f"{word} hair")).operations[0].attributes.colour for word in ("blue", "grey-blue")
    ]
    chroma = [math.hypot(*oklab(colour)[1:]) for colour in colours]
    assert chroma[1] < 0.3 * chroma[0]
    hues = [math.degrees(math.atan2(*oklab(colour)[:0:-1])) for colour in colours]
    assert abs(hues[0] - hues[1]) < 10
