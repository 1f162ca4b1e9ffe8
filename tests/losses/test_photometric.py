"""The photometric loss against a direct window sum, float64 autograd, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch import Tensor

from avatarkit.bodies import plain_torch
from avatarkit.errors import InputError
from avatarkit.losses.photometric import photometric_loss, photometric_loss_torch


def pictures(seed: int, *shape: int, weight: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
    random = np.random.default_rng(seed)
    target = torch.from_numpy(random.random(shape)).float()
    image = (target + torch.from_numpy(random.normal(size=shape)).float() * 0.1).clamp(0, 1)
    mask = None
    if weight:
        mask = torch.from_numpy(random.random((shape[0], 1, *shape[2:]))).float()
        mask[..., : shape[2] // 3, :] = 0.0
        mask[..., shape[2] // 2 :, :] = 1.0
    return image, target, mask


def naive_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(H, W) float64: the two-dimensional window, zero padding, Wang et al. eq. 13."""
    offset = np.arange(11) - 5
    kernel = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()

    def mean(a: np.ndarray) -> np.ndarray:
        return correlate(a, kernel, mode="constant")

    mx, my = mean(x), mean(y)
    sx, sy, sxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    return (2 * mx * my + 1e-4) * (2 * sxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (sx + sy + 9e-4))


@pytest.mark.parametrize("weighted", [False, True])
def test_value_is_the_definition(weighted: bool) -> None:
    image, target, weight = pictures(0, 2, 3, 37, 45, weight=weighted)
    loss = photometric_loss(image, target, l1=0.8, dssim=0.2, weight=weight)
    w = np.ones((2, 37, 45)) if weight is None else weight[:, 0].double().numpy()
    x, y = image.double().numpy(), target.double().numpy()
    similarity = sum((w[b] * naive_ssim(w[b] * x[b, c], w[b] * y[b, c])).sum() for b in range(2) for c in range(3))
    similarity /= w.sum() * 3
    absolute = (w[:, None] * np.abs(x - y)).sum() / (w.sum() * 3)
    assert float(loss.ssim) == pytest.approx(similarity, abs=2e-6)
    assert float(loss.l1) == pytest.approx(absolute, rel=1e-6)
    assert float(loss.total) == pytest.approx(0.8 * absolute + 0.2 * (1 - similarity), rel=1e-5)
    assert loss.mse == pytest.approx((w[:, None] * (x - y) ** 2).sum() / (w.sum() * 3), rel=1e-5)


