"""Bad input through the command line: one line that says what, where and what to do; earlier results stay as they were."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]
Damage = Callable[[Path], object]


def digest(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "events.jsonl"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def earlier(reconstructed: Path, tmp_path: Path) -> Path:
    """A finished reconstruction that must survive whatever comes next."""
    folder = tmp_path / "results"
    shutil.copytree(reconstructed.parent, folder)
    return folder / reconstructed.name


@pytest.fixture
def capture(tiny_capture: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_capture, tmp_path / "mine"))


def change_json(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def frame(change: Callable[[dict[str, Any]], object]) -> Damage:
    return lambda folder: change_json(folder / "transforms_train.json", lambda c: change(c["frames"][1]))


def array(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / "flame_param" / "00001.npz"
        np.savez(file, **{**dict(np.load(file)), **changes})

    return damage


def cut(name: str) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return damage


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


BAD: dict[str, tuple[Damage, str]] = {
    "a missing key": (frame(lambda f: f.pop("transform_matrix")), r"frames\[1\]: key 'transform_matrix' is missing"),
    "a misspelt key": (frame(lambda f: f.__setitem__("file_pth", f.pop("file_path"))), r"key 'file_path' is missing; did you mean 'file_pth'"),
    "a matrix with NaN": (
        frame(lambda f: f.__setitem__("transform_matrix", [[float("nan")] * 4] * 4)), r"'transform_matrix'.*not finite",
    ),
    "an image of the wrong size": (
        lambda folder: Image.new("RGB", (81, 80)).save(folder / "images" / "00001_00.png"), r"00001_00.png: .*81x80; expected 80x80",
    ),
    "a cut image": (cut("images/00001_00.png"), r"00001_00.png: the picture is damaged or cut short"),
    "a corrupted npz": (cut("flame_param/00001.npz"), r"00001.npz: not an npz file"),
    "NaN in poses": (array(rotation=np.full((1, 3), np.nan, np.float32)), r"00001.npz: 'rotation' has a value that is not finite"),
    "another head": (array(expr=np.zeros((1, 3), np.float32)), r"00001.npz: 'expr'"),
    "a mask without foreground": (
        lambda folder: Image.new("L", (80, 80), 3).save(folder / "fg_masks" / "00001_00.png"), r"00001_00.png: the mask has no foreground",
    ),
    "an empty folder": (emptied, r"mine: the folder is empty"),
    "no folder": (shutil.rmtree, r"mine: no such file or folder"),
}  # fmt: skip


def one_line(said: Any, code: int, words: str) -> None:
    assert said.code == code, said.err
    lines = said.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("avatarkit: ") and "bug" not in lines[0], said.err
    assert re.search(words, lines[0]), lines[0]
    assert said.out == ""


@pytest.mark.parametrize("name", BAD)
def test_a_bad_data_set_is_one_line_and_nothing_is_lost(
    command: Command, earlier: Path, capture: Path, name: str
) -> None:
    damage, words = BAD[name]
    damage(capture)
    before = digest(earlier.parent)
    one_line(command("recon", capture, "-o", earlier, "--iterations", 5, "--head", "bust", "-q"), 2, words)
    assert digest(earlier.parent) == before
    assert command("info", earlier).code == 0


OPTIONS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "an unknown rasterizer": (("--rasterizer", "cpuu"), 2, r"unknown rasterizer 'cpuu'; did you mean 'cpu'"),
    "an unknown head": (("--head", "busst"), 2, r"busst.*did you mean 'bust'"),
    "a head file that is not there": (("--head", "none.npz"), 2, r"none.npz: no such file"),
    "an unknown setting": (("--set", "max_splat=3"), 2, r"--set: unknown key 'max_splat'; did you mean 'max_splats'"),
    "a setting of the wrong type": (("--set", "max_splats=many"), 2, r"'max_splats': expected int; got 'many'"),
    "an unknown config": (("--config", "reconn"), 2, r"unknown config 'reconn'; did you mean 'recon'"),
    "two lengths": (("--minutes", "1"), 2, r"give --minutes or --iterations, not both"),
    "a file as a plugin": (("--rasterizer", "none.py:Mine"), 2, r"none.py: no such file"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_bad_option_of_recon(command: Command, earlier: Path, tiny_capture: Path, name: str) -> None:
    options, code, words = OPTIONS[name]
    before = digest(earlier.parent)
    one_line(command("recon", tiny_capture, "-o", earlier, "--iterations", 5, "-q", *options), code, words)
    assert digest(earlier.parent) == before


def test_resume_where_nothing_is(command: Command, tiny_capture: Path, tmp_path: Path) -> None:
    said = command("recon", tiny_capture, "-o", tmp_path / "new.avatar", "--resume", "-q")
    one_line(said, 2, r"new.run: nothing to resume there; start without --resume")
    assert not (tmp_path / "new.run").exists()


def test_the_output_is_a_folder_or_below_a_file(command: Command, tiny_capture: Path, tmp_path: Path) -> None:
    (tmp_path / "a.avatar").mkdir()
    one_line(command("recon", tiny_capture, "-o", tmp_path / "a.avatar", "-q"), 2, r"a.avatar: is a folder")
    (tmp_path / "file").touch()
    said = command("recon", tiny_capture, "-o", tmp_path / "file" / "a.avatar", "-q")
    one_line(said, 2, r"a file stands where a folder is needed")


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs a folder in which even root may not write")
def test_no_permission_to_write(command: Command, tiny_capture: Path, reconstructed: Path) -> None:
    words = r"/sys.*(no permission|read-only).*choose another folder"
    one_line(command("recon", tiny_capture, "-o", "/sys/me.avatar", "-q"), 3, words)
    one_line(command("render", reconstructed, "-o", "/sys/me.png", "-q"), 3, words)


def test_a_full_disk_keeps_what_was_there(
    command: Command, earlier: Path, tiny_capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = digest(earlier.parent)
    monkeypatch.setattr(os, "fsync", full)
    said = command("recon", tiny_capture, "-o", earlier, "--iterations", 5, "-q")
    one_line(said, 3, r"the disk is full; free some space")
    assert digest(earlier.parent) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_log_that_cannot_be_written_stops_nothing(command: Command, tiny_capture: Path, tmp_path: Path) -> None:
    (tmp_path / "me.run").mkdir()
    (tmp_path / "me.run" / "events.jsonl").symlink_to("/dev/full")
    said = command("recon", tiny_capture, "-o", tmp_path / "me.avatar", "--iterations", 2, "--no-report", "-q")
    assert said.code == 0, said.err
    assert (tmp_path / "me.avatar").is_file()


@pytest.mark.parametrize(
    "line", [("info",), ("eval",), ("report",), ("render", "-o", "a.png")], ids=lambda line: line[0]
)
def test_a_damaged_avatar(command: Command, earlier: Path, line: tuple[str, ...]) -> None:
    data = bytearray(earlier.read_bytes())
    data[len(data) // 2] ^= 1
    earlier.write_bytes(data)
    one_line(command(line[0], earlier, *line[1:]), 2, r"tiny.avatar: its checksum does not match: the file is damaged")
    earlier.write_bytes(data[:100])
    one_line(command(line[0], earlier, *line[1:]), 2, r"tiny.avatar: .*truncated")
    earlier.unlink()
    one_line(command(line[0], earlier, *line[1:]), 2, r"tiny.avatar: no such file")


def test_the_head_model_of_an_avatar_is_missing(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from avatarkit.gaussians.avatar_file import load_avatar, save_avatar

    avatar = load_avatar(reconstructed)
    save_avatar(replace(avatar, head={**avatar.head, "sha256": "0" * 64}), tmp_path / "other.avatar")
    said = command("render", tmp_path / "other.avatar", "-o", tmp_path / "a.png", "-q")
    one_line(said, 3, r"needs the head model 'bust'.*give its file with --head FILE")


RENDER: dict[str, tuple[tuple[str, ...], str]] = {
    "a suffix": (("-o", "a.gif"), r"a.gif: the suffix must be one of .mp4"),
    "a picture as a film": (("-o", "a.mp4", "--frame", "1"), r"--frame and --sheet make pictures"),
    "a frame": (("-o", "a.png", "--frame", "6"), r"--frame 6: the motion has timesteps 0 to 5"),
    "a size": (("-o", "a.png", "--size", "big"), r"--size big: expected W or WxH"),
    "a colour": (("-o", "a.png", "--background", "nocolour"), r"--background nocolour: expected a CSS colour"),
    "a camera": (("-o", "a.png", "--camera", "frnt"), r"unknown camera 'frnt'; did you mean 'front'"),
    "a capture camera": (("-o", "a.png", "--camera", "capture:09"), r"unknown capture camera '09'"),
    "a motion": (("-o", "a.png", "--motion", "none.npz"), r"none.npz: no such file or folder; --motion takes"),
}


@pytest.mark.parametrize("name", RENDER)
def test_a_bad_option_of_render(
    command: Command, reconstructed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options, words = RENDER[name]
    one_line(command("render", reconstructed, "-q", *options), 2, words)
    assert list(tmp_path.iterdir()) == []


def test_bad_splits_and_nets_of_eval(command: Command, reconstructed: Path) -> None:
    one_line(command("eval", reconstructed, "--split", "tset"), 2, r"unknown split 'tset'; did you mean 'test'")
    one_line(command("eval", reconstructed, "--lpips-net", "squeeze"), 2, r"unknown LPIPS net 'squeeze'")


def write_film(path: Path, frames: int = 12) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for step in range(frames):
            picture = np.full((64, 64, 3), 240 * step // frames, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


FACELESS = """
from avatarkit.track.landmark_tracking import track_landmarks


