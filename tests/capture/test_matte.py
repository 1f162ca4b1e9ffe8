"""Mattes against composites whose alpha is known, moving cameras against still ones, and a real clip where it is present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatarkit.capture.background import face_ellipse, learn_background
from avatarkit.capture.capture import Capture, CaptureCamera, Frame
from avatarkit.capture.matte import matte, with_mattes
from avatarkit.capture.motion import require_static
from avatarkit.capture.reading import read_capture
from avatarkit.errors import InputError

from .scene import SIZE, Scene, make_scene


def as_capture(scene: Scene, cache: Path, masks: np.ndarray | None = None) -> Capture:
    frames = tuple(Frame(t, 0, "train", f"frame {t}") for t in range(len(scene.images)))
    return Capture(
        "scene", (CaptureCamera("0", SIZE, SIZE),), frames, tuple(str(t) for t in range(len(frames))),
        lambda i: scene.images[i], (lambda i: None) if masks is None else (lambda i: masks[i]), masks is not None,
        cache_key=str(scene.images.sum()), cache_dir=str(cache),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        ({}, 0.008),
        ({"flicker": 0.05}, 0.010),
        ({"patch": True}, 0.010),
        ({"sway": 2.0}, 0.010),
        ({"wall_texture": 8.0}, 0.015),
    ],
    ids=["plain", "exposure changes", "shirt of the wall's colour", "hardly moves", "textured wall"],
)
def test_alpha_of_known_composites(options: dict[str, float], bound: float) -> None:
    scene = make_scene(**options)  # type: ignore[arg-type]
    background = learn_background(scene.images, scene.boxes)
    errors = []
    for t in (0, 4, 11):
        alpha = matte(scene.images[t], background, scene.boxes[t]).astype(np.float32) / 255.0
        truth = scene.alphas[t]
        errors.append(np.abs(alpha - truth).mean())
        inside, outside = truth > 0.999, truth < 0.001
        assert alpha[inside].mean() > 0.985 and alpha[outside].mean() < 0.008
        assert alpha[face_ellipse(scene.boxes[t], SIZE, SIZE, 0.85)].min() == 1.0, "no hole in the face"
    assert np.mean(errors) < bound, f"mean absolute alpha error {np.mean(errors):.4f}"


def test_hair_stays_soft() -> None:
    scene = make_scene()
    background = learn_background(scene.images, scene.boxes)
    alpha = matte(scene.images[3], background, scene.boxes[3]) / 255.0
    soft = (scene.alphas[3] > 0.2) & (scene.alphas[3] < 0.8)
    assert ((alpha[soft] > 0.05) & (alpha[soft] < 0.95)).mean() > 0.3
    assert np.corrcoef(alpha[soft], scene.alphas[3][soft])[0, 1] > 0.5


def test_a_head_mask_instead_of_a_box_and_a_lost_face() -> None:
    scene = make_scene()
    masks = scene.alphas > 0.9
    background = learn_background(scene.images, masks)
    for head in (masks[2], np.full(4, np.nan)):
        alpha = matte(scene.images[2], background, head) / 255.0
        assert np.abs(alpha - scene.alphas[2]).mean() < 0.01


def test_masks_with_shoulders_do_not_hide_the_wall_beside_the_head(tmp_path: Path) -> None:
    """The head touches the upper edge, off the middle: the wall to its right is seen by what the face box leaves free only."""
    scene = make_scene(wall_texture=8.0)
    cut = (slice(None), slice(40, None), slice(0, 140))
    boxes = scene.boxes - np.array([0.0, 40.0, 0.0, 40.0])
    close = Scene(np.ascontiguousarray(scene.images[cut]), scene.alphas[cut], scene.wall[cut[1:]], boxes)
    capture, persons = as_capture(close, tmp_path), close.alphas > 0.9

    def error(faces: np.ndarray | None) -> float:
        matted = with_mattes(capture, persons, faces=faces)
        return float(np.mean([np.abs(np.asarray(matted.mask(t)) / 255.0 - close.alphas[t]).mean() for t in (0, 4, 11)]))

    without = error(None)
    assert error(boxes) < min(0.012, 0.5 * without), "and what was cached without the boxes does not stand for it"


def test_mattes_are_steady_over_time() -> None:
    """Noise is new in every frame; the matte of what stands still must not flicker with it."""
    scene = make_scene(sway=0.0)
    background = learn_background(scene.images, scene.boxes)
    alphas = np.stack([matte(scene.images[t], background, scene.boxes[t]) for t in range(6)]).astype(float)
    assert alphas.std(0).mean() / 255 < 0.004


def test_with_mattes_fills_a_capture_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene(steps=12)
    capture = as_capture(scene, tmp_path)
    matted = with_mattes(capture, scene.boxes)
    assert matted.masked
    for i in (0, 5):
        mask = matted.mask(i)
        assert mask is not None and mask.dtype == np.uint8
        assert np.abs(mask / 255.0 - scene.alphas[i]).mean() < 0.012
    monkeypatch.setattr("avatarkit.capture.matte.learn_background", None)
    again = with_mattes(capture, scene.boxes)
    np.testing.assert_array_equal(again.mask(5), matted.mask(5))


def test_given_masks_win(tmp_path: Path) -> None:
    scene = make_scene(steps=4)
    capture = as_capture(scene, tmp_path, masks=np.full((4, SIZE, SIZE), 77, np.uint8))
    assert with_mattes(capture, scene.boxes) is capture


@pytest.mark.parametrize("texture", [0.0, 6.0, 20.0])
def test_a_still_camera_is_still(texture: float) -> None:
    scene = make_scene(wall_texture=texture)
    require_static(scene.images, scene.boxes, "clip")


def test_a_moving_camera_needs_masks(tmp_path: Path) -> None:
    scene = make_scene(wall_texture=12.0, pan=9.0)
    with pytest.raises(InputError, match=r"scene: the camera moves .* needs masks") as caught:
        with_mattes(as_capture(scene, tmp_path), scene.boxes)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_no_face_anywhere(tmp_path: Path) -> None:
    scene = make_scene(steps=4)
    with pytest.raises(InputError, match="no face in any frame"):
        with_mattes(as_capture(scene, tmp_path), np.full((4, 4), np.nan))
    with pytest.raises(InputError, match="3 head boxes for 4 frames"):
        with_mattes(as_capture(scene, tmp_path), scene.boxes[:3])


def test_a_real_clip(test_data: Path, tmp_path: Path) -> None:
    """What holds whatever the person looks like: the wall goes, the face stays, and there are no holes in it."""
    clip = test_data / "video" / "man_plain_background.mp4"
    if not clip.is_file():
        pytest.skip(f"{clip} is not present")
    capture = read_capture(clip, size=240, max_frames=24, cache_dir=tmp_path)
    box = np.array([68.0, 74.0, 177.0, 215.0])  # of 240: the head of this clip hardly moves
    matted = with_mattes(capture, np.tile(box, (24, 1)))
    for i in range(0, 24, 6):
        alpha = matted.mask(i)
        assert alpha is not None
        assert alpha[:110, :30].max() == 0 and alpha[:110, 210:].max() == 0, "wall beside the head"
        assert alpha[30:200, 90:155].min() == 255, "no holes in face and hair"
        assert (alpha[225:, 60:180] > 250).mean() > 0.97, "shoulders belong to the person"
        assert 0.001 < ((alpha > 12) & (alpha < 243)).mean() < 0.05, "a thin soft rim"