SHAPES = [(1, 3, 64, 48), (2, 1, 7, 5), (1, 3, 11, 16), (1, 2, 150, 33), (1, 3, 1, 1), (3, 3, 230, 17), (1, 1, 3, 100)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_cpu_body_equals_float64_autograd(shape: tuple[int, ...], weighted: bool) -> None:
    image, target, weight = pictures(1, *shape, weight=weighted)
    fast, exact = image.clone().requires_grad_(True), image.double().requires_grad_(True)
    a = photometric_loss(fast, target, l1=0.5, dssim=0.5, weight=weight)
    b = photometric_loss_torch(exact, target, l1=0.5, dssim=0.5, weight=weight)
    (a.total * 3.0).backward()
    (b.total * 3.0).backward()
    assert a.total.item() == pytest.approx(b.total.item(), rel=1e-5)
    scale = exact.grad.abs().max()
    assert (fast.grad.double() - exact.grad).abs().max() < 1e-4 * scale
    without = photometric_loss(image, target, l1=0.5, dssim=0.5, weight=weight)  # the body that skips the gradient
    assert not without.total.requires_grad
    assert float(without.total) == pytest.approx(b.total.item(), rel=1e-5)
    assert without.mse == pytest.approx(float(b.mse), rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_written_out_is_autograds(shape: tuple[int, ...], weighted: bool) -> None:
    """The body for GPUs, in float64 and in float32."""
    image, target, weight = pictures(1, *shape, weight=weighted)
    exact = image.double().requires_grad_(True)
    b = photometric_loss_torch(exact, target, l1=0.5, dssim=0.5, weight=weight)
    (b.total * 3.0).backward()
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        leaf = image.to(dtype).requires_grad_(True)
        with plain_torch():
            a = photometric_loss(leaf, target, l1=0.5, dssim=0.5, weight=weight)
        (a.total * 3.0).backward()
        assert a.total.dtype == dtype and not (a.l1.requires_grad or a.ssim.requires_grad)
        for ours, theirs in zip(a, b, strict=True):
            assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=tolerance, abs=1e-9)
        assert (leaf.grad.double() - exact.grad).abs().max() <= tolerance * exact.grad.abs().max()


def test_torch_gradient_matches_finite_differences() -> None:
    image, target, weight = pictures(2, 1, 2, 9, 8, weight=True)

    def energy(x: Tensor) -> Tensor:
        return photometric_loss_torch(x, target, l1=0.3, dssim=0.7, weight=weight).total

    assert torch.autograd.gradcheck(energy, (image.double().requires_grad_(True),), eps=1e-7, atol=1e-6)


def test_equal_pictures_cost_nothing_and_pull_nowhere() -> None:
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    loss = photometric_loss(image, image.detach().clone(), l1=0.5, dssim=0.5)
    loss.total.backward()
    assert loss.total.item() == pytest.approx(0.0, abs=1e-6)
    assert image.grad.abs().max() < 1e-6


def test_flat_pictures_have_finite_gradients() -> None:
    image = torch.full((1, 3, 30, 20), 1.0, requires_grad=True)
    photometric_loss(image, torch.zeros(1, 3, 30, 20), l1=0.5, dssim=0.5).total.backward()
    assert torch.isfinite(image.grad).all() and (image.grad[..., 10:20, 8:12] > 0).all()


def test_where_the_weight_is_zero_nothing_counts() -> None:
    image, target, _ = pictures(3, 1, 3, 60, 40)
    weight = torch.ones(1, 1, 60, 40)
    weight[..., 30:, :] = 0.0
    leaf = image.clone().requires_grad_(True)
    first = photometric_loss(leaf, target, l1=0.5, dssim=0.5, weight=weight)
    first.total.backward()
    assert not leaf.grad[..., 30:, :].any() and leaf.grad[..., :30, :].any()
    other = image.clone()
    other[..., 30:, :] = 0.123
    assert float(photometric_loss(other, target, l1=0.5, dssim=0.5, weight=weight).total) == float(
        photometric_loss(image, target, l1=0.5, dssim=0.5, weight=weight).total
    )
    # and padding with zero weight is as if the picture ended there
    cropped = photometric_loss(image[..., :30, :], target[..., :30, :], l1=0.5, dssim=0.5)
    assert first.total.item() == pytest.approx(float(cropped.total), rel=1e-5)
    nothing = photometric_loss(leaf, target, l1=0.5, dssim=0.5, weight=torch.zeros_like(weight))
    assert nothing.total.item() == pytest.approx(0.5) and torch.isfinite(nothing.total)


def test_same_bits_for_any_number_of_threads() -> None:
    before, results = torch.get_num_threads(), []
    image, target, weight = pictures(4, 2, 3, 250, 61, weight=True)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaf = image.clone().requires_grad_(True)
            loss = photometric_loss(leaf, target, l1=0.5, dssim=0.5, weight=weight)
            loss.total.backward()
            results.append((loss.total, leaf.grad))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(other, results[0], strict=True))


def test_shapes_that_do_not_fit_are_named() -> None:
    image, target, _ = pictures(0, 1, 3, 8, 8)
    with pytest.raises(InputError, match="differ in shape"):
        photometric_loss(image, target[..., :4], l1=1.0, dssim=0.0)
    with pytest.raises(InputError, match="weight has shape"):
        photometric_loss(image, target, l1=1.0, dssim=0.0, weight=torch.ones(1, 3, 8, 8))
