"""Two films of one person before different walls, through ``avatarkit track`` and ``avatarkit recon``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from avatarkit.types import ByteArray, FloatArray

Command = Callable[..., Any]
SIDE, LENGTHS = 96, (14, 11)
VAL, TEST = [9, 14 + 9], [12, 13, 14 + 10]
"""Of each clip every tenth frame and the last 15 %."""

TRACKER = '''
"""Knows the true parameters of the clips, which one lens filmed from one place."""
import os
from dataclasses import replace
from pathlib import Path

from avatarkit.track.sequence_files import load_sequence


class Knows:
    def track(self, capture, head, run, initial=None):
        known = load_sequence(Path(os.environ["TRUE_PARAMETERS"]), head)
        count = len(capture.cameras)
        return replace(known, capture=capture, viewmats=known.viewmats.repeat(count, 1, 1), Ks=known.Ks.repeat(count, 1, 1))
'''


@dataclass(frozen=True)
class Filmed:
    """clips: the films; masks (T, H, W) in [0, 1]: where the person is in the frames of all, one after the other."""

    folder: Path
    clips: list[Path]
    masks: FloatArray


def wall(seed: int, colour: tuple[float, float, float]) -> FloatArray:
    """(H, W, 3) levels: a plain wall, a little uneven."""
    uneven = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), 12.0)
    return np.array(colour) + (6.0 * uneven / uneven.std())[..., None]


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Filmed:
    from avatarkit.pictures.film import write_film
    from avatarkit.synthetic.capture import make_capture

    folder = tmp_path_factory.mktemp("two")
    truth = make_capture(folder / "truth", cameras=1, timesteps=sum(LENGTHS), width=SIDE, height=SIDE, samples=2)
    rows = [
        row
        for split in ("train", "val", "test")
        for row in json.loads((truth / f"transforms_{split}.json").read_text())["frames"]
    ]
    ordered = [row for _, row in sorted({row["timestep_index"]: row for row in rows}.items())]
    masks = np.stack([np.asarray(Image.open(truth / row["fg_mask_path"]).convert("L")) / 255.0 for row in ordered])
    noise = np.random.default_rng(5)
    walls = [wall(1, (215.0, 205.0, 190.0)), wall(2, (95.0, 140.0, 85.0))]
    pictures: list[ByteArray] = []
    for step, (row, mask) in enumerate(zip(ordered, masks, strict=True)):
        clip = int(step >= LENGTHS[0])
        shown = np.asarray(Image.open(truth / row["file_path"]).convert("RGB"), np.float64)
        behind = walls[clip] - 255.0  # the subject was drawn before white
        light = (1.0, 0.8)[clip]
        picture = light * (shown + (1.0 - mask[..., None]) * behind) + noise.normal(0, 1.5, shown.shape)
        pictures.append(np.clip(picture + 0.5, 0, 255).astype(np.uint8))
    clips = [folder / "bright.mp4", folder / "dark.mp4"]
    write_film(clips[0], pictures[: LENGTHS[0]], 25.0)
    write_film(clips[1], pictures[LENGTHS[0] :], 25.0)
    return Filmed(truth, clips, masks)


@pytest.fixture
def tracker(filmed: Filmed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TRUE_PARAMETERS", str(filmed.folder))
    (tmp_path / "knows.py").write_text(TRACKER)
    return f"{tmp_path / 'knows.py'}:Knows"


def overlap(mask: ByteArray, truth: FloatArray) -> float:
    mine, known = mask > 127, truth > 0.5
    return float((mine & known).sum() / (mine | known).sum())


def splits_of(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """Split → (timestep, camera) of its frames, as other systems read them."""
    return {
        split: [
            (row["timestep_index"], row["camera_index"])
            for row in json.loads((folder / f"transforms_{split}.json").read_text())["frames"]
        ]
        for split in ("train", "val", "test")
    }


def test_two_clips_become_an_avatar(command: Command, filmed: Filmed, tracker: str, tmp_path: Path) -> None:
    said = command(
        "recon", *filmed.clips, "-o", tmp_path / "me.avatar", "--tracker", tracker, "--head", "bust", "--size", SIDE,
        "--iterations", 40, "--set", "max_splats=16200", "--set", "free_gaussians=200", "--set", "tune_head=true", "--quiet",
        "--json", "-",
    )  # fmt: skip
    assert said.code == 0, said.err
    from avatarkit.gaussians.avatar_file import load_avatar

    avatar, folder = load_avatar(tmp_path / "me.avatar"), tmp_path / "me.run"
    assert [camera.name for camera in avatar.cameras] == ["bright", "dark"] and len(avatar.motion) == 25
    of = lambda split: [f.timestep for f in avatar.frames if f.split == split]  # noqa: E731
    assert (of("val"), of("test")) == (VAL, TEST)
    assert [f.camera for f in avatar.frames] == [0] * 14 + [1] * 11
    masks = sorted((folder / "tracking" / "fg_masks").iterdir())
    scores = [overlap(np.asarray(Image.open(file)), truth) for file, truth in zip(masks, filmed.masks, strict=True)]
    assert min(scores) > 0.95, scores
    summary = said.json
    assert {split: values["frames"] for split, values in summary["metrics"].items()} == {
        "val": len(VAL),
        "test": len(TEST),
    }
    results = {r["split"]: r for r in json.loads((folder / "metrics.json").read_text())}
    assert all(np.isfinite(r["psnr"]) and r["psnr"] > 15.0 for r in results.values())
    assert (folder / "report.html").stat().st_size > 50_000
    film = command(
        "render", tmp_path / "me.avatar", "-o", tmp_path / "dark.png", "--camera", "capture:dark", "--frame", 20, "-q"
    )
    assert film.code == 0 and Image.open(tmp_path / "dark.png").size == (SIDE, SIDE)


def test_two_clips_are_tracked_and_go_on_from_there(
    command: Command, filmed: Filmed, tracker: str, tmp_path: Path
) -> None:
    line = ("--tracker", tracker, "--head", "bust", "--size", SIDE, "-q", "--json", "-")
    said = command("track", *filmed.clips, "-o", tmp_path / "tracked", *line)
    assert said.code == 0, said.err
    assert said.json["cameras"] == 2 and said.json["timesteps"] == 25 and said.json["masks"] is True
    splits = splits_of(tmp_path / "tracked")
    assert [t for t, _ in splits["val"]] == VAL and [t for t, _ in splits["test"]] == TEST
    assert all(camera == int(t >= LENGTHS[0]) for rows in splits.values() for t, camera in rows)
    from avatarkit.events import Run
    from avatarkit.recon.prepare import read_known

    sequence, _ = read_known(tmp_path / "tracked", None, Run())
    times = [frame.time for frame in sorted(sequence.capture.frames, key=lambda f: f.timestep)]
    assert times[0] == times[LENGTHS[0]] == 0.0 and times[LENGTHS[0] - 1] == pytest.approx(13 / 25, abs=1e-3)
    again = command(
        "recon", tmp_path / "tracked", "-o", tmp_path / "me.avatar", "--iterations", 5, "--no-report", "--set",
        "max_splats=16200", "--set", "label_views=0", "-q", "--json", "-",
    )  # fmt: skip
    assert again.code == 0, again.err
    assert again.json["metrics"]["test"]["frames"] == len(TEST)
