"""The first Gaussians: on every triangle, coloured as the pictures are."""

from __future__ import annotations

import numpy as np
import torch

from avatarkit.recon.head_tuning import HeadState
from avatarkit.recon.initial import initial_gaussians, triangle_colours

from .conftest import Parts


def test_every_triangle_has_one_and_ids_are_their_own(parts: Parts) -> None:
    pose = HeadState.start(parts.sequence.params, parts.head).pose
    gaussians = initial_gaussians(parts.sequence, parts.head, pose, parts.config(free_gaussians=200))
    bound = gaussians.binding[~gaussians.free]
    assert torch.equal(bound.unique(), torch.arange(len(parts.head.faces)))
    assert torch.equal(gaussians.ids, torch.arange(len(gaussians))) and torch.equal(gaussians.parents, gaussians.ids)
    assert int(gaussians.free.sum()) <= 200
    again = initial_gaussians(parts.sequence, parts.head, pose, parts.config(free_gaussians=200))
    assert all(torch.equal(a, b) for a, b in zip(gaussians.tensors().values(), again.tensors().values(), strict=True))


def test_colours_come_from_the_pictures(parts: Parts) -> None:
    pose = HeadState.start(parts.sequence.params, parts.head).pose
    colours = triangle_colours(parts.sequence, parts.head, pose, parts.sequence.capture.indices("train")).numpy()
    assert colours.shape == (len(parts.head.faces), 3) and colours.min() >= 0 and colours.max() <= 1
    nose = parts.head.regions["nose"].numpy()[parts.head.faces.numpy()].mean(1) > 0.5
    red, _, blue = np.median(colours[nose], 0)
    assert red > blue + 0.1, "skin is redder than blue"
