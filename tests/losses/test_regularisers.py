"""The hinges against closed forms and float64 autograd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.regularisers import colour_loss, position_loss, scale_loss, tint_loss


def some(means: torch.Tensor, scales: torch.Tensor, binding: list[int]) -> Gaussians:
    return Gaussians.fresh(means, scales.log(), 0.1, torch.rand(len(means), 3), torch.tensor(binding))


def test_position_is_how_far_beyond_the_threshold() -> None:
    means = torch.tensor([[3.0, 4.0, 0.0], [0.5, 0.5, 0.5], [0.0, 0.0, 2.0], [9.0, 0.0, 0.0]])
    gaussians = some(means, torch.ones(4, 3), [0, 1, 2, -1])
    gaussians.means.requires_grad_(True)
    visible = torch.tensor([True, True, True, True])
    loss = position_loss(gaussians, visible, 1.0)
    assert float(loss.detach()) == pytest.approx((4.0 + 0.0 + 1.0) / 3)  # three bound Gaussians; the free one is metres
    loss.backward()
    expected = torch.tensor([[0.6, 0.8, 0.0], [0, 0, 0], [0, 0, 1.0], [0, 0, 0]]) / 3
    torch.testing.assert_close(gaussians.means.grad, expected)


def test_colour_is_half_the_squared_distance_to_the_triangles() -> None:
    gaussians = some(torch.zeros(3, 3), torch.ones(3, 3), [1, 0, -1])
    own = torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.2, 0.3], [0.0, 0.0, 0.0]])
    gaussians.sh = torch.zeros(3, 4, 3)
    gaussians.sh[:, 0] = (own - 0.5) / 0.28209479177387814
    gaussians.sh[:, 1:] = 7.0  # what depends on the direction is no part of it
    gaussians.sh.requires_grad_(True)
    colours = torch.tensor([[0.1, 0.2, 0.6], [0.5, 0.2, 0.4]])
    loss = colour_loss(gaussians, colours)
    assert float(loss.detach()) == pytest.approx(0.5 * (0.4**2 + 0.3**2), rel=1e-4)  # without the free one
    loss.backward()
    expected = 0.28209479177387814 * torch.tensor([[0.4, 0.0, 0.0], [0.0, 0.0, -0.3], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(gaussians.sh.grad[:, 0], expected, atol=1e-6, rtol=1e-5)
    assert not gaussians.sh.grad[:, 1:].any()


def test_the_cpu_body_of_the_colour_equals_plain_torch() -> None:
    random = torch.Generator().manual_seed(1)
    gaussians = some(torch.zeros(400, 3), torch.ones(400, 3), torch.randint(-3, 50, (400,), generator=random).tolist())
    sh, colours = torch.randn(400, 4, 3, generator=random), torch.rand(50, 3, generator=random)
    results = []
    for dtype in (torch.float32, torch.float64):
        leaf = sh.detach().clone().to(dtype).requires_grad_(True)
        loss = colour_loss(replace(gaussians, sh=leaf), colours.to(dtype))
        (3.0 * loss).backward()
        results.append((loss.detach().double(), leaf.grad.double()))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-6, atol=0)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-7)


def test_tint_is_half_the_square_of_what_correctives_change_of_a_colour() -> None:
    gaussians = some(torch.zeros(2, 3), torch.ones(2, 3), [0, -1]).with_correctives(2)
    tints = torch.tensor([[[0.2, 0.1], [0.0, 0.0], [0.0, 0.4]], [[0.0, 0.0], [1.0, 0.5], [0.0, 0.0]]])
    gaussians.colour_correctives = (tints / 0.28209479177387814).requires_grad_(True)
    loss = tint_loss(gaussians, torch.tensor([[1.0, -0.5]]))
    assert float(loss.detach()) == pytest.approx(0.5 * (0.15**2 + 0.2**2 + 0.75**2), rel=1e-5)  # the free one as well
    loss.backward()
    expected = 0.28209479177387814 * torch.tensor([[0.15, -0.075], [0.0, 0.0], [-0.2, 0.1]])
    torch.testing.assert_close(gaussians.colour_correctives.grad[0], expected)


def test_scale_is_the_norm_of_what_is_too_long() -> None:
    scales = torch.tensor([[0.6 + 0.3, 0.6 + 0.4, 0.1], [0.5, 0.6, 0.59], [0.1, 0.1, 0.7], [5.0, 5.0, 5.0]])
    gaussians = some(torch.zeros(4, 3), scales, [0, 1, 2, 3])
    gaussians.log_scales.requires_grad_(True)
    loss = scale_loss(gaussians, torch.tensor([True, True, True, False]), 0.6)
    assert float(loss.detach()) == pytest.approx((0.5 + 0.0 + 0.1) / 3, rel=1e-5)
    loss.backward()
    assert torch.isfinite(gaussians.log_scales.grad).all()
    # d/d log s = excess/norm · s / count
    assert gaussians.log_scales.grad[0].tolist() == pytest.approx([0.6 * 0.9 / 3, 0.8 * 1.0 / 3, 0.0], rel=1e-4)
    assert not gaussians.log_scales.grad[1].any() and not gaussians.log_scales.grad[3].any()


@pytest.mark.parametrize("name, function", [("means", position_loss), ("log_scales", scale_loss)])
def test_cpu_body_equals_float64_autograd(name: str, function: object) -> None:
    random = torch.Generator().manual_seed(0)
    count = 500
    gaussians = some(
        torch.randn(count, 3, generator=random), torch.randn(count, 3, generator=random).exp(),
        torch.randint(-3, 50, (count,), generator=random).tolist(),
    )  # fmt: skip
    visible = torch.rand(count, generator=random) > 0.3
    results = []
    for dtype in (torch.float32, torch.float64):
        leaf = getattr(gaussians, name).detach().to(dtype).requires_grad_(True)
        loss = function(replace(gaussians, **{name: leaf}), visible, 0.7)  # type: ignore[operator]
        (2.0 * loss).backward()
        results.append((loss.detach().double(), leaf.grad.double()))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-6, atol=0)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_visible_costs_nothing(dtype: torch.dtype) -> None:
    gaussians = some(torch.zeros(3, 3), torch.ones(3, 3), [0, 1, 2])
    nothing = torch.zeros(3, dtype=torch.bool)
    for name, function in (("means", position_loss), ("log_scales", scale_loss)):
        leaf = getattr(gaussians, name).to(dtype).requires_grad_(True)
        loss = function(replace(gaussians, **{name: leaf}), nothing)
        loss.backward()
        assert float(loss.detach()) == 0.0 and not leaf.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mean_at_the_centroid_has_a_finite_gradient(dtype: torch.dtype) -> None:
    gaussians = some(torch.zeros(1, 3), torch.ones(1, 3), [0])
    leaf = torch.zeros(1, 3, dtype=dtype, requires_grad=True)
    position_loss(replace(gaussians, means=leaf), torch.tensor([True]), 0.0).backward()
    assert not leaf.grad.any()
