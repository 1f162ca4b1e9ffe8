"""Local coordinates: posing gives back what stood in the world, and what rides moves as it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.edit.accessories.riding import on_joint, ride, usable_triangles
from avatarkit.errors import InputError
from avatarkit.gaussians.frames import quat_multiply
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.skinning import rotation_matrices


def scattered(subject: Any, count: int, seed: int) -> tuple[Gaussians, torch.Tensor]:
    """Gaussians near the head with any turn, and bindings of every kind."""
    random = np.random.default_rng(seed)
    spread = subject.anatomy.skin.spread(0.006)
    chosen = random.choice(len(spread.points), count, replace=False)
    points = spread.points[chosen] + random.normal(size=(count, 3)) * 0.01
    binding = torch.from_numpy(usable_triangles(subject.anatomy, spread.triangles[chosen]))
    binding[: count // 2] = -1 - torch.from_numpy(random.integers(0, 5, count // 2))
    world = Gaussians.fresh(
        torch.from_numpy(points).float(), torch.from_numpy(random.uniform(-8, -5, (count, 3))).float(), 0.8,
        torch.rand(count, 3), torch.zeros(count),
    )  # fmt: skip
    world.quats = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(count, 4))).float(), dim=1)
    return world, binding


@pytest.mark.parametrize("frames", ["skin", "triangle"])
@pytest.mark.parametrize("name", ["bust", "flame"])
def test_posing_gives_back_the_world(subject_of: Any, name: str, frames: str) -> None:
    subject = subject_of(name, 1, frames)
    world, binding = scattered(subject, 400, 5)
    local = ride(world, binding, subject.anatomy.pose, subject.head.faces)
    assert local.binding.dtype == torch.int32 and bool((local.binding == binding).all())
    posed = subject.posed(local)
    assert float((posed.means - world.means).norm(dim=1).max()) < 2e-6
    assert float((posed.scales.log() - world.log_scales).abs().max()) < 1e-4
    same = (posed.quats * world.quats).sum(1).abs()
    assert float((1 - same).max()) < 1e-5
    assert torch.allclose(posed.opacities, torch.sigmoid(world.opacity_logits))


def test_a_rider_turns_with_its_joint(bust: Any) -> None:
    world, _ = scattered(bust, 50, 6)
    local = ride(world, on_joint(50, bust.anatomy.skull_joint), bust.anatomy.pose, bust.head.faces)
    turn = torch.tensor([[0.2, -0.4, 0.1]])
    posed = bust.posed(local, bust.moved(neck_pose=turn, translation=torch.tensor([[0.01, 0.02, 0.03]])))
    pivot = torch.from_numpy(bust.anatomy.joints[bust.anatomy.skull_joint]).float()
    expected = (world.means - pivot) @ rotation_matrices(turn)[0].T + pivot + torch.tensor([0.01, 0.02, 0.03])
    assert float((posed.means - expected).abs().max()) < 1e-6
    half = 0.5 * turn[0].norm()
    quat = torch.cat([half.cos()[None], turn[0] / turn[0].norm() * half.sin()])
    same = (posed.quats * quat_multiply(quat.expand(50, 4), world.quats)).sum(1).abs()
    assert float((1 - same).max()) < 1e-5


def test_bindings_outside_the_head_are_refused(bust: Any) -> None:
    world, _ = scattered(bust, 4, 7)
    for wrong in (-6, len(bust.head.faces)):
        with pytest.raises(InputError, match="bindings"):
            ride(world, torch.full((4,), wrong), bust.anatomy.pose, bust.head.faces)
