"""``avatarkit render A.avatar --motion VIDEO``: what a tracker finds in the video moves the avatar, at the film's own pace."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
from avatarkit.head.parameters import HeadParams
from avatarkit.types import ByteArray, FloatArray

Command = Callable[..., Any]
MOMENTS, RATE = 24, 10.0
TIME = np.arange(MOMENTS) / RATE
JAW = 0.5 - 0.5 * np.cos(2 * np.pi * TIME / TIME[-1])  # opens once
YAW = 0.3 * np.sin(2 * np.pi * TIME / TIME[-1])  # radians, to either side
FEW = 14  # of a real film

TRACKER = '''
"""Reads the head off the picture: how wide the mouth is open from its red, how far the head is turned from its blue."""
import os
from pathlib import Path

import numpy as np
import torch

from avatarkit.cameras import intrinsics
from avatarkit.head.parameters import HeadParams
from avatarkit.track.sequence import Sequence


class Reads:
    def track(self, capture, head, run, initial=None):
        params = HeadParams.zeros(capture.num_timesteps, head.num_shape, head.num_expr)
        for index, frame in enumerate(capture.frames):
            red, _, blue = capture.image(index)[8:-8, 8:-8].reshape(-1, 3).mean(0) / 255.0
            params.expr[frame.timestep, head.expr_names.index("jawOpen")] = float((red - 0.2) / 0.6)
            params.neck_pose[frame.timestep, 1] = float((blue - 0.5) / 1.0)
        params.shape[:] = 3.0  # the driver's own
        params.translation[:] = torch.tensor([0.5, 0.0, -2.0])
        Path(os.environ["SEEN"]).write_text(str(len(capture)))
        K = torch.tensor(intrinsics(300.0, 300.0, 32.0, 32.0), dtype=torch.float32)[None]
        return Sequence(capture, params, torch.eye(4)[None], K, head.reference)
'''


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from avatarkit.pictures.film import write_film

    colours = np.stack([0.2 + 0.6 * JAW, np.full(MOMENTS, 0.5), 0.5 + YAW], 1)
    pictures = [np.full((64, 64, 3), np.rint(255 * colour), np.uint8) for colour in colours]
    path = tmp_path_factory.mktemp("film") / "driver.mp4"
    write_film(path, pictures, RATE)
    return path


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[HeadParams]:
    """The motions that are filmed; they are filmed all the same."""
    from avatarkit.drive import filming

    film, seen = filming.film, []

    def spied(avatar: Any, head: Any, part: Any, motion: HeadParams, *rest: Any, **named: Any) -> Any:
        seen.append(motion)
        return film(avatar, head, part, motion, *rest, **named)

    monkeypatch.setattr(filming, "film", spied)
    return seen


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tracker that reads colours in the place of the default one; the file in which it says how many frames it saw."""
    from avatarkit.registry import Registry

    (tmp_path / "reads.py").write_text(TRACKER)
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    usual = Registry.default
    chosen = f"{tmp_path / 'reads.py'}:Reads"
    monkeypatch.setattr(Registry, "default", lambda self, role: chosen if role == "tracker" else usual(self, role))
    return tmp_path / "seen"


def decoded(path: Path) -> tuple[list[ByteArray], Fraction]:
    import av

    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], Fraction(rate)


def turned(params: HeadParams) -> FloatArray:
    """(T,) radians: how far the neck is turned from where it is at first."""
    from avatarkit.head.skinning import rotation_matrices

    turns = rotation_matrices(params.neck_pose.double())
    trace = torch.einsum("ij,tij->t", turns[0], turns)
    return np.asarray(torch.arccos(((trace - 1.0) / 2.0).clamp(-1.0, 1.0)))


