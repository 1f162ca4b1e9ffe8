"""The antialiased mode draws what a sensor's square pixels would gather, whatever the distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.render import reference
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.render.reference import ReferenceRasterizer

SIDE, FINER = 24, 8


def hair(count: int = 40) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Strands a third of a pixel thick, and specks, before a dark background."""
    rng = np.random.default_rng(2)
    means = torch.tensor(rng.uniform([-0.25, -0.25, 0.95], [0.25, 0.25, 1.05], (count, 3)), dtype=torch.float32)
    quats = torch.tensor(rng.normal(size=(count, 4)), dtype=torch.float32)
    thin, long = 0.006, torch.tensor(rng.uniform(0.006, 0.08, count), dtype=torch.float32)
    scales = torch.stack([long, torch.full_like(long, thin), torch.full_like(long, thin)], 1)
    return (
        means,
        quats,
        scales,
        torch.full((count,), 0.8),
        torch.tensor(rng.uniform(0.2, 1, (count, 3)), dtype=torch.float32),
    )


def seen(finer: int) -> Cameras:
    K = torch.tensor([[[40.0 * finer, 0, SIDE * finer / 2], [0, 40.0 * finer, SIDE * finer / 2], [0, 0, 1]]])
    return Cameras(torch.eye(4)[None], K, SIDE * finer, SIDE * finer)


def gathered() -> Tensor:
    """(3, H, W): the mean over each pixel of a picture eight times as fine, by the float64 reference."""
    fine = ReferenceRasterizer().render(*hair(), seen(FINER), antialiased=True).features[0]
    return fine.reshape(3, SIDE, FINER, SIDE, FINER).mean((2, 4)).float()


@pytest.mark.parametrize("rasterizer", [ReferenceRasterizer(), CpuRasterizer()], ids=["reference", "cpu"])
def test_a_pixel_is_the_mean_over_its_square(rasterizer: ReferenceRasterizer | CpuRasterizer) -> None:
    truth = gathered()
    drawn = rasterizer.render(*hair(), seen(1), antialiased=True).features[0].float()
    classic = rasterizer.render(*hair(), seen(1)).features[0].float()
    off, plain = (float((picture - truth).abs().mean()) for picture in (drawn, classic))
    assert float(truth.mean()) > 0.05
    assert off < 0.2 * plain and off < 0.12 * float(truth.mean()), (off, plain, float(truth.mean()))


def test_a_wider_low_pass_would_blur(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, errors = gathered(), []
    for low_pass in (0.1, 0.3):
        monkeypatch.setattr(reference, "PIXEL", low_pass)
        drawn = ReferenceRasterizer().render(*hair(), seen(1), antialiased=True).features[0].float()
        errors.append(float((drawn - truth).abs().mean()))
    assert errors[0] < 0.7 * errors[1], errors
