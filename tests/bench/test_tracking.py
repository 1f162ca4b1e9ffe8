"""The score of tracked heads: nothing for the truth, what is known to be wrong for what is known to be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from avatarkit.bench.tracking import crops, run, score, turned
from avatarkit.capture.capture import Crop
from avatarkit.cli.main import app
from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.track.sequence import Sequence
from avatarkit.track.sequence_files import load_sequence, save_sequence


@pytest.fixture(scope="module")
def true(tiny_capture: Path) -> Sequence:
    return load_sequence(tiny_capture, load_head("bust"))


def both(head: HeadModel) -> tuple[HeadModel, HeadModel]:
    """Tracked with the head model of the truth."""
    return head, head


def test_the_truth_scores_nothing(true: Sequence) -> None:
    result = score(true, true, both(load_head("bust")), [None] * 3)
    assert all(result[name]["worst"] < 1e-3 for name in ("rotation_deg", "vertices_mm", "landmarks_px"))
    assert result["focal_ratio"] == 1.0


def test_a_constant_turn_counts_for_nothing_and_a_changing_one_in_full() -> None:
    rng = np.random.default_rng(0)
    truth = Rotation.random(40, random_state=1)
    constant = Rotation.from_rotvec([0.2, -0.1, 0.3])
    assert turned((truth * constant).as_matrix(), truth.as_matrix()).max() < 1e-5
    wobble = np.radians(2.0) * rng.choice([-1.0, 1.0], (40, 1)) * [[0.0, 1.0, 0.0]]
    wobble -= wobble.mean(0)
    off = turned((truth * Rotation.from_rotvec(wobble)).as_matrix(), truth.as_matrix())
    np.testing.assert_allclose(off.mean(), np.degrees(np.abs(wobble).sum(1).mean()), rtol=1e-2)


def test_size_and_place_count_for_nothing_and_depth_noise_in_millimetres(true: Sequence) -> None:
    head = both(load_head("bust"))
    shift = torch.zeros_like(true.params.translation)
    shift[::2, 2], shift[1::2, 2] = 0.004, -0.004
    moved = replace(true, params=replace(true.params, translation=true.params.translation + shift))
    still = replace(true, params=replace(true.params, translation=true.params.translation + 0.05))
    assert score(still, true, head, [None] * 3)["vertices_mm"]["mean"] < 0.01
    assert abs(score(moved, true, head, [None] * 3)["vertices_mm"]["mean"] - 4.0) < 0.4


def test_landmarks_are_compared_in_the_true_pictures(true: Sequence) -> None:
    """Tracked on a crop at half size: the same head, other pixels."""
    head = both(load_head("bust"))
    window = Crop(10.0, 6.0, 60, 60, 2.0, (80, 80))
    Ks = true.Ks.clone()
    Ks[:, :2] = Ks[:, :2] / 2.0
    Ks[:, 0, 2] -= 10.0 / 2.0
    Ks[:, 1, 2] -= 6.0 / 2.0
    result = score(replace(true, Ks=Ks), true, head, [window] * 3)
    assert result["landmarks_px"]["worst"] < 1e-3 and abs(result["focal_ratio"] - 1.0) < 1e-6
    Ks[:, 0, 2] += 1.5
    assert abs(score(replace(true, Ks=Ks), true, head, [window] * 3)["landmarks_px"]["mean"] - 3.0) < 1e-3


def test_the_command_prints_and_writes(true: Sequence, tiny_capture: Path, tmp_path: Path) -> None:
    cameras = tuple(replace(c, crop=Crop(0, 0, 80, 80, 1.0, (80, 80))) for c in true.capture.cameras)
    saved = save_sequence(replace(true, capture=replace(true.capture, cameras=cameras)), tmp_path / "tracked")
    assert crops(saved, 3)[1] == Crop(0, 0, 80, 80, 1.0, (80, 80)) and crops(saved, 2) == [None, None]
    done = CliRunner().invoke(app, ["bench", "track", str(saved), str(tiny_capture), "--json", "-"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert found["timesteps"] == 6 and found["cameras"] == 3 and found["rotation_deg"]["mean"] < 1e-3


def test_other_timesteps_are_refused(true: Sequence) -> None:
    frames = tuple(f for f in true.capture.frames if f.timestep < 4)
    capture = replace(true.capture, frames=frames, timestep_names=true.capture.timestep_names[:4])
    short = replace(true, capture=capture, params=true.params[:4])
    with pytest.raises(InputError, match="4 timesteps and 3 cameras were tracked"):
        score(short, true, both(load_head("bust")), [None] * 3)


def test_teeth_that_tracking_added_are_no_other_head(true: Sequence, test_data: Path, tmp_path: Path) -> None:
    """A tracked folder in FLAME topology has them where the jaw was pushed aside; the data set of the true parameters has none."""
    file = test_data / "flame2023_open" / "flame2023_open_arkit.npz"
    plain, toothed = load_head(file), load_head(file, teeth=True)
    steps = len(true.params)
    params = HeadParams(
        torch.zeros(plain.num_shape), torch.zeros(steps, plain.num_expr), true.params.rotation, true.params.translation,
        *(torch.zeros(steps, count) for count in (3, 3, 6)),
    )  # fmt: skip
    theirs = replace(true, params=params, head=plain.reference)
    pushed = torch.zeros(steps, len(toothed.template), 3)
    pushed[:, len(plain.template) :] = 0.01  # teeth alone, which are not scored
    ours = replace(true, params=replace(params, dynamic_offset=pushed), head=toothed.reference)
    folders = [save_sequence(sequence, tmp_path / name) for sequence, name in ((ours, "ours"), (theirs, "theirs"))]
    result = run(*folders, str(file))
    assert all(result[name]["worst"] < 1e-3 for name in ("rotation_deg", "vertices_mm", "landmarks_px"))
