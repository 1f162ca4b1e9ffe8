"""Image editors shift, zoom and tint what they return: find by how much outside the region, and take it back.

Geometry is a shift and a zoom about the picture's middle, found coarse to fine by Gauss-Newton (Lucas, Kanade 1981) with robust weights, after
an exhaustive search on a small copy.  Colour is one gain and offset for each channel, by least squares where nothing was to change.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from avatarkit.losses.colour_difference import LUMINANCE

COARSE = 64  # pixels of the longer side in the exhaustive search
SHIFTS = torch.linspace(-0.12, 0.12, 13)  # of the longer half side
ZOOMS = torch.tensor([0.88, 0.92, 0.95, 0.975, 1.0, 1.025, 1.05, 1.08, 1.12])
STEPS = 12  # of Gauss-Newton at each size
ROBUST = 0.08  # residual at which a pixel counts half
LEAST = 400
"""Pixels that have to be looked at; with less there is nothing to register by."""
STILL = 0.25
"""Pixels below which nothing is moved: resampling would blur more than it mends."""
GAINS = (0.7, 1.4)  # what is taken for a tint; more is another picture
CLIPPED = 0.01  # from black or white: says nothing of a tint
GAIN_PRIOR = 20.0  # pixels' worth of belief that there is no tint


@dataclass(frozen=True)
class Registration:
    """How an edited picture lies against its source.  shift (x, y): pixels; zoom: factor; gain, offset (3,): of its colours."""

    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


def register(source: Tensor, edited: Tensor, outside: Tensor) -> Registration:
    """Of ``edited`` (3, H, W) against ``source`` (3, H, W), by the pixels where ``outside`` (1, H, W) is near 1."""
    if float((outside > 0.5).sum()) < LEAST:
        return Registration()
    height, width = source.shape[1:]
    luminance = torch.tensor(LUMINANCE)[:, None, None]
    grey = torch.stack([(source * luminance).sum(0), (edited * luminance).sum(0)])[:, None]
    structure = grey[:1] - grey[:1].mean()
    if float((structure.abs() * outside).amax()) < 0.02:
        return Registration()  # a flat wall: any place fits
    found = _searched(grey, outside)
    for size in (COARSE, 2 * COARSE, 4 * COARSE, max(height, width)):
        if size <= max(height, width):
            found = _refined(grey, outside, found, size)
    zoom, x, y = found.tolist()
    half = 0.5 * max(height, width)
    made = Registration((x * half, y * half), zoom)
    if max(abs(x), abs(y), abs(zoom - 1.0)) * half < STILL:
        made = Registration()
    gain, offset = _tint(source, aligned(edited, made), outside)
    return Registration(made.shift, made.zoom, gain, offset)


def aligned(edited: Tensor, registration: Registration) -> Tensor:
    """``edited`` (3, H, W) brought back over its source, geometry first, colours then; edges continue."""
    height, width = edited.shape[1:]
    half = 0.5 * max(height, width)
    parameters = torch.tensor(
        [registration.zoom, registration.shift[0] / half, registration.shift[1] / half], dtype=torch.float32
    )
    moved = edited
    if registration.zoom != 1.0 or registration.shift != (0.0, 0.0):
        moved = _sampled(edited[None], parameters[None])[0]
    gain, offset = (torch.tensor(values)[:, None, None] for values in (registration.gain, registration.offset))
    return ((moved - offset) / gain).clamp(0.0, 1.0)


def _grid(parameters: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, 2): where a pixel of the source lies in the edited picture; parameters (B, 3): zoom, shift in half sides."""
    longer = max(height, width)
    y = (2.0 * torch.arange(height) + 1.0 - height) / longer
    x = (2.0 * torch.arange(width) + 1.0 - width) / longer
    zoom, dx, dy = (value[:, None, None] for value in parameters.unbind(1))
    at_x, at_y = zoom * x[None, None, :] + dx, zoom * y[None, :, None] + dy
    at_x, at_y = torch.broadcast_tensors(at_x, at_y)
    return torch.stack([at_x * longer / width, at_y * longer / height], -1)


def _sampled(picture: Tensor, parameters: Tensor) -> Tensor:
    grid = _grid(parameters, *picture.shape[2:])
    return grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0.0, 1.0)


