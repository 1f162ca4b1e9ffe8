"""The appearance record: round trip, bounds, names."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from avatarkit.errors import InputError
from avatarkit.synthetic.appearance import COLOURS, PRESETS, RANGES, Appearance, preset, rgb


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_json_round_trip(name: str) -> None:
    assert Appearance.from_json(preset(name).to_json()) == preset(name)


def test_absent_fields_keep_their_defaults() -> None:
    assert Appearance.from_json('{"hair_style": "long"}') == replace(Appearance(), hair_style="long")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hair_style": "mohawk"}, "hair style"), ({"glasses": "sunglases"}, "did you mean 'sunglasses'"),
        ({"hair_colour": "red"}, "#5b3a24"), ({"freckles": 2.0}, "from 0.0 to 1.0"), ({"pupil_size": "big"}, "a number"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words.replace("#", "\\#")):
        replace(Appearance(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ("[]", "object"), ('{"hair_color": "#000000"}', "hair_colour")]
)
def test_bad_json_is_one_line(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Appearance.from_json(text)
    assert "\n" not in str(caught.value)


def test_every_colour_and_range_names_a_field() -> None:
    fields = json.loads(Appearance().to_json())
    assert set(RANGES) <= set(fields) and len(COLOURS) >= 15
    assert rgb("#ff8000") == pytest.approx((1.0, 128 / 255, 0.0))


def test_an_unknown_subject_is_named() -> None:
    with pytest.raises(InputError, match="unknown subject 'adda'; did you mean 'ada'"):
        preset("adda")
