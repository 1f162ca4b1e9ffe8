"""Where things are in the scene of an avatar."""

from __future__ import annotations

from avatarkit.drive.camera_paths import CaptureView
from avatarkit.gaussians.avatar import Avatar
from avatarkit.head.parameters import HeadPose
from avatarkit.types import FloatArray


def head_middle(pose: HeadPose) -> FloatArray:
    """(3,) world: the middle of the first posed head's bounding box."""
    vertices = pose.vertices[0]
    return (0.5 * (vertices.min(0).values + vertices.max(0).values)).double().numpy()


def own_cameras(avatar: Avatar) -> list[CaptureView]:
    """The cameras that the avatar was captured with."""
    views, Ks = avatar.viewmats.double().numpy(), avatar.Ks.double().numpy()
    return [
        CaptureView(camera.name, camera.width, camera.height, view, K)
        for camera, view, K in zip(avatar.cameras, views, Ks, strict=True)
    ]
