"""Checking what callers hand to a rasterizer, in words, before any kernel sees a pointer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from avatarkit.cameras import Cameras
from avatarkit.errors import InputError


@dataclass(frozen=True)
class Scene:
    """Checked arguments with a leading axis of 1 (shared by all cameras) or B; ``background`` broadcasts to (B, D, H, W).

    means (·, N, 3), quats (·, N, 4), scales (·, N, 3), opacities (·, N), features (·, N, D): float32, contiguous.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    features: Tensor
    background: Tensor | None

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.means, self.quats, self.scales, self.opacities, self.features


def checked(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, features: Tensor,
    cameras: Cameras, background: Tensor | None, masks: Tensor | None, *, device: str = "cpu",
) -> Scene:  # fmt: skip
    """Raises InputError that names the argument, what it is and what was expected; ``device``: where tensors must be."""
    batch, width, height = len(cameras), cameras.width, cameras.height
    if batch < 1 or width < 1 or height < 1:
        raise InputError(f"cameras: {batch} of {width}x{height} pixels; expected at least one, of at least 1x1")
    _expect("cameras.viewmats", cameras.viewmats, [(batch, 4, 4)], device)
    _expect("cameras.Ks", cameras.Ks, [(batch, 3, 3)], device)
    check_values(cameras, once=device != "cpu")
    if not isinstance(means, Tensor) or means.dim() not in (2, 3):
        raise InputError(f"means: {_said(means)}; expected (N, 3) or ({batch}, N, 3)")
    count = means.shape[-2]
    channels = features.shape[-1] if isinstance(features, Tensor) and features.dim() > 1 else 0
    if channels < 1:
        raise InputError(f"features: {_said(features)}; expected ({count}, D) or ({batch}, {count}, D) with D ≥ 1")
    checks = (
        ("means", means, (count, 3)),
        ("quats", quats, (count, 4)),
        ("scales", scales, (count, 3)),
        ("opacities", opacities, (count,)),
        ("features", features, (count, channels)),
    )
    for name, tensor, shape in checks:
        _expect(name, tensor, [shape, (batch, *shape)], device)
    means, quats, scales, opacities, features = (
        tensor if tensor.dim() > len(shape) else tensor[None] for _, tensor, shape in checks
    )
    if background is not None:
        shapes = [(channels,), (batch, channels), (batch, channels, height, width)]
        _expect("background", background, shapes, device)
        if background.dim() < 4:
            background = background.reshape(-1, channels, 1, 1)
    if masks is not None:
        if not isinstance(masks, Tensor) or masks.dim() != 4:
            raise InputError(f"masks: {_said(masks)}; expected ({batch}, M, {height}, {width})")
        _expect("masks", masks, [(batch, masks.shape[1], height, width)], device)
    return Scene(means, quats, scales, opacities, features, background)


_looked_at = WeakTensorKeyDictionary()


def check_values(cameras: Cameras, once: bool = False) -> None:
    """Raise InputError for cameras that are not finite or look at nothing.

    ``once``: tensors that were looked at and not written to since are believed; asking a GPU in every step would stall it.
    """
    pair = cameras.viewmats, cameras.Ks
    once = once and not any(matrices.is_inference() for matrices in pair)  # those have no versions
    if once and all(_looked_at.get(matrices) == matrices._version for matrices in pair):
        return
    for name, matrices in zip(("cameras.viewmats", "cameras.Ks"), pair, strict=True):
        if not matrices.detach().isfinite().all():
            raise InputError(f"{name}: NaN or infinity in a camera; check the capture's poses and intrinsics")
    if not (cameras.Ks.detach()[:, (0, 1), (0, 1)] > 0).all():
        raise InputError("cameras.Ks: a focal length is not positive; expected pixels > 0")
    if once:
        for matrices in pair:
            _looked_at[matrices] = matrices._version


def _said(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _expect(name: str, value: object, shapes: list[tuple[int, ...]], device: str) -> None:
    if not isinstance(value, Tensor) or tuple(value.shape) not in shapes:
        raise InputError(f"{name}: {_said(value)}; expected {' or '.join(str(s) for s in dict.fromkeys(shapes))}")
    if value.dtype != torch.float32:
        raise InputError(f"{name}: {value.dtype}; expected torch.float32 (convert it with .float())")
    if value.device.type != device:
        raise InputError(
            f"{name}: on {value.device}; this rasterizer needs tensors on '{device}' (use .to('{device}'))"
        )
