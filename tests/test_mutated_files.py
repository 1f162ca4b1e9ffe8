"""Damaged files: one clean error, or what was there before; never a crash, never silently something else.

Bytes are damaged at random; so is the content, with every checksum right.  A file whose content was changed may load only if what it
loads is what the file now says.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.capture.capture import Capture
from avatarkit.capture.dataset import read_dataset
from avatarkit.capture.parameter_files import read_parameter_file
from avatarkit.errors import AvatarkitError, FileFormatError
from avatarkit.events import Run
from avatarkit.gaussians.avatar_file import FORMAT, load_avatar, save_avatar
from avatarkit.gaussians.tensor_file import load_tensors, save_tensors
from avatarkit.gaussians.trained_folder import read_parameters
from avatarkit.recon import checkpoint
from avatarkit.recon.step import TrainState
from avatarkit.testing.exporters import small_avatar
from avatarkit.types import Float32Array

from .mutations import damaged_arrays, damaged_bytes, damaged_json, damaged_tensors, lying_npz

FEW, MANY = 60, 500


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("a") / "a.avatar"
    save_avatar(small_avatar()[0], path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small state."""
    from avatarkit.head.parameters import HeadParams, HeadPose
    from avatarkit.recon.head_tuning import HeadState
    from avatarkit.recon.step import fresh_state

    small = small_avatar()[0]
    motion = HeadParams.zeros(2, 4, 3)
    pose = HeadPose(torch.rand(2, 9, 3), torch.eye(4).repeat(2, 5, 1, 1))
    moments = {name: torch.zeros_like(getattr(motion, name)) for name in ("expr", "rotation", "shape")}
    counts = {"expr": torch.zeros(2), "rotation": torch.zeros(2), "shape": torch.zeros(1)}
    head = HeadState(
        motion, pose, torch.zeros_like(pose.vertices), torch.zeros_like(pose.joints), torch.zeros(2).bool(),
        dict(moments), {name: value.clone() for name, value in moments.items()}, counts,
    )  # fmt: skip
    state = fresh_state(small.gaussians, head, 0.003)
    state.step, state.total, state.curve = 3, 24, [{"step": 2, "val_psnr": 20.0}]
    return checkpoint.save(state, Run(tmp_path_factory.mktemp("c")))


def refused(load: Callable[[Path], Any], path: Path) -> bool:
    """Whether ``load`` refuses ``path``, and does it in one line that names the file."""
    try:
        load(path)
    except AvatarkitError as error:
        text = str(error)
        assert "\n" not in text and path.name in text, text
        assert len(text) < 1000
        return True
    return False


def bytes_of(state: TrainState) -> dict[str, Any]:
    tensors = {
        **state.gaussians.tensors(),
        **{f"first {k}": v for k, v in state.adam.first.items()},
        "steps": state.adam.steps,
    }
    return {name: value.detach().numpy().tobytes() for name, value in tensors.items()}


def mutated_avatars(avatar: Path, folder: Path, count: int, seed: int) -> None:
    chance, blob = random.Random(seed), avatar.read_bytes()
    path, same = folder / "mutated.avatar", 0
    for number in range(count):
        if number % 2:
            damaged = damaged_bytes(blob, chance)
            path.write_bytes(damaged)
            assert refused(load_avatar, path) or damaged == blob
            continue
        tensors, metadata = load_tensors(avatar, FORMAT)
        damaged_tensors(tensors, metadata, chance)
        try:
            save_tensors(path, tensors, metadata, FORMAT)
        except AvatarkitError:
            continue
        if refused(load_avatar, path):
            continue
        found = load_avatar(path)  # then it says what the file says, and can be written again
        for name, value in found.gaussians.stored().items():
            assert torch.equal(value, tensors[f"gaussians/{name}"])
        for field in fields(found.motion):
            value = getattr(found.motion, field.name)
            assert value is None or torch.equal(value, tensors[f"motion/{field.name}"])
        save_avatar(found, folder / "again.avatar")
        again = load_tensors(folder / "again.avatar", FORMAT)[1]
        assert json.dumps(again, sort_keys=True) == json.dumps(metadata, sort_keys=True)
        same += 1
    assert same < count // 3, "most damage is refused"


