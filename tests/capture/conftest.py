"""A small data set in GaussianAvatars/VHAP layout, written by the tests themselves: nothing of it comes from the reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT, CAMERAS, STEPS = 12, 16, 2, 4


def colour(step: int, camera: int) -> tuple[int, int, int]:
    """The flat colour of an image: says which one it is."""
    return (10 + 40 * step, 30 + 100 * camera, 200)


def camera_to_world(camera: int) -> list[list[float]]:
    """OpenGL: a camera one metre in front of the origin, turned about y."""
    angle = 0.3 * camera
    c, s = np.cos(angle), np.sin(angle)
    return [[c, 0, s, s], [0, 1, 0, 0], [-s, 0, c, c], [0, 0, 0, 1]]


def write_dataset(folder: Path, *, vertices: int = 5023, first_step: int = 0, seed: int = 0) -> Path:
    """train: camera 0 and val: camera 1 at all but the last timestep; test: the last timestep."""
    rng = np.random.default_rng(seed)
    for name in ("images", "fg_masks", "flame_param"):
        (folder / name).mkdir(parents=True)
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    static = rng.normal(size=(1, vertices, 3)).astype(np.float32)
    for step in range(STEPS):
        np.savez(
            folder / "flame_param" / f"{step:05d}.npz",
            translation=np.full((1, 3), step, np.float32), rotation=np.zeros((1, 3), np.float32),
            neck_pose=np.zeros((1, 3), np.float32), jaw_pose=np.zeros((1, 3), np.float32),
            eyes_pose=np.zeros((1, 6), np.float32), shape=np.arange(5, dtype=np.float32),
            expr=np.full((1, 7), step + seed, np.float32), static_offset=static,
        )  # fmt: skip
        for camera in range(CAMERAS):
            name = f"{step:05d}_{camera:02d}.png"
            Image.new("RGB", (WIDTH, HEIGHT), colour(step, camera)).save(folder / "images" / name)
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[4:12, 3:9] = 255
            Image.fromarray(mask).save(folder / "fg_masks" / name)
            split = "test" if step == STEPS - 1 else "val" if camera == 1 else "train"
            splits[split].append({
                "timestep_index": step + first_step, "camera_index": camera, "cx": 6.5, "cy": 7.5, "fl_x": 30.0,
                "fl_y": 31.0, "w": WIDTH, "h": HEIGHT, "transform_matrix": camera_to_world(camera),
                "file_path": f"images/{name}", "fg_mask_path": f"fg_masks/{name}",
                "flame_param_path": f"flame_param/{step:05d}.npz",
            })  # fmt: skip
    for split, rows in splits.items():
        (folder / f"transforms_{split}.json").write_text(json.dumps({"frames": rows}))
    return folder


def change_json(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "person" / "set")


@pytest.fixture
def frames_dir(tmp_path: Path) -> Path:
    """Where a test's frame caches go."""
    return tmp_path / "frames"
