"""What a person looks at after an edit: before and after, the regions, and every view that an editor returned with the gate's word."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatarkit.drive.camera_paths import camera_path
from avatarkit.drive.scene import head_middle, own_cameras
from avatarkit.edit.gate import Judged
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.gaussians.draw import picture
from avatarkit.pictures.sheet import contact_sheet, to_bytes, write_picture
from avatarkit.types import ByteArray

FARTHEST, LEAST, BEYOND = 35.0, 10.0, 6.0
"""Degrees: how far from the front the head is shown at most and at least, and how far beyond what its pictures show of it: there an avatar
is nothing to judge an edit by."""
MOMENTS = 3
LOOKED_AT = 24  # training pictures that say from where the head was seen
TILE = 220
INK = (1.0, 0.0, 1.0)


class PictureJournal:
    """``painting.Journal``: a contact sheet of every round, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []
        for stale in folder.glob("operation*-attempt*-*.jpg"):  # of an earlier edit of that name
            stale.unlink(missing_ok=True)

    def views(self, operation: int, attempt: int, stage: str, raw: Sequence[Tensor], judged: Sequence[Judged]) -> None:
        """Rows: what the editor was given, what it returned, what is learnt from it.  Columns: views, with the reason where one was
        rejected."""
        rows = [
            [_bytes(view.keyframe.given) for view in judged],
            [_bytes(picture) for picture in raw],
            [_bytes(view.view) for view in judged],
        ]
        columns = [view.keyframe.place.name + ("" if view.accepted else f": {view.reason}") for view in judged]
        name = f"operation{operation}-attempt{attempt}-{stage}.jpg"
        write_picture(self.folder / name, contact_sheet(rows, columns, ("given", "returned", "taken"), TILE))
        self.written.append(self.folder / name)


def before_and_after(before: Scene, after: Scene, size: int = 256) -> ByteArray:
    """Three moments of the motion from three directions (``side_view``); before on the left, after on the right."""
    steps, side = _moments(before), side_view(before)
    rows = []
    for step in steps:
        row = []
        for scene in (before, after):
            pose = scene.pose(step)
            middle = head_middle(before.pose(step))
            for view in ("0,0", f"{side:.0f},0", f"-{side:.0f},0"):
                camera = camera_path(view, 1, middle, own_cameras(scene.avatar), (size, size))[0]
                row.append(_bytes(picture(scene.avatar, pose, scene.head.faces, camera, scene.rasterizer)))
        rows.append(row)
    return contact_sheet(rows, ("before", "", "", "after"), tile=TILE)


def side_view(scene: Scene) -> float:
    """Degrees from the front, to either side, at which the head can be shown: from where its training pictures look, and a little beyond."""
    seen = max(abs(math.degrees(scene.direction(place)[0])) for place in spread_places(scene, LOOKED_AT))
    return min(max(seen + BEYOND, LEAST), FARTHEST)


def _moments(scene: Scene) -> list[int]:
    """Timesteps whose expressions differ most: the calmest, and those farthest from it and from each other."""
    motion = scene.avatar.motion
    moves = torch.cat([motion.expr, motion.jaw_pose], 1)
    chosen = [int(moves.norm(dim=1).argmin())]
    nearest = (moves - moves[chosen[0]]).norm(dim=1)
    while len(chosen) < min(MOMENTS, len(motion)):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (moves - moves[chosen[-1]]).norm(dim=1))
    return chosen


def region_sheet(
    scene: Scene, regions: Sequence[tuple[str, Callable[[Place], Tensor]]], places: Sequence[Place]
) -> ByteArray:
    """Regions painted over the avatar: one row for each (name, what gives its mask (1, H, W) at a place), one column for each place."""
    rows = []
    for _, mask_at in regions:
        row = []
        for place in places:
            mask = 0.7 * mask_at(place)
            row.append(_bytes(scene.picture(place) * (1.0 - mask) + mask * torch.tensor(INK)[:, None, None]))
        rows.append(row)
    return contact_sheet(rows, [place.name for place in places], [name for name, _ in regions], TILE)


def _bytes(image: Tensor) -> ByteArray:
    return to_bytes(np.asarray(image.permute(1, 2, 0)))
