"""The sheets that people judge an edit by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatarkit.edit.pictures import FARTHEST, LEAST, before_and_after, side_view

from .labelled import Labelled, carried_out, operation


def seen_by(which: Labelled, cameras: tuple[int, ...], timesteps: tuple[int, ...]) -> Labelled:
    frames = tuple(f for f in which.avatar.frames if f.camera in cameras and f.timestep in timesteps)
    return replace(which, scene=which.scene.with_avatar(replace(which.avatar, frames=frames)))


@pytest.mark.parametrize(
    ("cameras", "timesteps", "degrees"),
    [
        ((0, 1, 2, 3), (0, 1, 2), FARTHEST),  # cameras at 46 degrees
        ((0,), (0,), LEAST),  # from in front only
        ((0,), (0, 2), 11.5 + 6.0),  # a head that turns by 0.2 radians before one camera
    ],
)
def test_a_head_is_shown_from_where_it_was_seen(
    bare: Labelled, cameras: tuple[int, ...], timesteps: tuple[int, ...], degrees: float
) -> None:
    assert side_view(seen_by(bare, cameras, timesteps).scene) == pytest.approx(degrees, abs=1.5)


def test_before_is_on_the_left_and_after_on_the_right(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("recolour", "cloth", colour="#00ff00"))
    sheet = before_and_after(bare.scene, after, size=64).astype(np.int64)
    greener = (sheet[..., 1] - sheet[..., [0, 2]].max(-1)) > 80
    half = sheet.shape[1] // 2
    assert greener[:, half:].sum() > 500 and greener[:, : half - 10].sum() == 0
