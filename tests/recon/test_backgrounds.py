"""Other backgrounds: the same picture over them, the same ones again, and opacity that is what the matte says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatarkit.events import Run
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.recon.backgrounds import PERIOD, Backgrounds
from avatarkit.recon.loop import reconstruct
from avatarkit.recon.views import Views

from .conftest import Parts

WHITE = torch.ones(3)


@pytest.mark.parametrize("half", [False, True])
def test_a_view_over_another_background_is_the_capture_over_it(parts: Parts, half: bool) -> None:
    frames = parts.sequence.capture.indices("train")
    views = Views(parts.sequence, frames, (1.0, 1.0, 1.0), through=True)
    other = (0.1, 0.7, 0.0)
    truth = Views(parts.sequence, frames, other).view(2, half).target
    view = views.view(2, half)
    assert view.through is not None and view.through.shape == (1, 1, *view.target.shape[2:])
    assert torch.equal(view.target, Views(parts.sequence, frames, (1.0, 1.0, 1.0)).view(2, half).target)
    assert float((view.over(torch.tensor(other), WHITE) - truth).abs().max()) < 2.1 / 255
    assert float((view.target - truth).abs().max()) > 0.5
    assert torch.equal(view.over(WHITE, WHITE), view.target)


def test_without_masks_nothing_shows_through(parts: Parts) -> None:
    capture = replace(parts.sequence.capture, masked=False, mask=lambda index: None)
    view = Views(replace(parts.sequence, capture=capture), [0], (1.0, 1.0, 1.0), through=True).view(0)
    assert view.through is None and torch.equal(view.over(torch.zeros(3), WHITE), view.target)


def test_the_seed_says_which_steps_and_which_colours(parts: Parts) -> None:
    config = parts.config(random_background=0.25)
    once, again = Backgrounds(config), Backgrounds(config)
    colours = [once.at(step) for step in range(PERIOD)]
    other = [colour for colour in colours if colour is not None]
    assert 0.22 < len(other) / PERIOD < 0.28
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(colours, map(again.at, range(PERIOD)), strict=True))
    assert np.allclose(torch.stack(other).mean(0), 0.5, atol=0.05)
    different = [Backgrounds(replace(config, seed=1)).at(step) is None for step in range(100)]
    assert different != [colour is None for colour in colours[:100]]
    assert all(Backgrounds(parts.config(random_background=0.0)).at(step) is None for step in range(PERIOD))


def over_black(parts: Parts, share: float) -> float:
    """Mean squared error over black of the training views after a short training over white."""
    config = parts.config(
        iterations=150,
        random_background=share,
        tune_head=False,
        densify_every=0,
        free_gaussians=0,
        coarse_until=0,
        eval_every=0,
    )
    state = reconstruct(parts.sequence, parts.head, config, Run(), parts.rasterizer)
    black, errors = torch.zeros(3), []
    views = Views(parts.sequence, parts.sequence.capture.indices("train"), (0.0, 0.0, 0.0))
    for position in range(len(views)):
        view = views.view(position)
        pose = state.head.pose[view.timestep]
        posed = pose_gaussians(
            state.gaussians.detach(), pose.vertices[0], pose.joints[0], parts.head.faces, sh_degree=0, skin=pose.skin
        )
        drawn = parts.rasterizer.render(
            posed.means, posed.quats, posed.scales, posed.opacities, posed.colours, view.cameras, background=black,
            antialiased=config.antialiased,
        )  # fmt: skip
        errors.append(float(((drawn.features - view.target) ** 2).mean()))
    return float(np.mean(errors))


def test_an_avatar_that_saw_other_backgrounds_is_right_over_black(parts: Parts) -> None:
    assert over_black(parts, 0.5) < 0.8 * over_black(parts, 0.0)
