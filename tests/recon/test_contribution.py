"""What no training picture shows is dropped, and the pictures stay what they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatarkit.events import Finished, collect
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose
from avatarkit.recon.contribution import contributing
from avatarkit.recon.head_tuning import posed
from avatarkit.recon.initial import bound_gaussians

from .conftest import Parts


def drawn(parts: Parts, gaussians: Gaussians, pose: HeadPose, index: int) -> torch.Tensor:
    moment = pose[parts.sequence.capture.frames[index].timestep]
    at = pose_gaussians(gaussians, moment.vertices[0], moment.joints[0], parts.head.faces, sh_degree=0)
    return parts.rasterizer.render(
        at.means,
        at.quats,
        at.scales,
        at.opacities,
        at.colours,
        parts.sequence.cameras([index]),
        background=torch.ones(3),
    ).features


def test_what_no_picture_shows_goes_and_the_rest_stays(parts: Parts) -> None:
    config = parts.config(antialiased=False)
    pose = posed(parts.head, parts.sequence.params)
    colours = torch.rand(len(parts.head.faces), 3, generator=torch.Generator().manual_seed(0))
    shell = bound_gaussians(colours, config, np.random.default_rng(0))
    skull = parts.head.joint_names.index("neck")
    centre = Gaussians.fresh(  # in the middle of the head, below the frame, and beside the head
        torch.tensor([[0.0, 0.05, 0.0], [0.0, -5.0, 0.0], [0.14, 0.12, 0.0]]), torch.full((3, 3), -6.0), 0.9,
        torch.tensor([[1.0, 0.0, 1.0]] * 3), torch.full((3,), -1 - skull), config.sh_degree,
    )  # fmt: skip
    shell.opacity_logits += 6.0
    both = Gaussians.cat([shell, centre])
    both.ids = torch.arange(len(both))
    run, events = collect()
    left = contributing(both, parts.sequence, parts.head, pose, parts.rasterizer, config, run)
    gone = set(both.ids.tolist()) - set(left.ids.tolist())
    assert {len(shell), len(shell) + 1} <= gone and len(shell) + 2 not in gone
    assert 0 < len(gone) < 0.6 * len(both)
    finished = next(event for event in events if isinstance(event, Finished))
    assert finished.stage == "trim" and finished.values == {"dropped": len(gone), "splats": len(left)}
    for index in parts.sequence.capture.indices("train"):
        difference = (drawn(parts, both, pose, index) - drawn(parts, left, pose, index)).abs()
        fair = difference[0, 0].numel() / len(both)
        assert float(difference.sum()) < 3 * config.trim * fair * len(gone) and float(difference.mean()) < 2e-3


def test_where_nothing_shows_nothing_goes(parts: Parts) -> None:
    config = parts.config()
    pose = posed(parts.head, parts.sequence.params)
    shell = bound_gaussians(torch.full((len(parts.head.faces), 3), 0.5), config, np.random.default_rng(0))
    unseen = replace(shell, opacity_logits=torch.full_like(shell.opacity_logits, -20.0))
    assert len(contributing(unseen, parts.sequence, parts.head, pose, parts.rasterizer, config, collect()[0])) == len(
        shell
    )
