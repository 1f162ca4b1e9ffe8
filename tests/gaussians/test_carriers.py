"""Frames are made once for each row of posed heads, and again once it was written to, differentiated or gone."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from avatarkit.gaussians import carriers as module
from avatarkit.gaussians.carriers import carriers
from avatarkit.gaussians.frames import triangle_frames


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that frames were computed."""
    counted: list[int] = []

    def counting(*arguments: Any) -> Any:
        counted.append(1)
        return triangle_frames(*arguments)

    monkeypatch.setattr(module, "triangle_frames", counting)
    module._kept.clear()
    return counted


def heads(count: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    vertices, joints = torch.randn(count, 9, 3, generator=random), torch.eye(4).repeat(count, 2, 1, 1)
    joints[..., :3, 3] = torch.randn(count, 2, 3, generator=random)
    return vertices, joints, torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]])


def test_a_row_is_computed_once(made: list[int]) -> None:
    vertices, joints, faces = heads()
    first = [carriers(vertices[t], joints[t], faces, None) for t in range(3)]
    again = [carriers(vertices[t], joints[t], faces, None) for t in range(3)]
    assert len(made) == 3 and all(a is b for a, b in zip(first, again, strict=True))
    assert torch.equal(first[1].origin[:3], vertices[1].reshape(3, 3, 3).mean(1))
    assert torch.equal(first[1].origin[3:], joints[1, :, :3, 3]) and torch.equal(first[1].size[3:], torch.ones(2))
    carriers(vertices[0], joints[1], faces, None)
    assert len(made) == 4, "other joints"


def test_what_was_written_to_is_computed_again(made: list[int]) -> None:
    vertices, joints, faces = heads()
    before = carriers(vertices[0], joints[0], faces, None)
    vertices[0] += 1.0
    after = carriers(vertices[0], joints[0], faces, None)
    torch.testing.assert_close(after.origin[:3], before.origin[:3] + 1.0)
    joints[0, :, 0, 3] = 5.0
    assert carriers(vertices[0], joints[0], faces, None).origin[3, 0] == 5.0 and len(made) == 3


def test_leaves_and_loose_tensors_are_not_kept(made: list[int]) -> None:
    vertices, joints, faces = heads()
    for _ in range(2):
        leaf = vertices[0].clone().requires_grad_(True)
        carriers(leaf, joints[0], faces, None).origin.sum().backward()
        assert leaf.grad is not None and leaf.grad.abs().sum() > 0
        carriers(vertices[0].clone(), joints[0], faces, None)
    assert len(made) == 4 and not module._kept


def test_what_is_gone_is_forgotten_and_memory_is_bounded(made: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, joints, faces = heads()
    carriers(vertices[0], joints[0], faces, None)
    del vertices, joints
    gc.collect()
    others, joints, _ = heads(20)
    monkeypatch.setattr(module, "LIMIT", 5 * 5 * 17 * 4)  # five heads of five frames of 17 floats
    for t in range(20):
        carriers(others[t], joints[t], faces, None)
        assert len(module._kept) <= 5
    assert len(made) == 21
    carriers(others[19], joints[19], faces, None)
    assert len(made) == 21
