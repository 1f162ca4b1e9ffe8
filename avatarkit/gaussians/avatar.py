"""The avatar: everything that is needed to drive, draw, score and edit a reconstructed head."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.capture.capture import Frame
from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.gaussians.correctives import PoseWeights
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadParams, HeadPose

WORLD_DIRECTIONS = "world"
"""``meta["view_directions"]`` of an avatar whose spherical harmonics are along world directions, as other systems train them;
without it they are in the frames that carry the Gaussians."""


@dataclass(frozen=True)
class AvatarCamera:
    """A camera of the capture: its name and image size in pixels.  Its matrices are rows of ``Avatar.viewmats`` and ``Ks``."""

    name: str
    width: int
    height: int


@dataclass
class Avatar:
    """A reconstructed head.  float32 tensors on the CPU.

    gaussians: in local coordinates, bound to the head model of ``head`` ({"name", "sha256", "vertices", "shape", "expr"});
    motion: its own T timesteps, tuned by training; timestep_names (T);
    source: the capture that it was made from; frames: every image of that capture, with its timestep, camera and split, so
    that held-out frames are found again;
    cameras (C), viewmats (C, 4, 4) OpenCV world-to-camera, Ks (C, 3, 3) pixels; background (3,) sRGB in [0, 1];
    history: one entry for every edit, oldest first; undo: for each of them the tensors that bring the state before it back
    (``avatarkit.edit.history``); meta: config, seed, metrics, versions and the like, as JSON;
    pose_weights: what a pose makes of the Gaussians' correctives, None where they have none.
    """

    gaussians: Gaussians
    head: dict[str, Any]
    motion: HeadParams
    timestep_names: tuple[str, ...]
    frames: tuple[Frame, ...]
    cameras: tuple[AvatarCamera, ...]
    viewmats: Tensor
    Ks: Tensor
    background: Tensor = field(default_factory=lambda: torch.ones(3))
    source: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    undo: list[dict[str, Tensor]] = field(default_factory=list)
    pose_weights: PoseWeights | None = None

    def __post_init__(self) -> None:
        for name, value, expected in (
            ("timestep_names", len(self.timestep_names), len(self.motion)),
            ("viewmats", tuple(self.viewmats.shape), (len(self.cameras), 4, 4)),
            ("Ks", tuple(self.Ks.shape), (len(self.cameras), 3, 3)),
            ("background", tuple(self.background.shape), (3,)),
        ):
            if value != expected:
                raise InputError(f"avatar: '{name}' has size {value}; expected {expected}")
        if self.gaussians.num_correctives == 0:
            self.pose_weights = None
        weights = 0 if self.pose_weights is None else len(self.pose_weights)
        if weights != self.gaussians.num_correctives:
            raise InputError(
                f"avatar: {self.gaussians.num_correctives} correctives and weights of {weights}; expected as many"
            )
        if len(self.undo) != len(self.history):
            raise InputError(f"avatar: {len(self.history)} edits and {len(self.undo)} ways back; expected one each")
        for i, frame in enumerate(self.frames):
            if not (0 <= frame.timestep < len(self.motion) and 0 <= frame.camera < len(self.cameras)):
                raise InputError(
                    f"avatar: frame {i} is of timestep {frame.timestep} and camera {frame.camera}; "
                    f"there are {len(self.motion)} and {len(self.cameras)}"
                )

    def posed(self, head: HeadModel, params: HeadParams) -> HeadPose:
        """``head`` in the poses ``params``, with the weights of this avatar's correctives.  No gradient goes through the weights."""
        return self.weighed(head.pose(params), params)

    def weighed(self, pose: HeadPose, params: HeadParams) -> HeadPose:
        """``pose``, which ``params`` made, with the weights of this avatar's correctives."""
        return pose if self.pose_weights is None else replace(pose, weights=self.pose_weights(params))

    @property
    def sh_degree(self) -> int:
        return self.gaussians.sh_degree

    @property
    def antialiased(self) -> bool:
        """Whether it was trained, and so has to be drawn, with the rasterizer's antialiased mode."""
        return bool(self.meta.get("antialiased", False))

    @property
    def world_directions(self) -> bool:
        """Whether its spherical harmonics are along world directions: it comes from a system that trains them so."""
        return self.meta.get("view_directions") == WORLD_DIRECTIONS

    def camera(self, index: int) -> Cameras:
        """Camera ``index`` as a batch of one."""
        camera = self.cameras[index]
        return Cameras(self.viewmats[index : index + 1], self.Ks[index : index + 1], camera.width, camera.height)

    def indices(self, split: str) -> list[int]:
        """Positions in ``frames`` of one split: "train", "val" or "test"."""
        return [i for i, frame in enumerate(self.frames) if frame.split == split]
