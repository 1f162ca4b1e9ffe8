"""An avatar and everything that is needed to look at it: from which places, what shows there, where its Gaussians lie at rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, HeadModel, Rasterizer
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.binding import gaussians_in_pose
from avatarkit.gaussians.carried import bound_frames
from avatarkit.gaussians.draw import picture
from avatarkit.gaussians.frames import quat_from_matrix, quat_multiply
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.render.mesh import MeshRender, rasterize_mesh

SKULL = 1
"""The joint that carries the skull: the neck turns it, for both head models."""
BEHIND = 0.02  # metres behind the mesh from which on a Gaussian is not of its surface


@dataclass(frozen=True)
class Place:
    """Where a picture is taken from: a timestep of the avatar's motion, one of its cameras, perhaps at a smaller size.

    name: as people and refiners see it, "t12 c3".
    """

    timestep: int
    camera: int
    cameras: Cameras
    name: str


@dataclass(frozen=True)
class Rest:
    """The avatar on its own neutral head: no expression, no pose.

    means (N, 3), scales (N, 3) metres; quats (N, 4) wxyz; pose: the neutral head; vertices (V, 3).
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    pose: HeadPose

    @property
    def vertices(self) -> Tensor:
        return self.pose.vertices[0]


class Scene:
    """An avatar with its head model and a rasterizer.  Cheap to make; poses, and the mesh in pictures, are kept while the motion stays the same.

    The avatar is never changed in place: ``with_avatar`` makes the next scene.
    """

    def __init__(self, avatar: Avatar, head: HeadModel, rasterizer: Rasterizer, size: int = 512) -> None:
        """size: longest side of pictures in pixels; larger cameras are scaled down."""
        self.avatar, self.head, self.rasterizer, self.size = avatar, head, rasterizer, size
        self._poses: dict[int, HeadPose] = {}
        self._meshes: dict[tuple[int, int, int, bytes], MeshRender] = {}

    def with_avatar(self, avatar: Avatar) -> Scene:
        """The same scene with another state of the avatar."""
        made = Scene(avatar, self.head, self.rasterizer, self.size)
        if avatar.motion is self.avatar.motion:
            made._poses, made._meshes = self._poses, self._meshes
        return made

    @staticmethod
    def shrunk(place: Place, side: int) -> Place:
        """The same place in a picture whose longer side is at most ``side`` pixels."""
        factor = side / max(place.cameras.width, place.cameras.height)
        if factor >= 1.0:
            return place
        size = round(place.cameras.width * factor), round(place.cameras.height * factor)
        return replace(place, cameras=place.cameras.resized(*size))

    def place(self, timestep: int, camera: int) -> Place:
        """A place by its numbers."""
        return self.shrunk(Place(timestep, camera, self.avatar.camera(camera), f"t{timestep} c{camera}"), self.size)

    def places(self, split: str = "train") -> list[Place]:
        """Places of the avatar's own frames of one split, in their order; all frames where the split has none."""
        indices = self.avatar.indices(split) or range(len(self.avatar.frames))
        return [self.place(self.avatar.frames[i].timestep, self.avatar.frames[i].camera) for i in indices]

    def pose(self, timestep: int) -> HeadPose:
        """The head at one timestep of the avatar's motion."""
        if timestep not in self._poses:
            with torch.no_grad():
                self._poses[timestep] = self.avatar.posed(self.head, self.avatar.motion[timestep])
        return self._poses[timestep]

    @cached_property
    def rest(self) -> Rest:
        """The avatar at rest."""
        with torch.no_grad():
            pose = self.avatar.posed(self.head, neutral(self.avatar.motion))
            posed = gaussians_in_pose(self.avatar.gaussians, pose, self.head.faces)
        return Rest(posed.means, posed.quats, posed.scales, pose)

    def picture(self, place: Place, background: Tensor | None = None) -> Tensor:
        """(3, H, W) in [0, 1]: what the avatar looks like from ``place``."""
        return picture(
            self.avatar, self.pose(place.timestep), self.head.faces, place.cameras, self.rasterizer, background
        )

    def field(self, values: Tensor, place: Place, masks: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values of the Gaussians (N, D) blended like colour over zeros: (D, H, W), alpha (1, H, W), and with ``masks``
        (M, H, W) the sums (M, N) of mask·α·T."""
        pose = self.pose(place.timestep)
        with torch.no_grad():
            posed = gaussians_in_pose(self.avatar.gaussians, pose, self.head.faces, sh_degree=0)
            drawn = self.rasterizer.render(
                posed.means, posed.quats, posed.scales, posed.opacities, values, place.cameras,
                masks=None if masks is None else masks[None].contiguous(), antialiased=self.avatar.antialiased,
            )  # fmt: skip
        return drawn.features[0], drawn.alpha[0], None if drawn.sums is None else drawn.sums[0]

    def depth(self, place: Place) -> Tensor:
        """(1, H, W) expected depth, metres along the camera's z; 0 where nothing is."""
        pose = self.pose(place.timestep)
        with torch.no_grad():
            posed = gaussians_in_pose(self.avatar.gaussians, pose, self.head.faces, sh_degree=0)
            drawn = self.rasterizer.render(
                posed.means, posed.quats, posed.scales, posed.opacities, posed.colours, place.cameras,
                antialiased=self.avatar.antialiased,
            )  # fmt: skip
        return drawn.depth[0]

    def surface_alpha(self, place: Place) -> Tensor:
        """(1, H, W) opacity of what lies on the head's surface or before it: the inside of the back of a head fills no hole in its front."""
        pose, cameras = self.pose(place.timestep), place.cameras
        with torch.no_grad():
            posed = gaussians_in_pose(self.avatar.gaussians, pose, self.head.faces, sh_degree=0)
            at = posed.means @ cameras.viewmats[0, :3, :3].T + cameras.viewmats[0, :3, 3]
            pixel = at @ cameras.Ks[0].T
            column, row = (pixel[:, :2] / pixel[:, 2:].clamp(min=1e-6)).floor().clamp(-1.0, 1e6).long().unbind(1)
            seen = (column >= 0) & (row >= 0) & (column < cameras.width) & (row < cameras.height)
            surface = torch.from_numpy(self.mesh(place).depth)
            depth = surface[row.clamp(0, cameras.height - 1), column.clamp(0, cameras.width - 1)]
            behind = seen & (depth > 0) & (at[:, 2] > depth + BEHIND)
            drawn = self.rasterizer.render(
                posed.means, posed.quats, posed.scales, torch.where(behind, 0.0, posed.opacities), posed.colours[:, :1].contiguous(),
                cameras, antialiased=self.avatar.antialiased,
            )  # fmt: skip
        return drawn.alpha[0]

    def mesh(self, place: Place) -> MeshRender:
        """The head's mesh as ``place`` sees it."""
        view, K = place.cameras.viewmats[0].numpy(), place.cameras.Ks[0].numpy()
        size = place.cameras.width, place.cameras.height
        key = (place.timestep, *size, view.tobytes() + K.tobytes())
        if key not in self._meshes:
            vertices = self.pose(place.timestep).vertices[0].numpy()
            self._meshes[key] = rasterize_mesh(vertices, self.head.faces.numpy(), view, K, *size)
        return self._meshes[key]

    def correspondences(self, places: list[Place]) -> Correspondences:
        """Where each pixel of ``places`` lies on the head.  All places must have one image size."""
        drawn = [self.mesh(place) for place in places]
        triangle = torch.from_numpy(np.stack([mesh.triangle for mesh in drawn]))
        weights = torch.from_numpy(np.stack([mesh.barycentrics for mesh in drawn]))
        corners = self.rest.vertices[self.head.faces.long()[triangle.clamp(min=0).long()]]
        rest = (corners * weights[..., None]).sum(-2) * (triangle >= 0)[..., None]
        return Correspondences(triangle, weights, rest)

    def direction(self, place: Place) -> tuple[float, float]:
        """(azimuth, elevation) of the camera in the head's own frame, radians; positive azimuth: on the subject's left."""
        joint = self.pose(place.timestep).joints[0, SKULL]
        local = joint[:3, :3].T @ (place.cameras.centres()[0] - joint[:3, 3])
        x, y, z = local.tolist()
        return math.atan2(x, z), math.atan2(y, math.hypot(x, z))

    def frames_at_rest(self, binding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations (N, 3, 3), origins (N, 3) and sizes (N,) of the frames that carry Gaussians of these bindings (N,)."""
        pose = self.rest.pose
        frames, joints = bound_frames(pose, self.head.faces), pose.joints[0].flip(0)
        at = binding.long()
        return (
            torch.cat([frames.rotation, joints[:, :3, :3]])[at],
            torch.cat([frames.origin, joints[:, :3, 3]])[at],
            torch.cat([frames.size, torch.ones(len(joints))])[at],
        )

    def placed_at_rest(self, gaussians: Gaussians, means: Tensor, quats: Tensor, scales: Tensor) -> Gaussians:
        """``gaussians`` with the local coordinates that put them there at rest: means (N, 3), quats (N, 4), scales (N, 3), world."""
        rotation, origin, size = self.frames_at_rest(gaussians.binding)
        turned = quat_multiply(quat_from_matrix(rotation.mT.contiguous()), quats)
        local = (rotation.mT @ (means - origin)[..., None])[..., 0] / size[:, None]
        return replace(gaussians, means=local, quats=turned, log_scales=(scales / size[:, None]).log())

    def local_offsets(self, offsets: Tensor) -> Tensor:
        """Displacements (N, 3) of Gaussians at rest, world metres → what to add to their local means.

        Exact for what rides on a frame that rest and motion share, which is all there is (``skin_frames``, triangles, joints).
        """
        rotation, _, size = self.frames_at_rest(self.avatar.gaussians.binding)
        return (rotation.mT @ offsets[..., None])[..., 0] / size[:, None]


def neutral(motion: HeadParams) -> HeadParams:
    """One timestep of the same head without expression or pose."""
    first = motion[0]
    still = {name: torch.zeros_like(getattr(first, name)) for name in
             ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")}  # fmt: skip
    return replace(first, **still, dynamic_offset=None)
