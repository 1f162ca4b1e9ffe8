"""Glasses stand before the eyes, rest on the ears, keep out of the face and come in the forms and sizes that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from avatarkit.cameras import Cameras, intrinsics, orbit
from avatarkit.types import FloatArray

MM = 1e-3


def frame_and_lenses(subject: Any, target: str = "glasses", **attributes: Any) -> tuple[FloatArray, FloatArray]:
    """Points (N, 3) in the eyes' frame: of the opaque part, and of the panes of clear glasses."""
    posed = subject.posed(subject.made(target, **attributes))
    eyes = 0.5 * (subject.anatomy["l_eye"] + subject.anatomy["r_eye"])
    points = (posed.means.double().numpy() - eyes) @ subject.anatomy.axes
    opaque = posed.opacities.numpy() > 0.6
    return points[opaque], points[posed.opacities.numpy() < 0.05]


def front_width(frame: FloatArray) -> float:
    return float(np.ptp(frame[frame[:, 2] > 8 * MM][:, 0]))


def test_lenses_lie_before_the_eyes(subject: Any) -> None:
    eyes = 0.5 * (subject.anatomy["l_eye"] + subject.anatomy["r_eye"])
    _, panes = frame_and_lenses(subject, form="round")
    for side, sign in (("l", 1), ("r", -1)):
        lens = panes[sign * panes[:, 0] > 0].mean(0)
        pupil = (subject.anatomy[f"{side}_pupil"] - eyes) @ subject.anatomy.axes
        assert abs(lens[0] - pupil[0]) < 4 * MM
        assert abs(lens[1] - pupil[1]) < 5 * MM
        assert 8 * MM < lens[2] - pupil[2] < 30 * MM


@pytest.mark.parametrize("form", ["", "round", "cat_eye", "drop"])
def test_both_sides_are_alike(mean_subject: Any, form: str) -> None:
    frame, panes = frame_and_lenses(mean_subject, form=form, material="gold")
    for points in (frame, panes):
        gaps = cKDTree(points).query(points * np.array([-1.0, 1.0, 1.0]))[0]
        assert gaps.max() < 0.6 * MM


WORN = [
    ("glasses", {}),
    ("glasses", {"material": "steel", "form": "oval"}),
    ("sunglasses", {}),
    ("glasses", {"form": "round", "size": 1.35}),
]


@pytest.mark.parametrize(("target", "attributes"), WORN)
def test_nothing_goes_into_the_face(subject: Any, target: str, attributes: dict[str, Any]) -> None:
    near = subject.anatomy.skin.nearest(subject.points(target, **attributes))
    ears = sum(subject.head.regions[f"{side}_ear"].numpy() for side in ("l", "r")) > 0.5
    on_ear = ears[subject.anatomy.skin.faces[near.triangles]].any(1)
    assert near.heights[~on_ear].min() > -3 * MM
    assert near.heights.min() > -6 * MM  # an arm lies in the fold between ear and head
    assert (near.heights < -1.5 * MM).mean() < 0.03


def test_arms_rest_on_the_ears_and_the_bridge_on_the_nose(subject: Any) -> None:
    points = subject.points("glasses")
    for side in ("l", "r"):
        ear = subject.region(f"{side}_ear")
        assert cKDTree(points).query(ear)[0].min() < 5 * MM
        root = subject.anatomy[f"{side}_ear_root"]
        assert np.linalg.norm(points - root, axis=1).min() < 12 * MM
        own = points[np.sign(points[:, 0] - subject.anatomy.middle) == np.sign(root[0])]
        assert own[:, 2].min() < subject.anatomy[f"{side}_ear_top"][2]  # on beyond the ear's top
    bridge = points[np.abs(points[:, 0] - subject.anatomy.middle) < 5 * MM]
    above = bridge[:, 2] - subject.anatomy.front(bridge[:, 0], bridge[:, 1])
    assert len(bridge) and 0 < above.min() < 16 * MM


