"""Head parameters over time, and the posed head that a model makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from avatarkit.errors import InputError

PER_TIMESTEP = {"expr": None, "rotation": 3, "translation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}


@dataclass(frozen=True)
class HeadParams:
    """T timesteps of one subject, FLAME's names.  float32 tensors on one device.

    shape (S,); expr (T, E); rotation (T, 3) global axis-angle, radians; translation (T, 3) metres; neck_pose (T, 3),
    jaw_pose (T, 3), eyes_pose (T, 6: left, right) axis-angle; static_offset (V, 3) metres on the template, or None;
    dynamic_offset (T, V, 3) or None.
    """

    shape: Tensor
    expr: Tensor
    rotation: Tensor
    translation: Tensor
    neck_pose: Tensor
    jaw_pose: Tensor
    eyes_pose: Tensor
    static_offset: Tensor | None = None
    dynamic_offset: Tensor | None = None

    def __post_init__(self) -> None:
        steps = self.expr.shape[0]
        for name, width in PER_TIMESTEP.items():
            value = getattr(self, name)
            if value.ndim != 2 or value.shape[0] != steps or (width is not None and value.shape[1] != width):
                raise InputError(
                    f"head parameter '{name}' has shape {tuple(value.shape)}; expected ({steps}, {width or 'E'})"
                )

    def __len__(self) -> int:
        return int(self.expr.shape[0])

    def __getitem__(self, index: int | slice | list[int] | Tensor) -> HeadParams:
        """The chosen timesteps; an int keeps the time axis."""
        keep = [index] if isinstance(index, int) else index
        picked = {name: getattr(self, name)[keep] for name in PER_TIMESTEP}
        dynamic = None if self.dynamic_offset is None else self.dynamic_offset[keep]
        return replace(self, **picked, dynamic_offset=dynamic)

    def map(self, change: Callable[[Tensor], Tensor]) -> HeadParams:
        """``change`` applied to every tensor."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return HeadParams(**{name: None if value is None else change(value) for name, value in values.items()})

    def to(self, device: str | torch.device) -> HeadParams:
        return self.map(lambda value: value.to(device))

    def detach(self) -> HeadParams:
        return self.map(lambda value: value.detach())

    @staticmethod
    def zeros(steps: int, num_shape: int, num_expr: int) -> HeadParams:
        return HeadParams(
            torch.zeros(num_shape), torch.zeros(steps, num_expr), torch.zeros(steps, 3), torch.zeros(steps, 3),
            torch.zeros(steps, 3), torch.zeros(steps, 3), torch.zeros(steps, 6),
        )  # fmt: skip


@dataclass(frozen=True)
class Skinning:
    """How triangles turn with the joints: neutral (3, V), the head at rest without expression, metres; weights (J, V)."""

    neutral: Tensor
    weights: Tensor


@dataclass(frozen=True)
class HeadPose:
    """A posed head.  vertices (T, V, 3) world, metres; joints (T, J, 4, 4): rigid, joint frame → world.

    A joint's frame has its origin at the joint and the axes of the rest pose, so that at rest with zero global pose it is a
    pure translation.  Free Gaussians have coordinates in such a frame.  skin: None where bound Gaussians follow the triangles'
    own frames, else what skin frames are made of (``avatarkit.gaussians.skin_frames``).  weights (T, K): how far each corrective of
    an avatar's Gaussians goes (``avatarkit.gaussians.correctives``); None for none.
    """

    vertices: Tensor
    joints: Tensor
    skin: Skinning | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return int(self.vertices.shape[0])

    def __getitem__(self, index: int | slice) -> HeadPose:
        keep = slice(index, index + 1 or None) if isinstance(index, int) else index
        weights = None if self.weights is None else self.weights[keep]
        return HeadPose(self.vertices[keep], self.joints[keep], self.skin, weights)
