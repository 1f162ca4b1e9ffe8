"""Headwear encloses the skull and its hair, sits above the brows, and grows as it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from avatarkit.edit.accessories.anatomy import measure
from avatarkit.edit.accessories.poking import poking_through
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX
from avatarkit.types import FloatArray

MM = 1e-3
CROWNED = ["hat", "cap", "beanie"]


def upwards(count: int, within: float) -> FloatArray:
    """Unit directions within ``within`` degrees of straight up."""
    index = np.arange(count) + 0.5
    height = 1 - index / count * (1 - np.cos(np.radians(within)))
    turn = np.pi * (1 + 5**0.5) * index
    out = np.sqrt(1 - height**2)
    return np.stack([out * np.sin(turn), height, out * np.cos(turn)], 1)


def beyond(points: FloatArray, centre: FloatArray, ways: FloatArray) -> FloatArray:
    """How far away the thing made of ``points`` is along each of ``ways``; NaN where it is not."""
    offset = points - centre
    distance = np.linalg.norm(offset, axis=1)
    gaps, near = cKDTree(offset / distance[:, None]).query(ways, k=3)
    found = np.where(gaps < np.radians(5.0), distance[near], np.inf).min(1)
    return np.where(np.isinf(found), np.nan, found)


def haired(subject: Any, thick: float) -> Gaussians:
    """A cap of hair: Gaussians riding on the skull, ``thick`` metres off it, over the ears' height."""
    spread = subject.anatomy.skin.spread(0.004)
    kept = (spread.points[:, 1] > subject.anatomy["l_ear_top"][1] + 0.005) & (spread.points[:, 2] < 0.04)
    points = torch.from_numpy((spread.points + thick * spread.normals)[kept]).float()
    joint = subject.anatomy.skull_joint
    local = points - subject.anatomy.pose.joints[0, joint, :3, 3]
    size = torch.full((len(points), 3), float(np.log(0.002)))
    made = Gaussians.fresh(local, size, 0.9, torch.full((len(points), 3), 0.2), torch.full((len(points),), -1 - joint))
    made.label_logits[:, LABEL_INDEX["hair"]] = 5.0
    return made


@pytest.mark.parametrize("target", CROWNED)
def test_covers_the_crown_and_stands_off_the_skull(subject: Any, target: str) -> None:
    points = subject.points(target)
    ways = upwards(300, 45.0)
    reach = beyond(points, subject.anatomy.envelope.centre, ways)
    assert not np.isnan(reach).any()
    assert (reach - subject.anatomy.envelope.reach(ways)).min() > 0.5 * MM
    assert subject.anatomy.skin.nearest(points).heights.min() > -3 * MM
    assert points[:, 1].max() > subject.anatomy["crown"][1]


@pytest.mark.parametrize("target", [*CROWNED, "headband"])
def test_above_the_brows_and_the_ears(subject: Any, target: str) -> None:
    points = subject.points(target)
    before = points[(points[:, 2] > subject.anatomy["l_eye"][2] - 10 * MM) & (np.abs(points[:, 0]) < 45 * MM)]
    assert len(before) and before[:, 1].min() > subject.anatomy.brow_height
    assert before[:, 1].min() < subject.anatomy.brow_height + 60 * MM  # but on the forehead
    for side in ("l", "r"):
        top = subject.anatomy[f"{side}_ear_top"]
        assert points[np.linalg.norm((points - top)[:, [0, 2]], axis=1) < 10 * MM][:, 1].min() > top[1] - 9 * MM


@pytest.mark.parametrize("target", CROWNED)
def test_encloses_hair(bust: Any, target: str) -> None:
    hair = haired(bust, 0.02)
    measured = measure(bust.head, bust.motion, hair)
    worn = type(bust)(bust.head, bust.motion, measured).points(target)
    hair_points = bust.posed(hair).means.double().numpy()
    offset = hair_points - measured.envelope.centre
    distance = np.linalg.norm(offset, axis=1)
    reach = beyond(worn, measured.envelope.centre, offset / distance[:, None])
    covered = ~np.isnan(reach)
    assert covered.mean() > 0.6
    assert (distance > reach)[covered].mean() < 0.01


