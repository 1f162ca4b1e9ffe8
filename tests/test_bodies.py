"""The compiled bodies and the plain ones on the same inputs: values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarkit import bodies
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.frames import with_frames
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.losses.regularisers import position_loss, scale_loss

Made = tuple[Tensor, ...]


def draws(seed: int) -> Callable[..., Tensor]:
    random = np.random.default_rng(seed)
    return lambda *shape: torch.from_numpy(random.normal(size=shape)).float()


def bound(count: int, faces: int, joints: int, degree: int) -> tuple[Gaussians, dict[str, Tensor]]:
    draw, random = draws(1), np.random.default_rng(2)
    binding = torch.from_numpy(random.integers(-joints, faces, count))
    gaussians = Gaussians.fresh(draw(count, 3), draw(count, 3) - 1, 0.5, torch.rand(count, 3), binding, degree)
    gaussians.quats, gaussians.opacity_logits, gaussians.sh = (
        draw(count, 4),
        draw(count),
        0.05 * draw(*gaussians.sh.shape),
    )
    leaves = {}
    for name in ("means", "quats", "log_scales", "opacity_logits", "sh"):
        leaves[name] = getattr(gaussians, name).requires_grad_(True)
    return gaussians, leaves


def posing() -> tuple[Made, dict[str, Tensor]]:
    head = with_frames(load_head("bust"), "skin")
    draw = draws(3)
    params = HeadParams(
        draw(head.num_shape), 0.3 * draw(2, head.num_expr), 0.3 * draw(2, 3), draw(2, 3), 0.2 * draw(2, 3), 0.2 * draw(2, 3),
        0.1 * draw(2, 6),
    ).map(lambda value: value.requires_grad_(True))  # fmt: skip
    pose = head.pose(params)
    return (pose.vertices, pose.joints), {
        name: getattr(params, name) for name in ("expr", "rotation", "jaw_pose", "shape")
    }


def binding(skinned: bool) -> tuple[Made, dict[str, Tensor]]:
    head = with_frames(load_head("bust"), "skin" if skinned else "triangle")
    params = HeadParams.zeros(1, head.num_shape, head.num_expr)
    params.rotation[0] = torch.tensor([0.1, 0.4, -0.2])
    pose = head.pose(params)
    gaussians, leaves = bound(400, len(head.faces), 5, 2)
    vertices, joints = pose.vertices[0].clone().requires_grad_(True), pose.joints[0].clone()
    made = pose_gaussians(
        gaussians, vertices, joints, head.faces, camera_centre=torch.tensor([0.0, 0.1, 1.0]), skin=pose.skin
    )
    return tuple(made), leaves | {"vertices": vertices}


def hinges() -> tuple[Made, dict[str, Tensor]]:
    gaussians, leaves = bound(300, 50, 5, 0)
    visible = torch.arange(300) % 3 > 0
    made = position_loss(gaussians, visible, 1.0), scale_loss(gaussians, visible, 0.3)
    return made, {name: leaves[name] for name in ("means", "log_scales")}


OPERATIONS = {
    "skinning": posing,
    "binding to triangles": lambda: binding(False),
    "binding to the skinning": lambda: binding(True),
    "regularisers": hinges,
}


def differentiated(operation: Callable[[], tuple[Made, dict[str, Tensor]]]) -> tuple[Made, dict[str, Tensor]]:
    made, leaves = operation()
    draw = draws(9)
    sum((value * draw(*value.shape)).sum() for value in made).backward()
    return made, {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


@pytest.mark.parametrize("name", OPERATIONS)
def test_both_bodies_agree(name: str) -> None:
    values, gradients = differentiated(OPERATIONS[name])
    with bodies.plain_torch():
        plain_values, plain_gradients = differentiated(OPERATIONS[name])
    for ours, theirs in zip(values, plain_values, strict=True):
        assert (ours - theirs).abs().max() <= 3e-5 * theirs.abs().max()
    assert gradients.keys() == plain_gradients.keys()
    for key, gradient in gradients.items():
        theirs = plain_gradients[key]
        assert (gradient - theirs).norm() <= 1e-4 * theirs.norm(), key  # thin triangles round differently


def test_the_block_ends_also_after_an_error() -> None:
    one = torch.ones(1)
    assert bodies.compiled(one) and bodies.compiled(one, one) and not bodies.compiled(one, one.double())
    with pytest.raises(ValueError), bodies.plain_torch():
        assert not bodies.compiled(one)
        with bodies.plain_torch():
            pass
        assert not bodies.compiled(one)
        raise ValueError
    assert bodies.compiled(one)
