"""Pinhole cameras in OpenCV convention: x right, y down, z forward; world-to-camera; pixel centres at +0.5.

``transforms.json`` files hold OpenGL camera-to-world matrices; ``opengl_to_viewmat`` converts them.  Principal points are
always honoured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from avatarkit.types import FloatArray


@dataclass(frozen=True)
class Cameras:
    """A batch of B cameras with one image size.

    viewmats: (B, 4, 4) float32, world to camera.  Ks: (B, 3, 3) float32, pixels.  width, height: pixels.
    Both tensors may require gradients (camera poses are differentiable in every rasterizer).
    """

    viewmats: Tensor
    Ks: Tensor
    width: int
    height: int

    def __len__(self) -> int:
        return int(self.viewmats.shape[0])

    def __getitem__(self, index: int | slice) -> Cameras:
        keep = slice(index, index + 1) if isinstance(index, int) and index != -1 else index
        keep = slice(-1, None) if keep == -1 else keep
        return replace(self, viewmats=self.viewmats[keep], Ks=self.Ks[keep])

    def to(self, device: str) -> Cameras:
        return replace(self, viewmats=self.viewmats.to(device), Ks=self.Ks.to(device))

    def resized(self, width: int, height: int) -> Cameras:
        """The same cameras with images of ``width`` × ``height``: K is scaled, pixel centres stay at +0.5."""
        import torch

        factor = torch.tensor([width / self.width, height / self.height, 1.0]).to(self.Ks)
        return replace(self, Ks=self.Ks * factor[:, None], width=width, height=height)

    def centres(self) -> Tensor:
        """(B, 3) camera centres in the world."""
        rotation, shift = self.viewmats[:, :3, :3], self.viewmats[:, :3, 3]
        return -(rotation.transpose(1, 2) @ shift[..., None])[..., 0]


def intrinsics(fx: float, fy: float, cx: float, cy: float) -> FloatArray:
    """(3, 3) float64 pinhole matrix; all in pixels."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def opengl_to_viewmat(camera_to_world: FloatArray) -> FloatArray:
    """OpenGL camera-to-world (4, 4) → OpenCV world-to-camera (4, 4), float64.  Rigid transforms only."""
    c2w = np.asarray(camera_to_world, np.float64)
    view = np.eye(4)
    view[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ c2w[:3, :3].T
    view[:3, 3] = -view[:3, :3] @ c2w[:3, 3]
    return view


def viewmat_to_opengl(viewmat: FloatArray) -> FloatArray:
    """OpenCV world-to-camera (4, 4) → OpenGL camera-to-world (4, 4), float64."""
    view = np.asarray(viewmat, np.float64)
    c2w = np.eye(4)
    c2w[:3, :3] = view[:3, :3].T @ np.diag([1.0, -1.0, -1.0])
    c2w[:3, 3] = -view[:3, :3].T @ view[:3, 3]
    return c2w


def look_at(eye: FloatArray, target: FloatArray, up: FloatArray = (0.0, 1.0, 0.0)) -> FloatArray:  # type: ignore[assignment]
    """World-to-camera (4, 4) float64 of a camera at ``eye`` (3,) that looks at ``target`` (3,), both in metres."""
    eye, target = np.asarray(eye, np.float64), np.asarray(target, np.float64)
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, np.asarray(up, np.float64))
    right /= np.linalg.norm(right)
    view = np.eye(4)
    view[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    view[:3, 3] = -view[:3, :3] @ eye
    return view


def orbit(azimuth: float, elevation: float, distance: float, target: FloatArray) -> FloatArray:
    """World-to-camera (4, 4) on a sphere around ``target``; radians and metres.  Azimuth 0 looks at a face along −z."""
    direction = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    return look_at(np.asarray(target, np.float64) + distance * direction, target)
