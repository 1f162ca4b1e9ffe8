"""Depth and thickness along the line of sight against closed forms and finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from avatarkit.cameras import Cameras
from avatarkit.gaussians.binding import Posed
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.line_of_sight import NEAR_JOINT, NEAR_TRIANGLE, THIN, line_of_sight_loss

VERTICES = torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.0, 1.0], [0.0, 0.3, 1.0]])
FACES = torch.tensor([[0, 1, 2]])
JOINTS = torch.eye(4)[None].clone()
JOINTS[0, 2, 3] = 1.1
CAMERA = Cameras(torch.eye(4)[None], torch.eye(3)[None], 8, 8)  # looks along +z


def loss(
    means: torch.Tensor, scales: torch.Tensor, quats: torch.Tensor, binding: list[int], visible: list[bool]
) -> torch.Tensor:
    count = len(means)
    gaussians = Gaussians.fresh(
        torch.zeros(count, 3), torch.zeros(count, 3), 0.5, torch.rand(count, 3), torch.tensor(binding)
    )
    posed = Posed(means, quats, scales, torch.ones(count), torch.ones(count, 3))
    return line_of_sight_loss(gaussians, posed, VERTICES, JOINTS, FACES, CAMERA, torch.tensor(visible))


def test_depth_counts_beyond_the_tolerance_and_only_along_the_line_of_sight() -> None:
    means = torch.tensor([[0.1, 0.1, 1.02], [0.5, -0.4, 1.0], [0.0, 0.0, 1.1 + 0.1], [0.0, 0.0, 9.0]])
    scales, quats = torch.full((4, 3), 0.001), torch.tensor([[1.0, 0, 0, 0]]).repeat(4, 1)
    found = loss(means, scales, quats, [0, 0, -1, 0], [True, True, True, False])
    expected = ((0.02 - NEAR_TRIANGLE) + 0.0 + (0.1 - NEAR_JOINT)) / 3 * 100
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_a_needle_counts_by_its_length_along_the_line_of_sight() -> None:
    """Across it is free; turned by 60 degrees from it, it counts half; quaternions need not be unit."""
    half = math.radians(60) / 2
    quats = torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0], [2 * math.cos(half), 2 * math.sin(half), 0, 0]])
    scales = torch.tensor([[0.02, 0.001, 0.0], [0.0, 0.0, 0.02], [0.0, 0.0, 0.02]])
    found = loss(torch.tensor([[0.1, 0.1, 1.0]]).repeat(3, 1), scales, quats, [0, 0, 0], [True] * 3)
    assert float(found) == pytest.approx(100 * ((0.02 - THIN) + (0.01 - THIN)) / 3, rel=1e-3)


def test_gradients_are_those_of_finite_differences() -> None:
    random = torch.Generator().manual_seed(0)
    means = (torch.tensor([[0.1, 0.1, 1.0]]) + 0.05 * torch.randn(6, 3, generator=random)).double().requires_grad_(True)
    scales = (0.01 * torch.rand(6, 3, generator=random)).double().requires_grad_(True)
    quats = torch.randn(6, 4, generator=random).double().requires_grad_(True)
    camera = Cameras(torch.eye(4, dtype=torch.float64)[None], torch.eye(3)[None], 8, 8)
    gaussians = Gaussians.fresh(
        torch.zeros(6, 3), torch.zeros(6, 3), 0.5, torch.rand(6, 3), torch.tensor([0, 0, 0, -1, -1, 0])
    )

    def value(m: torch.Tensor, s: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        posed = Posed(m, q, s, torch.ones(6), torch.ones(6, 3))
        vertices, joints = VERTICES.double(), JOINTS.double()
        return line_of_sight_loss(gaussians, posed, vertices, joints, FACES, camera, torch.ones(6, dtype=torch.bool))

    assert torch.autograd.gradcheck(value, (means, scales, quats), eps=1e-7, atol=1e-5)