def mutated_checkpoints(saved: Path, folder: Path, count: int, seed: int) -> None:
    chance, blob = random.Random(seed), saved.read_bytes()
    whole, path = bytes_of(checkpoint.load(saved)), folder / "step-00000003.safetensors"
    for number in range(count):
        if number % 2:
            damaged = damaged_bytes(blob, chance)
            path.write_bytes(damaged)
            assert refused(checkpoint.load, path) or damaged == blob
            continue
        tensors, metadata = load_tensors(saved, checkpoint.FORMAT)
        damaged_tensors(tensors, metadata, chance)
        try:
            save_tensors(path, tensors, metadata, checkpoint.FORMAT)
        except AvatarkitError:
            continue
        if not refused(checkpoint.load, path):  # metadata only: a curve, another count
            assert bytes_of(checkpoint.load(path)) == whole


def mutated_npz(folder: Path, count: int, seed: int, trained: bool) -> None:
    """Head parameters of one timestep, or of a whole trained motion."""
    chance = random.Random(seed)
    steps = 2 if trained else 1
    widths = {"translation": 3, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}
    arrays: dict[str, np.ndarray] = {
        name: np.linspace(0, 1, steps * width, dtype=np.float32).reshape(steps, width) for name, width in widths.items()
    }
    arrays |= {"shape": np.ones(4, np.float32), "expr": np.full((steps, 5), 0.5, np.float32)}
    arrays["static_offset"] = np.full((1, 9, 3), 0.01, np.float32)
    load: Callable[[Path], Any] = read_parameters if trained else read_parameter_file
    file = folder / "mutated.npz"

    def values() -> dict[str, Float32Array]:
        found = load(file)
        if trained:
            params = found[0]
            return {f.name: v.numpy() for f in fields(params) if (v := getattr(params, f.name)) is not None}
        return dict(found)

    def same(one: dict[str, Float32Array], other: dict[str, Any]) -> bool:
        """Every array of ``one`` is what the file has of that name, or nothing but zeros where it has none."""
        return all(
            np.array_equal(value.reshape(-1), np.asarray(other[name], np.float32).reshape(-1))
            if name in other
            else not value.any()
            for name, value in one.items()
        )

    np.savez(file, **arrays)  # type: ignore[arg-type]
    blob, whole = file.read_bytes(), values()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    packed = file.read_bytes()
    for number in range(count):
        if number % 3 == 0:
            changed = dict(arrays)
            damaged_arrays(changed, chance)
            np.savez(file, **changed)  # type: ignore[arg-type]
            if not refused(load, file):
                known = {name: value for name, value in changed.items() if name in arrays}
                assert all(np.asarray(v).dtype.kind in "fiu" and np.isfinite(v).all() for v in known.values())
                assert same(values(), known), (number, {name: v.shape for name, v in known.items()})
            continue
        file.write_bytes(
            lying_npz(arrays, chance) if number % 3 == 1 else damaged_bytes(chance.choice((blob, packed)), chance)
        )
        if not refused(load, file):
            found = values()
            assert set(found) == set(whole) and all(np.array_equal(found[name], whole[name]) for name in whole)


def views_of(capture: Capture, split: str) -> dict[tuple[int, int], tuple[Any, ...]]:
    """(timestep, camera) as the files number them → picture, size, K and world-to-camera matrix."""
    found = {}
    for index in capture.indices(split):  # type: ignore[arg-type]
        frame = capture.frames[index]
        camera = capture.cameras[frame.camera]
        assert camera.K is not None and camera.viewmat is not None
        key = int(capture.timestep_names[frame.timestep]), int(camera.name.split("/")[0])
        found[key] = frame.source, camera.width, camera.height, camera.K, camera.viewmat
    return found


