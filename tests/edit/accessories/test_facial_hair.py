"""Beards cover chin and jaw and leave the lips free, moustaches grow under the nose, both move with the skin, hair covers the
scalp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from avatarkit.edit.accessories.facial_hair import _beneath, _Places
from avatarkit.edit.accessories.skin import closest_barycentrics
from avatarkit.types import FloatArray

MM = 1e-3


def on_lips(subject: Any, points: FloatArray) -> FloatArray:
    """Which points lie on the red of the lips."""
    lips = np.concatenate([subject.region("u_lip"), subject.region("l_lip")])
    middle = lips.mean(0)
    inner = middle + (lips - middle) * np.array([0.9, 0.75, 1.0])  # the border belongs to the skin
    return cKDTree(inner).query(points)[0] < 1.5 * MM


@pytest.mark.parametrize("form", ["", "full", "short", "goatee", "stubble", "curly"])
def test_beards_cover_the_chin_and_leave_the_lips_free(subject: Any, form: str) -> None:
    points = subject.points("beard", form=form)
    a = subject.anatomy
    chin = a.spread.points[
        (np.abs(a.spread.points[:, 0] - a.middle) < 0.2 * a.unit)
        & (a.spread.points[:, 1] > a["chin"][1] - 1 * MM)
        & (a.spread.points[:, 1] < a["lip_bottom"][1] - 0.25 * a.unit)
        & (a.spread.points[:, 2] > a["chin"][2] - 12 * MM)
    ]
    assert (cKDTree(points).query(chin)[0] < 5 * MM).mean() > 0.97
    assert on_lips(subject, points).mean() < 0.01
    eyes = max(a["l_eye"][1], a["r_eye"][1])
    assert (
        points[:, 1].max() < eyes and points[:, 2].min() > a["l_lobe"][2] - 25 * MM
    )  # no higher, and none at the nape
    assert a.skin.nearest(points).heights.min() > -2.5 * MM


def jaw(subject: Any, low: float, high: float) -> FloatArray:
    """Points of the skin along the jaw, from ``low`` to ``high`` degrees from the front."""
    a = subject.anatomy
    points = a.spread.points[a.spread.normals[:, 1] > -0.5]
    turn = np.degrees(np.arctan2(np.abs(points[:, 0] - a.middle), points[:, 2] - a["l_lobe"][2]))
    ear = a["l_lobe"]
    line = np.interp(points[:, 2], [ear[2], a["chin"][2]], [ear[1] - 0.4 * a.unit, a["chin"][1]])
    beside = (turn > low) & (turn < high) & (points[:, 1] > line + 2 * MM) & (points[:, 1] < line + 12 * MM)
    return points[beside & (np.linalg.norm(points[:, [0, 2]] - ear[[0, 2]], axis=1) > 12 * MM)]


def test_which_beards_reach_along_the_jaw(subject: Any) -> None:
    side = jaw(subject, 35, 70)
    assert len(side) > 20
    for form, least, most in (("", 0.9, 1.0), ("short", 0.9, 1.0), ("stubble", 0.9, 1.0), ("goatee", 0.0, 0.1)):
        near = cKDTree(subject.points("beard", form=form)).query(side)[0] < 6 * MM
        assert least <= near.mean() <= most, form


def test_beard_lengths(bust: Any) -> None:
    chin = bust.anatomy["chin"]

    def below(**attributes: Any) -> float:
        points = bust.points("beard", **attributes)
        return float(chin[1] - np.quantile(points[np.abs(points[:, 0]) < 0.015][:, 1], 0.01))

    stubble, short, usual = below(form="stubble"), below(form="short"), below()
    long = below(size=2.0, dimension="length")
    assert stubble < short < usual < long and long - usual > 5 * MM
    heights = bust.anatomy.skin.nearest(bust.points("beard", form="stubble")).heights
    assert np.quantile(heights, 0.99) < 2.5 * MM
    bushy = bust.anatomy.skin.nearest(bust.points("beard", size=1.5, dimension="thickness")).heights
    assert np.quantile(bushy, 0.9) > 1.15 * np.quantile(bust.anatomy.skin.nearest(bust.points("beard")).heights, 0.9)


@pytest.mark.parametrize("form", ["", "line", "full", "curly"])
def test_moustaches_grow_between_nose_and_mouth(subject: Any, form: str) -> None:
    points = subject.points("moustache", form=form)
    a = subject.anatomy
    under = points[np.abs(points[:, 0] - a.middle) < 0.25 * a.unit]
    assert len(under) > 30
    assert under[:, 1].max() < a["septum"][1] + 4 * MM and under[:, 1].min() > a["lip_bottom"][1]
    lower = subject.region("l_lip")
    assert (cKDTree(lower).query(points)[0] < 2 * MM).mean() < 0.04
    left = (points[:, 0] > a.middle).mean()
    assert 0.42 < left < 0.58
    assert np.ptp(points[:, 0]) > 0.7 * np.abs(a["l_mouth"][0] - a["r_mouth"][0])
    assert points[:, 2].min() > a["l_mouth"][2] - 20 * MM


def test_moustache_sizes(bust: Any) -> None:
    plain = bust.points("moustache")
    wide = bust.points("moustache", size=1.3, dimension="width")
    assert 1.12 < np.ptp(wide[:, 0]) / np.ptp(plain[:, 0]) < 1.4
    slim = bust.points("moustache", form="line")
    assert len(slim) < 0.7 * len(plain)
    middle = [np.ptp(points[np.abs(points[:, 0]) < 0.01][:, 1]) for points in (slim, plain)]
    assert middle[0] < 0.8 * middle[1]
    curled = bust.points("moustache", form="curly")
    tips = curled[np.abs(curled[:, 0]) > np.quantile(np.abs(curled[:, 0]), 0.97)]
    assert tips[:, 1].mean() > np.median(curled[:, 1])  # handlebars turn up


@pytest.mark.parametrize("frames", ["skin", "triangle"])
@pytest.mark.parametrize("name", ["bust", "flame"])
def test_a_beard_follows_the_jaw_and_a_moustache_does_not(subject_of: Any, name: str, frames: str) -> None:
    subject = subject_of(name, 0, frames)
    expr = torch.zeros(1, subject.head.num_expr)
    expr[0, subject.head.expr_names.index("jawOpen")] = 0.8
    params = subject.moved(expr=expr)
    before, after = (subject.head.pose(p).vertices[0] for p in (subject.moved(), params))
    for target in ("beard", "moustache"):
        made = subject.made(target, form="stubble")
        assert bool((made.binding >= 0).all())
        rest, open_ = subject.posed(made).means, subject.posed(made, params).means
        corners = subject.head.faces[made.binding.long()]
        weights = closest_barycentrics(rest.double().numpy(), before[corners].double().numpy())
        beneath = (torch.from_numpy(weights)[:, :, None] * before[corners]).sum(1)
        assert float((rest - beneath).norm(dim=1).max()) < 4 * MM
        skin = (after - before)[corners].mean(1)
        assert float(((open_ - rest) - skin).norm(dim=1).median()) < 1.2 * MM
        chin = torch.from_numpy(subject.anatomy["chin"]).float()
        at_chin = (rest - chin).norm(dim=1) < 0.012
        if target == "beard":
            assert float((open_ - rest)[at_chin][:, 1].mean()) < -8 * MM
        else:
            assert float((open_ - rest).norm(dim=1).median()) < 4 * MM


@pytest.mark.parametrize("form", ["", "short", "curly", "straight"])
def test_hair_covers_the_scalp_and_not_the_face(subject: Any, form: str) -> None:
    points = subject.points("hair", form=form)
    a = subject.anatomy
    scalp = subject.region("scalp")
    upper = scalp[(scalp[:, 1] > a["l_ear_top"][1] + 10 * MM)]
    assert (cKDTree(points).query(upper)[0] < 9 * MM).mean() > 0.95
    before = (points[:, 2] > a["l_eye"][2] - 10 * MM) & (np.abs(points[:, 0] - a.middle) < 0.8 * a.unit)
    assert points[before][:, 1].min(initial=1.0) > a.brow_height
    heights = a.skin.nearest(points).heights
    assert (heights < -2 * MM).mean() < 0.02


def test_hair_lengths_and_volume(bust: Any) -> None:
    lows = [
        np.quantile(bust.points("hair", **k)[:, 1], 0.02)
        for k in ({"form": "short"}, {}, {"size": 2.0, "dimension": "length"})
    ]
    assert lows[0] > lows[1] + 10 * MM > lows[2] + 40 * MM
    heights = [bust.anatomy.skin.nearest(bust.points("hair", form=form)).heights for form in ("straight", "curly")]
    assert np.quantile(heights[1], 0.9) > 1.3 * np.quantile(heights[0], 0.9)


def test_few_gaussians(mean_subject: Any) -> None:
    for form in ("", "full", "short", "stubble", "goatee", "curly"):
        assert 1000 < len(mean_subject.made("beard", form=form)) <= 4000
    assert len(mean_subject.made("hair", form="curly")) <= 7500


@pytest.mark.parametrize("form", ["", "full"])
def test_a_moustache_goes_with_the_lip_that_a_smile_stretches(mean_subject: Any, form: str) -> None:
    """Hair that lies on the lip is moved by the skin below it, from root to tip, and not as a rod by its root."""
    subject = mean_subject
    made, faces = subject.made("moustache", form=form), subject.head.faces
    expr = torch.zeros(1, subject.head.num_expr)
    for side in ("Left", "Right"):
        for name in ("mouthSmile", "mouthStretch"):
            expr[0, subject.head.expr_names.index(name + side)] = 0.7
    rest, smiling = (subject.posed(made, p).means for p in (None, subject.moved(expr=expr)))
    before, after = (subject.head.pose(p).vertices[0] for p in (subject.moved(), subject.moved(expr=expr)))
    near = subject.anatomy.skin.nearest(rest.double().numpy())
    corners = faces[torch.from_numpy(near.triangles)]
    weights = torch.from_numpy(closest_barycentrics(near.points, before[corners].double().numpy()))[:, :, None]
    skin = (((after - before)[corners]) * weights).sum(1)
    slid = ((smiling - rest) - skin).norm(dim=1)[torch.from_numpy(near.heights < 4 * MM)]
    moved = float(skin.norm(dim=1).median())
    assert float(slid.mean()) < 0.1 * moved and float(slid.quantile(0.9)) < 0.25 * moved


def test_what_hangs_over_the_mouth_goes_with_the_lip_that_it_grows_on() -> None:
    """A lock's tip may lie nearer to the chin than to its root: the mouth opens between them, and hair does not go across."""
    above, below = (
        np.array([[0.01 * k, 0.012, 0.0] for k in range(3)]),
        np.array([[0.01 * k, 0.0, 0.0] for k in range(3)]),
    )
    points, none = np.concatenate([above, below]), np.zeros(6)
    places = _Places(points, points, np.arange(6) + 40, none, np.repeat([0.1, -0.1], 3), none, none, none)
    pieces = np.array([[0.0, 0.011, 0.002], [0.0, 0.005, 0.002], [0.011, 0.001, 0.002], [0.0, -0.02, 0.0]])
    from_above, from_below = (_beneath(pieces, np.full(4, root), np.arange(6), places) for root in (0, 3))
    assert from_above.tolist() == [0, 0, 0, 0]  # the third lies too far from any hair of its own side
    assert from_below.tolist() == [3, 3, 4, 3]
