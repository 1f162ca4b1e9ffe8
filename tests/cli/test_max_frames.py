"""``--max-frames``: how many frames of a video are taken, wherever a command reads one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarkit.capture.video import MAX_FRAMES

Command = Callable[..., Any]
SHOWN = 40
COUNTS = '''
"""Says how many frames it was given, of which clip, and goes no further."""
from avatarkit.errors import InputError


class Counts:
    def track(self, capture, head, run, initial=None):
        of = [sum(f.camera == c for f in capture.frames) for c in range(len(capture.cameras))]
        last = capture.frames[-1].source.split()[-1]
        raise InputError(f"counted {'+'.join(map(str, of))} up to frame {last}")
'''


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from avatarkit.pictures.film import write_film

    path = tmp_path_factory.mktemp("films") / "a.mp4"
    write_film(path, [np.full((64, 64, 3), 5 * step, np.uint8) for step in range(SHOWN)], 25.0)
    return path


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker that counts in the place of the default one."""
    from avatarkit.registry import Registry

    (tmp_path / "counts.py").write_text(COUNTS)
    usual, chosen = Registry.default, f"{tmp_path / 'counts.py'}:Counts"
    monkeypatch.setattr(Registry, "default", lambda self, role: chosen if role == "tracker" else usual(self, role))


def line_of(name: str, film: Path, output: Path, reconstructed: Path | None = None) -> tuple[object, ...]:
    return {
        "recon": ("recon", film, "-o", output / "me.avatar", "--head", "bust", "-q"),
        "track": ("track", film, "-o", output / "tracked", "--head", "bust", "-q"),
        "render": ("render", reconstructed or "me.avatar", "-o", output / "me.mp4", "--motion", film, "-q"),
        "demo": ("demo", "--clip", film, "-o", output / "demo"),
    }[name]


@pytest.mark.parametrize("name", ["recon", "track", "render", "demo"])
def test_as_many_frames_as_were_asked_for(
    command: Command, counts: None, film: Path, reconstructed: Path, tmp_path: Path, name: str
) -> None:
    line = line_of(name, film, tmp_path / "out", reconstructed)
    for options, said in (((), "40"), (("--max-frames", 10), "10"), (("--max-frames", 39), "39")):
        heard = command(*line, *options)
        assert heard.code == 2 and heard.err.strip().splitlines()[-1] == f"avatarkit: counted {said} up to frame 39"


def test_several_clips_share_them_by_their_length(command: Command, counts: None, film: Path, tmp_path: Path) -> None:
    from avatarkit.pictures.film import write_film

    write_film(tmp_path / "b.mp4", [np.full((64, 64, 3), 9 * step, np.uint8) for step in range(20)], 25.0)
    line = line_of("recon", film, tmp_path / "out")
    heard = command(*line[:2], tmp_path / "b.mp4", *line[2:], "--max-frames", 30)
    assert heard.code == 2 and "counted 20+10 up to frame 19" in heard.err


@pytest.mark.parametrize("name", ["recon", "track", "render", "demo"])
@pytest.mark.parametrize("number", [-1, 0, 9, 10_001])
def test_a_number_out_of_range_is_one_line_before_anything_begins(
    command: Command, counts: None, film: Path, tmp_path: Path, name: str, number: int
) -> None:
    heard = command(*line_of(name, film, tmp_path / "out"), "--max-frames", number)
    assert heard.code == 2 and heard.out == ""
    assert heard.err == f"avatarkit: --max-frames {number}: expected 10 to 10000 frames\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["recon", "track", "render", "demo"])
def test_the_help_says_what_is_taken_else(command: Command, name: str) -> None:
    words = " ".join(re.sub(r"[│╭╰─╮╯]", " ", command(name, "--help").out).split())
    assert f"Default: {MAX_FRAMES}" in words.partition("--max-frames")[2][:200]
