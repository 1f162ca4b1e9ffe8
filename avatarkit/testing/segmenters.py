"""Checks of a segmenter: what it returns are probabilities over the 19 labels, whatever the picture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatarkit.contracts import Segmenter, View
from avatarkit.labels import NUM_LABELS
from avatarkit.testing.conformance import Check, require
from avatarkit.testing.scenes import cameras
from avatarkit.testing.signatures import takes_the_contracts_arguments


def _segmented(part: Any, batch: int, width: int, height: int) -> tuple[Tensor, Tensor]:
    images = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(batch))
    before = images.clone()
    mask = torch.zeros(1, height, width)
    mask[:, height // 4 :, width // 4 : -width // 4] = 1.0
    found = part.segment(images, [View(cameras(1, width, height), timestep, mask=mask) for timestep in range(batch)])
    require(torch.equal(images, before), "segment changed its input")
    return images, found


def its_method_fits(part: Any) -> str:
    return takes_the_contracts_arguments(part, Segmenter, "segment")


def it_returns_probabilities(part: Any) -> str:
    for batch, width, height in ((1, 64, 64), (3, 50, 37)):
        _, found = _segmented(part, batch, width, height)
        expected = (batch, NUM_LABELS, height, width)
        require(tuple(found.shape) == expected, f"shape {tuple(found.shape)}; expected {expected}")
        require(bool(found.isfinite().all()) and float(found.min()) >= -1e-6, "values that are no probabilities")
        error = float((found.sum(1) - 1).detach().abs().max())
        require(error < 1e-3, f"probabilities of a pixel sum to 1 ± {error:.2g}")
    return "two sizes"


def it_gives_the_same_twice(part: Any) -> str:
    first, second = _segmented(part, 1, 64, 64)[1], _segmented(part, 1, 64, 64)[1]
    require(torch.allclose(first, second, atol=1e-4), "the same image has other labels the second time")
    return "deterministic"


CHECKS: tuple[Check, ...] = (its_method_fits, it_returns_probabilities, it_gives_the_same_twice)
