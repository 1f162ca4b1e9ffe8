"""Pictures of another system find their frames, in unions of sequences, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarkit.capture.capture import Capture, CaptureCamera, Frame
from avatarkit.errors import InputError
from avatarkit.evaluate.renders import renders_predictor
from avatarkit.events import Run

WHITE = np.ones(3, np.float32)


def union() -> Capture:
    """Two sequences of two timesteps, as unions list them: counted on in one row, called alike in their folders."""
    frames = tuple(
        Frame(2 * half + t, 0, "test", f"../{name}/images/{t:05d}_08.png")
        for half, name in enumerate("AB")
        for t in range(2)
    )
    names = "00000", "00001", "00123", "00124"
    return Capture("AB", (CaptureCamera("08", 6, 4),), frames, names, image=lambda i: np.zeros((4, 6, 3), np.uint8))


def pictures(folder: Path, names: list[str]) -> Path:
    """Grey ones, the first of level 10, the second of 20, …"""
    for level, name in enumerate(names, 1):
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (10 * level,) * 3).save(file)
    return folder


def levels(folder: Path, capture: Capture) -> list[int]:
    indices = capture.indices("test")
    predict = renders_predictor(folder, capture, indices, "test", WHITE, Run())
    return [round(float(predict(i)[0, 0, 0]) * 255) for i in indices]


@pytest.mark.parametrize(
    "names",
    [
        ["00000_08", "00001_08", "00123_08", "00124_08"],
        ["x/00000_08", "x/00001_08", "x/00123_08", "x/00124_08"],
    ],
)
def test_in_a_union_every_frame_has_its_own_picture(tmp_path: Path, names: list[str]) -> None:
    assert levels(pictures(tmp_path, names), union()) == [10, 20, 30, 40]


def test_a_name_that_many_frames_have_is_nobodys(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 of 4 frames of 'test' have no picture \(00000_08.png, 00001_08.png\)"):
        levels(pictures(tmp_path, ["00000_08", "00001_08"]), union())


def test_one_picture_for_two_frames_is_refused(tmp_path: Path) -> None:
    capture = replace(union(), timestep_names=("00000", "00001", "00000", "00001"))
    with pytest.raises(
        InputError, match=r"it fits two frames, \.\./A/images/00000_08\.png and \.\./B/images/00000_08\.png"
    ):
        levels(pictures(tmp_path, ["00000_08", "00001_08"]), capture)


def test_by_the_name_in_the_data_set_where_there_is_one_sequence(tmp_path: Path) -> None:
    capture = union()
    one = replace(
        capture, frames=tuple(replace(f, source=f"images/frame-{i}.png") for i, f in enumerate(capture.frames))
    )
    assert levels(pictures(tmp_path, [f"frame-{i}" for i in range(4)]), one) == [10, 20, 30, 40]
    other = tmp_path / "as-in-the-data-set"
    assert levels(pictures(other, [f"images/frame-{i}" for i in range(4)]), one) == [10, 20, 30, 40]
