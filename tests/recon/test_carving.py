"""Free Gaussians stand where the mattes have more than the head model, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatarkit.recon.carving import free_gaussians
from avatarkit.recon.head_tuning import HeadState

from .conftest import Parts


def test_they_are_few_finite_and_on_skull_or_root(parts: Parts) -> None:
    pose = HeadState.start(parts.sequence.params, parts.head).pose
    views = parts.sequence.capture.indices("train")
    free = free_gaussians(parts.sequence, parts.head, pose, views, parts.config(free_gaussians=300))
    assert free is not None and 20 < len(free) <= 300 and bool(free.free.all())
    names = {parts.head.joint_names[-1 - int(b)] for b in free.binding.unique()}
    assert names <= {"root", "neck"}
    assert np.isfinite(free.means.numpy()).all()


def test_mattes_without_anything_beside_the_head_give_none(parts: Parts) -> None:
    sequence = parts.sequence
    pose = HeadState.start(sequence.params, parts.head).pose
    bare = replace(sequence, capture=replace(sequence.capture, mask=lambda index: np.zeros((80, 80), np.uint8)))
    assert free_gaussians(bare, parts.head, pose, sequence.capture.indices("train"), parts.config()) is None
