"""Held-out timesteps follow the training timesteps that were tuned.

Pictures tune head parameters of training timesteps only.  What tuning mends is mostly the tracker's bias, and a bias repeats: a
mouth that opens pulls the head towards the camera in every frame in which it does.  So the corrections are learnt as a
function of what was tracked, and of time, by kernel ridge regression (Saunders, Gammerman, Vovk, ICML 1998), and each timestep
without pictures of its own gets the correction that is foretold for it.  No pixel of a held-out frame is looked at.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatarkit.head.parameters import PER_TIMESTEP, HeadParams

NEAR = 2.0
"""Timesteps over which one correction says something of the next."""
TIME_SHARE = 1.0
"""Weight of nearness in time against likeness of what was tracked."""
RIDGE = 0.3
"""How much of a correction is taken for noise."""


def followed(tracked: HeadParams, tuned: HeadParams, known: Tensor, clips: Tensor | None = None) -> HeadParams:
    """``tuned`` with the timesteps that are not ``known`` (T,) bool corrected as known ones like them were.

    tracked, tuned: T timesteps before and after tuning; identity and offsets are those of ``tuned``.  clips (T,): which clip each
    timestep is of; the end of one is not near the beginning of the next.
    """
    if not bool(known.any()) or bool(known.all()):
        return tuned
    kernel = _likeness(tracked, known) + TIME_SHARE * _nearness(len(tracked), clips)
    own = kernel[known][:, known]
    solver = own + RIDGE * torch.eye(len(own), dtype=own.dtype)
    changes: dict[str, Tensor] = {}
    for name in PER_TIMESTEP:
        before, after = getattr(tracked, name), getattr(tuned, name)
        correction = (after - before)[known].double()
        if not bool(correction.any()):
            continue
        foretold = kernel[~known][:, known] @ torch.linalg.solve(solver, correction)
        value = after.clone()
        value[~known] = before[~known] + foretold.to(value)
        changes[name] = value
    return replace(tuned, **changes)


def _likeness(params: HeadParams, known: Tensor) -> Tensor:
    """(T, T): 1 + the mean product of what was tracked, each number in standard deviations from its mean."""
    columns = torch.cat([getattr(params, name) for name in PER_TIMESTEP], 1).double()
    columns = columns - columns[known].mean(0)
    spread = columns[known].std(0, correction=0)
    used = spread > 1e-4
    if not bool(used.any()):
        return torch.ones(len(columns), len(columns), dtype=torch.float64)
    scaled = (columns[:, used] / spread[used]).clamp(-3.0, 3.0)
    return 1.0 + scaled @ scaled.T / int(used.sum())


def _nearness(steps: int, clips: Tensor | None) -> Tensor:
    """(T, T): 1 at the same timestep, falling with distance in time; 0 between clips."""
    time = torch.arange(steps, dtype=torch.float64)
    near = torch.exp(-0.5 * ((time[:, None] - time[None]) / NEAR) ** 2)
    return near if clips is None else near * (clips[:, None] == clips[None])