class Faceless:
    def track(self, capture, head, run, initial=None):
        return track_landmarks(self, capture, head, run).sequence

    def detect(self, images):
        return [None for image in images]
"""


def test_a_video_without_a_face(command: Command, earlier: Path, tmp_path: Path) -> None:
    (tmp_path / "faceless.py").write_text(FACELESS)
    film, before = write_film(tmp_path / "wall.mp4"), digest(earlier.parent)
    line = ("recon", film, "-o", earlier, "--head", "bust", "--tracker", f"{tmp_path / 'faceless.py'}:Faceless", "-q")
    one_line(command(*line), 2, r"wall.mp4: no face was found in any of 12 frames")
    assert digest(earlier.parent) == before


CROWDED = FACELESS.replace(
    "def detect",
    """def locate(self, images):
        from avatarkit.capture.crop import Located

        return Located([(10.0, 10.0, 50.0, 50.0)] * len(images), len(images))

    def detect""",
)


@pytest.mark.parametrize("case", ["two people", "a truncated film"])
def test_doubtful_films_are_one_line_until_they_are_taken_anyway(
    command: Command, earlier: Path, tmp_path: Path, case: str
) -> None:
    (tmp_path / "parts.py").write_text(CROWDED if case == "two people" else FACELESS)
    film, before = write_film(tmp_path / "a.mp4", 60), digest(earlier.parent)
    if case == "a truncated film":
        film = write_film(tmp_path / "b.avi", 60)
        film.write_bytes(film.read_bytes()[: int(0.7 * film.stat().st_size)])
    line = ("recon", film, "-o", earlier, "--head", "bust", "--tracker", f"{tmp_path / 'parts.py'}:Faceless", "-q")
    said = (
        r"32 of 32 frames .* several people.*; cut the clip"
        if case == "two people"
        else r"of 60 frames can be read; copy"
    )
    one_line(command(*line), 2, rf"{film.name}: .*{said}.*--anyway")
    assert digest(earlier.parent) == before
    one_line(command(*line, "--anyway"), 2, r"no face was found in any of")  # it went on to the tracker


def test_a_film_that_is_none(command: Command, tmp_path: Path) -> None:
    (tmp_path / "faceless.py").write_text(FACELESS)
    (tmp_path / "a.mp4").write_bytes(b"no film" * 100)
    line = ("recon", tmp_path / "a.mp4", "-o", tmp_path / "me.avatar", "--head", "bust", "-q")
    one_line(command(*line, "--tracker", f"{tmp_path / 'faceless.py'}:Faceless"), 2, r"a.mp4: ")


def test_no_tracker_is_installed(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import avatarkit.registry as module

    alone = module.Registry([plugin for plugin in module.registry().plugins if plugin.source.name == "builtin"])
    monkeypatch.setattr("avatarkit.recon.prepare.registry", lambda: alone)
    film = write_film(tmp_path / "me.mp4")
    said = command("recon", film, "-o", tmp_path / "me.avatar", "--head", "bust", "-q")
    one_line(said, 3, r"no default tracker is usable here")


def test_a_folder_that_is_somebody_elses(command: Command, tiny_capture: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    film = write_film(tmp_path / "me.mp4")
    one_line(
        command("track", film, "-o", tmp_path / "mine", "-q"), 2, r"mine: is there already and is no tracked sequence"
    )
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_our_own_faults_are_one_line_too(
    command: Command, reconstructed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: object) -> object:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("avatarkit.gaussians.avatar_file.load_avatar", broken)
    said = command("info", reconstructed)
    assert said.code == 1 and len(said.err.strip().splitlines()) == 1
    assert "this is a bug in avatarkit: RuntimeError: two lines (run again with --debug" in said.err
    with pytest.raises(RuntimeError):
        command("info", reconstructed, "--debug")
