"""When things happen and how fast they learn, as pure functions of the step.

Every step number of the config counts for its own ``iterations``; a shorter run shrinks them all in proportion.  A run that goes on at
another pace (``recon.pace``) is laid out as if it had gone at that pace from the beginning, only that it began earlier or later.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from avatarkit.recon.config import MANY, ReconConfig

SLACK = 1e-6  # steps of the config, for rounding


@dataclass(frozen=True)
class Schedule:
    """``config`` laid over a run that ends with step ``total``.

    origin: the step, negative or not, at which it would have begun at the pace that it has now.
    """

    config: ReconConfig
    total: int
    origin: float = 0.0

    @property
    def span(self) -> float:
        """Steps of the whole run at the present pace."""
        return self.total - self.origin

    def progress(self, done: int) -> float:
        """Which part of the run ``done`` steps are, 0 to 1."""
        return (done - self.origin) / self.span

    def at(self, done: int) -> float:
        """``done`` steps of this run in steps of the config."""
        return self.progress(done) * self.config.iterations + SLACK

    def parts(self, done: int, of: int) -> int:
        """How many whole parts, ``of`` in all, of the run ``done`` steps are."""
        return math.floor(of * self.at(done) / self.config.iterations)

    def rate(self, first: float, last: float, step: int) -> float:
        """Exponential decay from ``first`` to ``last`` over the run."""
        if first <= 0.0 or last <= 0.0:
            return first
        return float(first * (last / first) ** ((step - self.origin) / max(1.0, self.span - 1.0)))

    def gaussian_rates(self, step: int) -> dict[str, float]:
        """Learning rate by tensor name."""
        c = self.config
        rates = {
            "means": self.rate(c.lr_means, c.lr_means_final, step),
            "quats": self.rate(c.lr_quats, c.lr_quats_final, step),
            "log_scales": self.rate(c.lr_scales, c.lr_scales_final, step),
            "opacity_logits": self.rate(c.lr_opacity, c.lr_opacity_final, step),
            "sh_dc": self.rate(c.lr_colour, c.lr_colour_final, step),
            "sh_rest": self.rate(c.lr_sh, c.lr_sh_final, step),
        }
        if c.correctives == 0:
            return rates
        due = self.corrects(step)
        return rates | {
            "mean_correctives": due * self.rate(c.lr_correctives, c.lr_correctives_final, step),
            "free_correctives": due * self.rate(c.lr_correctives_free, c.lr_correctives_free_final, step),
            "colour_correctives": due * self.rate(c.lr_correctives_colour, c.lr_correctives_colour_final, step),
        }

    def corrects(self, step: int) -> bool:
        """Whether Gaussians follow the pose by correctives at ``step``."""
        return self.at(step) >= self.config.correctives_from

    def head_factor(self, step: int) -> float:
        """Factor on the head parameters' rates."""
        return self.rate(1.0, self.config.lr_head_final, step)

    def sh_degree(self, step: int) -> int:
        """Degree in use: one more every ``sh_every`` steps."""
        return min(self.config.sh_degree, int(self.at(step) / self.config.sh_every))

    def coarse(self, step: int) -> bool:
        """Whether pictures are at half their size at ``step``."""
        return self.at(step) < self.config.coarse_until

    def densifies(self, step: int) -> bool:
        """True after step ``step`` (0-based) if density adapts now: before ``densify_until``, as 3DGS does, for what is new has to be trained."""
        c = self.config
        return self._event(c.densify_every, step, c.densify_from, c.densify_until) > 0

    def densify_left(self, step: int) -> int:
        """How many density events are left after step ``step``, which has one, this one included."""
        c = self.config
        event = self._event(c.densify_every, step, c.densify_from, c.densify_until)
        return max(1, (c.densify_until - 1) // c.densify_every - event + 1)

    def resets(self, step: int) -> bool:
        """True after step ``step`` (0-based) if opacity is reset now."""
        return self._event(self.config.reset_every, step, 0, self.config.densify_until) > 0

    def evaluates(self, step: int) -> bool:
        """True after step ``step`` (0-based) if held-out views are scored now: every ``eval_every`` steps or tenth of the run, and at its end."""
        every, done = self.config.eval_every, step + 1
        due = self._event(every, step, 0, MANY) > 0 if every else self.parts(done, 10) > self.parts(step, 10)
        return due or done == self.total

    def _event(self, every: int, step: int, begin: int, end: int) -> int:
        """Of what comes at every multiple of ``every`` steps of the config from ``begin`` and before ``end``: which is due after step ``step``
        (0-based), the latest where several are; 0: none.

        Each is placed by itself: multiples of a rounded interval drift, and what is due at the end would fall a few steps before it.
        """
        if every == 0:
            return 0
        event = min(math.floor(self.at(step + 1) / every), (end - 1) // every)
        return event if event * every >= max(begin, 1) and event > math.floor(self.at(step) / every) else 0


def view_order(count: int, seed: int, step: int, batch: int = 1) -> list[int]:
    """The views of ``step``: every epoch is a fresh permutation, computed from (seed, epoch) alone, so that resuming needs
    no random state."""
    picked = []
    for position in range(step * batch, (step + 1) * batch):
        epoch, place = divmod(position, count)
        picked.append(int(_permutation(count, seed, epoch)[place]))
    return picked


_cached: dict[tuple[int, int, int], np.ndarray] = {}


def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    key = (count, seed, epoch)
    if key not in _cached:
        if len(_cached) > 8:
            _cached.clear()
        _cached[key] = np.random.default_rng([seed, 2, epoch]).permutation(count)
    return _cached[key]


def spread(count: int, most: int, seed: int) -> list[int]:
    """At most ``most`` of ``count`` places in a row, one at random from each of as many equal parts, in order.

    Not every n-th: frames go camera by camera within a timestep, and n may be a multiple of their number.
    """
    if most >= count:
        return list(range(count))
    edges = np.linspace(0, count, most + 1).round().astype(int)
    random = np.random.default_rng([seed, 9])
    return [int(random.integers(low, high)) for low, high in itertools.pairwise(edges)]
