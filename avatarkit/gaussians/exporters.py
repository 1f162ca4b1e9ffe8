"""The built-in exporters: a splat in one pose, and a trained GaussianAvatars folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from avatarkit.contracts import HeadModel
from avatarkit.events import Run
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.carried import world_splats
from avatarkit.gaussians.head_of import head_of
from avatarkit.gaussians.ply_file import write_splats
from avatarkit.gaussians.trained_folder import CLOUD, export_trained
from avatarkit.head.parameters import HeadParams, HeadPose


class PlyExporter:
    """``ply``: every Gaussian where it stands in one pose, in metres, y up, in the layout of 3D Gaussian splatting."""

    suffix = ".ply"

    def export(self, avatar: Avatar, path: Path, pose: HeadPose | None = None, **options: Any) -> None:
        """Options: head (a HeadModel, found by the avatar's reference otherwise); others are ignored."""
        head: HeadModel = options.get("head") or head_of(avatar.head)
        chosen = rest_pose(avatar, head) if pose is None else pose
        splats = world_splats(avatar.gaussians.detach(), chosen, head.faces, world_directions=avatar.world_directions)
        write_splats(path, splats)


class TrainedFolderExporter:
    """``gaussianavatars``: a folder for ``path`` without the suffix .ply, else that file, and flame_param.npz beside it."""

    suffix = ".ply"

    def export(self, avatar: Avatar, path: Path, pose: HeadPose | None = None, **options: Any) -> None:
        """Options: head; run, which hears what the format cannot say; drop_free; others are ignored."""
        head: HeadModel = options.get("head") or head_of(avatar.head)
        chosen = rest_pose(avatar, head) if pose is None else pose
        cloud = path if path.suffix.lower() == self.suffix else path / CLOUD
        drop = bool(options.get("drop_free", False))
        export_trained(avatar, head, cloud, chosen, options.get("run") or Run(), drop_free=drop)


def rest_pose(avatar: Avatar, head: HeadModel) -> HeadPose:
    """The avatar's own head at rest: its identity, no expression, at the origin."""
    rest = HeadParams.zeros(1, head.num_shape, head.num_expr)
    with torch.no_grad():
        return avatar.posed(head, replace(rest, shape=avatar.motion.shape, static_offset=avatar.motion.static_offset))
