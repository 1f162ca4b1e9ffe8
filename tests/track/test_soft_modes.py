"""The jaw that is pushed to one side, and what bends the face: modes for tracking that end as offsets of vertices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarkit.contracts import HeadModel
from avatarkit.events import Notice, Run, collect
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.track.landmark_rig import POSE, landmark_rig
from avatarkit.track.motion import placed, resampled, transferred
from avatarkit.track.photometric_options import PhotometricConfig
from avatarkit.track.photometric_tracking import PhotometricTracker
from avatarkit.track.sequence_files import load_sequence, save_sequence
from avatarkit.track.soft_modes import BEND, UNIT, SoftHead, bends, jaw_shift, moved, soft_head, soft_modes, units_of

from .test_photometric import disturbed, drawn

FLAME = "flame2023_open/flame2023_open_arkit.npz"


@pytest.fixture(scope="module", params=["bust", "flame"])
def head(request: pytest.FixtureRequest, bust: HeadModel, test_data: Path) -> HeadModel:
    return bust if request.param == "bust" else load_head(str(test_data / FLAME), teeth=True)


def far_down(head: HeadModel, name: str, share: float) -> np.ndarray:
    """Vertices of the region that are below ``share`` of its height."""
    inside = np.flatnonzero(head.regions[name].numpy() > 0.5)
    height = head.template[inside, 1].numpy()
    return inside[height <= height.min() + share * np.ptp(height)]


def test_the_chin_goes_all_the_way_and_ears_eyes_and_crown_stay(head: HeadModel) -> None:
    mode = jaw_shift(head)
    assert mode is not None and mode.shape == tuple(head.template.shape)
    assert not mode[:, 1:].any() and mode[:, 0].min() >= 0.0 and mode[:, 0].max() <= UNIT + 1e-12
    share = mode[:, 0] / UNIT
    assert share[far_down(head, "jaw", 0.2)].mean() > 0.7
    face = np.flatnonzero(head.regions["face"].numpy() > 0.5)
    tip = face[head.template[face, 1].argmin()]
    assert share[tip] > 0.7
    for name in ("l_ear", "r_ear", "l_eye", "r_eye", "l_brow", "r_brow", "scalp", "boundary"):
        assert share[head.regions[name].numpy() > 0.5].mean() < 0.06, name
    teeth = head.regions["teeth"].numpy() > 0.5
    on_jaw = head.rig.weights[head.joint_names.index("jaw")].numpy()[teeth] > 0.5  # type: ignore[attr-defined]
    assert share[teeth][on_jaw].min() > 0.99 and share[teeth][~on_jaw].max() < 0.01 and 0 < on_jaw.sum() < len(on_jaw)


def test_neighbours_go_nearly_as_far(head: HeadModel) -> None:
    """No step in the skin: over a unit, four millimetres, no edge of the face is stretched by a quarter."""
    mode, faces = jaw_shift(head), head.faces.numpy()
    assert mode is not None
    never = np.zeros(len(mode), bool)
    for name in ("teeth", "mouth", "tongue"):
        if name in head.regions:
            never |= head.regions[name].numpy() > 0.5
    skin = faces[~never[faces].any(1)]
    rest = head.template.numpy()
    for a, b in ((0, 1), (1, 2), (2, 0)):
        apart = np.abs(mode[skin[:, a], 0] - mode[skin[:, b], 0])
        length = np.linalg.norm(rest[skin[:, a]] - rest[skin[:, b]], axis=1)
        assert (apart / np.maximum(length, 1e-3)).max() < 0.5 and np.percentile(apart / length, 99) < 0.25


def pushes(*units: float) -> torch.Tensor:
    """(T, 13): the jaw's shift alone."""
    return torch.cat([torch.tensor(units)[:, None], torch.zeros(len(units), 12)], 1)


def test_the_face_bends_and_ears_scalp_and_neck_stay(head: HeadModel) -> None:
    modes = bends(head)
    assert modes.shape == (12, *head.template.shape) and not modes[..., 2].any() and np.abs(modes).max() <= BEND + 1e-12
    assert not modes[0::2, :, 1].any() and not modes[1::2, :, 0].any(), "sideways, up, sideways, …"
    share = modes[0, :, 0] / BEND
    for name in ("nose", "u_lip", "l_lip", "l_brow", "r_brow"):
        assert share[head.regions[name].numpy() > 0.5].mean() > 0.75, name
    for name in ("l_ear", "r_ear", "scalp", "neck", "boundary"):
        assert share[head.regions[name].numpy() > 0.5].mean() < 0.12, name
    left, right = (head.regions[name].numpy() > 0.5 for name in ("l_brow", "r_brow"))
    assert modes[2, left, 0].mean() * modes[2, right, 0].mean() < 0, "linear across the face"
    assert np.linalg.matrix_rank(modes.reshape(12, -1)) == 12