def _resized(value: Tensor, size: int) -> Tensor:
    height, width = value.shape[2:]
    factor = size / max(height, width)
    if factor >= 1.0:
        return value
    return interpolate(value, size=(round(height * factor), round(width * factor)), mode="area")


def _searched(grey: Tensor, outside: Tensor) -> Tensor:
    """(3,): the best of all zooms and shifts on a small copy; the smallest move where several are as good."""
    small, weight = _resized(grey, COARSE), _resized(outside[None], COARSE)
    zoom, x, y = torch.meshgrid(ZOOMS, SHIFTS, SHIFTS, indexing="ij")
    parameters = torch.stack([zoom.reshape(-1), x.reshape(-1), y.reshape(-1)], 1)
    costs = []
    for chunk in parameters.split(256):
        moved = grid_sample(
            small[1:].expand(len(chunk), -1, -1, -1), _grid(chunk, *small.shape[2:]), padding_mode="border", align_corners=False
        )  # fmt: skip
        costs.append(((moved - small[:1]).abs().clamp(max=3 * ROBUST) * weight).mean((1, 2, 3)))
    size = (parameters - torch.tensor([1.0, 0.0, 0.0])).norm(dim=1)
    return parameters[(torch.cat(costs) + 1e-3 * size).argmin()]


def _refined(grey: Tensor, outside: Tensor, start: Tensor, size: int) -> Tensor:
    """Gauss-Newton from ``start`` (3,) on a copy of ``size``; keeps the start where it does not get better."""
    small, weight = _resized(grey, size), _resized(outside[None], size)[0, 0]
    target, longer = small[0, 0], max(small.shape[2:])
    best, best_cost, found = start, float("inf"), start
    for _ in range(STEPS):
        moved = _sampled(small[1:], found[None])[0, 0]
        difference = moved - target
        robust = weight / (1.0 + (difference / ROBUST) ** 2)
        cost = float((robust * difference**2).sum())
        if cost >= best_cost:
            break
        best, best_cost = found, cost
        gy, gx = torch.gradient(moved)
        # moved(x) = edited(zoom·x + d): derivatives by zoom and shift, in half sides
        half = 0.5 * longer
        y = (torch.arange(target.shape[0]) + 0.5 - 0.5 * target.shape[0])[:, None]
        x = (torch.arange(target.shape[1]) + 0.5 - 0.5 * target.shape[1])[None, :]
        zoom = float(found[0])
        slopes = torch.stack([(gx * x + gy * y) / zoom, gx * half / zoom, gy * half / zoom]).reshape(3, -1)
        weighted = slopes * robust.reshape(-1)
        system = weighted @ slopes.T + 1e-6 * torch.eye(3)
        found = found - torch.linalg.solve(system, weighted @ difference.reshape(-1))
    return best


def _tint(
    source: Tensor, edited: Tensor, outside: Tensor
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """gain and offset (3,) with edited ≈ gain · source + offset, by robust least squares; none where it is no tint."""
    sure = (outside[0] > 0.5).float()
    gains, offsets = [], []
    for channel in range(3):
        a, b = source[channel], edited[channel]
        clipped = (torch.minimum(a, b) < CLIPPED) | (torch.maximum(a, b) > 1.0 - CLIPPED)
        weight = sure * (~clipped).float()
        w = weight.clone()
        gain, offset = 1.0, 0.0
        for _ in range(4):
            total = w.sum() + GAIN_PRIOR
            mean_a, mean_b = (w * a).sum() / total, (w * b).sum() / total
            spread = (w * (a - mean_a) ** 2).sum()
            together = (w * (a - mean_a) * (b - mean_b)).sum()
            gain = float((together + GAIN_PRIOR * 0.05) / (spread + GAIN_PRIOR * 0.05))
            offset = float(((w * (b - gain * a)).sum()) / total)
            w = weight / (1.0 + ((b - gain * a - offset) / ROBUST) ** 2)
        gains.append(gain)
        offsets.append(offset)
    if not all(GAINS[0] < gain < GAINS[1] for gain in gains):
        return (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    return (gains[0], gains[1], gains[2]), (offsets[0], offsets[1], offsets[2])
