"""The data set reader against data sets that the tests write, good and bad."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatarkit.capture.dataset import is_dataset, read_dataset
from avatarkit.errors import FileFormatError, InputError
from avatarkit.events import Notice, collect

from .conftest import HEIGHT, STEPS, WIDTH, change_json, colour, write_dataset

Change = Callable[[dict[str, Any]], object]


def test_everything_that_was_written_comes_back(small: Path, frames_dir: Path) -> None:
    data = read_dataset(small, cache_dir=frames_dir)
    capture = data.capture
    assert (len(capture), capture.num_timesteps, len(capture.cameras)) == (8, STEPS, 2)
    assert data.counts == {"vertices": 5023, "shape": 5, "expr": 7}
    assert [len(capture.indices(split)) for split in ("train", "val", "test")] == [3, 3, 2]
    assert capture.masked and capture.static_camera
    for i, frame in enumerate(capture.frames):
        assert capture.image(i).shape == (HEIGHT, WIDTH, 3)
        assert tuple(capture.image(i)[0, 0]) == colour(frame.timestep, frame.camera)
        mask = capture.mask(i)
        assert mask is not None and mask.sum() == 8 * 6 * 255 and mask[4, 3] == 255
    np.testing.assert_array_equal(data.params["expr"], np.repeat(np.arange(STEPS), 7).reshape(STEPS, 7))
    np.testing.assert_array_equal(data.params["translation"][:, 0], np.arange(STEPS))
    assert data.params["eyes_pose"].shape == (STEPS, 6) and data.params["expr"].dtype == np.float32
    np.testing.assert_array_equal(data.shape, np.arange(5))
    assert data.static_offset is not None and data.static_offset.shape == (5023, 3)
    assert data.dynamic_offset is None and data.canonical is None


def test_a_data_set_may_be_named_by_a_way_up_and_down(
    small: Path, frames_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = small.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert len(read_dataset(Path("..") / small.name, cache_dir=frames_dir).capture) == 8
    linked = elsewhere / "linked"
    linked.symlink_to(small, target_is_directory=True)  # its real neighbours are beside the real folder
    assert len(read_dataset(linked / ".." / small.name, cache_dir=frames_dir).capture) == 8


def test_cameras_are_converted_to_opencv(small: Path, frames_dir: Path) -> None:
    cameras = read_dataset(small, cache_dir=frames_dir).capture.cameras
    for index, camera in enumerate(cameras):
        assert camera.K is not None and camera.viewmat is not None
        np.testing.assert_allclose(camera.K, [[30, 0, 6.5], [0, 31, 7.5], [0, 0, 1]])
        # the world's origin is a metre ahead, in the middle; the world's up is the image's up (y down)
        np.testing.assert_allclose(camera.viewmat @ [0, 0, 0, 1], [0, 0, 1, 1], atol=1e-9)
        np.testing.assert_allclose(camera.viewmat[:3, :3] @ [0, 1, 0], [0, -1, 0], atol=1e-9)
        centre = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
        np.testing.assert_allclose(centre, [np.sin(0.3 * index), 0, np.cos(0.3 * index)], atol=1e-9)


def test_shared_values_may_stand_at_top_level(small: Path, frames_dir: Path) -> None:
    def lift(content: dict[str, Any]) -> None:
        for key in ("cx", "cy", "fl_x", "fl_y", "w", "h"):
            content[key] = content["frames"][0][key]
            for frame in content["frames"]:
                del frame[key]

    before = read_dataset(small, cache_dir=frames_dir).capture.cameras[0].K
    change_json(small / "transforms_train.json", lift)
    after = read_dataset(small, cache_dir=frames_dir).capture.cameras[0].K
    np.testing.assert_array_equal(before, after)


def test_chosen_splits_only(small: Path, frames_dir: Path) -> None:
    data = read_dataset(small, splits=("train",), cache_dir=frames_dir)
    assert {frame.split for frame in data.capture.frames} == {"train"}
    assert len(data.params["expr"]) == STEPS - 1


@pytest.mark.parametrize("first", [STEPS, 0], ids=["indices continue", "indices repeat"])
def test_a_union_of_two_sequences(tmp_path: Path, frames_dir: Path, first: int) -> None:
    a = write_dataset(tmp_path / "EMO-1")
    b = write_dataset(tmp_path / "SEN-2", first_step=first, seed=3)
    union = tmp_path / "UNION"
    union.mkdir()
    for split in ("train", "val", "test"):
        rows = []
        for part in (a, b):
            for row in json.loads((part / f"transforms_{split}.json").read_text())["frames"]:
                for key in ("file_path", "fg_mask_path", "flame_param_path"):
                    row[key] = f"../{part.name}/{row[key]}"
                rows.append(row)
        (union / f"transforms_{split}.json").write_text(json.dumps({"frames": rows}))
    run, events = collect()
    data = read_dataset(union, cache_dir=frames_dir, run=run)
    assert data.capture.num_timesteps == 2 * STEPS and len(set(data.capture.timestep_names)) == 2 * STEPS
    assert sorted(data.params["expr"][:, 0]) == [0, 1, 2, 3, 3, 4, 5, 6]
    assert len(data.capture.cameras) == 2
    for i, frame in enumerate(data.capture.frames):  # every image still meets its own parameters
        assert data.capture.image(i)[0, 0, 0] == 10 + 40 * data.params["translation"][frame.timestep, 0]
    assert any(isinstance(event, Notice) and "static_offset" in event.text for event in events)


def test_teeth_and_moving_offsets(tmp_path: Path, frames_dir: Path) -> None:
    folder = write_dataset(tmp_path / "set", vertices=5143)
    for step in range(STEPS):
        file = folder / "flame_param" / f"{step:05d}.npz"
        arrays = dict(np.load(file))
        np.savez(file, **arrays, dynamic_offset=np.full((1, 5143, 3), step, np.float32))
    data = read_dataset(folder, cache_dir=frames_dir)
    assert data.counts["vertices"] == 5143
    assert data.dynamic_offset is not None and data.dynamic_offset.shape == (STEPS, 5143, 3)
    assert data.dynamic_offset[2].mean() == 2


def test_canonical_parameters(small: Path, frames_dir: Path) -> None:
    arrays = dict(np.load(small / "flame_param" / "00000.npz"))
    np.savez(small / "canonical_flame_param.npz", **{**arrays, "jaw_pose": np.float32([[0.3, 0, 0]])})
    data = read_dataset(small, cache_dir=frames_dir)
    assert data.canonical is not None
    np.testing.assert_allclose(data.canonical["jaw_pose"], [0.3, 0, 0])
    np.savez(small / "canonical_flame_param.npz", **{**arrays, "expr": np.zeros((1, 9), np.float32)})
    with pytest.raises(FileFormatError, match=r"canonical_flame_param.npz: 'expr' has 9 values; the timesteps have 7"):
        read_dataset(small, cache_dir=frames_dir)


def test_a_camera_that_moves_becomes_several(small: Path, frames_dir: Path) -> None:
    def move(content: dict[str, Any]) -> None:
        content["frames"][1]["transform_matrix"][1][3] = 0.1

    change_json(small / "transforms_train.json", move)
    capture = read_dataset(small, cache_dir=frames_dir).capture
    assert len(capture.cameras) == 3 and not capture.static_camera
    moved = capture.frames[1]
    assert capture.cameras[moved.camera].name == "00/2"
    assert capture.cameras[moved.camera].viewmat[1, 3] == pytest.approx(0.1)  # type: ignore[index]


def test_an_alpha_channel_is_a_mask(small: Path, frames_dir: Path) -> None:
    for split in ("train", "val", "test"):
        change_json(small / f"transforms_{split}.json", lambda c: [frame.pop("fg_mask_path") for frame in c["frames"]])
    assert not read_dataset(small, cache_dir=frames_dir).capture.masked
    for file in (small / "images").iterdir():
        picture = Image.open(file).convert("RGBA")
        picture.putalpha(77 if file.name == "none" else 200)
        picture.save(file)
    capture = read_dataset(small, cache_dir=frames_dir).capture
    assert capture.masked and np.all(capture.mask(0) == 200)


def test_leaked_frames_are_named(small: Path, frames_dir: Path) -> None:
    shutil.copy(small / "transforms_train.json", small / "transforms_val.json")
    run, events = collect()
    read_dataset(small, cache_dir=frames_dir, run=run)
    assert any(isinstance(e, Notice) and "3 images of 'val' are also in 'train'" in e.text for e in events)


def _set(key: str, value: Any) -> Change:
    return lambda content: content["frames"][1].__setitem__(key, value)


def _rename(old: str, new: str) -> Change:
    return lambda content: [f.__setitem__(new, f.pop(old)) for f in content["frames"]]


SCALED = [[2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 2.0, 1], [0, 0, 0, 1]]
MIRRORED = [[-1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 1], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["frames"][1].pop("fl_x"), r"train.json: frames\[1\]: key 'fl_x' is missing$"),
        (_rename("fl_x", "flx"), r"frames\[0\]: key 'fl_x' is missing; did you mean 'flx'\?"),
        (_rename("fg_mask_path", "fg_mask_pth"), r"key 'fg_mask_path' is missing; did you mean 'fg_mask_pth'\?"),
        (lambda c: c["frames"][1].pop("fg_mask_path"), r"frames\[1\] has no 'fg_mask_path', but 2 of 3 frames do"),
        (lambda c: c.__setitem__("frame", c.pop("frames")), r"key 'frames' is missing.*did you mean 'frame'"),
        (lambda c: c["frames"].clear(), r"'frames' is empty"),
        (lambda c: c["frames"].append(c["frames"][0]), r"frames\[3\] repeats timestep_index 0 of camera_index 0"),
        (_set("fl_y", float("nan")), r"frames\[1\]: 'fl_y' is nan; expected a finite number"),
        (_set("fl_y", -3), r"'fl_y' is -3; expected a positive number"),
        (_set("w", 10.5), r"'w' is 10.5; expected a whole number"),
        (_set("w", "12"), r"'w' is '12'; expected a finite number"),
        (_set("w", WIDTH + 1), r"00001_00.png: the picture is 12x16; expected 13x16"),
        (_set("timestep_index", True), r"'timestep_index' is True"),
        (_set("transform_matrix", SCALED), r"'transform_matrix' is not rigid"),
        (_set("transform_matrix", MIRRORED), r"'transform_matrix' is not rigid"),
        (_set("transform_matrix", [[1, 2], [3, 4]]), r"'transform_matrix' has shape \(2, 2\)"),
        (_set("transform_matrix", [[1], [2, 3]]), r"'transform_matrix' is not a matrix"),
        (_set("transform_matrix", [[float("inf")] * 4] * 4), r"not finite"),
        (_set("file_path", "images/none.png"), r"'file_path' is 'images/none.png', and .* does not exist"),
        (_set("file_path", "../../secret.png"), r"expected a path in the data set's folder or beside it"),
        (_set("file_path", "/etc/hostname"), r"expected a path in the data set's folder or beside it"),
        (_set("file_path", 3), r"'file_path' is 3; expected a relative path"),
    ],
)  # fmt: skip
def test_bad_transforms(small: Path, frames_dir: Path, change: Change, message: str) -> None:
    change_json(small / "transforms_train.json", change)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_dataset(small, cache_dir=frames_dir)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_json_that_is_cut(small: Path, frames_dir: Path) -> None:
    file = small / "transforms_val.json"
    file.write_text(file.read_text()[:200])
    with pytest.raises(FileFormatError, match=r"transforms_val.json: not valid JSON"):
        read_dataset(small, cache_dir=frames_dir)


def _rewrite(file: Path, **changes: Any) -> None:
    arrays = {**dict(np.load(file)), **changes}
    np.savez(file, **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jaw_pose": None}, r"00001.npz: key 'jaw_pose' is missing$"),
        ({"jaw_pose": None, "jaw_pse": np.zeros((1, 3))}, r"key 'jaw_pose' is missing; did you mean 'jaw_pse'\?"),
        ({"static_offset": None}, r"00001.npz: key 'static_offset' is missing, but .*00000.npz has it"),
        ({"rotation": np.full((1, 3), np.nan)}, r"00001.npz: 'rotation' has a value that is not finite"),
        ({"eyes_pose": np.zeros((1, 3))}, r"'eyes_pose' has shape \(1, 3\); expected .*\(6,\)"),
        ({"expr": np.zeros((1, 8))}, r"00001.npz: 'expr' has \(8,\); .*00000.npz has \(7,\)"),
        ({"static_offset": np.zeros((1, 100, 3))}, r"'static_offset' has \(100, 3\)"),
        ({"shape": np.array(["a"])}, r"'shape' has dtype <U1; expected numbers"),
        ({"shape": np.array([{}], object)}, r"00001.npz: not an npz file that can be read"),
    ],
)
def test_bad_parameters(small: Path, frames_dir: Path, changes: dict[str, Any], message: str) -> None:
    _rewrite(small / "flame_param" / "00001.npz", **changes)
    with pytest.raises(FileFormatError, match=message):
        read_dataset(small, cache_dir=frames_dir)


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "not npz", "flipped"])
def test_a_damaged_npz(small: Path, frames_dir: Path, damage: str) -> None:
    file = small / "flame_param" / "00002.npz"
    data = file.read_bytes()
    if damage == "not npz":
        with file.open("wb") as stream:
            np.save(stream, np.zeros(3))
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes(255 - b for b in data[middle : middle + 64]) + data[middle + 64 :]
        file.write_bytes({"cut": data[:middle], "noise": b"x" * 500, "empty": b"", "flipped": flipped}[damage])
    with pytest.raises(FileFormatError, match=r"00002.npz: not an npz"):
        read_dataset(small, cache_dir=frames_dir)


def test_a_mask_without_foreground(small: Path, frames_dir: Path) -> None:
    Image.new("L", (WIDTH, HEIGHT), 90).save(small / "fg_masks" / "00002_01.png")
    with pytest.raises(FileFormatError, match=r"00002_01.png: the mask has no foreground \(largest value 90 of 255\)"):
        read_dataset(small, cache_dir=frames_dir)
    assert not [p for p in frames_dir.iterdir() if not p.name.startswith(".")], (
        "a failed build must leave nothing behind"
    )


def test_a_mask_of_another_size(small: Path, frames_dir: Path) -> None:
    Image.new("L", (WIDTH * 2, HEIGHT), 255).save(small / "fg_masks" / "00002_01.png")
    with pytest.raises(FileFormatError, match=r"fg_masks/00002_01.png: the picture is 24x16; expected 12x16"):
        read_dataset(small, cache_dir=frames_dir)


def test_a_picture_that_is_cut(small: Path, frames_dir: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    file = small / "images" / "00001_00.png"
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(FileFormatError, match=r"00001_00.png: the picture is damaged or cut short"):
        read_dataset(small, cache_dir=frames_dir)


def test_no_data_set(tmp_path: Path) -> None:
    assert not is_dataset(tmp_path)
    with pytest.raises(InputError, match="not a GaussianAvatars/VHAP data set"):
        read_dataset(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_dataset(tmp_path / "none")


def test_a_semi_synthetic_capture(test_data: Path, tmp_path: Path, frames_dir: Path) -> None:
    """The project's capture tool, where it is present: its masks, cameras and counts as it documents them."""
    tool = test_data.parent / "tools" / "teacher_capture.py"
    if not tool.is_file():
        pytest.skip(f"{tool} is not present")
    out = tmp_path / "teacher"
    options = ["--cameras", "3", "--timesteps", "4", "--width", "96", "--height", "128"]
    subprocess.run(
        [sys.executable, tool, "--out", out, *options], check=True, capture_output=True, env=dict(os.environ)
    )
    data = read_dataset(out, cache_dir=frames_dir)
    assert data.counts == {"vertices": 5023, "shape": 60, "expr": 51}
    assert [len(data.capture.indices(split)) for split in ("train", "val", "test")] == [6, 3, 3]
    assert data.canonical is not None and data.canonical["jaw_pose"][0] == pytest.approx(0.3)
    camera = data.capture.cameras[0]
    assert camera.K is not None and (camera.K[0, 2], camera.K[1, 2]) == (51.0, 59.0)
    mask = data.capture.mask(0)
    assert mask is not None and 0.2 < (mask > 127).mean() < 0.9
