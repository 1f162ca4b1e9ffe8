"""Several clips of one person, each filmed before a wall and in a light of its own: every clip is matted with its own background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatarkit.capture.background import learn_background
from avatarkit.capture.capture import Capture
from avatarkit.capture.matte import matte, with_mattes
from avatarkit.capture.reading import read_capture
from avatarkit.errors import InputError
from avatarkit.pictures.film import write_film
from avatarkit.types import Float32Array, FloatArray

from .scene import Scene, make_scene


@pytest.fixture(scope="module")
def clips() -> dict[str, Scene]:
    evening = {"tint": (-85.0, -40.0, -60.0), "light": (0.85, 0.7, 0.6)}
    return {
        "day": make_scene(steps=24, wall_texture=4.0, seed=1),
        "evening": make_scene(steps=16, wall_texture=6.0, sway=10.0, seed=2, **evening),  # type: ignore[arg-type]
    }


def films(folder: Path, clips: dict[str, Scene]) -> list[Path]:
    for name, scene in clips.items():
        write_film(folder / f"{name}.mp4", list(scene.images), 25.0)
    return [folder / f"{name}.mp4" for name in clips]


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of what is more than half there."""
    mine, known = mask > 127, truth > 0.5
    return float((mine & known).sum() / (mine | known).sum())


@pytest.fixture
def capture(clips: dict[str, Scene], tmp_path: Path) -> Capture:
    return read_capture(films(tmp_path, clips), size=None, cache_dir=tmp_path / "c")


def boxes_of(clips: dict[str, Scene]) -> FloatArray:
    return np.concatenate([scene.boxes for scene in clips.values()])


def truth_of(clips: dict[str, Scene]) -> Float32Array:
    return np.concatenate([scene.alphas for scene in clips.values()])


def test_each_clip_is_matted_with_its_own_background(capture: Capture, clips: dict[str, Scene]) -> None:
    truth = truth_of(clips)
    matted = with_mattes(capture, boxes_of(clips))
    assert matted.masked and len(matted) == 40
    scores = [overlap(np.asarray(matted.mask(i)), truth[i]) for i in range(40)]
    assert min(scores) > 0.97, scores


def test_the_background_of_another_clip_would_not_do(capture: Capture, clips: dict[str, Scene]) -> None:
    """What the test above would see if one background served both."""
    boxes, truth = boxes_of(clips), truth_of(clips)
    day = learn_background(np.stack([capture.image(i) for i in range(24)]), boxes[:24])
    scores = [overlap(matte(capture.image(i), day, boxes[i]), truth[i]) for i in range(24, 40)]
    assert max(scores) < 0.8, scores


def test_every_clip_holds_out_its_own_frames(capture: Capture) -> None:
    """Every tenth frame, and the last 15 % from the first whole frame on."""
    assert [(c.name, c.width, c.height) for c in capture.cameras] == [("day", 160, 160), ("evening", 160, 160)]
    assert [i for i, f in enumerate(capture.frames) if f.split == "val"] == [9, 19, 24 + 9]
    assert [i for i, f in enumerate(capture.frames) if f.split == "test"] == [21, 22, 23, 24 + 14, 24 + 15]
    assert [f.camera for f in capture.frames] == [0] * 24 + [1] * 16


def test_a_clip_whose_camera_moves_is_named(clips: dict[str, Scene], tmp_path: Path) -> None:
    moving = {"still": clips["day"], "walk": make_scene(wall_texture=25.0, pan=14.0)}
    capture = read_capture(films(tmp_path, moving), size=None, cache_dir=tmp_path / "c")
    with pytest.raises(InputError, match=r"still \(walk\): the camera moves .* needs masks"):
        with_mattes(capture, boxes_of(moving))
