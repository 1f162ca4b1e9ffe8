"""Where patches are taken in a step and how they are changed: drawn once, then the same for real, fake and condition.

Differentiable augmentation as in Zhao et al., NeurIPS 2020: a discriminator that has two dozen real pictures would learn them by
heart.  What is done to both sides alike need not be undone by the generator.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

AUGMENTATIONS = ("colour", "translation", "cutout")
SHIFT = 8  # a translation is at most this part of a patch: 1/8
# The picture, and the view before the edit: changed alike, so that D still sees which colours the edit changed.
COLOURED = (slice(0, 3), slice(3, 6))


@dataclass(frozen=True)
class Draw:
    """One step's patches of B views of H×W pixels.

    shape: (B, H, W).  places: (view, top, left) of each of P patches, view by view, equally many of each.  size: (h, w) of a patch.
    colour: (P, 3) brightness, saturation, contrast, or None; shifts: (y, x) of each patch, or (); holes: (top, left) of each
    patch's cutout, or ().
    """

    shape: tuple[int, int, int]
    places: tuple[tuple[int, int, int], ...]
    size: tuple[int, int]
    colour: Tensor | None = None
    shifts: tuple[tuple[int, int], ...] = ()
    holes: tuple[tuple[int, int], ...] = ()

    def apply(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, 3, H, W) and condition (B, 4, H, W) in [0, 1] → (P, 7, h, w), [−1, 1] before the colours change.

        Differentiable.  Patches are cut by indices: the gradient of so many slices would be as many whole views.
        """
        (height, width), places = self.size, torch.tensor(self.places, device=x.device)
        rows = places[:, 1, None, None] + torch.arange(height, device=x.device)[:, None]
        columns = places[:, 2, None, None] + torch.arange(width, device=x.device)
        cut = [image[places[:, 0, None, None], :, rows, columns].movedim(3, 1) for image in (x, condition.to(x))]
        patches = torch.cat(cut, 1) * 2 - 1
        if self.colour is not None:
            patches = _recoloured(patches, self.colour.to(patches))
        if self.shifts:
            patches = torch.stack([_shifted(patch, *by) for patch, by in zip(patches, self.shifts, strict=True)])
        if self.holes:
            kept = torch.ones(len(patches), 1, height, width, dtype=x.dtype)
            for mask, (top, left) in zip(kept, self.holes, strict=True):
                mask[:, max(top, 0) : top + height // 2, max(left, 0) : left + width // 2] = 0.0
            patches = patches * kept.to(x.device)
        return patches


def draw_patches(
    region: Tensor, focus: Tensor | None, patch: int, patches: int, augment: Collection[str], generator: torch.Generator
) -> Draw:
    """Draw a step's patches.

    region (B, H, W) and focus (B, H, W): weights ≥ 0, on the CPU.  Half of a view's patches, rounded down, have their centre at
    a pixel drawn by ``focus``; the others at a pixel drawn by ``region``, moved by up to a quarter of a patch, so that they
    show its surroundings too.  Where a map is empty the region stands in for the focus, and the whole view for the region.
    Patches are moved into the picture.
    """
    views, height, width = region.shape
    size = (min(patch, height), min(patch, width))
    whole = size == (height, width)
    count = 1 if whole else patches
    attended = 0 if focus is None or whole else count // 2
    places: list[tuple[int, int, int]] = []
    for b in range(views):
        centres = []
        if attended and focus is not None and bool((focus[b] > 0).any()):
            centres.append(_drawn_pixels(focus[b], attended, generator))
        left = count - sum(map(len, centres))
        if bool((region[b] > 0).any()):
            near = torch.randint(-(patch // 4), patch // 4 + 1, (left, 2), generator=generator)
            centres.append(_drawn_pixels(region[b], left, generator) + near)
        else:
            centres.append(_drawn_pixels(torch.ones(height, width), left, generator))
        for y, x in torch.cat(centres).tolist():
            top, edge = (min(max(c - s // 2, 0), n - s) for c, s, n in zip((y, x), size, (height, width), strict=True))
            places.append((b, top, edge))
    return Draw((views, height, width), tuple(places), size, *_drawn_changes(len(places), size, augment, generator))


def _drawn_pixels(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(H, W) weights, not all 0 → (count, 2) rows and columns."""
    cumulated = weights.flatten().double().cumsum(0)
    at = torch.rand(count, dtype=torch.float64, generator=generator) * cumulated[-1]
    flat = torch.searchsorted(cumulated, at, right=True).clamp(max=len(cumulated) - 1)
    return torch.stack([flat // weights.shape[1], flat % weights.shape[1]], 1)


def _drawn_changes(
    count: int, size: tuple[int, int], augment: Collection[str], generator: torch.Generator
) -> tuple[Tensor | None, tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """The paper's ranges: brightness ±0.5 of [−1, 1], saturation 0 to 2, contrast 0.5 to 1.5; shifts of an eighth, holes of half."""
    colour: Tensor | None = None
    shifts: list[tuple[int, int]] = []
    holes: list[tuple[int, int]] = []
    height, width = size
    if "colour" in augment:
        amounts = torch.rand(count, 3, generator=generator)
        colour = amounts * torch.tensor([1.0, 2.0, 1.0]) + torch.tensor([-0.5, 0.0, 0.5])
    if "translation" in augment:
        down = torch.randint(-(height // SHIFT), height // SHIFT + 1, (count,), generator=generator)
        right = torch.randint(-(width // SHIFT), width // SHIFT + 1, (count,), generator=generator)
        shifts = list(zip(down.tolist(), right.tolist(), strict=True))
    if "cutout" in augment:
        top = torch.randint(0, height + 1, (count,), generator=generator) - height // 4
        left = torch.randint(0, width + 1, (count,), generator=generator) - width // 4
        holes = list(zip(top.tolist(), left.tolist(), strict=True))
    return colour, tuple(shifts), tuple(holes)


def _recoloured(patches: Tensor, colour: Tensor) -> Tensor:
    brightness, saturation, contrast = (column[:, None, None, None] for column in colour.unbind(1))
    changed = []
    for channels in COLOURED:
        picture = patches[:, channels] + brightness
        grey = picture.mean(1, keepdim=True)
        picture = (picture - grey) * saturation + grey
        mean = picture.mean((1, 2, 3), keepdim=True)
        changed.append((picture - mean) * contrast + mean)
    return torch.cat([*changed, patches[:, COLOURED[-1].stop :]], 1)


def _shifted(patch: Tensor, down: int, right: int) -> Tensor:
    """(C, h, w) moved; what comes in is 0, the middle grey."""
    height, width = patch.shape[-2:]
    margin = (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0))
    padded = torch.nn.functional.pad(patch, margin)
    return padded[:, max(-down, 0) :, max(-right, 0) :][:, :height, :width]