def test_what_pokes_through_is_found_and_the_rest_is_not(bust: Any) -> None:
    hair, spikes = haired(bust, 0.006), haired(bust, 0.05)
    spikes = spikes.select(torch.arange(0, len(spikes), 40))
    measured = measure(bust.head, bust.motion, hair)
    subject = type(bust)(bust.head, bust.motion, measured)
    beanie = subject.made("beanie")
    both = Gaussians.cat([hair, spikes])
    found = poking_through(beanie, both, measured, bust.head)
    offset = subject.posed(spikes).means.double().numpy() - measured.envelope.centre
    ways = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    covered = ~np.isnan(beyond(subject.points("beanie"), measured.envelope.centre, ways))
    assert covered.sum() > 20 and found[len(hair) :][torch.from_numpy(covered)].float().mean() > 0.85
    assert found[: len(hair)].float().mean() < 0.01
    assert not poking_through(subject.made("glasses"), both, measured, bust.head).any()  # their arms go under the hair
    skin = haired(bust, 0.0)
    skin.label_logits[:] = 0.0
    skin.label_logits[:, LABEL_INDEX["skin"]] = 5.0
    assert not poking_through(beanie, skin, measured, bust.head).any()


def extents(points: FloatArray) -> FloatArray:
    return np.ptp(points, axis=0)


@pytest.mark.parametrize("form", ["", "wide_brim"])
def test_a_hat_grows_by_its_factor(bust: Any, form: str) -> None:
    plain = extents(bust.points("hat", form=form))
    for factor in (1.35, 1.8, 0.85):
        assert abs(extents(bust.points("hat", form=form, size=factor))[0] / plain[0] / factor - 1) < 0.06
    tall = extents(bust.points("hat", form=form, size=1.3, dimension="height"))
    assert tall[1] > 1.12 * plain[1] and abs(tall[0] / plain[0] - 1) < 0.02
    assert extents(bust.points("hat", form="wide_brim"))[0] > 1.25 * extents(bust.points("hat"))[0]


def test_a_tiny_hat_is_a_whole_hat_on_top_of_the_head(bust: Any) -> None:
    plain, tiny = bust.points("hat"), bust.points("hat", size=0.5)
    assert np.abs(extents(tiny) / extents(plain) - 0.5).max() < 0.03
    assert tiny[:, 1].min() > bust.anatomy.brow_height + 40 * MM
    assert abs(np.median(tiny[:, 0])) < 2 * MM
    heights = bust.anatomy.skin.nearest(tiny).heights
    assert heights.min() < 8 * MM  # it sits, it does not float


def test_caps_beanies_and_headbands_grow_by_their_factors(bust: Any) -> None:
    def forward(points: FloatArray) -> float:
        return float(points[:, 2].max() - bust.anatomy.front(np.array(0.0), np.array(bust.anatomy.brow_height + 0.025)))

    cap, long = bust.points("cap"), bust.points("cap", size=1.5, dimension="length")
    assert 45 * MM < forward(cap) < 90 * MM
    assert 1.3 < forward(long) / forward(cap) < 1.5
    beanie = bust.points("beanie")
    for dimension in ("", "height", "length"):
        taller = bust.points("beanie", size=1.4, dimension=dimension)
        assert 1.25 < (np.ptp(taller[:, 1]) / np.ptp(beanie[:, 1])) < 1.5
    small = bust.points("beanie", size=0.7)
    assert small[:, 1].min() > beanie[:, 1].min() + 15 * MM and abs(small[:, 1].max() - beanie[:, 1].max()) < 6 * MM
    band = bust.points("headband")
    front = [points[points[:, 2] > 0.04] for points in (band, bust.points("headband", size=1.5, dimension="width"))]
    tall = [np.ptp(points[np.abs(points[:, 0]) < 10 * MM][:, 1]) for points in front]
    assert abs(tall[1] / tall[0] / 1.5 - 1) < 0.1


def test_a_headband_goes_all_around(subject: Any) -> None:
    points = subject.points("headband")
    offset = points - subject.anatomy.envelope.centre
    turn = np.sort(np.degrees(np.arctan2(offset[:, 0], offset[:, 2])))
    assert np.diff(turn).max() < 6 and turn[0] < -175 and turn[-1] > 175
    heights = subject.anatomy.skin.nearest(points).heights
    assert heights.min() > -3 * MM and np.median(heights) < 9 * MM


@pytest.mark.parametrize("target", [*CROWNED, "headband"])
@pytest.mark.parametrize("material", ["", "straw", "wool", "leather"])
def test_few_gaussians(bust: Any, target: str, material: str) -> None:
    assert 500 < len(bust.made(target, material=material)) <= 5000
