"""Scenes for the rasterizer's benchmark: random splats of a given radius, and gsplat's garden."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatarkit.cameras import Cameras, intrinsics
from avatarkit.paths import explained

GARDEN = Path("gsplat") / "test_garden.npz"


@dataclass(frozen=True)
class BenchScene:
    """parameters: means, quats, scales, opacities, features, as ``contracts.Rasterizer`` takes them."""

    name: str
    parameters: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    cameras: Cameras


def random_splats(count: int, width: int, height: int, radius: float, seed: int = 0) -> BenchScene:
    """``count`` splats all over the image, of ``radius`` pixels = 3 standard deviations (± 30 %), opacities 0.05 to 0.95."""
    generator = torch.Generator().manual_seed(seed)
    focal = 1.2 * width
    z = 1.2 + 0.6 * torch.rand(count, generator=generator)
    x, y = (torch.rand(count, generator=generator) * size - size / 2 for size in (width, height))
    means = torch.stack([x / focal * z, y / focal * z, z], 1)
    scales = (radius / 3 * z / focal)[:, None] * torch.exp(0.3 * torch.randn(count, 3, generator=generator))
    quats = torch.randn(count, 4, generator=generator)
    opacities = 0.05 + 0.9 * torch.rand(count, generator=generator)
    features = torch.rand(count, 3, generator=generator)
    K = torch.tensor(intrinsics(focal, focal, width / 2, height / 2), dtype=torch.float32)
    cameras = Cameras(torch.eye(4)[None], K[None], width, height)
    return BenchScene(f"{count // 1000}k r{radius:g}", (means, quats, scales, opacities, features), cameras)


def garden(scale: float = 1.0) -> BenchScene | None:
    """gsplat's garden points as its own test makes them Gaussians, or None where the file is not on the machine."""
    root = os.environ.get("AVATARKIT_TEST_DATA")
    path = Path(root) / GARDEN if root else Path("..") / "shared" / "data" / GARDEN
    if not path.is_file():
        return None
    with explained(path), np.load(path, allow_pickle=False) as data:
        means = torch.from_numpy(data["means3d"].astype(np.float32))
        colours = torch.from_numpy(data["colors"].astype(np.float32) / 255)
        viewmats, Ks = (
            torch.from_numpy(data["viewmats"][:1].astype(np.float32)),
            torch.from_numpy(data["Ks"][:1].astype(np.float32)),
        )
        width, height = int(data["width"]), int(data["height"])
    generator, count = torch.Generator().manual_seed(0), len(means)
    scales = 0.02 * torch.rand(count, 3, generator=generator) + 1e-5
    quats, opacities = torch.randn(count, 4, generator=generator), torch.rand(count, generator=generator)
    cameras = Cameras(viewmats, Ks, width, height).resized(round(width * scale), round(height * scale))
    return BenchScene("garden", (means, quats, scales, opacities, colours), cameras)