def test_bends_stretch_no_edge_by_an_eighth(head: HeadModel) -> None:
    modes, rest = bends(head), head.template.numpy()
    face = head.regions["face"].numpy() > 0.5
    skin = head.faces.numpy()[face[head.faces.numpy()].all(1)]
    for a, b in ((0, 1), (1, 2), (2, 0)):
        apart = np.linalg.norm(modes[:, skin[:, a]] - modes[:, skin[:, b]], axis=-1)
        length = np.linalg.norm(rest[skin[:, a]] - rest[skin[:, b]], axis=1)
        assert np.percentile(apart / np.maximum(length, 1e-3), 99.5) < 0.125


def test_the_rig_and_the_pose_of_the_extended_head_are_one(head: HeadModel) -> None:
    soft, rng = soft_head(head), np.random.default_rng(0)
    assert soft.num_expr == head.num_expr + 13 and soft.expr_names == (*head.expr_names, *[""] * 13)
    frames = rng.normal(0, 0.2, (3, POSE + soft.num_expr))
    frames[0, -13:] = 0.0
    frames[1] = [*frames[1, :-13], 1.5, *[0.0] * 12]
    shape = rng.normal(size=head.num_shape)
    x = torch.tensor(frames, dtype=torch.float32)
    parts = (x[:, 18:], x[:, :3], x[:, 3:6], x[:, 6:9], x[:, 9:12], x[:, 12:18])
    params = HeadParams(torch.tensor(shape, dtype=torch.float32), *parts)
    assert head.landmarks is not None
    rig = landmark_rig(soft, head.landmarks)
    found, _ = rig.points(frames, shape, np.zeros((rig.num_landmarks, 3)), np.eye(3))
    expected = head.landmarks.points(soft.pose(params).vertices, head.faces).numpy()
    np.testing.assert_allclose(found, expected, atol=3e-6)
    plain = soft.ended(params)
    assert plain.expr.shape[1] == head.num_expr and plain.dynamic_offset is not None
    assert torch.equal(head.pose(plain).vertices, soft.pose(params).vertices)
    assert not plain.dynamic_offset[0].any() and float(plain.dynamic_offset[1].max()) == pytest.approx(1.5 * UNIT)
    again = soft.begun(plain)
    assert again.dynamic_offset is None
    torch.testing.assert_close(again.expr, params.expr, atol=1e-5, rtol=0)


def test_a_jaw_that_hardly_moves_leaves_no_offsets(bust: HeadModel) -> None:
    soft = soft_head(bust)
    params = HeadParams.zeros(2, bust.num_shape, soft.num_expr)
    params.expr[:, -13] = 0.1
    assert soft.ended(params).dynamic_offset is None
    params.expr[1, -13] = 0.2
    assert soft.ended(params).dynamic_offset is not None


def test_a_head_that_does_not_say_where_its_ears_are_has_no_such_mode(bust: HeadModel) -> None:
    import copy

    nameless = copy.copy(bust)
    nameless.regions = {name: mask for name, mask in bust.regions.items() if not name.endswith("_ear")}
    assert jaw_shift(nameless) is None and soft_modes(nameless) is None
    assert moved(HeadParams.zeros(2, bust.num_shape, bust.num_expr), nameless, pushes(1.0, 2.0)).dynamic_offset is None
    assert units_of(HeadParams.zeros(2, bust.num_shape, bust.num_expr), nameless).shape == (2, 0)  # type: ignore[union-attr]
    soft = soft_head(nameless)
    params = HeadParams.zeros(2, bust.num_shape, bust.num_expr)
    assert soft.num_expr == bust.num_expr
    assert torch.equal(soft.pose(params).vertices, bust.pose(params).vertices)
    assert soft.ended(soft.begun(params)).dynamic_offset is None


def pushed(head: HeadModel, steps: int) -> torch.Tensor:
    """(T, V, 3) what a jaw does that is pushed to and fro by 6 mm, written down without the mode: all that is below the ears and before
    the neck, more the lower it is."""
    rest = head.template.numpy()
    lobe = rest[head.regions["l_ear"].numpy() > 0.5, 1].min()
    low = np.clip((lobe + 0.01 - rest[:, 1]) / 0.03, 0, 1) * np.clip((rest[:, 2] + 0.06) / 0.05, 0, 1)
    low *= np.clip((rest[:, 1] + 0.13) / 0.04, 0, 1)
    ways = 0.006 * np.sin(1.9 * np.arange(steps))
    return torch.tensor(ways[:, None, None] * low[:, None] * [1.0, 0.0, 0.0], dtype=torch.float32)


