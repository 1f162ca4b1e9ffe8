"""Motion from tracks, sequences and files that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarkit.contracts import HeadModel
from avatarkit.errors import FileFormatError, InputError
from avatarkit.events import Notice, collect
from avatarkit.head.parameters import HeadParams
from avatarkit.head.skinning import rotation_matrices
from avatarkit.track.motion import (
    NECK_LIMIT,
    clock,
    load_motion,
    mean_rotation,
    placed,
    read_expression_track,
    resampled,
    shared_turn,
    transferred,
)  # fmt: skip
from avatarkit.track.sequence_files import save_sequence

from .conftest import degrees_between
from .test_sequence_files import make_sequence

NAMES = ("jawOpen", "eyeBlinkLeft", "eyeLookUpRight")


def write_track(path: Path, **changes: object) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, object] = {
        "weights": rng.uniform(0, 1, (20, 3)).astype(np.float32), "names": np.array(NAMES),
        "head_rotvec": rng.normal(0, 0.1, (20, 3)).astype(np.float32), "time": np.arange(20) / 30.0,
    }  # fmt: skip
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})  # type: ignore[arg-type]
    return path


def test_named_weights_reach_the_modes_of_that_name(bust: HeadModel, tmp_path: Path) -> None:
    file = write_track(tmp_path / "speech.npz")
    track = read_expression_track(file)
    params = load_motion(file, bust, shape=torch.ones(bust.num_shape))
    for k, name in enumerate(NAMES):
        np.testing.assert_allclose(params.expr[:, bust.expr_names.index(name)].numpy(), track.weights[:, k], atol=1e-6)
    assert torch.equal(params.shape, torch.ones(bust.num_shape))
    untouched = [i for i, name in enumerate(bust.expr_names) if name not in NAMES]
    assert not params.expr[:, untouched].any()


def test_a_recorded_speech_drives_the_jaw(bust: HeadModel, test_data: Path) -> None:
    """A track from elsewhere, with all of ARKit's names: the mouth opens as far and as often as it says."""
    file = test_data / "motion" / "arkit_speech.npz"
    with np.load(file, allow_pickle=False) as arrays:
        names, weights = [str(name) for name in arrays["names"]], arrays["weights"]
    params = load_motion(file, bust)
    opened = weights[:, names.index("jawOpen")]
    np.testing.assert_allclose(params.expr[:, bust.expr_names.index("jawOpen")].numpy(), opened, atol=1e-6)
    assert opened.max() > 0.2 and np.isfinite(params.expr.numpy()).all()
    vertices = bust.pose(params).vertices.numpy()
    eyes, jaw = (vertices[:, bust.regions[name].numpy() > 0.5].mean(1) for name in ("l_eye", "jaw"))
    apart = np.linalg.norm(eyes - jaw, axis=1)  # however the head turns
    assert np.corrcoef(apart, opened)[0, 1] > 0.9


def test_weights_that_a_head_cannot_show_are_named(bust: HeadModel, tmp_path: Path) -> None:
    file = write_track(tmp_path / "t.npz", names=np.array(["jawOpen", "earWiggle", "eyeBlinkLeft"]))
    run, events = collect()
    load_motion(file, bust, run)
    said = [event.text for event in events if isinstance(event, Notice)]
    assert len(said) == 1 and "earWiggle" in said[0] and "jawOpen" not in said[0]


def test_the_head_turns_by_the_neck_within_its_limit() -> None:
    turn = torch.tensor([[0.0, 0.05, 0.0], [0.0, 1.2, 0.0], [0.4, -0.5, 0.2]])
    neck, root = shared_turn(turn)
    assert (neck.norm(dim=1) <= NECK_LIMIT).all()
    assert float(neck[0].norm()) == pytest.approx(0.05, rel=0.01)
    together = rotation_matrices(root) @ rotation_matrices(neck)
    assert degrees_between(together, rotation_matrices(turn)).max() < 0.05


