"""Random scenes with everything that can go wrong in a rasterizer, and a way to compare two of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from avatarkit.cameras import Cameras, intrinsics, orbit
from avatarkit.contracts import Rasterizer, Render

KINDS = ("plain", "needles", "near", "huge", "tiny", "transparent", "opaque", "off_screen", "empty", "many_channels")
NAMES = ("means", "quats", "scales", "opacities", "features", "viewmats", "Ks", "background")


@dataclass
class RandomScene:
    kind: str
    parameters: list[Tensor]
    viewmats: Tensor
    Ks: Tensor
    background: Tensor
    width: int
    height: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def cameras(self) -> Cameras:
        return Cameras(self.viewmats, self.Ks, self.width, self.height)


def random_scene(kind: str, seed: int, count: int = 12) -> RandomScene:
    """A small scene of one kind; sizes from 1 to 44 pixels, one or two cameras, both filters."""
    g = torch.Generator().manual_seed(1000 * seed + KINDS.index(kind))

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    count, channels = (0 if kind == "empty" else count), 3
    batch = 1 + seed % 2
    width, height = (int(x) for x in torch.randint(1, 45, (2,), generator=g))
    means, scales, opacities = 0.3 * normal(count, 3), torch.exp(0.6 * normal(count, 3) - 3), uniform(count)
    distance = 1.5
    if kind == "needles":
        scales = torch.stack([0.5 + uniform(count), *(1e-4 + 1e-3 * uniform(2, count))], 1)
    elif kind == "near":
        distance, means, scales = 0.05, 0.03 * normal(count, 3), 0.005 * torch.exp(0.5 * normal(count, 3))
    elif kind == "huge":
        scales = 1 + 2 * uniform(count, 3)
    elif kind == "tiny":
        scales = 1e-6 + 1e-4 * uniform(count, 3)
    elif kind == "transparent":
        opacities = 0.012 * uniform(count)
    elif kind == "opaque":
        opacities, scales = 0.9 + 0.1 * uniform(count), scales * 3
    elif kind == "off_screen":
        means = 3 * normal(count, 3)
    elif kind == "many_channels":
        channels = 1 + int(torch.randint(0, 23, (1,), generator=g))
    views = [torch.tensor(orbit(0.4 * seed + b, 0.1, distance, [0, 0, 0])).float() for b in range(batch)]
    focal = 0.5 * (width + height) + 4
    K = torch.tensor(intrinsics(focal * 1.1, focal, 0.45 * width, 0.55 * height)).float()
    return RandomScene(
        kind, [means, normal(count, 4), scales, opacities, normal(count, channels)], torch.stack(views),
        K.expand(batch, 3, 3).clone(), uniform(channels), width, height,
        {"antialiased": seed % 3 == 0, "absgrad": seed % 4 == 0},
    )  # fmt: skip


def render_and_differentiate(
    rasterizer: Rasterizer, scene: RandomScene, keep: Tensor | None = None, extra: bool = True
) -> tuple[Render, dict[str, Tensor]]:
    """A render and its gradients for a fixed random loss over the pixels in ``keep`` (B, H, W)."""
    leaves = [t.clone().requires_grad_() for t in (*scene.parameters, scene.viewmats, scene.Ks, scene.background)]
    cameras = Cameras(leaves[5], leaves[6], scene.width, scene.height)
    g = torch.Generator().manual_seed(7)
    masks = torch.rand(len(cameras), 2, scene.height, scene.width, generator=g)
    render = rasterizer.render(*leaves[:5], cameras, background=leaves[7], masks=masks, top=True, **scene.options)
    chosen = torch.ones(len(cameras), 1, scene.height, scene.width) if keep is None else keep[:, None].float()
    outputs = [render.features, render.alpha, render.depth] if extra else [render.features]
    loss = sum(((o * torch.randn(o.shape, generator=g)) * chosen).sum() for o in outputs)
    assert isinstance(loss, Tensor)
    loss.backward()
    assert render.mean2d_gradients is not None
    gradients = {n: torch.zeros_like(t) if t.grad is None else t.grad for n, t in zip(NAMES, leaves, strict=True)}
    return render, gradients | {"means2d": render.mean2d_gradients()}
