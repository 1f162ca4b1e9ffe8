"""Sequences written and read again, and refused where they do not fit."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarkit.cameras import look_at
from avatarkit.contracts import HeadModel
from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.events import Notice, collect
from avatarkit.head.parameters import HeadParams
from avatarkit.track.sequence import Sequence
from avatarkit.track.sequence_files import load_sequence, save_sequence, tracked_head

from .conftest import make_capture


def make_sequence(head: HeadModel, *, masked: bool = True, cameras: int = 1, offset: bool = False) -> Sequence:
    capture = make_capture(cameras=cameras, masked=masked)
    generator = torch.Generator().manual_seed(3)
    zero = HeadParams.zeros(capture.num_timesteps, head.num_shape, head.num_expr)
    params = zero.map(lambda value: torch.randn(value.shape, generator=generator))
    if offset:
        params = replace(params, static_offset=torch.randn(head.template.shape, generator=generator) * 1e-3)
    views = np.stack([look_at(np.array([0.3 * c, 0.1, 1.0]), np.zeros(3)) for c in range(cameras)])
    Ks = torch.tensor([[[60.0, 0, 15.5], [0, 61.0, 16.25], [0, 0, 1]]]).repeat(cameras, 1, 1)
    return Sequence(capture, params, torch.tensor(views, dtype=torch.float32), Ks, head.reference)


@pytest.mark.parametrize(("masked", "cameras", "offset"), [(True, 2, True), (False, 1, False)])
def test_round_trip_is_exact(bust: HeadModel, tmp_path: Path, masked: bool, cameras: int, offset: bool) -> None:
    written = make_sequence(bust, masked=masked, cameras=cameras, offset=offset)
    folder = save_sequence(written, tmp_path / "tracked")
    read = load_sequence(folder, bust, cache_dir=tmp_path / "cache")
    for field in fields(HeadParams):
        ours, theirs = getattr(written.params, field.name), getattr(read.params, field.name)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs), field.name
    torch.testing.assert_close(read.viewmats, written.viewmats, atol=1e-6, rtol=0)
    assert torch.equal(read.Ks, written.Ks)
    assert read.capture.masked == masked and read.head == bust.reference
    key = {(f.timestep, f.camera): i for i, f in enumerate(read.capture.frames)}
    for index, frame in enumerate(written.capture.frames):
        twin = key[frame.timestep, frame.camera]
        assert read.capture.frames[twin].split == frame.split
        assert read.capture.frames[twin].time == pytest.approx(frame.time)
        np.testing.assert_array_equal(read.capture.image(twin), written.capture.image(index))
        if masked:
            np.testing.assert_array_equal(read.capture.mask(twin), written.capture.mask(index))


def test_layout_is_vhaps(bust: HeadModel, tmp_path: Path) -> None:
    folder = save_sequence(make_sequence(bust), tmp_path / "tracked")
    frame = json.loads((folder / "transforms_train.json").read_text())["frames"][0]
    wanted = {"timestep_index", "camera_index", "cx", "cy", "fl_x", "fl_y", "h", "w", "transform_matrix", "file_path"}
    assert wanted | {"fg_mask_path", "flame_param_path"} <= set(frame)
    with np.load(folder / frame["flame_param_path"], allow_pickle=False) as arrays:
        shapes = {key: arrays[key].shape for key in arrays.files}
    assert shapes["translation"] == shapes["rotation"] == shapes["neck_pose"] == shapes["jaw_pose"] == (1, 3)
    assert shapes["eyes_pose"] == (1, 6) and shapes["shape"] == (bust.num_shape,) and shapes["expr"] == (bust.num_expr,)
    assert (folder / "canonical_flame_param.npz").is_file()
    assert tracked_head(folder) == bust.reference


def test_images_of_a_data_set_are_linked(bust: HeadModel, tmp_path: Path) -> None:
    first = save_sequence(make_sequence(bust), tmp_path / "first")
    again = save_sequence(load_sequence(first, bust, cache_dir=tmp_path / "cache"), tmp_path / "second")
    ours, theirs = (sorted((folder / "images").iterdir()) for folder in (first, again))
    assert [a.stat().st_ino for a in ours] == [b.stat().st_ino for b in theirs]


def test_counts_of_another_head_are_named(bust: HeadModel, tmp_path: Path) -> None:
    folder = save_sequence(make_sequence(bust, offset=True), tmp_path / "tracked")

    class Other:
        name, num_shape, num_expr = "other", 300, 100
        template = torch.zeros(5023, 3)
        reference = {"sha256": ""}

    with pytest.raises(InputError, match="its parameters are of a head with") as caught:
        load_sequence(folder, Other(), cache_dir=tmp_path / "cache")  # type: ignore[arg-type]
    for number in (bust.num_expr, 100, 300, 5023, len(bust.template)):
        assert str(number) in str(caught.value)
    assert "\n" not in str(caught.value) and "--head" in str(caught.value)


def test_another_file_of_the_same_counts_is_mentioned(bust: HeadModel, tmp_path: Path) -> None:
    sequence = make_sequence(bust)
    folder = save_sequence(replace(sequence, head={**sequence.head, "sha256": "0" * 64}), tmp_path / "tracked")
    run, events = collect()
    load_sequence(folder, bust, run=run, cache_dir=tmp_path / "cache")
    assert any(isinstance(event, Notice) and event.level == "warning" for event in events)


def test_a_foreign_folder_is_left_alone(bust: HeadModel, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="choose another folder"):
        save_sequence(make_sequence(bust), tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_failed_write_keeps_the_earlier_result(
    bust: HeadModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_sequence(make_sequence(bust), tmp_path / "tracked")
    before = sorted(path.name for path in folder.rglob("*"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        save_sequence(make_sequence(bust), folder)
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["tracked"]