@pytest.mark.parametrize(("change", "said"), [
    ({"weights": None}, "'weights' is missing"),
    ({"names": np.array(["a", "b"])}, "'names' has shape"),
    ({"time": np.zeros(20)}, "'time' does not rise"),
    ({"time": np.arange(5)}, "'time' has shape"),
    ({"weights": np.full((20, 3), np.nan)}, "not finite"),
    ({"weights": np.array([["x"] * 3] * 20)}, "'weights' has shape"),
])  # fmt: skip
def test_a_bad_track_names_file_and_key(bust: HeadModel, tmp_path: Path, change: dict, said: str) -> None:
    file = write_track(tmp_path / "bad.npz", **change)
    with pytest.raises(FileFormatError, match=said) as caught:
        load_motion(file, bust)
    assert "bad.npz" in str(caught.value)


def test_other_files_are_refused_in_words(bust: HeadModel, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="unknown kind of motion"):
        load_motion(tmp_path / "notes.txt", bust)
    with pytest.raises(FileFormatError, match="damaged"):
        load_motion(tmp_path / "cut.npz", bust)
    with pytest.raises(InputError, match="not a data set"):
        load_motion(tmp_path / "empty", bust)
    with pytest.raises(InputError, match="no such file"):
        load_motion(tmp_path / "gone.avatar", bust)


def test_resampling_is_linear_and_keeps_ends() -> None:
    params = replace(HeadParams.zeros(4, 2, 1), expr=torch.tensor([[0.0], [1.0], [2.0], [4.0]]))
    time = np.array([0.0, 0.1, 0.2, 0.4])
    found = resampled(params, time, 20.0)
    np.testing.assert_allclose(found.expr[:, 0].numpy(), np.interp(np.arange(9) / 20, time, [0, 1, 2, 4]), atol=1e-5)


def test_clips_follow_each_other_in_time() -> None:
    """Two clips of 25 frames a second, whose times begin at 0; a data set without times; times as they are."""
    two = clock(np.array([0.0, 0.04, 0.08, 0.0, 0.04]))
    assert two is not None
    np.testing.assert_allclose(two, [0.0, 0.04, 0.08, 0.12, 0.16])
    assert clock(np.zeros(5)) is None and clock(np.zeros(1)) is None
    given = np.array([0.5, 0.52, 0.7])
    np.testing.assert_allclose(np.asarray(clock(given)), given, atol=1e-12)


def test_a_sequence_drives_from_where_the_avatar_is(bust: HeadModel, tmp_path: Path) -> None:
    sequence = make_sequence(bust, masked=False)
    calm = replace(
        sequence,
        params=replace(
            sequence.params, **{n: 0.1 * getattr(sequence.params, n) for n in ("rotation", "neck_pose", "translation")}
        ),
    )
    folder = save_sequence(calm, tmp_path / "tracked")
    like = HeadParams.zeros(3, bust.num_shape, bust.num_expr)
    like = replace(like, translation=torch.tensor([[0.0, 0.1, -1.0]] * 3), rotation=torch.tensor([[0.0, 0.5, 0.0]] * 3))
    found = load_motion(folder, bust, shape=torch.full((bust.num_shape,), 2.0), like=like)
    assert torch.equal(found.expr, calm.params.expr) and float(found.shape[0]) == 2.0
    torch.testing.assert_close(found.translation.median(0).values, torch.tensor([0.0, 0.1, -1.0]), atol=0.05, rtol=0)
    middle = mean_rotation(found.rotation)
    assert degrees_between(middle, rotation_matrices(like.rotation[0])).max() < 0.5


def test_own_motion_placed_like_itself_is_itself(bust: HeadModel) -> None:
    params = make_sequence(bust).params
    small = replace(params, rotation=0.2 * params.rotation, neck_pose=0.2 * params.neck_pose)
    found = placed(small, bust, None, small)
    torch.testing.assert_close(found.rotation, small.rotation, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.neck_pose, small.neck_pose, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.translation, small.translation, atol=1e-5, rtol=0)


def test_between_heads_expressions_go_by_name(bust: HeadModel, test_data: Path) -> None:
    from avatarkit.head.loading import load_head

    flame = load_head(test_data / "flame2023_open" / "flame2023_open_arkit.npz")
    source = HeadParams.zeros(2, flame.num_shape, flame.num_expr)
    source.expr[1, flame.expr_names.index("jawOpen")] = 0.7
    found = transferred(source, flame, bust, collect()[0])
    assert float(found.expr[1, bust.expr_names.index("jawOpen")]) == pytest.approx(0.7)
    assert not found.expr[0].any()