def outline(subject: Any, form: str, **attributes: Any) -> FloatArray:
    """The left rim seen from the front, around its lens' centre."""
    frame, panes = frame_and_lenses(subject, form=form, material="steel", **attributes)
    left = panes[panes[:, 0] > 0]
    rim = frame[(frame[:, 0] > left[:, 0].min() - 2 * MM) & (frame[:, 2] > frame[:, 2].max() - 11 * MM)]
    return rim[:, :2] - 0.5 * (left[:, :2].max(0) + left[:, :2].min(0))


def test_forms_have_their_outlines(bust: Any) -> None:
    rims = {form: outline(bust, form) for form in ("round", "oval", "square", "cat_eye", "heart", "line")}
    aspect = {form: np.ptp(rim[:, 0]) / np.ptp(rim[:, 1]) for form, rim in rims.items()}
    assert 0.9 < aspect["round"] < 1.35 and aspect["oval"] > 1.3 and aspect["line"] > 1.8
    distance = np.linalg.norm(rims["round"], axis=1)
    assert np.quantile(distance, 0.9) / np.quantile(distance, 0.1) < 1.25  # a circle
    corner = np.linalg.norm(rims["square"] / np.abs(rims["square"]).max(0), axis=1).max()
    assert corner > 1.18  # of a unit square 1.41, of a circle 1
    upper_outer = rims["cat_eye"][(rims["cat_eye"][:, 0] > 12 * MM)][:, 1].max()
    upper_inner = rims["cat_eye"][(rims["cat_eye"][:, 0] < -8 * MM)][:, 1].max()
    assert upper_outer > upper_inner + 2 * MM
    low = rims["heart"][rims["heart"][:, 1] < -14 * MM]
    assert len(low) and np.ptp(low[:, 0]) < 22 * MM  # comes to a point below


@pytest.mark.parametrize("target", ["glasses", "sunglasses"])
def test_sizes(bust: Any, target: str) -> None:
    plain = frame_and_lenses(bust, target, form="round")[0]
    for factor, dimension in ((1.35, ""), (1.6, "width")):
        frame = frame_and_lenses(bust, target, form="round", size=factor, dimension=dimension)[0]
        assert abs(front_width(frame) / front_width(plain) / factor - 1) < 0.1
    front = plain[plain[:, 2] > 0]
    tall = frame_and_lenses(bust, target, form="round", size=1.3, dimension="height")[0]
    assert abs(np.ptp(tall[tall[:, 2] > 0][:, 1]) / np.ptp(front[:, 1]) / 1.3 - 1) < 0.08
    assert abs(front_width(tall) / front_width(plain) - 1) < 0.04
    rims = [outline(bust, "round", size=factor) for factor in (1.0, 0.7)]
    assert abs(np.ptp(rims[1]) / np.ptp(rims[0]) / 0.7 - 1) < 0.1  # small lenses before the same eyes
    thick = bust.posed(bust.made(target, form="round", size=2.0, dimension="thickness")).scales[:, 1]
    thin = bust.posed(bust.made(target, form="round")).scales[:, 1]
    assert 1.5 < float(thick[:300].median() / thin[:300].median()) < 2.5


def test_eyes_show_through_clear_lenses_and_not_through_dark_ones(mean_subject: Any, rasterizer: Any) -> None:
    eye = mean_subject.anatomy["l_pupil"]
    focal = 128 / np.tan(np.radians(4.0))
    camera = Cameras(
        torch.from_numpy(orbit(0.0, 0.0, 1.0, eye)).float()[None],
        torch.from_numpy(intrinsics(focal, focal, 128, 128)).float()[None], 256, 256,
    )  # fmt: skip
    middle = {}
    for target in ("glasses", "sunglasses"):
        posed = mean_subject.posed(mean_subject.made(target))
        drawn = rasterizer.render(posed.means, posed.quats, posed.scales, posed.opacities, posed.colours, camera)
        middle[target] = drawn.alpha[0, 0, 118:138, 118:138].mean()
    assert 0.01 < float(middle["glasses"]) < 0.35
    assert float(middle["sunglasses"]) > 0.85


def test_few_gaussians(mean_subject: Any) -> None:
    for target in ("glasses", "sunglasses"):
        for material in ("", "gold"):
            assert 500 < len(mean_subject.made(target, material=material)) <= 1500
