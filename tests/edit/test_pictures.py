"""The sheets that people judge an edit by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.edit import pictures
from avatarkit.edit.gate import Judged
from avatarkit.edit.keyframes import Keyframe
from avatarkit.edit.pictures import FARTHEST, LEAST, PictureJournal, before_and_after, side_view
from avatarkit.edit.registration import Registration
from avatarkit.pictures.sheet import to_bytes

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


def test_a_sheet_of_views_says_why_one_was_refused(tmp_path: Path, bare: Labelled, monkeypatch: Any) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(pictures, "contact_sheet", lambda rows, *more: seen.append((rows, *more)) or rows[0][0])
    place = bare.front()
    picture = bare.scene.picture(place)
    mask = torch.zeros(1, *picture.shape[1:])
    shown = Keyframe(place, mask, picture, 1.0 - picture)
    fine = Judged(shown, picture, Registration(), True, "", 0.0, 9.0)
    refused = replace(fine, accepted=False, reason="it disagrees with the other views")
    PictureJournal(tmp_path).views(0, 1, "others", [picture, picture], [fine, refused])
    rows, columns, *_ = seen[0]
    assert columns == [place.name, f"{place.name}: it disagrees with the other views"]
    assert (rows[0][0] == to_bytes(np.asarray((1.0 - picture).permute(1, 2, 0)))).all(), "what the editor was given"
    assert (tmp_path / "operation0-attempt1-others.jpg").is_file()
