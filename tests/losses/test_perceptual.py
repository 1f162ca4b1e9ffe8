"""LPIPS' real code path, with backbones of random weights that the test makes.  Their numbers are not LPIPS."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from avatarkit import assets
from avatarkit.errors import InputError
from avatarkit.losses.perceptual import lpips_or_none, why_no_lpips


class Net(NamedTuple):
    """layers: number in the backbone → channels out and in, size, stride, padding; pools: (size, stride) before which; taps: after which."""

    layers: dict[int, tuple[int, int, int, int, int]]
    pool: tuple[int, int]
    before: tuple[int, ...]
    taps: tuple[int, ...]


ALEX = Net(
    {0: (64, 3, 11, 4, 2), 3: (192, 64, 5, 1, 2), 6: (384, 192, 3, 1, 1), 8: (256, 384, 3, 1, 1), 10: (256, 256, 3, 1, 1)},
    (3, 2), (3, 6), (0, 3, 6, 8, 10),
)  # fmt: skip
WIDTHS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 17: 512, 19: 512, 21: 512, 24: 512, 26: 512, 28: 512}
VGG = Net(
    {at: (out, into, 3, 1, 1) for (at, out), into in zip(WIDTHS.items(), (3, *WIDTHS.values()), strict=False)},
    (2, 2), (5, 10, 17, 24), (2, 7, 14, 21, 28),
)  # fmt: skip
BACKBONES = {"alex": ALEX, "vgg": VGG}
"""AlexNet's and VGG16's convolutions (Krizhevsky et al. 2014; Simonyan and Zisserman 2015), as torchvision numbers them."""


@pytest.fixture
def hub(tmp_path: Path, avatarkit_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty asset folder and torch hub cache, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", _no_network)
    return tmp_path / "torch" / "hub" / "checkpoints"


def _no_network(*_: object, **__: object) -> None:
    raise AssertionError("tried to download")


def random_backbone(file: Path, monkeypatch: pytest.MonkeyPatch, net: str = "alex") -> dict[str, torch.Tensor]:
    """Save random weights as ``file`` and make them the published ones."""
    random = torch.Generator().manual_seed(0)
    weights = {}
    for layer, (out, into, size, _, _) in BACKBONES[net].layers.items():
        weights[f"features.{layer}.weight"] = torch.randn(out, into, size, size, generator=random) * 0.05
        weights[f"features.{layer}.bias"] = torch.randn(out, generator=random) * 0.05
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, file)
    record = replace(assets.ASSETS[f"lpips-{net}"], sha256=assets.file_sha256(file))
    monkeypatch.setitem(assets.ASSETS, f"lpips-{net}", record)
    return weights


def test_without_a_backbone_there_is_none_and_a_sentence_says_why(hub: Path) -> None:
    assert lpips_or_none("alex") is None
    assert why_no_lpips("alex").endswith("(run: avatarkit assets get lpips-alex)")
    assert lpips_or_none("vgg") is None and "lpips-vgg" in why_no_lpips("vgg")


@pytest.mark.parametrize(("place", "net"), [("hub", "alex"), ("assets", "alex"), ("assets", "vgg")])
def test_distances_are_those_of_the_published_definition(
    hub: Path, place: str, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub if place == "hub" else assets.place(f"lpips-{net}").parent
    weights = random_backbone(folder / assets.ASSETS[f"lpips-{net}"].file, monkeypatch, net)
    before = torch.get_rng_state()
    distance = lpips_or_none(net)
    assert distance is not None and why_no_lpips(net) == "" and distance.net == net
    assert torch.equal(torch.get_rng_state(), before)  # training's random numbers are left alone

    random = torch.Generator().manual_seed(1)
    image = torch.rand(2, 3, 64, 72, generator=random)
    target = (image + 0.2 * torch.rand(image.shape, generator=random)).clamp(0, 1)
    found = distance(image, target)
    assert found.shape == (2,) and (found > 0).all()
    torch.testing.assert_close(found, by_hand(image, target, weights, net), rtol=1e-4, atol=1e-6)
    assert distance(image, image).abs().max() == 0.0

    leaf = image.clone().requires_grad_(True)
    distance(leaf, target).sum().backward()
    assert torch.isfinite(leaf.grad).all() and leaf.grad.any()
    with pytest.raises(InputError, match="at least 32 pixels"):
        distance(image[..., :20], target[..., :20])


def by_hand(image: torch.Tensor, target: torch.Tensor, weights: dict[str, torch.Tensor], net: str) -> torch.Tensor:
    """Eq. 1 of Zhang et al.: unit-normalised features, squared differences weighted by channel, mean over space."""
    import lpips

    backbone = BACKBONES[net]
    heads = torch.load(
        Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth", weights_only=True, map_location="cpu"
    )
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]

    def features(x: torch.Tensor) -> list[torch.Tensor]:
        x, taps = (2 * x - 1 - shift) / scale, []
        for layer, (*_, stride, padding) in backbone.layers.items():
            if layer in backbone.before:
                x = torch.nn.functional.max_pool2d(x, *backbone.pool)
            x = torch.nn.functional.conv2d(
                x, weights[f"features.{layer}.weight"], weights[f"features.{layer}.bias"], stride, padding
            )
            x = x.relu()
            if layer in backbone.taps:
                taps.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return taps

    total = torch.zeros(len(image))
    for i, (a, b) in enumerate(zip(features(image), features(target), strict=True)):
        head = next(value for name, value in heads.items() if re.match(rf"lin{i}\.", name))
        total += ((a - b) ** 2 * head).sum(1).mean((1, 2))
    return total


def test_a_damaged_backbone_is_not_used(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = hub / assets.ASSETS["lpips-alex"].file
    random_backbone(file, monkeypatch)
    file.write_bytes(file.read_bytes()[:-10])
    assert lpips_or_none("alex") is None
    assert "not the published file" in why_no_lpips("alex")


def test_an_unknown_net_is_refused() -> None:
    with pytest.raises(InputError, match="unknown LPIPS net 'alexx'; did you mean 'alex'"):
        lpips_or_none("alexx")
