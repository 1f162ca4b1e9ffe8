"""The one door: what is where, and one clear line for what is not a capture."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarkit.capture.reading import read_capture
from avatarkit.errors import InputError

from .conftest import write_dataset
from .test_folder import picture
from .test_video import write_clip


def test_every_kind(tmp_path: Path, avatarkit_home: Path) -> None:
    clip = write_clip(tmp_path / "clips" / "a.mp4", 10) if (tmp_path / "clips").mkdir() is None else None
    assert clip is not None
    assert len(read_capture(clip, size=64)) == 10
    assert len(read_capture(str(clip), size=64)) == 10
    assert len(read_capture([clip], size=64)) == 10
    assert len(read_capture([clip, clip], size=64).cameras) == 2
    assert len(read_capture(tmp_path / "clips", size=64)) == 10, "a folder of clips"
    picture(tmp_path / "images" / "0.png", 3)
    assert len(read_capture(tmp_path / "images", size=64)) == 1
    data = read_capture(write_dataset(tmp_path / "set"))
    assert data.masked and len(data) == 8
    assert (avatarkit_home / "cache" / "frames").is_dir(), "the default place of caches"


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, avatarkit_home: Path) -> None:
    write_dataset(tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set")
    assert read_capture(".").name == "set"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "none.mp4: no such file or folder"),
        ("empty", "empty: the folder is empty"),
        ("words", "words: no pictures in this folder"),
        ("a.txt", "a.txt: unknown kind of file '.txt'; expected a video"),
        ("one.png", "one.png: a single picture is not a capture"),
        ("transforms_train.json", "give the folder of the data set"),
    ],
)
def test_what_is_not_a_capture(tmp_path: Path, avatarkit_home: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").touch()
    for file in ("a.txt", "one.png", "transforms_train.json"):
        (tmp_path / file).touch()
    with pytest.raises(InputError, match=message) as caught:
        read_capture(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_inputs_that_cannot_be_joined(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no input was given"):
        read_capture([])
    with pytest.raises(InputError, match="a folder cannot be joined with other inputs"):
        read_capture([tmp_path, tmp_path])
