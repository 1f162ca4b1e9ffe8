"""How pictures lie in what the model is shown: resized with their shape kept, their edges repeated until its grids come out even."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PRESENT = 0.1
"""From here on a mask counts while painting.  Low, so that a feathered rim too has something painted under it."""


@dataclass(frozen=True)
class Frame:
    """A picture of height × width pixels is resized to rows × columns, in the upper left corner of down × across.

    cell: pixels of that for each latent pixel; down and across are multiples of it, and of what the UNet halves.
    """

    height: int
    width: int
    rows: int
    columns: int
    down: int
    across: int
    cell: int

    @staticmethod
    def of(height: int, width: int, size: int, cell: int, levels: int) -> Frame:
        """The longer side becomes ``size``; ``levels``: resolutions of the UNet."""
        scale, whole = size / max(height, width), cell * 2 ** (levels - 1)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        return Frame(height, width, rows, columns, -(-rows // whole) * whole, -(-columns // whole) * whole, cell)

    def shown(self, pictures: Tensor) -> Tensor:
        """(B, C, height, width) in [0, 1] → (B, C, down, across) in [0, 1]."""
        beyond = (0, self.across - self.columns, 0, self.down - self.rows)
        resized = _resized(pictures, self.rows, self.columns).clamp(0.0, 1.0)
        return torch.nn.functional.pad(resized, beyond, mode="replicate")

    def back(self, pictures: Tensor) -> Tensor:
        """(B, C, down, across) → (B, C, height, width) in [0, 1]."""
        return _resized(pictures[..., : self.rows, : self.columns], self.height, self.width).clamp(0.0, 1.0)

    def latent_mask(self, masks: Tensor, grow: int) -> Tensor:
        """(B, 1, height, width) in [0, 1] → (B, 1, down/cell, across/cell) bool: latent pixels with any of the mask in them,
        widened by ``grow``.  All or nothing, since a latent that is half painted at every step is nearly not painted."""
        present = (self.shown(masks) > PRESENT).float()
        latent = torch.nn.functional.max_pool2d(present, self.cell)
        if grow:
            latent = torch.nn.functional.max_pool2d(latent, 2 * grow + 1, 1, grow)
        return latent > 0.5

    def pixels(self, latent: Tensor) -> Tensor:
        """(B, 1, down/cell, across/cell) → (B, 1, down, across): each latent pixel's square."""
        return latent.repeat_interleave(self.cell, -2).repeat_interleave(self.cell, -1)

    def centres(self, tokens_down: int, tokens_across: int) -> tuple[Tensor, Tensor]:
        """(tokens_down,) rows and (tokens_across,) columns of the picture in which the tokens' centres lie; −1 beyond it."""
        y = _centres(tokens_down, self.down, self.rows, self.height)
        return y, _centres(tokens_across, self.across, self.columns, self.width)


def _centres(tokens: int, shown: int, resized: int, original: int) -> Tensor:
    at = (torch.arange(tokens) + 0.5) * shown / tokens
    return torch.where(at < resized, (at * original / resized).long().clamp(max=original - 1), -1)


def _resized(pictures: Tensor, height: int, width: int) -> Tensor:
    if pictures.shape[-2:] == (height, width):
        return pictures
    return torch.nn.functional.interpolate(
        pictures, (height, width), mode="bicubic", align_corners=False, antialias=True
    )
