"""What a painter works on: the box of one view that its mask touches, the picture there in OKLab, and the surface below it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from avatarkit.edit.paint.oklab import oklab
from avatarkit.edit.paint.surface import Box, Surface, anchored_surface, flat_surface
from avatarkit.types import BoolArray, Float32Array, FloatArray, IntArray

LEAST = 1 / 255
"""A mask below this changes no 8-bit picture and counts as outside."""
BORDER = 12  # pixels around the mask that filters may look at


@dataclass(frozen=True)
class Canvas:
    """One view's box.  rgb (h, w, 3) sRGB and mask (h, w), float32 in [0, 1]; box: rows and columns in the view."""

    rgb: Float32Array
    mask: Float32Array
    surface: Surface
    box: Box

    @property
    def pitch(self) -> float:
        """Metres between pixels."""
        return self.surface.pitch

    @cached_property
    def lab(self) -> Float32Array:
        """(h, w, 3) OKLab."""
        return oklab(self.rgb)

    @cached_property
    def inside(self) -> BoolArray:
        """(h, w): what the mask touches; N pixels."""
        return self.mask >= LEAST

    @cached_property
    def points(self) -> Float32Array:
        """(N, 3) of the pixels inside, on the neutral head, metres."""
        return self.surface.points[self.inside]

    @cached_property
    def trust(self) -> Float32Array:
        """(N,) how far those points can be believed."""
        return self.surface.trust[self.inside]

    def spread(self, values: FloatArray) -> Float32Array:
        """(N,) or (N, C) of the pixels inside → (h, w) or (h, w, C), 0 outside."""
        laid = np.zeros((*self.inside.shape, *values.shape[1:]), np.float32)
        laid[self.inside] = values
        return laid

    def blurred(self, values: Float32Array, metres: float) -> Float32Array:
        """(h, w) or (h, w, C) blurred by a Gaussian of that deviation, looking only at what is inside."""
        return blurred(values, self.inside.astype(np.float32), metres / self.pitch)


def canvas(
    picture: Float32Array, mask: Float32Array, rest: Float32Array | None, triangle: IntArray | None
) -> Canvas | None:
    """The canvas of one view (H, W, 3); None where its mask touches nothing.  rest, triangle: its correspondences."""
    rows, columns = (np.flatnonzero((mask >= LEAST).any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    height, width = mask.shape
    box = (
        slice(max(0, int(rows[0]) - BORDER), min(height, int(rows[-1]) + 1 + BORDER)),
        slice(max(0, int(columns[0]) - BORDER), min(width, int(columns[-1]) + 1 + BORDER)),
    )
    surface = None
    if rest is not None and triangle is not None:
        surface = anchored_surface(rest, triangle, box)
    if surface is None:
        surface = flat_surface(height, width, box)
    return Canvas(picture[box], mask[box], surface, box)


def blurred(values: Float32Array, weight: Float32Array, sigma: float) -> Float32Array:
    """(h, w) or (h, w, C) blurred with ``weight`` (h, w): a mean over what counts.  sigma in pixels."""
    total = np.maximum(gaussian_filter(weight, sigma, truncate=2.5), 1e-6)
    if values.ndim == 2:
        return gaussian_filter(values * weight, sigma, truncate=2.5) / total
    layers = [gaussian_filter(values[..., k] * weight, sigma, truncate=2.5) / total for k in range(values.shape[2])]
    return np.stack(layers, -1)


def smoothed(canvas: Canvas, metres: float, edge: float, times: int = 1) -> Float32Array:
    """(h, w, 3) OKLab without detail smaller than ``metres`` and fainter than ``edge`` in lightness; edges stay.

    A guided filter with the lightness as guide (He, Sun, Tang, ECCV 2010), its coefficients found on a smaller picture (the
    same two, arXiv:1505.00996), looking only at what is inside.
    """
    sigma, lab = metres / canvas.pitch, canvas.lab
    step = max(1, int(sigma / 2.0))
    weight = _shrunk(canvas.inside.astype(np.float32)[..., None], step)
    for _ in range(times):
        small = _shrunk(lab * canvas.inside[..., None], step) / np.maximum(weight, 1e-6)
        guide = small[..., :1]
        means = blurred(np.concatenate([small, guide * small], -1), weight[..., 0], sigma / step)
        middle = means[..., :1]
        varied = means[..., 3:] - middle * means[..., :3]
        slope = varied / (np.maximum(varied[..., :1], 0.0) + np.float32(edge**2))
        level = means[..., :3] - slope * middle
        spread = blurred(np.concatenate([slope, level], -1), weight[..., 0], sigma / step)
        spread = _grown(spread, lab.shape[:2], step)
        lab = spread[..., :3] * lab[..., :1] + spread[..., 3:]
    return lab


def edge_lines(canvas: Canvas, metres: float, *, sensitivity: float = 1.0) -> Float32Array:
    """(h, w) in [0, 1]: dark lines where the picture has edges or dark creases, ``metres`` wide.

    Difference of Gaussians of the lightness (Winnemöller, Kyprianidis, Olsen, Computers & Graphics 2012).  What lies outside the
    mask draws no lines: there the inside goes on.
    """
    sigma = max(0.6, metres / canvas.pitch)
    weight = canvas.inside.astype(np.float32)
    light = canvas.lab[..., 0]
    light = np.where(canvas.inside, light, blurred(light, weight, 2.0 * sigma))
    fine, coarse = (gaussian_filter(light, factor * sigma, truncate=3.0) for factor in (1.0, 1.6))
    hollow = (coarse - fine) * sensitivity
    return np.clip((hollow - 0.008) / 0.03, 0.0, 1.0).astype(np.float32)


def outline(canvas: Canvas, metres: float) -> Float32Array:
    """(h, w) in [0, 1]: a line along the border of the mask, inside of it."""
    near = gaussian_filter(canvas.inside.astype(np.float32), metres / canvas.pitch, truncate=3.0)
    line = np.clip((0.86 - near) / 0.25, 0.0, 1.0)
    return np.where(canvas.inside, line, 0.0).astype(np.float32)


def details(canvas: Canvas, flat: Float32Array, least: float = 0.02) -> Float32Array:
    """(h, w): what ``flat`` lost of the lightness, less its faintest part: eyes and lips stay, grain does not."""
    lost = canvas.lab[..., 0] - flat[..., 0]
    return (np.sign(lost) * np.maximum(np.abs(lost) - least, 0.0)).astype(np.float32)


def _shrunk(values: Float32Array, step: int) -> Float32Array:
    """(h, w, C) → means of squares of ``step`` pixels; the last row and column may be of fewer."""
    if step == 1:
        return values
    planes = torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1)[None]
    small = torch.nn.functional.avg_pool2d(planes, step, ceil_mode=True)
    return small[0].permute(1, 2, 0).numpy()


def _grown(values: Float32Array, shape: tuple[int, ...], step: int) -> Float32Array:
    """The other way round, linear between the squares' middles."""
    if step == 1:
        return values
    planes = torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1)[None]
    size = (values.shape[0] * step, values.shape[1] * step)
    large = torch.nn.functional.interpolate(planes, size, mode="bilinear", align_corners=False)
    return large[0, :, : shape[0], : shape[1]].permute(1, 2, 0).numpy()
