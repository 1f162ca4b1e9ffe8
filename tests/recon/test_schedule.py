"""Schedules shrink in proportion; the order of views is a permutation that needs no state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.recon.config import ReconConfig
from avatarkit.recon.schedule import Schedule, view_order


def test_rates_decay_exponentially_from_first_to_last() -> None:
    schedule = Schedule(ReconConfig(lr_means=1e-2, lr_means_final=1e-4), 101)
    assert schedule.gaussian_rates(0)["means"] == pytest.approx(1e-2)
    assert schedule.gaussian_rates(50)["means"] == pytest.approx(1e-3)
    assert schedule.gaussian_rates(100)["means"] == pytest.approx(1e-4)


@given(total=st.integers(100, 50_000))
def test_density_events_keep_their_number_when_the_run_is_shortened(total: int) -> None:
    config = ReconConfig(iterations=10_000, densify_from=1000, densify_until=5000, densify_every=500)
    schedule = Schedule(config, total)
    events = [step for step in range(total) if schedule.densifies(step)]
    assert abs(len(events) - 9) <= 1 + (total < 1000) * 8
    assert all(0.09 <= (step + 1) / total <= 0.51 for step in events)
    assert schedule.densify_left(events[-1]) <= 2
    assert [schedule.densify_left(step) for step in events] == list(range(len(events), 0, -1))


@given(total=st.integers(20, 50_000))
def test_opacity_is_reset_as_often_in_a_run_of_any_length_and_never_at_its_end(total: int) -> None:
    """Rounded intervals put a tenth reset two steps before the end of 8382, with next to nothing left to see."""
    schedule = Schedule(ReconConfig(iterations=600_000, densify_until=600_000, reset_every=60_000), total)
    resets = [step + 1 for step in range(total) if schedule.resets(step)]
    assert len(resets) == 9
    assert resets == [-(-(k + 1) * total // 10) for k in range(9)], "the first step that has done so much"


def test_sh_degree_rises_and_stops_at_the_configured_one() -> None:
    schedule = Schedule(ReconConfig(iterations=600_000, sh_degree=3, sh_every=1000), 6000)
    assert [schedule.sh_degree(step) for step in (0, 9, 10, 20, 30, 5000)] == [0, 0, 1, 2, 3, 3]


@given(count=st.integers(1, 60), seed=st.integers(0, 3), batch=st.integers(1, 5))
def test_every_epoch_shows_every_view_once(count: int, seed: int, batch: int) -> None:
    shown = [view for step in range(2 * count) for view in view_order(count, seed, step, batch)]
    for epoch in range(len(shown) // count):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_and_seeds_differ() -> None:
    first, second = ([view_order(50, 0, epoch * 50 + i)[0] for i in range(50)] for epoch in (0, 1))
    assert first != second
    assert first != [view_order(50, 1, i)[0] for i in range(50)]
