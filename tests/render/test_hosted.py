"""A rasterizer of another device behind tensors on the CPU: everything goes there, and everything comes back, gradients too."""

from __future__ import annotations

from typing import Any

import torch

from avatarkit.cameras import Cameras
from avatarkit.contracts import Render
from avatarkit.render.hosted import Hosted, bare, device_of, hosted
from avatarkit.render.reference import ReferenceRasterizer
from avatarkit.testing.scenes import scene


class Far(ReferenceRasterizer):
    """The reference, which notes where its tensors are said to go."""

    device = "cpu:0"

    def render(self, means: torch.Tensor, *rest: Any, **options: Any) -> Render:
        cameras = next(value for value in rest if isinstance(value, Cameras))
        given = [means, *(v for v in (*rest, *options.values()) if isinstance(v, torch.Tensor)), cameras.viewmats]
        assert all(tensor.device.type == "cpu" for tensor in given)
        self.count = len(given)
        return super().render(means, *rest, **options)


def test_what_works_on_the_cpu_is_itself() -> None:
    part = ReferenceRasterizer()
    assert hosted(part) is part and bare(part) is part and device_of(part) == "cpu"


def test_everything_travels_there_and_back() -> None:
    far, near = Far(), ReferenceRasterizer()
    host = hosted(far)
    assert isinstance(host, Hosted) and bare(host) is far and device_of(host) == "cpu" and hosted(host) is host
    assert host.name == far.name and host.capabilities == far.capabilities
    found = []
    for part in (host, near):
        given, leaves = scene(1, count=8).leaves()
        masks = torch.ones(1, 1, given.cameras.height, given.cameras.width)
        made = part.render(**given.arguments(), masks=masks, top=True)  # type: ignore[arg-type]
        made.features.sum().backward()
        found.append((made, {name: leaf.grad for name, leaf in leaves.items()}))
    (one, gradients), (other, expected) = found
    for name in ("features", "alpha", "depth", "means2d", "radii", "sums", "top"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert one.mean2d_gradients is not None and other.mean2d_gradients is not None
    assert torch.equal(one.mean2d_gradients(), other.mean2d_gradients())
    for name, gradient in expected.items():
        assert torch.equal(gradients[name], gradient), name  # type: ignore[arg-type]
    assert far.count == 8, "five tensors, background, masks, cameras"
