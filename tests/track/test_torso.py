"""The turn of the torso against films whose truth is known: root and neck turn each their own way, and a face tracker gives all to the neck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatarkit.cameras import intrinsics, orbit
from avatarkit.capture.capture import Capture
from avatarkit.contracts import HeadModel
from avatarkit.events import Run
from avatarkit.head.parameters import HeadParams
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.track.sequence import Sequence
from avatarkit.track.torso import with_torso

from .conftest import make_capture

STEPS, SIDE, FOCAL = 16, 160, 330.0


def filmed(head: HeadModel, azimuths: tuple[float, ...] = (0.1,)) -> Sequence:
    """A head whose skin and shirt are mottled, drawn at twice the size by the mesh renderer and halved, with mattes."""
    rng = np.random.default_rng(2)
    rest = head.template.double().numpy()
    waves = rng.normal(size=(20, 3)) * rng.uniform(30, 200, (20, 1))
    colour = np.clip(0.5 + 0.08 * np.sin(rest @ waves.T + rng.uniform(0, 6, 20)).sum(1), 0.05, 0.95)
    t = np.arange(STEPS) / 8.0
    root = np.stack([0.05 * np.sin(1.1 * t), 0.14 * np.sin(1.7 * t + 1), 0.06 * np.sin(1.4 * t + 2)], 1)
    neck = np.stack([0.10 * np.sin(2 * t), 0.20 * np.sin(2.3 * t + 0.4), 0.06 * np.sin(2.9 * t)], 1)
    params = replace(
        HeadParams.zeros(STEPS, head.num_shape, head.num_expr), rotation=torch.tensor(root, dtype=torch.float32),
        neck_pose=torch.tensor(neck, dtype=torch.float32),
    )  # fmt: skip
    K = intrinsics(FOCAL, FOCAL, SIDE / 2, SIDE / 2 - 10)
    views = [orbit(azimuth, 0.0, 0.9, np.array([0.0, -0.03, 0.0])) for azimuth in azimuths]
    vertices, faces = head.pose(params).vertices.numpy(), head.faces.numpy()
    images, masks = [], []
    for step in range(STEPS):
        for view in views:
            seen = rasterize_mesh(vertices[step], faces, view, np.diag([2.0, 2.0, 1.0]) @ K, 2 * SIDE, 2 * SIDE)
            there = seen.triangle >= 0
            shown = np.where(there, (colour[faces[np.maximum(seen.triangle, 0)]] * seen.barycentrics).sum(2), 0.9)
            small = shown.reshape(SIDE, 2, SIDE, 2).mean((1, 3))
            images.append(np.repeat((255 * small + 0.5).astype(np.uint8)[..., None], 3, 2))
            masks.append((255 * there.reshape(SIDE, 2, SIDE, 2).mean((1, 3)) + 0.5).astype(np.uint8))
    capture = make_capture(STEPS, len(views), SIDE)
    cameras = tuple(replace(c, K=K, viewmat=v) for c, v in zip(capture.cameras, views, strict=True))
    frames = tuple(replace(frame, time=frame.timestep / 8.0) for frame in capture.frames)
    capture = replace(
        capture, cameras=cameras, frames=frames, image=lambda i: images[i], mask=lambda i: masks[i], masked=True
    )
    tensors = (torch.tensor(np.stack(each), dtype=torch.float32) for each in (views, [K] * len(views)))
    return Sequence(capture, params, *tensors, head.reference)


def all_by_the_neck(true: Sequence, head: HeadModel) -> Sequence:
    """What a tracker of faces finds: the root rests at its mean, the skull is where it is."""
    p = true.params
    root, neck = (Rotation.from_rotvec(v.double().numpy()) for v in (p.rotation, p.neck_pose))
    rest = root.mean()
    joints = head.pose(p).joints.double().numpy()
    at = joints[:, 0, :3, 3]
    arm = root.inv().apply(joints[:, 1, :3, 3] - at)
    shift = joints[:, 1, :3, 3] - rest.apply(arm) - at
    values = {
        "rotation": np.tile(rest.as_rotvec(), (len(p), 1)), "neck_pose": (rest.inv() * root * neck).as_rotvec(),
        "translation": p.translation.double().numpy() + shift,
    }  # fmt: skip
    return replace(true, params=replace(p, **{k: torch.from_numpy(v).float() for k, v in values.items()}))


def turned_wrong(found: Sequence, true: Sequence) -> float:
    """Degrees by which the root is off, after one constant rotation."""
    ours, theirs = (Rotation.from_rotvec(s.params.rotation.double().numpy()) for s in (found, true))
    off = theirs * ours.inv()
    return float(np.degrees((off.mean().inv() * off).magnitude()).mean())


@pytest.fixture(scope="module")
def film(bust: HeadModel) -> Sequence:
    return filmed(bust)


@pytest.mark.parametrize("azimuths", [(0.1,), (-0.4, 0.4)], ids=["one camera", "two cameras"])
def test_shoulders_tell_the_turn_of_the_root(bust: HeadModel, azimuths: tuple[float, ...]) -> None:
    true = filmed(bust, azimuths)
    given = all_by_the_neck(true, bust)
    found = with_torso(given, bust, Run())
    before, after = turned_wrong(given, true), turned_wrong(found, true)
    assert before > 4.0
    assert after < 0.25 * before, (before, after)


def test_the_skull_stays_where_it_is(film: Sequence, bust: HeadModel) -> None:
    given = all_by_the_neck(film, bust)
    found = with_torso(given, bust, Run())
    (before, after), same = (bust.pose(s.params).joints for s in (given, found)), found.params
    assert float((before[:, 0] - after[:, 0]).abs().max()) > 0.01  # the root moves,
    assert float((before[:, 1:] - after[:, 1:]).abs().max()) < 1e-5  # nothing above it does
    for name in ("expr", "jaw_pose", "eyes_pose"):
        assert torch.equal(getattr(same, name), getattr(given.params, name))


def test_a_torso_at_rest_stays_at_rest(film: Sequence, bust: HeadModel) -> None:
    """Where tracking is right already nothing is spoilt."""
    found = with_torso(film, bust, Run())
    assert turned_wrong(found, film) < 0.5


def test_many_cameras_cost_no_more_than_four(bust: HeadModel) -> None:
    true = filmed(bust, tuple(np.linspace(-0.5, 0.5, 6)))
    looked: set[int] = set()
    inner = true.capture

    def mask(index: int) -> np.ndarray | None:
        looked.add(inner.frames[index].camera)
        return inner.mask(index)

    given = all_by_the_neck(replace(true, capture=replace(inner, mask=mask)), bust)
    found = with_torso(given, bust, Run())
    assert len(looked) == 4 and found.capture is given.capture
    assert turned_wrong(found, true) < 0.25 * turned_wrong(given, true)


def test_a_head_without_a_rig_keeps_what_was_tracked(film: Sequence, bust: HeadModel) -> None:
    class Bare:
        joint_names, parents = bust.joint_names, bust.parents

    given = all_by_the_neck(film, bust)
    assert with_torso(given, Bare(), Run()) is given  # type: ignore[arg-type]


def test_without_mattes_or_shoulders_nothing_changes(film: Sequence, bust: HeadModel) -> None:
    given = all_by_the_neck(film, bust)
    bare: Capture = replace(film.capture, masked=False, mask=lambda i: None)
    without = replace(given, capture=bare)
    assert with_torso(without, bust, Run()) is without
    mask = film.capture.mask

    def cut(index: int) -> np.ndarray:
        kept = np.array(mask(index))
        kept[SIDE // 2 :] = 0
        return kept

    no_shoulders = replace(given, capture=replace(film.capture, mask=cut))
    assert with_torso(no_shoulders, bust, Run()) is no_shoulders


def test_a_picture_of_something_else_does_not_turn_the_torso(film: Sequence, bust: HeadModel) -> None:
    given = all_by_the_neck(film, bust)
    inner = film.capture
    grey, none = np.full((SIDE, SIDE, 3), 90, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    hidden = replace(
        inner, image=lambda i: grey if i == 7 else inner.image(i), mask=lambda i: none if i == 7 else inner.mask(i)
    )
    found = with_torso(replace(given, capture=hidden), bust, Run())
    assert turned_wrong(found, film) < 0.4 * turned_wrong(given, film)
