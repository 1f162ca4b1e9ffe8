"""A sequence: a capture with head parameters for each timestep.  What tracking makes and reconstruction eats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.capture.capture import Capture
from avatarkit.errors import InputError
from avatarkit.head.parameters import HeadParams


@dataclass(frozen=True)
class Sequence:
    """capture, its head parameters (T timesteps), and its cameras, solved where the capture did not know them.

    viewmats (C, 4, 4) and Ks (C, 3, 3) float32 by camera index; head: the reference of the head model that was fitted.
    """

    capture: Capture
    params: HeadParams
    viewmats: Tensor
    Ks: Tensor
    head: dict[str, Any]

    def __post_init__(self) -> None:
        if len(self.params) != self.capture.num_timesteps:
            raise InputError(
                f"{self.capture.name}: {self.capture.num_timesteps} timesteps but {len(self.params)} rows of head parameters"
            )

    def cameras(self, indices: list[int]) -> Cameras:
        """The cameras of frames ``indices``; they must share one image size."""
        rows = [self.capture.frames[i].camera for i in indices]
        sizes = {(self.capture.cameras[c].width, self.capture.cameras[c].height) for c in rows}
        if len(sizes) != 1:
            raise InputError(f"{self.capture.name}: frames of different sizes cannot be batched: {sorted(sizes)}")
        width, height = sizes.pop()
        picked = torch.tensor(rows)
        return Cameras(self.viewmats[picked], self.Ks[picked], width, height)
