"""A run keeps to its minutes whatever its steps turn out to cost, and nothing of its schedule comes twice or falls out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.events import Run
from avatarkit.recon import checkpoint, loop, pace
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.pace import Clock, Costs, paced
from avatarkit.recon.schedule import Schedule

from .conftest import Parts

OURS = ReconConfig(minutes=2.0)
PUBLISHED = ReconConfig(
    minutes=2.0, iterations=600_000, coarse_until=0, density="threshold", densify_from=10_000, densify_until=600_000,
    densify_every=2_000, reset_every=60_000,
)  # fmt: skip
COSTS = Costs(0.02, 0.04, 0.08)


def simulated(config: ReconConfig, total: int, seconds: Callable[[float], float]) -> tuple[float, list[Schedule]]:
    """A run whose step at a progress takes ``seconds`` of it: how long it took, and the schedule of each step."""
    schedule, clock = Schedule(config, total), Clock(config, COSTS, 0.0, 0, 0.0)
    now, step, used = 0.0, 0, []
    while step < schedule.total:
        left = clock.left(schedule, step, now, 0)
        if left is not None:
            schedule = paced(schedule, step, left)
        used.append(schedule)
        now += seconds(schedule.progress(step))
        step += 1
    return now, used


def planned(config: ReconConfig) -> int:
    assert config.minutes is not None
    return int(config.minutes * 60 / COSTS.mean(config, 0.0, 1.0))


def test_a_run_that_was_foretold_keeps_its_steps() -> None:
    taken, used = simulated(OURS, planned(OURS), lambda progress: COSTS.mean(OURS, progress, progress + 1e-6))
    assert taken == pytest.approx(120.0, rel=0.005)
    assert used[-1].total == pytest.approx(planned(OURS), rel=0.005)


@settings(max_examples=25)
@given(
    published=st.booleans(),
    coarse=st.floats(0.7, 1.6),
    few=st.floats(0.6, 1.6),
    many=st.floats(0.6, 1.6),
    end=st.floats(0.8, 1.3),
)
def test_minutes_are_kept_whatever_steps_cost(
    published: bool, coarse: float, few: float, many: float, end: float
) -> None:
    """Phases that are faster or slower than foretold by 60 %, and steps that grow slower or faster to the end."""
    config = PUBLISHED if published else OURS
    actual = Costs(coarse * COSTS.coarse, few * COSTS.few, many * COSTS.many)
    table = [actual.mean(config, x / 1000, x / 1000 + 1e-6) for x in range(1000)]
    cost = lambda progress: table[int(1000 * progress)] * (1.0 + progress * (end - 1.0))  # noqa: E731
    taken, used = simulated(config, planned(config), cost)
    assert taken == pytest.approx(120.0, rel=0.02)
    done = [schedule.progress(step + 1) for step, schedule in enumerate(used)]
    assert all(0.0 < a < b for a, b in itertools.pairwise(done)) and done[-1] == 1.0
    events = [
        round(schedule.at(step + 1) / config.densify_every)
        for step, schedule in enumerate(used)
        if schedule.densifies(step)
    ]
    places = range(config.densify_every, config.densify_until, config.densify_every)
    assert events == [place // config.densify_every for place in places if place >= config.densify_from]
    left = [schedule.densify_left(step) for step, schedule in enumerate(used) if schedule.densifies(step)]
    assert left == list(range(len(events), 0, -1))
    assert sum(schedule.resets(step) for step, schedule in enumerate(used)) == (9 if published else 0)
    assert sum(schedule.evaluates(step) for step, schedule in enumerate(used)) == 10


def test_coarse_steps_say_nothing_of_full_ones() -> None:
    clock, schedule = Clock(replace(OURS, coarse_until=3000), COSTS, 0.0, 0, 0.0), Schedule(OURS, 1000)
    assert [clock.left(schedule, step, 0.1 * step, 0) for step in (0, 99, 100, 200)] == [None] * 4
    assert clock.left(schedule, 300, 30.0, 0) is not None
    assert clock.left(schedule, 301, 30.0, 0) is None


def test_no_count_doubles_or_halves_more_than_once() -> None:
    """A machine that slept, or one that was busy for a while, does not throw the rest of a run away."""
    for seconds, least in ((1e6, 350), (1e-6, 1400)):
        clock, schedule = Clock(OURS, COSTS, 0.2, 200, 0.0), Schedule(OURS, 1000)
        assert clock.left(schedule, 300, seconds, 0) == least


def test_what_every_part_of_a_run_has_does_not_make_steps_dear() -> None:
    """300 density events of a third of a second each: fewer steps leave them as they are, and a run that took them for slow steps would have
    ever fewer."""
    config, schedule = replace(PUBLISHED, minutes=5.0), Schedule(PUBLISHED, 1500)
    clock = Clock(config, Costs(0.1, 0.1, 0.1), 0.0, 0, 0.0, between=10.0)
    assert clock.left(schedule, 150, 25.0, 0) == round((300 - 25 - 90) / 0.1)
    assert clock.between == 0.0


def test_what_views_cost_at_first_is_not_expected_again() -> None:
    """Maps of labels, a tenth of a second each, for as many steps as show new views."""
    config, schedule = replace(PUBLISHED, minutes=5.0), Schedule(PUBLISHED, 1500)
    for unseen in (200, 0):
        clock = Clock(config, Costs(0.1, 0.1, 0.1), 0.0, 0, 0.0, first=15.0)
        assert clock.left(schedule, 150, 30.0, unseen) == round((300 - 30 - 0.1 * unseen) / 0.1)


def test_time_aside_is_measured_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, times = Clock(OURS, COSTS, 0.0, 0, 0.0), iter([1.0, 3.0, 10.0, 15.0])
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(times))
    with clock.aside(once=True):
        pass
    with clock.aside():
        pass
    assert (clock.first, clock.between) == (2.0, 5.0)


def test_the_last_step_is_not_moved() -> None:
    clock, schedule = Clock(OURS, COSTS, 0.9, 900, 0.0), Schedule(OURS, 1000)
    assert clock.left(schedule, 1000, 200.0, 0) is None


@pytest.mark.parametrize("broken_off", [0, 20, 55])
def test_a_real_run_keeps_to_its_minutes_also_when_it_is_resumed(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_off: int
) -> None:
    """Steps take half of what was foretold; the clock that counts is the run's own, of both its parts."""
    now = 0.0
    run, took = Run(tmp_path), []

    def step(*_: object, **__: object) -> dict[str, float]:
        nonlocal now
        now += 0.3
        took.append(now)
        if len(took) == broken_off:
            run.stop()
        return {"psnr": 1.0}

    monkeypatch.setattr(loop, "train_step", step)
    monkeypatch.setattr(loop.time, "monotonic", lambda: now)
    monkeypatch.setattr(loop, "measured_total", lambda *_, **__: (50, Costs(0.6, 0.6, 0.6)))
    config = parts.config(minutes=0.5, coarse_until=0, densify_every=0, tune_head=False, eval_frames=2, eval_every=0)
    state = loop.reconstruct(parts.sequence, parts.head, config, run, parts.rasterizer)
    if broken_off:
        assert state.step == broken_off < state.total
        assert checkpoint.load_newest(run).origin == state.origin  # type: ignore[union-attr]
        now += 1000.0  # between the two
        state = loop.reconstruct(parts.sequence, parts.head, config, Run(tmp_path), parts.rasterizer, resume=True)
    assert state.step == state.total == len(took)
    assert state.seconds == pytest.approx(30.0, abs=0.7)
    assert len(state.curve) == 10
