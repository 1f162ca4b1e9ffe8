"""Films: one picture for each moment, from the camera asked for, over the colour asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatarkit.drive.filming import film
from avatarkit.events import Progress, collect
from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.gaussians.head_of import head_of
from avatarkit.render.cpu import CpuRasterizer


def test_a_picture_for_each_moment_over_the_background(reconstructed: Path) -> None:
    avatar = load_avatar(reconstructed)
    head, (run, events) = head_of(avatar.head), collect()
    pictures = list(film(avatar, head, CpuRasterizer(), avatar.motion[[0, 5]], run, camera="front", size=(48, 64), background=(0.0, 0.0, 1.0)))  # fmt: skip
    assert [p.shape for p in pictures] == [(64, 48, 3)] * 2 and pictures[0].dtype == np.uint8
    assert (pictures[0][0, 0] == [0, 0, 255]).all() and not np.array_equal(*pictures)
    assert [event.step for event in events if isinstance(event, Progress)] == [1, 2]


def test_a_film_is_made_frame_by_frame(reconstructed: Path) -> None:
    avatar = load_avatar(reconstructed)
    run, events = collect()
    frames = film(avatar, head_of(avatar.head), CpuRasterizer(), avatar.motion, run)
    assert events == []
    assert next(frames).shape == (80, 80, 3) and len(events) == 1
