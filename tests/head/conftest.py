"""Heads made by the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatarkit.head.flame import FlameModel, read_flame
from avatarkit.head.parameters import HeadParams

PARENTS = (-1, 0, 1, 1, 1)


@pytest.fixture(scope="session")
def open_flame_file(test_data: Path) -> Path:
    """The private FLAME-topology head with ARKit-named expression modes."""
    return test_data / "flame2023_open" / "flame2023_open_arkit.npz"


@pytest.fixture(scope="session")
def open_flame(open_flame_file: Path) -> FlameModel:
    return read_flame(open_flame_file)


def random_rig_arrays(vertices: int, num_shape: int, num_expr: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of a random head with five joints, float64, in ``make_rig``'s order."""
    rng = np.random.default_rng(seed)
    regressor, weights = rng.random((5, vertices)) ** 8, rng.random((vertices, 5)) ** 4
    return {
        "template": rng.normal(0, 0.1, (vertices, 3)),
        "shapedirs": rng.normal(0, 0.01, (vertices, 3, num_shape)),
        "exprdirs": rng.normal(0, 0.01, (vertices, 3, num_expr)),
        "posedirs": rng.normal(0, 0.01, (vertices, 3, 36)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
    }


def random_params(
    steps: int, num_shape: int, num_expr: int, vertices: int | None = None, *, seed: int = 0, angle: float = 0.5
) -> HeadParams:
    """Random parameters, float64; with both offsets when ``vertices`` is given."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)

    return HeadParams(
        normal(num_shape), normal(steps, num_expr), normal(steps, 3, scale=angle), normal(steps, 3, scale=0.1),
        normal(steps, 3, scale=angle), normal(steps, 3, scale=angle), normal(steps, 6, scale=angle),
        None if vertices is None else normal(vertices, 3, scale=0.01),
        None if vertices is None else normal(steps, vertices, 3, scale=0.01),
    )  # fmt: skip
