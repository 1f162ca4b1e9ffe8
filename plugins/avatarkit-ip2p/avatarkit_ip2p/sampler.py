"""Denoising, spelt out: DDIM without noise of its own (Song et al., ICLR 2021, eq. 12 with σ = 0), blended with what is kept.

A loop of our own, and not diffusers' pipeline, because a start at any level, places that begin at different levels, noise of each
view's own and attention across views all meet in it.  On a full schedule it gives what the pipeline with ``DDIMScheduler``
(``timestep_spacing="trailing"``, the spacing that Lin et al., WACV 2024, find right) gives; the tests compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatarkit.events import Progress, Run
from avatarkit_ip2p.latent_operations import Start
from avatarkit_ip2p.model import Model
from avatarkit_ip2p.sharing import Sharing

LEAST = 2  # steps; from one step a diffusion model returns a mean picture


@dataclass(frozen=True)
class Schedule:
    """levels (n + 1): from where denoising starts down to 0; times (n): training times 0 … T − 1 at which the UNet is asked."""

    levels: tuple[float, ...]
    times: tuple[int, ...]

    @staticmethod
    def of(level: float, steps: int, training: int) -> Schedule:
        """``steps`` for the whole way from 1; from ``level`` its part of them, at least two, evenly spaced."""
        count = max(LEAST, round(steps * level))
        levels = tuple(level * (count - k) / count for k in range(count + 1))
        return Schedule(levels, tuple(max(0, round(training * one) - 1) for one in levels[:-1]))


def view_noise(seed: int, views: int, shape: Sequence[int]) -> Tensor:
    """(views, *shape) normal: each view from a generator of its own, so that it does not depend on how many there are."""
    drawn = []
    for view in range(views):
        state = np.random.SeedSequence([seed % 2**64, view]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state) >> 1)  # on the CPU: the same for every device
        drawn.append(torch.randn(tuple(shape), generator=generator))
    return torch.stack(drawn)


def denoised(
    model: Model,
    start: Start,
    words: Tensor,
    noise: Tensor,
    sharing: Sharing | None,
    run: Run,
    *,
    steps: int,
    guidance: float,
    image_guidance: float,
    batch: int,
) -> Tensor:
    """Scaled latents (B, 4, h, w); where ``start.level`` is 0 they are ``start.base``.

    words (2, B, L, C): wanted and unwanted; noise (B, 4, h, w).  Until the schedule is down to its level a place is set, before each
    step, to the base as it is with that much of the noise (Avrahami et al., Blended latent diffusion, SIGGRAPH 2023).  Raises
    KeyboardInterrupt once ``run.stopping``.
    """
    views = len(noise)
    schedule = Schedule.of(float(start.level.max()), steps, len(model.alphas))
    last_but_one = schedule.levels[-1 - LEAST]
    level = torch.where(start.level > 0, start.level.clamp(min=last_but_one), start.level)
    parts = [range(first, min(first + batch, views)) for first in range(0, views, batch)]
    total = len(schedule.times) * len(parts)
    latents = start.base
    for k, moment in enumerate(schedule.times):
        share = float(model.alphas[moment])
        left = float(model.alphas[schedule.times[k + 1]]) if k + 1 < len(schedule.times) else 1.0
        kept = _noised(start.base, noise, share)
        # what was painted in the step before goes on; all else, and at first everything, is the base at this level
        latents = torch.where(level >= schedule.levels[k - 1] - 1e-6, latents, kept) if k else kept
        for at, part in enumerate(parts):
            if run.stopping:
                raise KeyboardInterrupt
            some = slice(part.start, part.stop)
            with model.link.of(sharing, part):
                found = model.noise(latents[some], start.shown[some], moment, words[:, some], guidance, image_guidance)
            latents[some] = _stepped(latents[some], found, share, left, model.velocity)
            run.emit(Progress("painting", k * len(parts) + at + 1, total))
    return torch.where(start.level > 0, latents, start.base)


def _noised(latents: Tensor, noise: Tensor, share: float) -> Tensor:
    return share**0.5 * latents + (1.0 - share) ** 0.5 * noise


def _stepped(latents: Tensor, found: Tensor, share: float, left: float, velocity: bool) -> Tensor:
    """From the time with ᾱ = ``share`` to that with ᾱ = ``left``."""
    if velocity:
        clean = share**0.5 * latents - (1.0 - share) ** 0.5 * found
        found = share**0.5 * found + (1.0 - share) ** 0.5 * latents
    else:
        clean = (latents - (1.0 - share) ** 0.5 * found) / share**0.5
    return _noised(clean, found, left)
