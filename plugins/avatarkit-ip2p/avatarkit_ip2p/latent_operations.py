"""From where denoising starts, and how far up its schedule each place begins: a plain edit and the four latent operations.

The operations are those of Wu et al., Self-correcting LLM-controlled diffusion models (CVPR 2024): ``add`` makes a place anew,
``delete`` replaces it by noise, ``reposition`` moves its latents and makes the vacated place anew, ``change`` paints over it.  All are
said by one map: for each latent pixel the level of the schedule below which it is free (the strength of Levin and Fried, Differential
Diffusion, 2023).  Where we differ:

* What is deleted is taken out of the picture before it is encoded, and out of the picture that the UNet is shown.  Shown, it would
  come back; and the encoder carries traces of it into latents beside it.
* What is repositioned is shown at its new place, for the same reason.

The views show what is to be corrected.  References, where there are any, show the correction as far as the avatar has learnt it: with
them denoising starts from what they have inside the mask.  In rounds after the first their cap holds for every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarkit.contracts import EditStep
from avatarkit_ip2p.filling import filled
from avatarkit_ip2p.framing import Frame

STRONG, MODERATE, SHORT = 0.98, 0.6, 0.3
"""Levels of what is made anew, is painted over, is only to settle in: the noise caps of three rounds."""


@dataclass(frozen=True)
class Start:
    """base (B, 4, h, w): latents, scaled; what denoising starts from, and what is kept.  shown (B, 4, h, w): of the picture that
    the UNet sees, unscaled.  level (B, 1, h, w) in [0, 1]: a latent pixel is painted once the schedule is down to it, 0 is never.
    mask (B, 1, H, W) in [0, 1]: where the result may differ from the views."""

    base: Tensor
    shown: Tensor
    level: Tensor
    mask: Tensor


def started(
    encoded: Callable[[Tensor], Tensor],
    scaling: float,
    frame: Frame,
    views: Tensor,
    masks: Tensor,
    references: Tensor | None,
    step: EditStep,
    grow: int,
) -> Start:
    """What ``step`` does to ``views`` (B, 3, H, W) where ``masks`` (B, 1, H, W) allow.

    encoded: (B, 3, down, across) → unscaled latents.  A reposition by less than a latent pixel has nothing to move, and is a plain
    edit.
    """
    free, before = frame.latent_mask(masks, grow), frame.shown(views)
    anew = STRONG if step.round == 0 else min(step.noise, STRONG)
    strengths = {"add": anew, "delete": anew, "change": min(step.noise, MODERATE)}
    level = strengths.get(step.latent, step.noise) * free.float()
    shown = before if step.latent != "delete" else filled(before, frame.pixels(free))
    latents = encoded(shown)
    x, y = latent_shift(frame, step.shift)
    if step.latent == "reposition" and (x or y):
        arrived = shifted(free, x, y)
        vacated = free & ~arrived
        moved = shifted(latents, x, y)
        latents = torch.where(arrived, moved, encoded(filled(before, frame.pixels(free))))
        level = anew * vacated.float() + min(step.noise, SHORT) * arrived.float()
        free = free | arrived
        across, down = (round(n * frame.cell * frame.width / frame.columns) for n in (x, y))
        masks = torch.maximum(masks, shifted(masks, across, down))
    if references is None:
        return Start(scaling * latents, latents, level, masks)
    learnt = encoded(torch.where(frame.pixels(free), frame.shown(references), before))
    return Start(scaling * learnt, latents, level, masks)


def latent_shift(frame: Frame, shift: tuple[float, float]) -> tuple[int, int]:
    """Whole latent pixels to the right and down, of shares of the picture's width and height."""
    return round(shift[0] * frame.columns / frame.cell), round(shift[1] * frame.rows / frame.cell)


def shifted(values: Tensor, x: int, y: int) -> Tensor:
    """(…, H, W) moved ``x`` to the right and ``y`` down; zeros come in, what leaves is lost."""
    height, width = values.shape[-2:]
    moved = torch.zeros_like(values)
    if abs(x) >= width or abs(y) >= height:
        return moved
    moved[..., max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = values[
        ..., max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)
    ]
    return moved
