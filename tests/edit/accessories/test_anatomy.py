"""What is measured of a head: against the bust's own curves, closed forms, and the other way of finding the same points."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from avatarkit.contracts import HeadModel
from avatarkit.edit.accessories.anatomy import measure
from avatarkit.edit.accessories.envelope import Column, Envelope, Splats
from avatarkit.edit.accessories.hair import hair
from avatarkit.edit.accessories.relief import Relief
from avatarkit.edit.accessories.wishes import wish
from avatarkit.edit.plan import Operation
from avatarkit.errors import InputError
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.bust.assembly import build_rest
from avatarkit.head.bust.curves import make_curves
from avatarkit.labels import LABEL_INDEX
from avatarkit.types import FloatArray

MM = 1e-3


def on_sphere(count: int, radius: float) -> FloatArray:
    index = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    return radius * np.stack([np.sin(polar) * np.cos(turn), np.cos(polar), np.sin(polar) * np.sin(turn)], 1)


def flat_splats(points: FloatArray, size: float, opacity: float = 0.95) -> Splats:
    count = len(points)
    return Splats(points, np.full((count, 3), size), np.tile(np.eye(3), (count, 1, 1)), np.full(count, opacity))


def test_places_are_in_the_order_of_a_face(subject: Any) -> None:
    a = subject.anatomy
    heights = [
        a[name][1] for name in ("crown", "l_brow", "bridge", "nose_tip", "septum", "lip_top", "lip_bottom", "chin")
    ]
    assert all(above > below for above, below in itertools.pairwise(heights))
    for name in ("eye", "pupil", "ala", "mouth", "brow", "lobe", "ear_top", "ear_root", "temple"):
        left, right = a[f"l_{name}"], a[f"r_{name}"]
        assert left[0] > a.middle > right[0]
        assert np.abs((left - right)[1:]).max() < 8 * MM  # one side is the other's mirror, to within a real face's
    assert a["nose_tip"][2] > a["septum"][2] > a["l_ala"][2] > a["l_lobe"][2]
    assert a["l_ear_top"][1] > a["l_ear_root"][1] > a["l_lobe"][1]
    assert 0.13 < a.width < 0.19 and 0.055 < a.unit < 0.07
    assert np.allclose(a.axes.T @ a.axes, np.eye(3)) and np.abs(a.axes - np.eye(3)).max() < 0.06


def test_against_the_curves_of_the_bust(bust: Any) -> None:
    curves, vertices = make_curves(build_rest()), bust.anatomy.pose.vertices[0].double().numpy()
    assert np.linalg.norm(bust.anatomy["l_lobe"] - vertices[curves.ear_lobe]) < 9 * MM
    rim = vertices[curves.ear_rim]
    assert abs(bust.anatomy["l_ear_top"][1] - rim[:, 1].max()) < 3 * MM
    ring = vertices[curves.neck_ring]
    turn = np.arctan2(*(ring - bust.anatomy.column.axis(ring[:, 1]))[:, [0, 2]].T)
    own = np.linalg.norm((ring - bust.anatomy.column.axis(ring[:, 1]))[:, [0, 2]], axis=1)
    assert np.abs(bust.anatomy.column.reach(turn, ring[:, 1]) - own).max() < 4 * MM


def test_without_landmarks_the_same_places_are_found(subject_of: Callable[..., Any], mean_subject: Any) -> None:
    class Bare:
        def __init__(self, head: Any) -> None:
            self._head = head

        def __getattr__(self, name: str) -> Any:
            return None if name == "landmarks" else getattr(self._head, name)

    found = measure(cast(HeadModel, Bare(mean_subject.head)), mean_subject.motion)
    near = {name: float(np.linalg.norm(found[name] - mean_subject.anatomy[name])) for name in found.points}
    assert max(near.values()) < 13 * MM, near
    for name in ("nose_tip", "septum", "lip_top", "lip_bottom", "l_mouth", "chin"):
        assert near[name] < 7.5 * MM, name


def test_shape_and_static_offset_are_the_avatars_own(bust: Any) -> None:
    tall = bust.head.template * torch.tensor([0.0, 0.1, 0.0])
    stretched = measure(bust.head, replace(bust.motion, static_offset=tall))
    for name in ("crown", "chin", "l_lobe"):
        assert np.isclose(stretched[name][1], 1.1 * bust.anatomy[name][1], atol=1.5 * MM)
    moved = bust.moved(expr=torch.rand(1, bust.head.num_expr), neck_pose=torch.full((1, 3), 0.3))
    assert np.allclose(measure(bust.head, moved)["chin"], bust.anatomy["chin"])  # expression and pose are not


def test_a_head_without_regions_is_refused(bust: Any) -> None:
    head = copy.copy(bust.head)
    head.regions = {name: mask for name, mask in bust.head.regions.items() if name != "l_ear"}
    with pytest.raises(InputError, match="accessories need its regions l_ear to find their places"):
        measure(head, bust.motion)
    bare = replace(bust.anatomy, regions={name: mask for name, mask in bust.anatomy.regions.items() if name != "scalp"})
    with pytest.raises(InputError, match="hair: this head model has no region 'scalp'"):
        hair(wish(Operation("add", "hair"), "hair", "#6b4226"), bare, 0)
    head.joint_names = ("root", "throat", *bust.head.joint_names[2:])
    with pytest.raises(InputError, match="accessories need a joint 'neck'"):
        measure(head, bust.motion)


def test_bald_envelope_is_the_skull(subject: Any) -> None:
    envelope = subject.anatomy.envelope
    scalp = subject.region("scalp")
    scalp = scalp[scalp[:, 1] > subject.anatomy.brow_height]
    offset = scalp - envelope.centre
    distance = np.linalg.norm(offset, axis=1)
    assert np.abs(envelope.reach(offset / distance[:, None]) - distance).max() < 5 * MM
    turn, height = np.linspace(0, 2 * np.pi, 40), np.full(40, 0.02)
    out = envelope.around(turn, height)
    at = np.stack([out * np.sin(turn), height, out * np.cos(turn)], 1)
    assert np.abs(subject.anatomy.skin.nearest(envelope.centre + at).heights).max() < 5 * MM


def test_envelope_of_hair_on_a_ball() -> None:
    skin, hair = on_sphere(20000, 0.1), on_sphere(6000, 0.125)
    hair = hair[hair[:, 1] > 0.03]
    random = np.random.default_rng(0)
    floaters = on_sphere(400, 0.19)[random.choice(400, 25, replace=False)]
    envelope = Envelope(np.zeros(3), skin, flat_splats(np.concatenate([hair, floaters]), 0.003))
    up, down = on_sphere(300, 1.0), on_sphere(300, 1.0)
    up, down = up[up[:, 1] > 0.5], down[down[:, 1] < -0.3]
    assert np.abs(envelope.reach(up) - 0.128).max() < 4 * MM  # the far end of each, one deviation out
    assert np.abs(envelope.reach(down) - 0.1).max() < 2 * MM
    assert np.abs(envelope.reach(up, hair=False) - 0.1).max() < 1 * MM


def test_thin_strands_do_not_widen_a_column_and_cloth_does() -> None:
    turn, height = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 2 * np.pi, 200), np.linspace(-0.2, 0.0, 100)))
    lean = 0.1 * height  # the axis leans
    neck = np.stack([0.05 * np.sin(turn), height, lean + 0.05 * np.cos(turn)], 1)
    axis = np.array([[0.0, 0.0, 0.0], [0.0, -0.2, -0.02]])
    low = neck[:, 1] < -0.1
    away = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], 1)
    cloth = flat_splats((neck + 0.012 * away)[low], 0.002)
    column = Column(axis, 0.0, neck, cloth)
    angles = np.linspace(0, 2 * np.pi, 30)
    assert np.abs(column.reach(angles, np.full(30, -0.05)) - 0.05).max() < 1 * MM
    assert np.abs(column.reach(angles, np.full(30, -0.15)) - 0.064).max() < 2 * MM
    few = flat_splats((neck + 0.012 * away)[low][::400], 0.0002)
    assert np.abs(Column(axis, 0.0, neck, few).reach(angles, np.full(30, -0.15)) - 0.05).max() < 1 * MM


def test_relief_of_a_ball() -> None:
    ball = on_sphere(40000, 0.1)
    front, left = Relief(ball, 2), Relief(ball, 0, -1.0)
    x, y = np.array([0.0, 0.03, -0.05]), np.array([0.0, 0.04, -0.02])
    assert np.abs(front(x, y) - np.sqrt(0.01 - x**2 - y**2)).max() < 2 * MM
    assert np.abs(left(x, y) + np.sqrt(0.01 - x**2 - y**2)).max() < 2 * MM


def test_hair_colour_is_that_of_the_hair_in_front(bust: Any) -> None:
    spread = bust.anatomy.skin.spread(0.004)
    up = spread.points[:, 1] > bust.anatomy.brow_height + 0.02
    points = torch.from_numpy((spread.points + 0.01 * spread.normals)[up]).float()
    joint = bust.anatomy.skull_joint
    local = points - bust.anatomy.pose.joints[0, joint, :3, 3]
    random = torch.Generator().manual_seed(0)
    colours = torch.tensor([0.4, 0.2, 0.1]) + 0.1 * torch.randn(len(points), 3, generator=random)
    binding = torch.full((len(points),), -1 - joint)
    hair = Gaussians.fresh(local, torch.full((len(points), 3), -5.5), 0.9, colours, binding)
    assert measure(bust.head, bust.motion, hair).hair_colour is None  # nothing says that it is hair
    hair.label_logits[:, LABEL_INDEX["hair"]] = 5.0
    measured = measure(bust.head, bust.motion, hair)
    assert measured.hair_colour is not None
    assert np.abs(measured.hair_colour - [0.4, 0.2, 0.1]).max() < 0.03
    top = np.array([[0.0, 1.0, 0.0]])
    grown = measured.envelope.reach(top) - bust.anatomy.envelope.reach(top)
    assert 0.008 < float(grown[0]) < 0.018
