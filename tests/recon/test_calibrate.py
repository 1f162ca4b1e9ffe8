"""``--minutes``: the rate is measured on copies, and the count of steps follows from it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from avatarkit.events import collect
from avatarkit.recon import calibrate
from avatarkit.recon.loop import reconstruct, start
from avatarkit.recon.pace import Costs
from avatarkit.recon.ranks import ALONE
from avatarkit.recon.schedule import Schedule
from avatarkit.recon.step import Aids
from avatarkit.recon.views import Views

from .conftest import Parts


@pytest.mark.parametrize("tuned", [False, True])
def test_the_count_is_the_time_over_the_mean_step(parts: Parts, monkeypatch: pytest.MonkeyPatch, tuned: bool) -> None:
    config = parts.config(
        minutes=1.0, iterations=100, coarse_until=20, densify_until=60, max_splats=20000, tune_head=tuned, tune_every=4
    )
    monkeypatch.setattr(calibrate, "_tuning_seconds", lambda *_: 0.08)
    seconds = lambda state, splats, *_, half: 0.01 if half else {True: 0.02, False: 0.04}[splats < 20000]  # noqa: E731
    monkeypatch.setattr(calibrate, "_seconds", seconds)
    state = start(parts.sequence, parts.head, config)
    run, events = collect()
    views = Views(parts.sequence, parts.sequence.capture.indices("train"), config.background)
    total, costs = calibrate.measured_total(state, views, parts.head, config, run, parts.rasterizer)
    tuning = 0.08 / 4 if tuned else 0.0
    assert costs == Costs(0.01 + tuning, 1.15 * 0.02 + tuning, 1.15 * 0.04 + tuning)
    mean = 0.2 * 0.01 + 1.15 * (0.4 * 0.03 + 0.4 * 0.04) + tuning
    assert abs(total - 60.0 / mean) <= 1 and f"about {total} steps in 1 minutes" in events[0].text


def test_tuning_costs_what_an_update_costs(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rates of nothing an update returns at once, and its time was left out."""
    config = parts.config(tune_head=True)
    state, posed = start(parts.sequence, parts.head, config), []
    pose = type(parts.head).pose
    monkeypatch.setattr(type(parts.head), "pose", lambda self, params: posed.append(len(params)) or pose(self, params))
    calibrate._tuning_seconds(state, parts.head, config)
    assert posed.count(config.tune_every) == 5


def test_measuring_leaves_the_state_alone(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "WARM_UP", 1)
    monkeypatch.setattr(calibrate, "MEASURED", 2)
    config = parts.config(minutes=0.001, eval_frames=0)
    fixed: dict[str, Any] = {"run_iterations": 50, "iterations": config.iterations, "eval_frames": 0}
    run, _ = collect()
    measured = reconstruct(parts.sequence, parts.head, config, run, parts.rasterizer)
    assert measured.total == measured.step == 50, "the least that a run has"
    assert len(measured.costs) == 3 and measured.origin == 0.0
    plain = reconstruct(parts.sequence, parts.head, parts.config(**fixed), collect()[0], parts.rasterizer)
    assert torch.equal(plain.gaussians.means, measured.gaussians.means)


def test_steps_that_count_more_are_counted_as_often_as_they_come(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the middle of the run: with what only some steps have, and the terms of colour that come later."""
    now, heavy = 0.0, 3.0
    degrees = []

    def step(state: Any, batch: Any, head: Any, config: Any, schedule: Schedule, *_: Any, **__: Any) -> None:
        nonlocal now
        now += 1.0 + (heavy if (state.step + 1) % 4 == 0 else 0.0)
        degrees.append(schedule.sh_degree(state.step))

    monkeypatch.setattr(calibrate, "train_step", step)
    monkeypatch.setattr(calibrate.time, "perf_counter", lambda: now)
    config = parts.config(iterations=24)
    views = Views(parts.sequence, parts.sequence.capture.indices("train"), config.background)
    state, schedule = start(parts.sequence, parts.head, config), Schedule(config, 24)
    rest = (views, parts.head, config, schedule, parts.rasterizer, Aids(), ALONE)
    found = calibrate._seconds(state, len(state.gaussians), 12, *rest, half=False)
    assert found == pytest.approx((13 * 1.0 + 3 * 4.0) / 16), "five of twenty, less the two extremes at either end"
    assert set(degrees) == {1}
    degrees.clear()
    calibrate._seconds(state, len(state.gaussians), 0, *rest, half=True)
    assert degrees[0] == 0