def test_the_pictures_tell_how_far_the_jaw_is_pushed(bust: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    true = drawn(bust, 10, (0.1,), pushed(bust, 10))
    start = disturbed(replace(true, params=replace(true.params, dynamic_offset=None)))
    trackers = [PhotometricTracker(PhotometricConfig(points=points)) for points in (1200, 1500, 2000)]
    found = [tracker.track(true.capture, bust, Run(), start).params for tracker in trackers]
    monkeypatch.setattr("avatarkit.track.soft_modes.jaw_shift", lambda head: None)
    without = [tracker.track(true.capture, bust, Run(), start).params for tracker in trackers]
    assert without[0].dynamic_offset is None

    def sideways(params: HeadParams) -> np.ndarray:
        """(T,) metres: the jaw beside the middle of the eyes, along the line of the eyes, about its mean."""
        vertices = bust.pose(params).vertices
        left, right, jaw = (vertices[:, bust.regions[name] > 0.5].mean(1) for name in ("l_eye", "r_eye", "jaw"))
        across = (left - right) / (left - right).norm(dim=1, keepdim=True)
        way = ((jaw - 0.5 * (left + right)) * across).sum(1).numpy()
        return np.asarray(way - way.mean())

    truth = sideways(true.params)
    ours, theirs = (np.mean([np.abs(sideways(p) - truth).mean() for p in several]) for several in (found, without))
    assert ours < 0.6 * theirs, (ours, theirs)
    jaw = bust.regions["jaw"] > 0.5
    assert true.params.dynamic_offset is not None
    # which points there are decides some tenths of a millimetre, so it is the mean of the three that counts, as above
    chins = [p.dynamic_offset[:, jaw, 0].mean(1).numpy() for p in found if p.dynamic_offset is not None]
    assert len(chins) == 3
    assert np.corrcoef(np.mean(chins, 0), true.params.dynamic_offset[:, jaw, 0].mean(1).numpy())[0, 1] > 0.95


def test_it_is_kept_in_files_and_by_a_second_tracking(bust: HeadModel, tmp_path: Path) -> None:
    true, rng = drawn(bust, 4, (0.1,)), torch.Generator().manual_seed(0)
    units = torch.cat([torch.tensor([[0.0], [1.0], [0.5], [-1.0]]), 0.5 * torch.randn(4, 12, generator=rng)], 1)
    sequence = replace(true, params=moved(true.params, bust, units))
    read = load_sequence(save_sequence(sequence, tmp_path / "t"), bust)
    again = units_of(read.params, bust)
    assert again is not None
    torch.testing.assert_close(again, units, atol=1e-4, rtol=0)
    run, events = collect()
    PhotometricTracker(PhotometricConfig(points=200)).track(true.capture, bust, run, read)
    assert not [event for event in events if isinstance(event, Notice)], "nothing of it is left out"


def test_it_moves_other_heads_too(bust: HeadModel, test_data: Path) -> None:
    flame = load_head(str(test_data / FLAME), teeth=True)
    units = torch.cat([torch.tensor([[0.5], [-1.2]]), torch.linspace(-1, 1, 24).reshape(2, 12)], 1)
    driver = moved(HeadParams.zeros(2, bust.num_shape, bust.num_expr), bust, units)
    for target in (bust, flame):
        run, events = collect()
        carried = transferred(driver, bust, target, run)
        found = units_of(carried, target)
        assert found is not None and not [e for e in events if isinstance(e, Notice) and "offset" in e.text]
        torch.testing.assert_close(found, units, atol=1e-4, rtol=0)
        kept = placed(carried, target, None, None).dynamic_offset
        assert kept is not None and torch.equal(kept, carried.dynamic_offset)
    foreign = replace(driver, dynamic_offset=torch.full((2, len(bust.template), 3), 1e-3))
    run, events = collect()
    assert units_of(foreign, bust) is None and transferred(foreign, bust, flame, run).dynamic_offset is None
    assert any("not transferred" in event.text for event in events if isinstance(event, Notice))


def test_a_head_without_a_rig_can_be_driven(bust: HeadModel) -> None:
    """Tracking needs the rig; motion does not."""
    import copy

    bare = copy.copy(bust)
    bare.rig = None  # type: ignore[attr-defined]
    units = pushes(1.0)
    carried = transferred(moved(HeadParams.zeros(1, bust.num_shape, bust.num_expr), bust, units), bust, bare, Run())
    assert carried.dynamic_offset is not None
    teeth = bust.regions["teeth"] > 0.5
    assert not carried.dynamic_offset[:, teeth].any() and float(carried.dynamic_offset.max()) > 0.9 * UNIT


def test_it_is_interpolated_between_timesteps(bust: HeadModel) -> None:
    params = moved(HeadParams.zeros(3, bust.num_shape, bust.num_expr), bust, pushes(0.0, 1.0, -1.0))
    finer = resampled(params, np.array([0.0, 0.1, 0.2]), 20.0)
    units = units_of(finer, bust)
    assert units is not None and len(finer) == 5
    torch.testing.assert_close(units, pushes(0.0, 0.5, 1.0, 0.0, -1.0), atol=1e-4, rtol=0)


def test_the_extended_head_is_a_head(bust: HeadModel) -> None:
    soft: HeadModel = SoftHead(bust, torch.zeros(1, len(bust.template), 3))
    assert (soft.name, soft.reference, soft.joint_names, soft.parents) == (
        bust.name, bust.reference, bust.joint_names, bust.parents,
    )  # fmt: skip
    assert soft.landmarks is bust.landmarks and soft.regions is bust.regions and soft.num_shape == bust.num_shape
