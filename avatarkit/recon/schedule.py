"""When things happen and how fast they learn, as pure functions of the step.

Every step number of the config counts for its own ``iterations``; a shorter run shrinks them all in proportion.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from avatarkit.recon.config import ReconConfig


@dataclass(frozen=True)
class Schedule:
    """``config`` laid over a run of ``total`` steps."""

    config: ReconConfig
    total: int

    def scaled(self, steps: int) -> int:
        """Steps of the config in steps of this run; 0 stays 0, anything else is at least 1."""
        return 0 if steps == 0 else max(1, round(steps * self.total / self.config.iterations))

    def rate(self, first: float, last: float, step: int) -> float:
        """Exponential decay from ``first`` to ``last`` over the run."""
        if first <= 0.0 or last <= 0.0:
            return first
        return float(first * (last / first) ** (step / max(1, self.total - 1)))

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
        return step >= self.scaled(self.config.correctives_from)

    def head_factor(self, step: int) -> float:
        """Factor on the head parameters' rates."""
        return self.rate(1.0, self.config.lr_head_final, step)

    def sh_degree(self, step: int) -> int:
        """Degree in use: one more every ``sh_every`` steps."""
        return min(self.config.sh_degree, step // max(1, self.scaled(self.config.sh_every)))

    def coarse(self, step: int) -> bool:
        return step < self.scaled(self.config.coarse_until)

    def densifies(self, step: int) -> bool:
        """True after step ``step`` (0-based) if density adapts now: before ``densify_until``, as 3DGS does, for what is new has to be trained."""
        c, done = self.config, step + 1
        every = self.scaled(c.densify_every)
        return every > 0 and self.scaled(c.densify_from) <= done < self.scaled(c.densify_until) and done % every == 0

    def densify_left(self, step: int) -> int:
        """How many density events are left, this one included."""
        every, last = self.scaled(self.config.densify_every), self.scaled(self.config.densify_until)
        return max(1, (last - 1) // every - (step + 1) // every + 1)

    def resets(self, step: int) -> bool:
        """True after step ``step`` (0-based) if opacity is reset now.  Each reset is placed by itself: by a rounded interval the one that is
        due at ``densify_until``, and so none, would fall a few steps before it."""
        c, done = self.config, step + 1
        if c.reset_every == 0:
            return False
        place = round(done * c.iterations / (self.total * c.reset_every))
        return place > 0 and place * c.reset_every < c.densify_until and self.scaled(place * c.reset_every) == done


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
