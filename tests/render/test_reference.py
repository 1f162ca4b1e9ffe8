"""The reference itself: finite differences, and cases with a closed form."""

from __future__ import annotations

import math

import torch

from avatarkit.cameras import Cameras, intrinsics
from avatarkit.render.arguments import Scene
from avatarkit.render.reference import ReferenceRasterizer, _render_one

from .scenes import random_scene


def test_gradients_by_finite_differences() -> None:
    for seed in (0, 3):
        scene = random_scene("plain", seed)
        scene.width, scene.height = 6, 5
        scene.parameters[0] *= 0.3  # inside the image: the Jacobian's clamp is a constant to autograd
        inputs = [t[:4].double().requires_grad_() for t in scene.parameters]
        viewmat, K = scene.viewmats[:1].double().requires_grad_(), scene.Ks[:1].double().requires_grad_()

        def function(*tensors: torch.Tensor, antialiased: bool = seed == 0) -> tuple[torch.Tensor, ...]:
            scene = Scene(*(tensor[None] for tensor in tensors[:5]), background=None)
            view = _render_one(scene, Cameras(tensors[5], tensors[6], 6, 5), 0, antialiased, False)
            return view.features, view.alpha, view.depth

        # K's entries that a pinhole does not have keep a zero gradient both ways.
        assert torch.autograd.gradcheck(function, (*inputs, viewmat, K), eps=1e-7, atol=1e-4, rtol=1e-3)


def test_one_round_gaussian_has_a_closed_form() -> None:
    focal, distance, sigma, opacity = 100.0, 2.0, 0.05, 0.8
    cameras = Cameras(torch.eye(4)[None], torch.tensor(intrinsics(focal, focal, 8.5, 8.5)).float()[None], 17, 17)
    render = ReferenceRasterizer().render(
        torch.tensor([[0.0, 0.0, distance]]), torch.tensor([[2.0, 0, 0, 0]]), torch.full((1, 3), sigma),
        torch.tensor([opacity]), torch.tensor([[0.5]]), cameras, background=torch.tensor([1.0]), top=True,
    )  # fmt: skip
    variance = (focal * sigma / distance) ** 2 + 0.3
    alpha = opacity * math.exp(-0.5 * 9 / variance)
    assert abs(render.alpha[0, 0, 8, 11].item() - alpha) < 1e-6
    assert abs(render.features[0, 0, 8, 11].item() - (0.5 * alpha + 1 - alpha)) < 1e-6
    assert abs(render.depth[0, 0, 8, 8].item() - distance) < 1e-6
    assert render.top is not None and render.top[0, 8, 8] == 0
    assert torch.allclose(render.means2d[0, 0], torch.tensor([8.5, 8.5]))


def test_nearer_hides_farther() -> None:
    cameras = Cameras(torch.eye(4)[None], torch.tensor(intrinsics(50, 50, 2.5, 2.5)).float()[None], 5, 5)
    means = torch.tensor([[0, 0, 3.0], [0, 0, 1.0], [0, 0, 0.005]])
    render = ReferenceRasterizer().render(
        means,
        torch.tensor([[1.0, 0, 0, 0]] * 3),
        torch.full((3, 3), 0.5),
        torch.tensor([0.9, 0.6, 0.9]),
        torch.eye(3),
        cameras,
    )
    assert torch.allclose(render.features[0, :, 2, 2], torch.tensor([0.4 * 0.9, 0.6, 0.0]), atol=1e-3)
    assert render.radii[0, 2] == 0  # nearer than the near plane
