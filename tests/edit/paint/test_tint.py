"""Another paint under the same light."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.edit.paint.oklab import lab_of
from avatarkit.edit.paint.tint import tinted, toned

SKIN = lab_of("#d9a488")


@pytest.mark.parametrize("colour", ["#b5451f", "#101418", "#f0e0a0", "#3050c0"])
def test_typical_light_gives_the_colour_itself(colour: str) -> None:
    np.testing.assert_allclose(tinted(SKIN[None], SKIN, lab_of(colour))[0], lab_of(colour), atol=1e-5)


@pytest.mark.parametrize("colour", ["#b5451f", "#101418", "#f0e0a0"])
def test_more_light_is_more_light_and_never_beyond_white(colour: str) -> None:
    light = np.linspace(0.05, 1.0, 200, dtype=np.float32)
    lab = np.stack([light, np.full_like(light, SKIN[1]), np.full_like(light, SKIN[2])], 1)
    made = tinted(lab, SKIN, lab_of(colour))[:, 0]
    assert (np.diff(made) > 0).all() and made[-1] <= 1.0


def test_a_lamps_reflection_is_not_dimmed_and_has_no_colour_of_the_paint() -> None:
    glint, bright = np.array([[0.97, 0.0, 0.005]], np.float32), np.array([[0.97, *SKIN[1:]]], np.float32)
    paint = lab_of("#6a0a1a")
    assert tinted(glint, SKIN, paint)[0, 0] > tinted(bright, SKIN, paint)[0, 0] + 0.08
    assert np.hypot(*tinted(glint, SKIN, paint)[0, 1:]) < 0.3 * np.hypot(*paint[1:])


def test_tones_go_the_asked_share_of_the_way() -> None:
    lab = np.array([[0.6, 0.05, -0.04]], np.float32)
    np.testing.assert_allclose(toned(lab, 0.5, 0.0)[0], [0.8, 0.05, -0.04], atol=1e-6)
    np.testing.assert_allclose(toned(lab, -0.5, -1.0)[0], [0.3, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(toned(lab, 0.0, 1.0)[0], [0.6, 0.10, -0.08], atol=1e-6)
