"""Tattoos, moles, scars and freckles: shape, size, number, colour; and that later views get them at the same place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import EditStep
from avatarkit.edit.paint.decals import FORM_WIDTHS, WIDTHS
from avatarkit.edit.paint.painter import Paint
from avatarkit.edit.paint.shapes import OUTLINES
from avatarkit.edit.plan import KeyframeText, Operation
from avatarkit.events import Run
from avatarkit.losses.colour_difference import hue, hue_difference, lab
from avatarkit.types import FloatArray

from .heads import CHEEK, Head, add

FLAT = 300
PIXEL = 0.42 / FLAT  # metres


def painted_flat(operation: Operation, mask: Tensor | None = None, seed: int = 3) -> FloatArray:
    """(H, W) change of a plain wall without correspondences, where a pixel's size is known."""
    wall = torch.full((1, 3, FLAT, FLAT), 0.75)
    mask = torch.ones(1, 1, FLAT, FLAT) if mask is None else mask
    step = EditStep(operation, (KeyframeText("k", "", ""),))
    made = Paint().edit(wall, mask, step, references=None, cameras=Cameras(torch.eye(4)[None], torch.eye(3)[None], FLAT, FLAT),
                        correspondences=None, seed=seed, run=Run())  # fmt: skip
    return (made - wall).abs().amax(1)[0].numpy()


