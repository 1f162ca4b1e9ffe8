"""Which rasterizer a benchmark runs on, and what the device is called."""

from __future__ import annotations

import platform

import torch

from avatarkit.contracts import Rasterizer
from avatarkit.errors import InputError
from avatarkit.registry import registry
from avatarkit.render.compiled import thread_count
from avatarkit.render.hosted import device_of

OF_DEVICE = {"cpu": "cpu", "cuda": "gsplat"}


def chosen(rasterizer: str | None, device: str | None) -> Rasterizer:
    """By name, by device, or the default.  Raises InputError where the two do not fit together."""
    if device is not None and device not in OF_DEVICE:
        raise InputError(f"--device {device}: expected {' or '.join(OF_DEVICE)}")
    name = rasterizer or (OF_DEVICE[device] if device else registry().default("rasterizer"))
    part: Rasterizer = registry().create("rasterizer", name)
    if device is not None and device_of(part).partition(":")[0] != device:
        raise InputError(f"--device {device}: rasterizer '{name}' works on '{device_of(part)}'")
    return part


def described(device: str) -> str:
    """The GPU's name, or the processor's and how many threads its kernels use."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_properties(device).name)
    threads = thread_count()
    return f"{platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"
