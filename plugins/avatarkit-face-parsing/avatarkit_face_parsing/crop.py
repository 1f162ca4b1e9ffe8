"""What of a picture the model is shown: the head, as in the aligned portraits that it learned from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avatarkit.contracts import View

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; may reach beyond the picture."""
HEAD = ("face", "forehead", "skull", "scalp", "jaw", "nose", "l_ear", "r_ear")
NEAR = 0.01  # metres; what is nearer to the camera, or behind it, has no place in the picture


def projected(view: View, regions: tuple[str, ...]) -> Tensor | None:
    """(N, 2) pixels of the posed head's vertices in ``regions``; None where the view has no head, or none before the camera."""
    if view.head is None or view.pose is None:
        return None
    known = [view.head.regions[name] >= 0.5 for name in regions if name in view.head.regions]
    vertices = view.pose.vertices[0].detach().cpu()
    chosen = vertices[torch.stack(known).any(0)] if known else vertices
    viewmat, K = view.cameras.viewmats[0].detach().cpu(), view.cameras.Ks[0].detach().cpu()
    points = chosen @ viewmat[:3, :3].T + viewmat[:3, 3]
    points = points[points[:, 2] > NEAR]
    if len(points) == 0:
        return None
    return torch.stack([K[k, k] * points[:, k] / points[:, 2] + K[k, 2] for k in (0, 1)], 1)


def head_box(view: View, width: int, height: int, margin: float) -> Box | None:
    """A square around the posed head; None where there is none in the picture."""
    points = projected(view, HEAD)
    if points is None:
        return None
    low, high = points.amin(0), points.amax(0)
    if float(high[0]) < 0 or float(high[1]) < 0 or float(low[0]) > width or float(low[1]) > height:
        return None
    half = float((high - low).amax()) * (0.5 + margin)
    x, y = ((low + high) / 2).tolist()
    box = (math.floor(x - half), math.floor(y - half), math.ceil(x + half), math.ceil(y + half))
    return box if box[2] - box[0] >= 2 and half < 4 * max(width, height) else None


def whole(width: int, height: int) -> Box:
    """The whole picture, made square."""
    side = max(width, height)
    across, down = math.ceil((side - width) / 2), math.ceil((side - height) / 2)
    return (-across, -down, width + across, height + down)


def cut(image: Tensor, box: Box, size: int) -> Tensor:
    """(3, H, W) → (3, size, size) of what the box shows; beyond the picture its edge goes on."""
    height, width = image.shape[-2:]
    left, top, right, bottom = box
    inside = image[None, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    beyond = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
    shown = torch.nn.functional.pad(inside, beyond, mode="replicate") if any(beyond) else inside
    return _resized(shown, size, size)[0]


def paste(onto: Tensor, found: Tensor, box: Box) -> None:
    """Write ``found`` (C, size, size), what was found in ``box``, into ``onto`` (C, H, W)."""
    height, width = onto.shape[-2:]
    left, top, right, bottom = box
    there = _resized(found[None], bottom - top, right - left)[0]
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    onto[:, rows, columns] = there[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.interpolate(
        images, (height, width), mode="bilinear", align_corners=False, antialias=True
    )
