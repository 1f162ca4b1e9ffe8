"""How a run keeps to its minutes: what a step costs is foretold from trials, and learnt better on the way.

Trials cannot show how densely trained Gaussians will overlap, how many a threshold will make, or what else the machine does.  So after every
twentieth the steps that are left are counted anew: their cost as foretold, corrected by what those of the last twentieth took.
What a twentieth costs however many steps it has, density events and scores of held-out views, is counted by itself, and so is what a view costs when
it is first seen, its map of labels.
What is left of every schedule stretches over the steps, and nothing comes twice or falls out.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avatarkit.recon.config import ReconConfig
from avatarkit.recon.schedule import Schedule

if TYPE_CHECKING:
    from avatarkit.recon.step import TrainState

SHORTEST, LONGEST = 0.5, 2.0  # the rest of a run, as a part of what it was, at one count
THRESHOLD_SHAPE = 0.4
"""A threshold has made the share x to this power of a run's new Gaussians after the share x of its steps: ``gaussianavatars`` 8, 30, 42, 60 and 87 %
of 161k after 2.5, 7.5, 12.5, 22.5 and 52.5 %."""
FEWEST = 50  # steps of a run
COUNTS = 20  # in a run


@dataclass(frozen=True)
class Costs:
    """Seconds a step takes: coarse pictures, full ones with the first Gaussians, full ones with as many as there will be."""

    coarse: float
    few: float
    many: float

    def mean(self, config: ReconConfig, begin: float, end: float) -> float:
        """Seconds a step takes in the mean between two progresses (0 to 1) of a run."""
        x = np.linspace(begin, end, 201)
        middle = 0.5 * (x[1:] + x[:-1])
        coarse, until = config.coarse_until / config.iterations, config.densify_until / config.iterations
        grown = np.clip((middle - coarse) / max(until - coarse, 1e-9), 0.0, 1.0)
        if config.density == "threshold":
            grown = grown**THRESHOLD_SHAPE
        return float(np.where(middle < coarse, self.coarse, self.few + grown * (self.many - self.few)).mean())

    def adjusted(self, config: ReconConfig, begin: float, end: float, taken: float) -> Costs:
        """The costs after ``taken`` seconds a step between two progresses: all in proportion; with a threshold, of whose Gaussians nobody knows
        how many there will be, only what they have added since the first ones."""
        taken, foretold = max(taken, 1e-9), self.mean(config, begin, end)
        grown = foretold - self.few
        if config.density == "budget" or grown <= 0.0 or taken <= self.few:
            return Costs(*(taken / foretold * cost for cost in (self.coarse, self.few, self.many)))
        return Costs(self.coarse, self.few, self.few + (self.many - self.few) * (taken - self.few) / grown)


@dataclass
class Clock:
    """Counts what is left of a run of ``config.minutes`` anew after every twentieth of it.

    progress, step, seconds: where the last count was made.  between, first: seconds since then that steps did not take: of what every part of
    a run has, and of what is made for each view once.
    """

    config: ReconConfig
    costs: Costs | None
    progress: float
    step: int
    seconds: float
    between: float = 0.0
    first: float = 0.0

    @staticmethod
    def of(state: TrainState, config: ReconConfig, schedule: Schedule) -> Clock:
        """Of a run that has no minutes, or was begun without them: one that leaves it alone."""
        costs = Costs(*state.costs) if config.minutes is not None and len(state.costs) == 3 else None
        return Clock(config, costs, schedule.progress(state.step), state.step, state.seconds)

    @contextlib.contextmanager
    def aside(self, *, once: bool = False) -> Iterator[None]:
        """Around what is no step; ``once``: what comes once for each view."""
        began = time.monotonic()
        yield
        taken = time.monotonic() - began
        self.between, self.first = self.between + (not once) * taken, self.first + once * taken

    def left(self, schedule: Schedule, step: int, seconds: float, unseen: int) -> int | None:
        """Steps from ``step`` on, ``seconds`` after the run began; None where it is not time to count, or they are as many as planned.

        unseen: steps from here on that see new views.  Coarse steps say nothing of those at full size.
        """
        if self.costs is None or self.config.minutes is None:
            return None
        progress, rest = schedule.progress(step), schedule.total - step
        if schedule.parts(step, COUNTS) == schedule.parts(step - 1, COUNTS) or rest < 1:
            return None
        began, since, steps = self.progress, seconds - self.seconds, step - self.step
        between, first = self.between, self.first
        self.progress, self.step, self.seconds, self.between, self.first = progress, step, seconds, 0.0, 0.0
        if progress <= began or progress * self.config.iterations <= self.config.coarse_until:
            return None
        ahead = self.costs.adjusted(self.config, began, progress, (since - between - first) / steps)
        later = ahead.mean(self.config, progress, 1.0)
        dearer = later / ahead.mean(self.config, began, progress)
        room = self.config.minutes * 60.0 - seconds - dearer * between * (1.0 - progress) / (progress - began)
        fit = (room - first / steps * min(unseen, rest)) / later
        left = max(1, FEWEST - step, round(min(max(fit, SHORTEST * rest), LONGEST * rest)))
        return left if left != rest else None


def paced(schedule: Schedule, step: int, left: int) -> Schedule:
    """``schedule`` with ``left`` steps after the first ``step``: progress goes on from where it is."""
    return Schedule(schedule.config, step + left, step + left - left / (1.0 - schedule.progress(step)))
