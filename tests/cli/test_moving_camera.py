"""A film whose camera moves, which has no masks: the commands that need them say so in one line, and keep what was there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..capture.scene import make_scene
from .test_track import TRACKER

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def panning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from avatarkit.pictures.film import write_film

    path = tmp_path_factory.mktemp("films") / "pan.mp4"
    write_film(path, list(make_scene(wall_texture=25.0, pan=14.0).images), 25.0)
    return path


@pytest.fixture
def tracker(tmp_path: Path) -> str:
    (tmp_path / "scripted.py").write_text(TRACKER)
    return f"{tmp_path / 'scripted.py'}:Scripted"


def digest(folder: Path) -> dict[str, str]:
    """What is in every file but the log, which says what was tried."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "events.jsonl"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check(line: str) -> None:
    start = "avatarkit: pan: the camera moves (the background shifts in "
    assert line.startswith(start) and "a moving camera needs masks; give them as an image folder with masks/" in line, (
        line
    )


def test_recon_says_so_in_one_line_and_nothing_is_lost(
    command: Command, panning: Path, tracker: str, reconstructed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(reconstructed.parent, folder)
    (folder / "tiny.run" / "tracking.png").write_bytes(b"how the head was found in an earlier film")
    before = digest(folder)
    line = ("--head", "bust", "--tracker", tracker, "--iterations", 5, "-q")
    said = command("recon", panning, "-o", folder / reconstructed.name, *line)
    lines = said.err.strip().splitlines()
    assert said.code == 2 and len(lines) == 1 and said.out == "", said.err
    check(lines[0])
    assert digest(folder) == before
    assert command("info", folder / reconstructed.name).code == 0


def test_the_demo_says_so_and_keeps_an_earlier_one(
    command: Command, panning: Path, tracker: str, reconstructed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the tracker from a file in the place of the default one; the demo also shows its progress."""
    from avatarkit.registry import Registry

    usual = Registry.default
    monkeypatch.setattr(Registry, "default", lambda self, role: tracker if role == "tracker" else usual(self, role))
    folder = tmp_path / "out"
    shutil.copytree(reconstructed.with_suffix(".run"), folder / "demo.run")
    shutil.copy(reconstructed, folder / "demo.avatar")
    (folder / "driven.mp4").write_bytes(b"an earlier film")
    before = digest(folder)
    said = command("demo", "--clip", panning, "-o", folder, "--minutes", 0.05, "--json", "-")
    assert said.code == 2 and said.out == "", said.err
    lines = said.err.strip().splitlines()
    check(lines[-1])
    assert sum(line.startswith("avatarkit: ") for line in lines) == 1 and "Traceback" not in said.err
    assert digest(folder) == before


def test_track_goes_on_without_masks_and_recon_of_that_says_what_comes_of_it(
    command: Command, panning: Path, tracker: str, tmp_path: Path
) -> None:
    said = command("track", panning, "-o", tmp_path / "tracked", "--head", "bust", "--tracker", tracker)
    words = " ".join(said.err.split())
    assert said.code == 0 and "no masks are written: pan: the camera moves" in words, said.err
    assert not (tmp_path / "tracked" / "fg_masks").exists()
    line = ("--iterations", 3, "--set", "max_splats=16000", "--set", "label_views=0", "--no-report")
    said = command("recon", tmp_path / "tracked", "-o", tmp_path / "me.avatar", *line)
    words = " ".join(said.err.split())
    assert said.code == 0 and "tracked has no masks: what stands behind the head becomes part of the avatar" in words
    assert (tmp_path / "me.avatar").is_file()
