"""Outlines of decals and the distance to them."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.edit.paint.shapes import OUTLINES, signed_distance

PLACES = np.random.default_rng(2).uniform(-1.6, 1.6, (4000, 2))


def test_distances_to_a_square_and_a_circle_are_the_closed_forms() -> None:
    off = np.abs(PLACES) - 1.0
    square = np.linalg.norm(np.maximum(off, 0), axis=1) + np.minimum(off.max(1), 0)
    np.testing.assert_allclose(signed_distance(PLACES, OUTLINES["square"]()), square, atol=1e-12)
    circle = np.linalg.norm(PLACES, axis=1) - 1.0
    np.testing.assert_allclose(signed_distance(PLACES, OUTLINES["dot"]()), circle, atol=2e-3)  # of 64 sides


@pytest.mark.parametrize("name", OUTLINES)
def test_every_outline_reaches_from_side_to_side_and_is_its_own_mirror_image(name: str) -> None:
    outline = OUTLINES[name]()
    assert np.abs(outline).max() == pytest.approx(1.0, abs=0.03)
    mirrored = signed_distance(PLACES * [-1, 1], outline)
    np.testing.assert_allclose(mirrored, signed_distance(PLACES, outline), atol=1e-6)


def test_a_heart_and_a_drop_point_where_they_should() -> None:
    heart, drop = OUTLINES["heart"](), OUTLINES["drop"]()
    assert abs(heart[heart[:, 1].argmin(), 0]) < 0.05  # the tip is below, in the middle
    assert signed_distance(np.array([[0.0, heart[:, 1].max()]]), heart)[0] > 0.05  # the notch above
    assert (
        abs(drop[drop[:, 1].argmax(), 0]) < 1e-9
        and np.abs(drop[drop[:, 1] < 0, 0]).max() > np.abs(drop[drop[:, 1] > 0.2, 0]).max()
    )
