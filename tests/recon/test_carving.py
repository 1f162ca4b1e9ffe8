"""Free Gaussians stand where the mattes have more than the head model, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatarkit.recon import carving
from avatarkit.recon.carving import free_gaussians
from avatarkit.recon.drawn_head import drawn_head
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


def test_cells_left_out_beforehand_are_such_as_no_vote_would_keep(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose = HeadState.start(parts.sequence.params, parts.head).pose
    views = parts.sequence.capture.indices("train")
    joint = parts.head.joint_names.index("neck")
    faces = parts.head.faces.numpy()
    drawn = {index: drawn_head(parts.sequence, pose, faces, index) for index in views}
    depths = {i: np.where(d.triangle >= 0, d.depth, np.inf).astype(np.float32) for i, d in drawn.items()}
    few = carving._cells(pose, views, parts.sequence, joint, 0.012)
    with monkeypatch.context() as patch:
        patch.setattr(carving, "SLAB", np.inf)
        every = carving._cells(pose, views, parts.sequence, joint, 0.012)
    votes = carving._vote(parts.sequence, pose, views, depths, joint, every)
    level = (votes.seen >= carving.SEEN * len(views)) & (votes.level >= carving.LEVEL * votes.seen)
    assert 0 < int(level.sum()) < len(few) < len(every)
    assert {tuple(cell) for cell in every[level]} <= {tuple(cell) for cell in few}
