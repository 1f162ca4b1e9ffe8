"""From where denoising starts, and how far up its schedule each place begins: a plain edit and the four latent operations.

The operations are those of Wu et al., Self-correcting LLM-controlled diffusion models (CVPR 2024, section 3.3): ``add`` makes a
place anew, ``delete`` replaces it by noise, ``reposition`` moves its latents and makes the vacated place anew, ``change`` paints
over it.  There, boxes are frozen for the first steps and freed afterwards; here each latent pixel has the level below which it is
free (the strength of Levin and Fried, Differential Diffusion, 2023), which says all of it with one map.  Where we differ:

* What is deleted is taken out of the picture before it is encoded, and out of the picture that the UNet is shown.  Shown, it would
  come back; and the encoder carries traces of it into latents beside it.
* What is repositioned is shown at its new place, for the same reason.
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

    encoded: (B, 3, down, across) → unscaled latents.  references: where given, what stands inside the mask now; outside it the
    views are kept.
    """
    free = frame.latent_mask(masks, grow)
    hole = frame.pixels(free)
    before = frame.shown(views)
    now = before if references is None else torch.where(hole, frame.shown(references), before)
    if step.latent == "delete":
        latents = encoded(filled(now, hole))
        return Start(scaling * latents, latents, STRONG * free.float(), masks)
    if step.latent == "reposition":
        return _repositioned(encoded(now), encoded(filled(now, hole)), scaling, frame, free, masks, step)
    level = {"add": STRONG, "change": min(step.noise, MODERATE)}.get(step.latent, step.noise)
    shown = encoded(before)
    return Start(scaling * (shown if references is None else encoded(now)), shown, level * free.float(), masks)


def _repositioned(
    there: Tensor, without: Tensor, scaling: float, frame: Frame, free: Tensor, masks: Tensor, step: EditStep
) -> Start:
    """there, without: latents with the thing at its old place, and with that place filled."""
    x, y = latent_shift(frame, step.shift)
    arrived = shifted(free, x, y)
    latents = torch.where(arrived, shifted(there, x, y), without)
    vacated = free & ~arrived
    level = STRONG * vacated.float() + min(step.noise, SHORT) * arrived.float()
    across, down = (round(n * frame.cell * frame.width / frame.columns) for n in (x, y))
    return Start(scaling * latents, latents, level, torch.maximum(masks, shifted(masks, across, down)))


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
