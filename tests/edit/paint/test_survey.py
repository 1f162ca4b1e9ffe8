"""Patches of the surface: every place counts once, by its area, however many pixels and views see it."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.edit.paint.canvas import Canvas, canvas
from avatarkit.edit.paint.survey import Survey, median, survey
from avatarkit.types import FloatArray

from .heads import Head


def canvases(head: Head, mask: FloatArray, batch: tuple[int, ...]) -> list[Canvas]:
    made = []
    for k in batch:
        picture = head.views[k].permute(1, 2, 0).numpy()
        one = canvas(picture, mask[k], head.rest[k], head.correspondences.triangle[k].numpy())
        made += [one] if one is not None else []
    return made


def surveyed(head: Head, region: str, *batch: int) -> Survey:
    return survey(canvases(head, head.region(region)[:, 0].numpy(), batch))


def test_a_disc_of_skin_has_its_area_whatever_sees_it(head: Head) -> None:
    """The cheek is nearly flat: a ball of 19.2 mm around one of its points cuts out nearly a disc."""
    expected = np.pi * 0.0192**2
    for batch in ((0,), (1,), (0, 1), (0, 1, 2, 3)):
        assert surveyed(head, "l_cheek", *batch).area.sum() == pytest.approx(expected, rel=0.12), batch


@pytest.mark.parametrize(("region", "apart"), [("cheeks", 0.006), ("forehead", 0.006), ("lips", 0.04)])
def test_typical_colours_hardly_depend_on_the_views(head: Head, region: str, apart: float) -> None:
    """Of the lips an open mouth shows more."""
    whole = surveyed(head, region, 0, 1, 2, 3).typical()
    for batch in ((0, 1), (2, 3), (0, 3)):
        np.testing.assert_allclose(surveyed(head, region, *batch).typical(), whole, atol=apart)


def test_without_a_head_pixels_are_the_surface(head: Head) -> None:
    mask = head.region("forehead")[:, 0].numpy()
    flat = canvas(head.views[0].permute(1, 2, 0).numpy(), mask[0], None, None)
    assert flat is not None
    pixel = (0.42 / mask.shape[-1]) ** 2
    assert survey([flat]).area.sum() == pytest.approx(mask[0].sum() * pixel, rel=0.01)


def test_nothing_is_an_empty_survey_of_mid_grey() -> None:
    nothing = survey([])
    assert len(nothing) == 0 and nothing.typical()[0] == 0.5


def test_the_weighted_median_is_that_of_repeated_values() -> None:
    random = np.random.default_rng(3)
    values, weights = random.normal(size=101), random.integers(1, 6, 101)
    repeated = float(np.median(np.repeat(values, weights)))
    step = np.diff(np.sort(values)).max()
    assert abs(median(values, weights.astype(float)) - repeated) <= step
    assert median(np.array([2.0]), np.array([3.0])) == 2.0
