"""OKLab against its author's published values, and shades by perception."""

from __future__ import annotations

import pytest

from avatarkit.edit.colours import HEX, MATERIAL_COLOURS, css_colours, from_oklab, mixed, oklab, shaded


@pytest.mark.parametrize(
    ("colour", "wanted"),
    [
        ("#ffffff", (1.0, 0.0, 0.0)), ("#000000", (0.0, 0.0, 0.0)), ("#ff0000", (0.6280, 0.2249, 0.1258)), ("#00ff00", (0.8664, -0.2339, 0.1795)),
        ("#0000ff", (0.4520, -0.0325, -0.3115)),
    ],
)  # fmt: skip
def test_published_values(colour: str, wanted: tuple[float, float, float]) -> None:
    assert oklab(colour) == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("colour", ["#123456", "#b5451f", "#fefefe", "#010203", "#ff00ff"])
def test_there_and_back(colour: str) -> None:
    assert from_oklab(*oklab(colour)) == colour


def test_what_no_screen_shows_keeps_lightness_and_hue() -> None:
    light, a, b = oklab(from_oklab(0.7, 0.5, 0.2))
    assert light == pytest.approx(0.7, abs=0.01) and b / a == pytest.approx(0.4, abs=0.02)
    assert from_oklab(2.0, 0.0, 0.0) == "#ffffff" and from_oklab(-1.0, 0.0, 0.0) == "#000000"


def test_shades() -> None:
    base = oklab("#8a5030")
    assert oklab(shaded("#8a5030", 0.3))[0] > base[0] > oklab(shaded("#8a5030", -0.3))[0]
    assert shaded("#8a5030", 1.0) == "#ffffff" and shaded("#8a5030", -1.0) == "#000000"
    grey = oklab(shaded("#8a5030", 0.0, -1.0))
    assert abs(grey[1]) < 0.005 and abs(grey[2]) < 0.005 and grey[0] == pytest.approx(base[0], abs=0.01)
    assert oklab(mixed("#000000", "#ffffff"))[0] == pytest.approx(0.5, abs=0.01)


def test_names() -> None:
    assert css_colours()["rebeccapurple"] == "#663399" and all(
        HEX.fullmatch(colour) for colour in css_colours().values()
    )
    assert all(HEX.fullmatch(colour) for colour in MATERIAL_COLOURS.values())
