"""Metrics against closed forms and an independent SSIM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from avatarkit.errors import InputError
from avatarkit.losses.metrics import PSNR_CAP, psnr, ssim


def pictures(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    smooth = gaussian_filter(random.random((2, 3, 40, 52)), (0, 0, 2, 2)) * 2 - 0.5
    return torch.from_numpy(smooth), torch.from_numpy(smooth + random.normal(size=smooth.shape) * 0.05)


def test_psnr_of_a_known_error() -> None:
    image = torch.full((2, 3, 10, 10), 0.5)
    target = image.clone()
    target[1] += 0.1
    values = psnr(image, target)
    assert values.shape == (2,)
    assert float(values[0]) == PSNR_CAP
    assert float(values[1]) == pytest.approx(20.0, abs=1e-5)


def test_psnr_over_a_mask() -> None:
    image = torch.zeros(1, 3, 10, 10)
    target = image.clone()
    target[:, :, :5] = 0.01
    target[:, :, 5:] = 1.0
    mask = torch.zeros(1, 1, 10, 10, dtype=torch.bool)
    mask[:, :, :5] = True
    assert float(psnr(image, target, mask)) == pytest.approx(40.0, abs=1e-4)
    assert float(psnr(image, target, ~mask)) == pytest.approx(0.0, abs=1e-6)
    assert torch.isnan(psnr(image, target, torch.zeros_like(mask))).all()


def test_ssim_agrees_with_scipy() -> None:
    """Wang et al. with ``gaussian_filter``: the same window (truncated at 5 px), zeros outside."""
    image, target = pictures(0)

    def blur(a: np.ndarray) -> np.ndarray:
        return gaussian_filter(a, 1.5, mode="constant", truncate=5 / 1.5)

    for b in range(2):
        total = []
        for c in range(3):
            x, y = image[b, c].numpy(), target[b, c].numpy()
            mx, my = blur(x), blur(y)
            vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
            total.append(
                ((2 * mx * my + 0.01**2) * (2 * cov + 0.03**2)) / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))
            )
        assert float(ssim(image, target)[b]) == pytest.approx(float(np.mean(total)), abs=1e-12)
    assert float(ssim(image, target)[0]) < 0.95


def test_ssim_of_equal_and_of_inverted_pictures() -> None:
    image, _ = pictures(1)
    assert ssim(image, image).tolist() == pytest.approx([1.0, 1.0])
    assert float(ssim(image, 1.0 - image)[0]) < 0.0


def test_ssim_over_a_mask_looks_at_the_mask_only() -> None:
    image, target = pictures(2)
    target = target.clone()
    target[..., :20] = image[..., :20]
    mask = torch.zeros(2, 1, 40, 52)
    mask[..., :14] = 1.0  # farther than the window from what differs
    assert ssim(image, target, mask).tolist() == pytest.approx([1.0, 1.0])
    assert float(ssim(image, target, 1.0 - mask)[0]) < float(ssim(image, target)[0])


def test_shapes_that_do_not_fit_are_named() -> None:
    image, target = pictures(3)
    with pytest.raises(InputError, match="differ in shape"):
        psnr(image, target[:1])
    with pytest.raises(InputError, match="mask"):
        ssim(image, target, torch.ones(2, 3, 40, 52))