def test_the_motion_of_a_film_arrives(
    command: Command, reconstructed: Path, film: Path, reads: Path, moves: list[HeadParams], tmp_path: Path
) -> None:
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.head.loading import load_head

    said = command(
        "render", reconstructed, "-o", tmp_path / "driven.mp4", "--motion", film, "--fps", 25, "--camera", "front", "--size", 96,
        "-q", "--json", "-",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert reads.read_text() == str(MOMENTS)
    pictures, rate = decoded(tmp_path / "driven.mp4")
    expected = 1 + int(TIME[-1] * 25)  # a film of 10 frames a second, 2.3 seconds long, at 25
    assert len(pictures) == said.json["frames"] == expected == 58 and rate == 25
    now = np.arange(expected) / 25.0
    (motion,) = moves
    names = load_head("bust").expr_names
    jaw = motion.expr[:, names.index("jawOpen")].numpy()
    np.testing.assert_allclose(jaw, np.interp(now, TIME, JAW), atol=0.02)
    others = [i for i, name in enumerate(names) if name != "jawOpen"]
    assert not motion.expr[:, others].any()
    np.testing.assert_allclose(turned(motion), np.abs(np.interp(now, TIME, YAW)), atol=0.02)
    own = load_avatar(reconstructed).motion
    assert torch.equal(motion.shape, own.shape), "the avatar's identity, not the driver's"
    at, place = motion.translation.median(0).values, own.translation.median(0).values
    assert torch.linalg.norm(at - place) < 1e-4, "and its place"
    width = pictures[0].shape[1]
    change = np.abs(pictures[29].astype(float) - pictures[0]).mean(-1)  # wide open, and as straight as at first
    rows, columns = np.nonzero(change > 40.0)
    assert len(rows) > 10 and rows.mean() > 0.5 * len(change) and abs(columns.mean() - width / 2) < 0.15 * width


def test_at_most_so_many_frames_of_a_driving_film(
    command: Command, reconstructed: Path, film: Path, reads: Path, moves: list[HeadParams], tmp_path: Path
) -> None:
    """Fewer are tracked; it lasts as long."""
    line = ("render", reconstructed, "-o", tmp_path / "a.mp4", "--motion", film, "--fps", 10, "--size", 32)
    said = command(*line, "--max-frames", 12, "--json", "-")
    assert said.code == 0 and reads.read_text() == "12"
    assert said.json["frames"] == len(moves[0]) == MOMENTS
    assert any("12 of its 24 frames are taken" in text for text in said.json["notices"])
    assert command(*line, "-q").code == 0 and reads.read_text() == "24"


def test_a_real_film_drives_with_the_default_tracker(
    command: Command, reconstructed: Path, moves: list[HeadParams], test_data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The mouth opens when the mouth in the film does: measured between the lips in its pictures, by the detector alone."""
    pytest.importorskip("mediapipe")
    model, clip = test_data / "mediapipe" / "face_landmarker.task", test_data / "video" / "man_plain_background.mp4"
    if not (model.is_file() and clip.is_file()):
        pytest.skip(f"no landmark model or clip in {test_data}")
    if not os.environ.get("AVATARKIT_FACE_LANDMARKER"):
        monkeypatch.setenv("AVATARKIT_FACE_LANDMARKER", str(model))
    from avatarkit.capture.reading import read_capture
    from avatarkit.head.loading import load_head
    from avatarkit.registry import registry

    said = command(
        "render", reconstructed, "-o", tmp_path / "real.mp4", "--motion", clip, "--max-frames", FEW, "--fps", 4, "--size", 64,
        "-q", "--json", "-",
    )  # fmt: skip
    assert said.code == 0, said.err
    capture = read_capture(clip, size=256, max_frames=FEW, cache_dir=tmp_path / "c")
    faces = registry().create("tracker", "mediapipe").detect([capture.image(i) for i in range(FEW)])
    points = np.stack([face.points for face in faces])
    gap = np.linalg.norm(points[:, 13, :2] - points[:, 14, :2], axis=1)  # inner lips
    gap /= np.linalg.norm(points[:, 33, :2] - points[:, 263, :2], axis=1)  # outer corners of the eyes
    time = np.array([frame.time for frame in capture.frames])
    pictures, rate = decoded(tmp_path / "real.mp4")
    assert len(pictures) == said.json["frames"] == 1 + int(time[-1] * 4) and rate == 4
    bust, (motion,) = load_head("bust"), moves
    assert bust.landmarks is not None
    marks = bust.landmarks.points(bust.pose(motion).vertices, bust.faces).numpy()
    upper, lower = [marks[:, bust.landmarks.indices.tolist().index(n)] for n in (13, 14)]
    opened = np.linalg.norm(upper - lower, axis=1)
    seen = np.interp(np.arange(len(motion)) / 4.0, time, gap)
    assert seen.max() > 0.3 and opened.max() > 0.01, "metres"
    assert np.corrcoef(opened, seen)[0, 1] > 0.95


@pytest.mark.parametrize("rate", [30.0, 8.0])
def test_an_avatars_own_motion_is_filmed_at_its_clips_pace(
    rate: float, command: Command, reconstructed: Path, tmp_path: Path
) -> None:
    avatar = load_avatar(reconstructed)
    frames = tuple(replace(frame, time=frame.timestep / rate) for frame in avatar.frames)
    save_avatar(replace(avatar, frames=frames), tmp_path / "timed.avatar")
    seconds = (len(avatar.motion) - 1) / rate
    said = command("render", tmp_path / "timed.avatar", "-o", tmp_path / "own.mp4", "--fps", 24, "--size", 32, "-q")
    assert said.code == 0, said.err
    assert abs(len(decoded(tmp_path / "own.mp4")[0]) - (24 * seconds + 1)) <= 1
    said = command(
        "render", tmp_path / "timed.avatar", "-o", tmp_path / "last.png", "--frame", len(avatar.motion) - 1, "-q"
    )
    assert said.code == 0, "pictures are of timesteps"
