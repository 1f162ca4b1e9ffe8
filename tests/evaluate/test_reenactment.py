"""Jitter and drift against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from avatarkit.evaluate.reenactment import (
    colour_drift,
    excess_jitter,
    mean_acceleration,
    measure,
    shape_drift,
    skull,
)
from avatarkit.head.bust import BustModel
from avatarkit.head.parameters import HeadParams
from avatarkit.head.skinning import rotation_matrices
from avatarkit.testing.exporters import small_avatar

HEAD = BustModel()


def test_a_parabola_has_one_acceleration_and_a_line_none() -> None:
    time = torch.arange(30.0, dtype=torch.float64)[:, None, None] / 25.0
    direction = torch.tensor([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]], dtype=torch.float64)
    assert mean_acceleration(0.5 * 3.0 * time**2 * direction, 25.0) == pytest.approx(3.0, rel=1e-9)
    assert mean_acceleration(time * direction, 25.0) == pytest.approx(0.0, abs=1e-9)
    assert mean_acceleration(time[:2] * direction, 25.0) == 0.0


def test_alternating_noise_has_four_amplitudes_and_only_it_is_in_excess() -> None:
    still = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    time = torch.arange(20.0, dtype=torch.float64)[:, None, None]
    driver = still + 0.001 * time**2
    shaken = driver + 1e-4 * (-1.0) ** time * torch.tensor([1.0, 0.0, 0.0])
    own, given, excess = excess_jitter(driver, driver, 10.0)
    assert own == given and excess == 0.0
    own, given, excess = excess_jitter(3.0 * driver, driver, 10.0)
    assert own == pytest.approx(given, rel=1e-6) and excess < 1e-6 * own, "a larger head is not a shakier one"
    assert mean_acceleration(shaken - driver, 10.0) == pytest.approx(4e-4 * 100.0, rel=1e-9)
    assert excess_jitter(shaken, still.expand(20, 5, 3) + 0.0, 10.0)[2] > 0.0


def test_a_rigid_body_has_no_shape_drift_and_a_swelling_one_its_spread() -> None:
    generator = torch.Generator().manual_seed(1)
    body = torch.randn(40, 3, dtype=torch.float64, generator=generator)
    body = body - body.mean(0)
    turns = rotation_matrices(torch.randn(6, 3, generator=generator)).double()
    moved = body @ turns.mT + torch.randn(6, 1, 3, dtype=torch.float64, generator=generator)
    assert shape_drift(moved) < 1e-6
    swell = torch.tensor([0.99, 1.01] * 3, dtype=torch.float64)[:, None, None]
    radius = float(body.square().sum(-1).mean().sqrt())
    assert shape_drift(swell * (body @ turns.mT)) == pytest.approx(0.01 * radius, rel=1e-4)


def test_a_ramp_of_brightness_has_its_standard_deviation() -> None:
    ramp = torch.linspace(0.0, 0.2, 11, dtype=torch.float64)[:, None, None]
    colours = 0.5 + ramp.expand(11, 4, 3) * torch.tensor([1.0, 0.0, 1.0, 0.0])[:, None]
    sigma = float(ramp.std(correction=0))
    assert colour_drift(colours, torch.ones(4)) == pytest.approx(sigma / math.sqrt(2.0), rel=1e-6)
    assert colour_drift(colours, torch.tensor([1.0, 0.0, 1.0, 0.0])) == pytest.approx(sigma, rel=1e-6)
    assert colour_drift(colours, torch.tensor([0.0, 1.0, 0.0, 1.0])) == pytest.approx(0.0, abs=1e-9)


def test_the_skull_is_what_expressions_leave_alone() -> None:
    rigid = skull(HEAD)
    lips = next(HEAD.regions[name] for name in ("lips", "u_lip", "mouth") if name in HEAD.regions)
    assert len(rigid) > 50 and not bool((lips[rigid] > 0.5).any())
    heights = HEAD.template[rigid, 1]
    assert float(heights.max()) == pytest.approx(float(HEAD.template[:, 1].max()), abs=0.01), "it reaches the crown"


def test_a_driven_avatar_keeps_its_identity_and_a_shaken_one_jitters() -> None:
    avatar, _ = small_avatar()
    time = torch.arange(12.0)[:, None] / 25.0
    smooth = replace(
        HeadParams.zeros(12, HEAD.num_shape, HEAD.num_expr),
        expr=0.3 * (1.0 + torch.sin(3.0 * time)).expand(12, HEAD.num_expr) * (torch.arange(HEAD.num_expr) == 5),
        rotation=torch.cat([0.0 * time, 0.4 * torch.sin(2.0 * time), 0.0 * time], 1),
    )
    alone = measure(avatar, HEAD, smooth, 25.0)
    assert alone.jitter > 0.0 and alone.driver_jitter is None and alone.excess_jitter is None, "nothing to compare with"
    found = measure(avatar, HEAD, smooth, 25.0, (HEAD, smooth))
    assert found.jitter == alone.jitter and found.excess_jitter == 0.0 and found.driver_jitter == found.jitter > 0.0
    assert found.shape_drift < 2e-5, "skin over the skull does not move with an expression"
    assert found.colour_drift < 5e-3
    noise = 0.05 * torch.randn(smooth.expr.shape, generator=torch.Generator().manual_seed(0)).abs()
    shaken = measure(avatar, HEAD, replace(smooth, expr=smooth.expr + noise), 25.0, (HEAD, smooth))
    assert (
        shaken.excess_jitter is not None
        and shaken.excess_jitter > 3.0 * found.jitter
        and shaken.driver_jitter == pytest.approx(found.jitter, rel=0.2)
    )
    swollen = replace(
        smooth,
        dynamic_offset=torch.linspace(0, 0.01, 12)[:, None, None] * HEAD.template / HEAD.template.norm(dim=1).mean(),
    )
    assert measure(avatar, HEAD, swollen, 25.0).shape_drift > 1e-3


def test_light_that_stays_in_the_world_is_drift_of_colour() -> None:
    avatar, _ = small_avatar()
    avatar.gaussians.sh[:, 1:] = 0.2
    turning = replace(HeadParams.zeros(9, HEAD.num_shape, HEAD.num_expr), rotation=torch.linspace(-0.6, 0.6, 9)[:, None] * torch.tensor([[0.0, 1.0, 0.0]]))  # fmt: skip
    ours = measure(avatar, HEAD, turning, 25.0).colour_drift
    world = measure(replace(avatar, meta={"view_directions": "world"}), HEAD, turning, 25.0).colour_drift
    assert ours < 1e-4 and world > 0.01
