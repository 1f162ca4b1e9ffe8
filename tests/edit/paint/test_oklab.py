"""OKLab of pictures against the one of single colours, and colours that sRGB does not have."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.edit import colours
from avatarkit.edit.paint.oklab import lab_of, mix, oklab, ramp, smoothstep, srgb


def test_pictures_agree_with_single_colours_and_come_back() -> None:
    for colour in ("#000000", "#ffffff", "#b5451f", "#00ff7f", "#123456"):
        rgb = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)], np.float32)
        np.testing.assert_allclose(oklab(rgb), colours.oklab(colour), atol=2e-5)
        np.testing.assert_allclose(lab_of(colour), colours.oklab(colour), atol=1e-6)
        np.testing.assert_allclose(srgb(oklab(rgb)), rgb, atol=2e-3)


def test_a_colour_that_srgb_lacks_keeps_its_lightness_and_its_hue() -> None:
    """Clipping the channels of the same colours turns hues by up to 40 degrees."""
    random = np.random.default_rng(0)
    angle, light = random.uniform(0, 2 * np.pi, 500), random.uniform(0.3, 0.9, 500)
    wanted = np.stack([light, 0.45 * np.cos(angle), 0.45 * np.sin(angle)], 1).astype(np.float32)
    found = oklab(srgb(wanted))
    np.testing.assert_allclose(found[:, 0], light, atol=0.01)
    turned = np.degrees(np.abs(np.angle(np.exp(1j * (np.arctan2(found[:, 2], found[:, 1]) - angle)))))
    assert turned.max() < 3


def test_mix_ramp_and_smoothstep_have_their_ends() -> None:
    one, other = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(mix(one, other, np.array([0.0, 1.0])), [[0, 0, 0], [1, 1, 1]])
    made = ramp(((0.2, "#000000"), (0.8, "#ffffff")), np.array([0.0, 0.2, 0.5, 0.8, 1.0]))
    assert (
        made[0, 0] == pytest.approx(0)
        and made[2, 0] == pytest.approx(0.5, abs=1e-3)
        and made[4, 0] == pytest.approx(1, abs=1e-3)
    )
    np.testing.assert_allclose(smoothstep(1.0, 0.0, np.array([-1.0, 0.5, 2.0])), [1.0, 0.5, 0.0])
