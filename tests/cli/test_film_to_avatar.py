"""A film becomes an avatar, and the demo does the same: decoding, tracking, matting, training, figures, report, driven film."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]
SIDE, MOMENTS = 96, 24
TRACKER = '''
"""Knows the true parameters of one film."""
import os
from dataclasses import replace
from pathlib import Path

from avatarkit.track.sequence_files import load_sequence


class Knows:
    def track(self, capture, head, run, initial=None):
        return replace(load_sequence(Path(os.environ["TRUE_PARAMETERS"]), head), capture=capture)
'''


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from avatarkit.synthetic.capture import make_capture

    folder = tmp_path_factory.mktemp("truth") / "one"
    return make_capture(folder, cameras=1, timesteps=MOMENTS, width=SIDE, height=SIDE, samples=2)


@pytest.fixture(scope="module")
def film(truth: Path) -> Path:
    from avatarkit.pictures.film import write_film

    rows = [
        row
        for split in ("train", "val", "test")
        for row in json.loads((truth / f"transforms_{split}.json").read_text())["frames"]
    ]
    ordered = sorted({row["timestep_index"]: row["file_path"] for row in rows}.items())
    assert len(ordered) == MOMENTS
    pictures = [np.array(Image.open(truth / path).convert("RGB")) for _, path in ordered]
    write_film(truth.parent / "film.mp4", pictures, 25.0)
    return truth.parent / "film.mp4"


@pytest.fixture
def tracker(truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TRUE_PARAMETERS", str(truth))
    (tmp_path / "knows.py").write_text(TRACKER)
    return f"{tmp_path / 'knows.py'}:Knows"


def test_a_film_becomes_an_avatar_that_is_better_than_a_still_picture(
    command: Command, film: Path, tracker: str, tmp_path: Path
) -> None:
    said = command(
        "recon", film, "-o", tmp_path / "me.avatar", "--tracker", tracker, "--head", "bust", "--size", SIDE, "--iterations", 300,
        "--set", "max_splats=16200", "--set", "free_gaussians=300", "--quiet", "--json", "-",
    )  # fmt: skip
    assert said.code == 0, said.err
    from avatarkit.gaussians.avatar_file import load_avatar

    avatar = load_avatar(tmp_path / "me.avatar")
    splits = [frame.split for frame in avatar.frames]
    assert len(avatar.motion) == MOMENTS and splits.count("test") == 3 and splits.count("val") == 2
    folder = tmp_path / "me.run"
    results = {r["split"]: r for r in json.loads((folder / "metrics.json").read_text())}
    still = results["test"]["trivial"]["best_training_frame"]
    assert (
        results["test"]["psnr"] > still["psnr"]
        and results["test"]["regions"]["head"]["psnr"] > still["regions"]["head"]["psnr"]
    )
    assert (folder / "tracking" / "transforms_train.json").is_file() and (
        folder / "report.html"
    ).stat().st_size > 50_000


def test_the_demo_of_a_clip(film: Path, tracker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the tracker that knows in the place of the default one."""
    from avatarkit import demo
    from avatarkit.events import Run

    whole = demo.Job
    monkeypatch.setattr(demo, "Job", lambda *given, **named: whole(*given, tracker=tracker, size=SIDE, **named))
    summary = demo.run_demo(tmp_path / "out", Run(), clip=film, minutes=0.02)
    assert Path(summary["film"]).stat().st_size > 1000 and (tmp_path / "out" / "demo.avatar").is_file()
    assert set(summary["metrics"]) == {"val", "test"}
