"""Posing against the forward kinematics of the script that made the semi-synthetic capture."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams


@pytest.fixture(scope="module")
def teacher_capture(test_data: Path) -> ModuleType:
    script = test_data.parent / "tools" / "teacher_capture.py"
    if not script.is_file():
        pytest.skip(f"capture script not present at {script}")
    spec = importlib.util.spec_from_file_location("teacher_capture", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_vertices_match_the_capture_script(test_data: Path, teacher_capture: ModuleType) -> None:
    file = test_data / "flame2023_open" / "flame2023_open_arkit.npz"
    head = load_head(file)
    body = teacher_capture.Teacher(np.load(test_data / "teacher" / "james.npz"), np.load(file))
    body.offset[:] = 0  # compare surface points, not the Gaussians' offsets from them
    body.morphs[:, :5023] = np.load(file)["exprdirs"].transpose(2, 0, 1)  # the teacher's own are rounded to float16
    rng = np.random.default_rng(0)
    params = HeadParams.zeros(3, head.num_shape, head.num_expr)
    expr = rng.uniform(0, 1, (3, 51)).astype(np.float32)
    rotation, neck, translation = (rng.normal(0, s, (3, 3)).astype(np.float32) for s in (0.3, 0.3, 0.1))
    params.expr[:], params.rotation[:] = torch.from_numpy(expr), torch.from_numpy(rotation)
    params.neck_pose[:], params.translation[:] = torch.from_numpy(neck), torch.from_numpy(translation)
    fields = {**params.__dict__, "static_offset": torch.from_numpy(body.static_offset)}
    vertices = head.pose(HeadParams(**fields)).vertices.numpy()
    for step in range(3):
        means, _ = body.pose(expr[step], rotation[step], neck[step], translation[step])
        assert np.abs(vertices[step] - means[:5023]).max() < 2e-6