def polygon_area(outline: FloatArray) -> float:
    x, y = outline.T
    return float(0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


@pytest.mark.parametrize("form", OUTLINES)
def test_a_tattoo_has_the_area_and_the_proportions_of_its_form(form: str) -> None:
    half = 0.5 * FORM_WIDTHS.get(form, WIDTHS["tattoo"])
    outline = OUTLINES[form]() * half
    change = painted_flat(add("tattoo", form=form))
    drawn = change > 0.5 * change.max()
    thin = form == "line"  # two pixels thick
    assert change.sum() / change.max() * PIXEL**2 == pytest.approx(polygon_area(outline), rel=0.35 if thin else 0.06)
    rows, columns = np.nonzero(drawn)
    extent = PIXEL * np.array([np.ptp(columns) + 1, np.ptp(rows) + 1])
    np.testing.assert_allclose(extent, np.ptp(outline, axis=0), atol=1.6 * PIXEL)
    assert abs(columns.mean() + 0.5 - FLAT / 2) < 1  # upright and in the middle
    if form in ("heart", "drop"):  # more of it above, more of it below
        off = rows.mean() - 0.5 * (rows.min() + rows.max())
        assert off < -0.5 if form == "heart" else off > 0.5


def test_sizes_multiply_and_dimensions_stretch() -> None:
    def extent(**attributes: object) -> FloatArray:
        """Standard deviations across and down."""
        change = painted_flat(add("tattoo", form="dot", **attributes))
        change = np.where(change > 1e-3, change, 0.0)  # there and back through OKLab
        rows, columns = np.indices(change.shape)
        return np.sqrt([np.average((at - FLAT / 2 + 0.5) ** 2, weights=change) for at in (columns, rows)])

    plain = extent()
    np.testing.assert_allclose(extent(size=2.0) / plain, [2, 2], rtol=0.06)
    np.testing.assert_allclose(extent(size=2.0, dimension="width") / plain, [2, 1], rtol=0.06)
    np.testing.assert_allclose(extent(size=0.5, dimension="height") / plain, [1, 0.5], rtol=0.15)


@pytest.mark.parametrize(
    ("operation", "count"),
    [
        (add("tattoo", form="star", count=3), 3),
        (add("mole", count=4), 4),
        (add("freckles", count=5), 5),
        (add("scar"), 1),
    ],
    ids=["stars", "moles", "freckles", "scar"],
)
def test_as_many_as_asked(operation: Operation, count: int) -> None:
    drawn = painted_flat(operation) > 0.06
    assert label(drawn, np.ones((3, 3)))[1] == count


def test_a_row_without_room_shrinks_into_the_region() -> None:
    columns, rows = np.meshgrid(np.arange(FLAT), np.arange(FLAT))
    disc = np.hypot(columns - 150, rows - 150) < 0.025 / PIXEL
    drawn = (
        painted_flat(add("tattoo", form="star", count=3), torch.from_numpy(disc.astype(np.float32))[None, None]) > 0.1
    )
    assert label(drawn, np.ones((3, 3)))[1] == 3
    reach = np.hypot(columns - 150, rows - 150)[drawn].max() * PIXEL
    assert 0.015 < reach < 0.025  # none is cut off by the edge


def test_freckles_are_many_small_and_darker(head: Head) -> None:
    painted = head.paint(add("freckles"), "cheeks", batch=(0,))
    change = (painted - head.views[:1]).mean(1)[0].numpy()
    assert change.max() < 0.01 and change.min() < -0.04
    flat = painted_flat(add("freckles")) > 0.05
    assert label(flat)[1] > 300
    assert 0.005 < flat.mean() < 0.2


def test_the_colour_is_the_asked_one(head: Head) -> None:
    for colour in ("#c01030", "#2050d0", "#10a040"):
        painted = head.paint(add("tattoo", form="dot", colour=colour, size=1.5), "l_cheek", batch=(0,))
        change = (painted - head.views[:1]).abs().amax(1)[0]
        core = painted[0].permute(1, 2, 0)[change > 0.8 * change.max()]
        asked = torch.tensor([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        assert float(hue_difference(hue(lab(core).median(0).values), hue(lab(asked)))) < 15


def centre_of(head: Head, painted: Tensor, k: int) -> FloatArray:
    """(3,) where on the neutral head view ``k`` was changed: the mean over the surface of what is changed at all."""
    change = (painted - head.views[k]).abs().amax(0).numpy()
    steps = [np.gradient(head.rest[k], axis=axis) for axis in (0, 1)]
    area = np.linalg.norm(np.cross(*steps), axis=-1)
    return np.average(head.rest[k].reshape(-1, 3), axis=0, weights=((change > 0.1) * change * area).ravel())


def test_it_lies_in_the_middle_of_its_region_in_every_view(head: Head) -> None:
    painted = head.paint(add("tattoo", form="dot"), "l_cheek")
    for k in (0, 1, 3):
        assert np.linalg.norm(centre_of(head, painted[k], k) - CHEEK) < 0.0025


def test_a_region_of_two_cheeks_gets_one_on_each(head: Head) -> None:
    change = (head.paint(add("tattoo", form="dot"), "cheeks", batch=(0,)) - head.views[:1]).abs().amax(1)[0].numpy()
    drawn = change > 0.1
    assert label(drawn, np.ones((3, 3)))[1] == 2
    assert 0.4 < (head.rest[0][drawn][:, 0] > 0).mean() < 0.6


@pytest.mark.parametrize(
    "operation", [add("tattoo", form="heart"), add("scar"), add("mole", size=1.5)], ids=["heart", "scar", "mole"]
)
def test_a_view_that_sees_half_of_the_region_follows_what_the_avatar_has_learnt(
    head: Head, operation: Operation
) -> None:
    """Half of the mask is taken from view 0, as hair that falls over a cheek would: by itself it is painted elsewhere, with the
    avatar's picture of what it has learnt it is painted where it was."""
    whole = head.region("l_cheek")
    half = whole * torch.from_numpy((head.rest[..., 0] > CHEEK[0] - 0.002).astype(np.float32))[:, None]
    learnt = head.paint(operation, whole)
    alone = head.paint(operation, half, batch=(0,))
    told = head.paint(operation, half, batch=(0,), references=learnt[:1])
    expected = torch.where(half[:1] > 0, learnt[:1], head.views[:1])
    worse, better = (float((one - expected).abs().sum()) for one in (alone, told))
    assert better < 0.4 * worse


def test_references_without_the_decal_change_nothing(head: Head) -> None:
    operation = add("tattoo", form="heart")
    plain = head.paint(operation, "l_cheek", batch=(0, 1))
    for other in (
        head.views[:2],
        head.views[:2] * 0.8,
        torch.rand(2, 3, *head.views.shape[2:], generator=torch.Generator().manual_seed(2)),
    ):
        assert torch.equal(head.paint(operation, "l_cheek", batch=(0, 1), references=other), plain)
