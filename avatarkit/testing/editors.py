"""Checks of an image editor: shape, range, repeatability.  An editor that sends data off the machine is not called."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatarkit.contracts import Editor, EditStep
from avatarkit.edit.plan import KeyframeText, Operation
from avatarkit.events import Run
from avatarkit.testing.conformance import Check, require
from avatarkit.testing.scenes import cameras
from avatarkit.testing.signatures import takes_the_contracts_arguments

SIZE = 64


def its_method_fits(part: Any) -> str:
    return takes_the_contracts_arguments(part, Editor, "edit")


def _edited(part: Any, seed: int) -> tuple[Tensor, Tensor]:
    views = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    masks = torch.zeros(2, 1, SIZE, SIZE)
    masks[:, :, SIZE // 4 : SIZE // 2, SIZE // 4 : SIZE // 2] = 1.0
    before = views.clone()
    operation = Operation("restyle", "hair", prompt="paint the hair copper red")
    texts = tuple(KeyframeText(f"k{i}", "paint the hair copper red", "a head with copper red hair") for i in range(2))
    edited = part.edit(
        views, masks, EditStep(operation, texts), references=None, cameras=cameras(2, SIZE, SIZE), correspondences=None,
        seed=seed, run=Run(),
    )  # fmt: skip
    require(torch.equal(views, before), "edit changed its input")
    return views, edited


def it_returns_pictures_of_the_same_shape(part: Any) -> str:
    views, edited = _edited(part, 1)
    require(edited.shape == views.shape, f"shape {tuple(edited.shape)}; expected {tuple(views.shape)}")
    require(edited.dtype == torch.float32, f"{edited.dtype}; expected float32")
    require(bool(edited.isfinite().all()), "not finite")
    require(float(edited.min()) >= 0 and float(edited.max()) <= 1, "values outside [0, 1]")
    return "two views"


def a_seed_repeats(part: Any) -> str:
    require(torch.allclose(_edited(part, 3)[1], _edited(part, 3)[1], atol=1e-3), "the same seed gives other pictures")
    return "deterministic"


CHECKS: tuple[Check, ...] = (its_method_fits, it_returns_pictures_of_the_same_shape, a_seed_repeats)
