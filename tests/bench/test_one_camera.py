"""One camera's part of a capture is a capture of one camera, and what it never saw is what it is scored on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from avatarkit.head.loading import load_head
from avatarkit.recon.loop import several_sides
from avatarkit.track.sequence_files import load_sequence

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "one_camera.py"


def run(*arguments: object) -> str:
    line = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def test_two_data_sets_of_one(tiny_capture: Path, tmp_path: Path) -> None:
    said = run(tiny_capture, "--out", tmp_path, "--camera", 0, "--near", 1, "--far", 2)
    assert f"{tmp_path / 'alone'}: train 5 frames" in said
    head = load_head("bust")
    alone, aside = (load_sequence(tmp_path / name, head, cache_dir=tmp_path / "frames") for name in ("alone", "aside"))
    assert not several_sides(alone) and several_sides(aside)
    assert [len(alone.capture.indices(split)) for split in ("train", "val", "test")] == [5, 0, 1]
    assert [len(aside.capture.indices(split)) for split in ("train", "val", "test")] == [5, 2, 2]
    names = {split: {aside.capture.cameras[aside.capture.frames[i].camera].name for i in aside.capture.indices(split)} for split in ("train", "val", "test")}  # fmt: skip
    assert all(len(cameras) == 1 for cameras in names.values()) and len(set.union(*names.values())) == 3


def test_it_says_where_the_cameras_stand(tiny_capture: Path) -> None:
    lines = run(tiny_capture).splitlines()
    assert len(lines) == 3 and all(line.startswith(f"camera {i}: ") for i, line in enumerate(lines))


def test_what_is_not_there_is_said(tiny_capture: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ((tmp_path,), "no data set; expected transforms_train.json"),
        ((tiny_capture, "--camera", 0, "--near", 7, "--out", tmp_path / "out"), "no camera 7; there are 0, 1, 2"),
    ):
        done = subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr and not list(tmp_path.iterdir())
