"""How many steps fit in a number of minutes on this machine."""

from __future__ import annotations

import time

import numpy as np
import torch

from avatarkit.contracts import HeadModel, Rasterizer
from avatarkit.events import Run
from avatarkit.recon import density
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.head_tuning import HeadState, update
from avatarkit.recon.pace import FEWEST, Costs
from avatarkit.recon.ranks import ALONE, Ranks
from avatarkit.recon.schedule import Schedule, view_order
from avatarkit.recon.step import Aids, TrainState, fresh_state, train_step
from avatarkit.recon.views import Views
from avatarkit.render.hosted import settle

WARM_UP, MEASURED = 4, 20
EXTREME = 2  # of the measured steps at either end
THRESHOLD_GROWTH = 11
"""How often as many Gaussians a run with a threshold is taken to have: nobody knows beforehand, and most come with its first events.  With
``gaussianavatars`` four captures ended with 9 to 14 times as many."""
OVERLAP = 1.15
"""How much longer a full-size step takes later in a run than here, since trained Gaussians overlap more than freshly split ones: not at all in two
minutes, by a third in ten.  The run learns it on the way (``recon.pace``)."""


def measured_total(
    state: TrainState, views: Views, head: HeadModel, config: ReconConfig, run: Run, rasterizer: Rasterizer,
    aids: Aids = Aids(), ranks: Ranks = ALONE,
) -> tuple[int, Costs]:  # fmt: skip
    """About how many steps ``config.minutes`` hold, and what they cost: measured after compilation on copies, at the first size and at the
    budget.  Several processes measure together, and take the numbers of the first.
    """
    assert config.minutes is not None
    schedule = Schedule(config, config.iterations)
    few = len(state.gaussians)
    many = config.max_splats if config.density == "budget" else min(config.max_splats, THRESHOLD_GROWTH * few)

    def seconds(splats: int, step: int, half: bool = False) -> float:
        return _seconds(state, splats, step, views, head, config, schedule, rasterizer, aids, ranks, half=half)

    tuning = _tuning_seconds(state, head, config) / config.tune_every if config.tune_head else 0.0
    coarse = seconds(few, 0, half=True) if config.coarse_until else 0.0
    late = config.iterations // 2
    growing_at = late if many <= few else min(late, (config.coarse_until + config.densify_until) // 2)
    fine_few = OVERLAP * seconds(few, growing_at)
    fine_many = fine_few if many <= few else OVERLAP * seconds(many, late)
    costs = Costs(*ranks.from_first((coarse + tuning, fine_few + tuning, fine_many + tuning)))
    mean = costs.mean(config, 0.0, 1.0)
    total = max(FEWEST, int(config.minutes * 60.0 / mean))
    run.notice(f"{1.0 / mean:.1f} steps a second here: about {total} steps in {config.minutes:g} minutes")
    return total, costs


def _seconds(
    state: TrainState, splats: int, step: int, views: Views, head: HeadModel, config: ReconConfig, schedule: Schedule,
    rasterizer: Rasterizer, aids: Aids, ranks: Ranks, *, half: bool,
) -> float:  # fmt: skip
    """Time of a step with ``splats`` Gaussians, on a copy: the mean, since some steps count more than others, without the extremes.

    step: of the whole schedule, where the copy is put: what is not learnt yet costs nothing.
    """
    gaussians = state.gaussians.detach().select(torch.arange(len(state.gaussians), device=state.gaussians.means.device))
    random = np.random.default_rng([config.seed, 4])
    while len(gaussians) < splats:
        score = torch.from_numpy(random.random(len(gaussians)).astype(np.float32)).to(gaussians.means.device)
        count = min(splats - len(gaussians), len(gaussians))
        gaussians = density.split_worst(gaussians, score, count, state.next_id, random).gaussians
    trial = fresh_state(gaussians, HeadState.start(state.head.params, head, state.head.weigh), state.adam.free_unit)
    background = torch.tensor(config.background, device=gaussians.means.device)
    times = []
    for i in range(WARM_UP + MEASURED):
        trial.step = step + i
        order = view_order(len(views), config.seed, i, config.batch)
        own = ranks.share(order)
        for view in (views.view(j, half) for j in own):  # what is made once and kept does not count
            if aids.label_images is not None:
                aids.label_images.make(view.frame)
        began = time.perf_counter()
        batch, timesteps = [views.view(j, half) for j in own], [views.timestep(j) for j in order]
        train_step(
            trial, batch, head, config, schedule, rasterizer, background, aids=aids, ranks=ranks, timesteps=timesteps
        )
        settle(gaussians.means)
        times.append(time.perf_counter() - began)
    middle = sorted(times[WARM_UP:])[EXTREME:-EXTREME] if MEASURED > 2 * EXTREME else times[WARM_UP:]
    return float(np.mean(middle))


def _tuning_seconds(state: TrainState, head: HeadModel, config: ReconConfig) -> float:
    """Median time of one update of the head parameters, on a copy, with as many timesteps as it gathers."""
    trial = HeadState.start(state.head.params, head)
    times = []
    for _ in range(5):
        trial.touched[: config.tune_every] = True
        began = time.perf_counter()
        update(trial, head, config, 1.0)
        settle(trial.pose.vertices)
        times.append(time.perf_counter() - began)
    return float(np.median(times))
