"""Where a rasterizer wants its tensors, and how it serves those who keep theirs on the CPU.

Training keeps everything on the rasterizer's device.  Everything else, reports and edits among it, works on the CPU: ``hosted`` moves
what it renders there and back, gradients too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Rasterizer, Render


def device_of(rasterizer: Rasterizer) -> str:
    """What it says in ``device``, such as "cuda"; "cpu" where it says nothing."""
    stated = getattr(rasterizer, "device", "cpu")
    return stated if isinstance(stated, str) else "cpu"


def settle(tensor: Tensor) -> None:
    """Wait until the device of ``tensor`` has done what was asked of it: before a clock is read."""
    if tensor.device.type == "cuda":
        torch.cuda.synchronize(tensor.device)


def hosted(rasterizer: Rasterizer) -> Rasterizer:
    """``rasterizer`` for tensors on the CPU; itself where it works there."""
    return rasterizer if device_of(rasterizer) == "cpu" else Hosted(rasterizer)


def bare(rasterizer: Rasterizer) -> Rasterizer:
    """What ``hosted`` was given."""
    return rasterizer.inner if isinstance(rasterizer, Hosted) else rasterizer


class Hosted:
    """A rasterizer of another device behind tensors on the CPU."""

    device = "cpu"

    def __init__(self, inner: Rasterizer) -> None:
        self.inner = inner
        self._there = device_of(inner)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def capabilities(self) -> frozenset[str]:
        return self.inner.capabilities

    def render(
        self,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        features: Tensor,
        cameras: Cameras,
        *,
        background: Tensor | None = None,
        masks: Tensor | None = None,
        antialiased: bool = False,
        top: bool = False,
        absgrad: bool = False,
    ) -> Render:
        """See ``contracts.Rasterizer.render``; differentiable through both moves."""

        def there(value: Any) -> Any:
            return None if value is None else value.to(self._there)

        made = self.inner.render(
            there(means), there(quats), there(scales), there(opacities), there(features), there(cameras),
            background=there(background), masks=there(masks), antialiased=antialiased, top=top, absgrad=absgrad,
        )  # fmt: skip
        back = {
            name: value.to("cpu")
            for name in ("features", "alpha", "depth", "means2d", "radii", "sums", "top")
            if (value := getattr(made, name)) is not None
        }
        gradients = made.mean2d_gradients
        return replace(made, **back, mean2d_gradients=None if gradients is None else lambda: gradients().to("cpu"))
