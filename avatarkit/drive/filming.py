"""Film an avatar: one picture for each moment of a motion, from a camera path."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from avatarkit.contracts import HeadModel, Rasterizer
from avatarkit.drive.camera_paths import camera_path
from avatarkit.drive.scene import head_middle, own_cameras
from avatarkit.events import Progress, Run
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.draw import label_picture, picture
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.pictures.sheet import to_bytes
from avatarkit.types import ByteArray


def film(
    avatar: Avatar,
    head: HeadModel,
    rasterizer: Rasterizer,
    motion: HeadParams,
    run: Run,
    *,
    camera: str = "capture",
    size: tuple[int, int] | None = None,
    background: tuple[float, ...] | None = None,
    labels: bool = False,
) -> Iterator[ByteArray]:
    """(H, W, 3) uint8 pictures of ``motion``'s timesteps.  ``labels`` paints the label field instead of colours."""
    middle = head_middle(_posed(avatar, head, motion, 0))
    cameras = camera_path(camera, len(motion), middle, own_cameras(avatar), size)
    colour = avatar.background if background is None else torch.tensor(background)
    for timestep, view in enumerate(cameras):
        pose = _posed(avatar, head, motion, timestep)
        if labels:
            drawn = label_picture(avatar, pose, head.faces, view, rasterizer)
        else:
            drawn = picture(avatar, pose, head.faces, view, rasterizer, colour)
        run.emit(Progress("rendering", timestep + 1, len(motion)))
        yield to_bytes(drawn.permute(1, 2, 0).numpy())


def _posed(avatar: Avatar, head: HeadModel, motion: HeadParams, timestep: int) -> HeadPose:
    with torch.no_grad():
        return avatar.posed(head, motion[timestep])