def alike(one: dict[tuple[int, int], tuple[Any, ...]], other: dict[tuple[int, int], tuple[Any, ...]]) -> bool:
    return set(one) == set(other) and all(
        one[key][:3] == other[key][:3]
        and np.allclose(one[key][3], other[key][3], atol=1e-9)
        and np.allclose(one[key][4], other[key][4], atol=1e-9)
        for key in one
    )


def said_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """The same of a frame in the file: OpenGL camera to world there, rigid but for what rounding leaves, so that its transpose turns back."""
    K = np.array([[row["fl_x"], 0, row["cx"]], [0, row["fl_y"], row["cy"]], [0, 0, 1.0]])
    to_world = np.array(row["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
    back = np.eye(4)
    back[:3, :3], back[:3, 3] = to_world[:3, :3].T, -to_world[:3, :3].T @ to_world[:3, 3]
    return row["file_path"], row["w"], row["h"], K, back


def mutated_transforms(capture: Path, folder: Path, count: int, seed: int) -> None:
    import shutil

    chance = random.Random(seed)
    mine = Path(shutil.copytree(capture, folder / "mine"))
    file, cache = mine / "transforms_train.json", folder / "cache"
    text = file.read_text()
    load = lambda path: read_dataset(path.parent, cache_dir=cache)  # noqa: E731
    loaded, whole = 0, load(file).capture
    for number in range(count):
        if number % 2:
            file.write_bytes(damaged_bytes(text.encode(), chance))
        else:
            content = json.loads(text)
            damaged_json(content, chance)
            file.write_text(json.dumps(content))
        try:
            found = load(file).capture
        except AvatarkitError as error:
            assert "\n" not in str(error) and "mine" in str(error), str(error)
            continue
        loaded += 1
        said = json.loads(file.read_text())
        shared = {key: value for key, value in said.items() if key != "frames"}
        rows = [{**shared, **row} for row in said["frames"]]
        assert alike(
            views_of(found, "train"), {(row["timestep_index"], row["camera_index"]): said_of(row) for row in rows}
        )
        assert len(found.indices("train")) == len(rows)
        assert all(alike(views_of(found, split), views_of(whole, split)) for split in ("val", "test"))
    assert loaded < 0.8 * count


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_mutated_avatars(avatar: Path, tmp_path: Path, count: int) -> None:
    mutated_avatars(avatar, tmp_path, count, count)


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_mutated_checkpoints(saved: Path, tmp_path: Path, count: int) -> None:
    mutated_checkpoints(saved, tmp_path, count, count)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_mutated_npz(tmp_path: Path, count: int, trained: bool) -> None:
    mutated_npz(tmp_path, count, count, trained)


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_mutated_transforms(tiny_capture: Path, tmp_path: Path, count: int) -> None:
    mutated_transforms(tiny_capture, tmp_path, count, count)


def test_a_key_that_stands_twice_is_refused(tiny_capture: Path, tmp_path: Path) -> None:
    import shutil

    mine = Path(shutil.copytree(tiny_capture, tmp_path / "mine"))
    file = mine / "transforms_train.json"
    text = file.read_text()
    at = text.index('"camera_index"')
    file.write_text(text[:at] + '"camera_index": 2, ' + text[at:])
    with pytest.raises(FileFormatError, match="'camera_index' stands twice"):
        read_dataset(mine, cache_dir=tmp_path / "cache")


def test_a_run_goes_on_from_the_checkpoint_before(saved: Path, tmp_path: Path) -> None:
    """Damaged content with a right checksum is passed over as any other."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "step-00000003.safetensors").write_bytes(saved.read_bytes())
    tensors, metadata = load_tensors(saved, checkpoint.FORMAT)
    tensors["screen_gradient"] = tensors["screen_gradient"][:-1]
    save_tensors(folder / "step-00000004.safetensors", tensors, metadata, checkpoint.FORMAT)
    heard: list[Any] = []
    state = checkpoint.load_newest(Run(tmp_path, sinks=(heard.append,)))
    assert state is not None and state.step == 3 and "'screen_gradient' is float32 (39,)" in heard[0].text
