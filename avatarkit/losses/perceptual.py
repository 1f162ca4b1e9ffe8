"""LPIPS (Zhang et al., CVPR 2018), version 0.1, where its weights are on the machine.

The linear heads come with the ``lpips`` package; the ImageNet backbone is a file of its own, which is used from the asset folder
or from torch hub's cache, after its checksum was verified, and never downloaded here.  Where it is missing there is no
LPIPS, and nothing else takes its name.
"""

from __future__ import annotations

import functools
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatarkit import assets
from avatarkit.errors import InputError, unknown_name

NETS = ("alex", "vgg")
MIN_SIZE = 32  # pixels; below, the backbone's pooling leaves nothing


class Perceptual:
    """LPIPS with the backbone ``net``; call it with two images."""

    def __init__(self, net: str, model: Any) -> None:
        self.net = net
        self._model = model

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Distances (B,) ≥ 0 of (B, 3, H, W) images in [0, 1]; differentiable in both.  Raises InputError below 32 px."""
        if image.shape != target.shape or image.ndim != 4 or image.shape[1] != 3 or min(image.shape[2:]) < MIN_SIZE:
            raise InputError(
                f"LPIPS: images {tuple(image.shape)} and {tuple(target.shape)}; expected two of one shape "
                f"(B, 3, H, W), at least {MIN_SIZE} pixels wide and high"
            )
        model = self._model.to(image.device)
        return model(image.float(), target.float(), normalize=True).reshape(-1)  # type: ignore[no-any-return]


def lpips_or_none(net: str = "alex") -> Perceptual | None:
    """LPIPS with ``net`` ("alex" or "vgg"), or None where its backbone is missing: ``why_no_lpips`` says why, in a sentence."""
    file, _ = _backbone(net)
    return None if file is None else _loaded(net, file)


def why_no_lpips(net: str = "alex") -> str:
    """Why ``lpips_or_none(net)`` is None, and what to do; "" where it is not."""
    return _backbone(net)[1]


def _backbone(net: str) -> tuple[Path | None, str]:
    if net not in NETS:
        raise unknown_name("LPIPS net", net, NETS)
    name = f"lpips-{net}"
    wanted = assets.ASSETS[name]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / wanted.file
    found = assets.find(name) or (cached if cached.is_file() else None)
    if found is None:
        return None, f"its backbone is not on this machine ({assets.how_to_get(wanted)})"
    status = found.stat()
    if _digest(found, status.st_mtime_ns, status.st_size) != wanted.sha256:
        return None, f"{found} is not the published file ({assets.how_to_get(wanted)})"
    return found, ""


@functools.lru_cache(maxsize=8)
def _digest(file: Path, changed: int, size: int) -> str:
    return assets.file_sha256(file)


@functools.lru_cache(maxsize=2)
def _loaded(net: str, file: Path) -> Perceptual:
    """The package's own model with the backbone of ``file``, which was verified."""
    import lpips

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision on 'pretrained', which lpips passes
        model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    # Reads the local file: with one in place there is no download, and only tensors are unpickled.
    weights = torch.hub.load_state_dict_from_url(
        file.name,
        model_dir=str(file.parent),
        file_name=file.name,
        map_location="cpu",
        progress=False,
        weights_only=True,
    )
    state = model.state_dict()
    for key in state:
        layer = re.fullmatch(r"net\.slice\d+\.(\d+\.(?:weight|bias))", key)
        if layer:
            state[key] = weights[f"features.{layer[1]}"]
    model.load_state_dict(state)
    return Perceptual(net, model.eval().requires_grad_(False))
