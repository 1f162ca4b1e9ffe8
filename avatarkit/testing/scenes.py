"""Small random scenes for rasterizers: deterministic, and gentle at the thresholds where float32 and float64 may disagree."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatarkit.cameras import Cameras, intrinsics, look_at


@dataclass(frozen=True)
class Scene:
    """N Gaussians, D channels, B cameras: ``contracts.Rasterizer.render``'s arguments."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    features: Tensor
    cameras: Cameras
    background: Tensor | None = None

    DIFFERENTIABLE = ("means", "quats", "scales", "opacities", "features")

    def arguments(self) -> dict[str, object]:
        names = (*self.DIFFERENTIABLE, "cameras", "background")
        return {name: getattr(self, name) for name in names}

    def to(self, device: str) -> Scene:
        moved = {name: getattr(self, name).to(device) for name in self.DIFFERENTIABLE}
        background = None if self.background is None else self.background.to(device)
        return replace(self, **moved, background=background, cameras=self.cameras.to(device))

    def leaves(self, *, cameras: bool = True) -> tuple[Scene, dict[str, Tensor]]:
        """A copy whose tensors want gradients, and those tensors by name."""
        own = {name: getattr(self, name).detach().clone().requires_grad_() for name in self.DIFFERENTIABLE}
        background = None
        if self.background is not None:
            background = own["background"] = self.background.detach().clone().requires_grad_()
        scene = replace(self, **{name: own[name] for name in self.DIFFERENTIABLE}, background=background)
        if cameras:
            own["viewmats"] = self.cameras.viewmats.detach().clone().requires_grad_()
            own["Ks"] = self.cameras.Ks.detach().clone().requires_grad_()
            scene = replace(scene, cameras=replace(self.cameras, viewmats=own["viewmats"], Ks=own["Ks"]))
        return scene, own


def cameras(count: int, width: int, height: int) -> Cameras:
    """Cameras around the origin at 1 m, their principal points off the centre."""
    angles = torch.linspace(-0.5, 0.5, count) if count > 1 else torch.zeros(1)
    views = [look_at((float(a), 0.1 + 0.2 * i, 1.0), (0.0, 0.0, 0.0)) for i, a in enumerate(angles)]  # type: ignore[arg-type]
    K = intrinsics(1.1 * width, 1.05 * width, 0.55 * width, 0.45 * height)
    viewmats = torch.stack([torch.as_tensor(view, dtype=torch.float32) for view in views])
    return Cameras(viewmats, torch.as_tensor(K, dtype=torch.float32).expand(count, 3, 3).clone(), width, height)


def scene(
    seed: int,
    *,
    count: int = 24,
    channels: int = 3,
    views: int = 1,
    width: int = 45,
    height: int = 35,
    size: float = 0.06,
) -> Scene:
    """``count`` Gaussians in a box of 0.4 m around the origin, ``size`` metres large, over a random background."""
    random = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random)

    return Scene(
        means=(uniform(count, 3) - 0.5) * 0.4,
        quats=torch.randn((count, 4), generator=random),
        scales=size * (0.3 + uniform(count, 3)),
        opacities=0.2 + 0.7 * uniform(count),
        features=uniform(count, channels),
        cameras=cameras(views, width, height),
        background=uniform(channels),
    )


def scenes() -> dict[str, Scene]:
    """By name: the scenes on which images and gradients are compared."""
    needles = scene(3, count=12, size=0.05)
    thin = torch.tensor([4.0, 0.05, 0.3])
    return {
        "blobs": scene(1),
        "two cameras, five channels": scene(2, channels=5, views=2),
        "needles": replace(needles, scales=needles.scales * thin),
        "tiny": scene(4, size=0.002, count=60),
        "large": scene(5, size=0.4, count=8),
        "one channel, odd size": scene(6, channels=1, width=17, height=3),
    }
