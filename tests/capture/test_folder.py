"""Folders of images: order, masks, several cameras, and everything that can be wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatarkit.capture.folder import read_folder
from avatarkit.errors import FileFormatError, InputError
from avatarkit.events import Notice, collect

from .conftest import camera_to_world, change_json

WIDTH, HEIGHT = 80, 64


def picture(file: Path, value: int, size: tuple[int, int] = (WIDTH, HEIGHT), alpha: int | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if alpha is None:
        Image.new("RGB", size, (value, value, value)).save(file)
    else:
        Image.new("RGBA", size, (value, value, value, alpha)).save(file)


def mask(file: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((size[1], size[0]), np.uint8)
    values[10:50, 20:60] = 255
    Image.fromarray(values).save(file)


def stage(folder: Path, cameras: int = 2, steps: int = 3) -> Path:
    for c in range(cameras):
        for t in range(steps):
            picture(folder / f"cam{c}" / f"{t}.png", 50 * c + 10 * t)
    rows = [
        {"name": f"cam{c}", "width": WIDTH, "height": HEIGHT, "fl_x": 90, "fl_y": 91, "cx": 40, "cy": 32,
         "transform_matrix": camera_to_world(c)}
        for c in range(cameras)
    ]  # fmt: skip
    (folder / "cameras.json").write_text(json.dumps({"cameras": rows}))
    return folder


@pytest.mark.parametrize("inside", [".", "images"])
def test_one_camera_in_natural_order(tmp_path: Path, inside: str) -> None:
    for i in (10, 9, 2, 1, 100):
        picture(tmp_path / "clip" / inside / f"frame_{i}.jpg", i)
    (tmp_path / "clip" / inside / ".hidden.png").touch()
    (tmp_path / "clip" / "notes.txt").touch()
    capture = read_folder(tmp_path / "clip", size=64, cache_dir=tmp_path / "c")
    assert capture.timestep_names == ("frame_1", "frame_2", "frame_9", "frame_10", "frame_100")
    assert [int(capture.image(i)[0, 0, 0]) for i in range(5)] == [1, 2, 9, 10, 100]
    assert capture.image(0).shape == (64, 64, 3) and not capture.masked and capture.cameras[0].K is None
    assert capture.cameras[0].crop is not None and capture.cameras[0].crop.x == 8


@pytest.mark.parametrize("kind", ["masks", "fg_masks", "alpha"])
def test_masks(tmp_path: Path, kind: str) -> None:
    for i in range(3):
        picture(tmp_path / "clip" / "images" / f"{i}.png", 9, alpha=222 if kind == "alpha" else None)
        if kind != "alpha":
            mask(tmp_path / "clip" / kind / f"{i}.png")
    capture = read_folder(tmp_path / "clip", size=None, cache_dir=tmp_path / "c")
    assert capture.masked
    found = capture.mask(1)
    assert found is not None
    assert np.all(found == 222) if kind == "alpha" else found.sum() == 40 * 40 * 255
    cropped = read_folder(tmp_path / "clip", size=64, cache_dir=tmp_path / "c").mask(1)
    assert cropped is not None and cropped.shape == (64, 64), "masks are cut as the images are"
    if kind != "alpha":
        assert np.all(cropped[10:50, 12:52] == 255) and cropped.sum() == 40 * 40 * 255


def test_several_cameras(tmp_path: Path) -> None:
    capture = read_folder(stage(tmp_path / "s"), cache_dir=tmp_path / "c")
    assert [c.name for c in capture.cameras] == ["cam0", "cam1"] and capture.num_timesteps == 3
    for i, frame in enumerate(capture.frames):
        assert capture.image(i).shape == (HEIGHT, WIDTH, 3), "known intrinsics: as they are"
        assert capture.image(i)[0, 0, 0] == 50 * frame.camera + 10 * frame.timestep
    camera = capture.cameras[1]
    assert camera.K is not None and camera.viewmat is not None
    np.testing.assert_allclose(camera.K, [[90, 0, 40], [0, 91, 32], [0, 0, 1]])
    np.testing.assert_allclose(camera.viewmat @ [0, 0, 0, 1], [0, 0, 1, 1], atol=1e-9)


def test_a_matrix_K_and_masks_per_camera(tmp_path: Path) -> None:
    folder = stage(tmp_path / "s")
    change_json(folder / "cameras.json", lambda c: c["cameras"][0].update(K=[[7, 0, 1], [0, 8, 2], [0, 0, 1]]))
    for c in range(2):
        for t in range(3):
            mask(folder / "masks" / f"cam{c}" / f"{t}.png")
    capture = read_folder(folder, cache_dir=tmp_path / "c")
    assert capture.masked and capture.cameras[0].K is not None and capture.cameras[0].K[0, 0] == 7


def test_a_missing_view_is_said(tmp_path: Path) -> None:
    folder = stage(tmp_path / "s")
    (folder / "cam1" / "1.png").unlink()
    run, events = collect()
    capture = read_folder(folder, cache_dir=tmp_path / "c", run=run)
    assert len(capture) == 5 and capture.num_timesteps == 3
    assert any(isinstance(e, Notice) and "1 images are missing" in e.text for e in events)


def test_cameras_whose_files_are_named_apart(tmp_path: Path) -> None:
    folder = stage(tmp_path / "s")
    for file in (folder / "cam1").iterdir():
        file.rename(file.with_name(f"b{file.name}"))
    assert read_folder(folder, cache_dir=tmp_path / "c").num_timesteps == 3
    (folder / "cam1" / "b2.png").unlink()
    with pytest.raises(InputError, match=r"share no file name and have \[2, 3\] images"):
        read_folder(folder, cache_dir=tmp_path / "c")


def test_several_cameras_without_cameras_json(tmp_path: Path) -> None:
    folder = stage(tmp_path / "s")
    (folder / "cameras.json").unlink()
    with pytest.raises(InputError, match=r"2 camera folders \(cam0, cam1\) but no cameras.json; add one") as caught:
        read_folder(folder, cache_dir=tmp_path / "c")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("cameras"), "key 'cameras' is missing"),
        (lambda c: c["cameras"].pop(), "no camera named 'cam1', which has a folder; did you mean 'cam0'"),
        (lambda c: c["cameras"][1].update(name="cam0"), r"cameras\[1\]: 'name' is 'cam0'; expected a name that no other"),
        (lambda c: c["cameras"][1].pop("fl_x"), r"cameras\[1\]: key 'fl_x' is missing"),
        (lambda c: c["cameras"][1].update(width=0), r"'width' is 0; expected a positive"),
        (lambda c: c["cameras"][1].update(width=81), r"the picture is 80x64; expected 81x64"),
        (lambda c: c["cameras"][1].update(transform_matrix=[1]), r"cameras\[1\]: 'transform_matrix' has shape"),
        (lambda c: c["cameras"][1].update(K=[[1, 2], [3, 4]]), r"cameras\[1\]: 'K' is not"),
        (lambda c: c["cameras"][1].update(K="x"), r"cameras\[1\]: 'K' is not a matrix"),
    ],
)  # fmt: skip
def test_bad_cameras_json(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    folder = stage(tmp_path / "s")
    change_json(folder / "cameras.json", change)
    with pytest.raises(FileFormatError, match=message):
        read_folder(folder, cache_dir=tmp_path / "c")


def test_bad_folders(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "a" / f"{i}.png", 1)
    mask(tmp_path / "a" / "masks" / "1.png")
    with pytest.raises(InputError, match=r"0.png: no mask, but 1 of 3 images have one"):
        read_folder(tmp_path / "a", cache_dir=tmp_path / "c")
    for i in range(3):
        Image.new("L", (WIDTH, HEIGHT), 0).save(tmp_path / "a" / "masks" / f"{i}.png")
    with pytest.raises(FileFormatError, match=r"masks/0.png: the mask has no foreground"):
        read_folder(tmp_path / "a", cache_dir=tmp_path / "c")
    picture(tmp_path / "b" / "0.png", 1)
    picture(tmp_path / "b" / "1.png", 1, size=(90, 64))
    with pytest.raises(FileFormatError, match=r"1.png: the picture is 90x64; expected 80x64, as 0.png is"):
        read_folder(tmp_path / "b", cache_dir=tmp_path / "c")
    picture(tmp_path / "d" / "0.png", 1, alpha=255)
    picture(tmp_path / "d" / "1.png", 1)
    with pytest.raises(FileFormatError, match=r"1.png: no alpha channel, unlike the images before it"):
        read_folder(tmp_path / "d", cache_dir=tmp_path / "c")
    picture(tmp_path / "e" / "0.png", 1)
    picture(tmp_path / "e" / "0.jpg", 1)
    with pytest.raises(InputError, match=r"the same frame as"):
        read_folder(tmp_path / "e", cache_dir=tmp_path / "c")
