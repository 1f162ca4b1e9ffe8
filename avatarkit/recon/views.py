"""Training views: pictures over the background, whole and half size, held in memory as uint8 where they fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.errors import InputError
from avatarkit.track.sequence import Sequence

MEMORY_LIMIT = 4 << 30  # bytes of pictures kept; more are composited from the frame cache each time


@dataclass(frozen=True)
class TrainingView:
    """One view: frame index, timestep, cameras (batch of one) and target (1, 3, H, W) float32 in [0, 1]."""

    frame: int
    timestep: int
    cameras: Cameras
    target: Tensor


class Views:
    """Frames of one split of ``sequence`` over a background colour (3,)."""

    def __init__(self, sequence: Sequence, frames: list[int], background: tuple[float, ...]) -> None:
        if not frames:
            raise InputError(f"{sequence.capture.name}: no frames to train on")
        self.sequence = sequence
        self.frames = frames
        self.background = np.asarray(background, np.float32)
        self._kept: dict[tuple[int, bool], Tensor] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.frames)

    def timestep(self, position: int) -> int:
        return self.sequence.capture.frames[self.frames[position]].timestep

    def view(self, position: int, half: bool = False) -> TrainingView:
        """The view at ``position`` of the split; ``half`` for half resolution (box filter)."""
        index = self.frames[position]
        cameras = self.sequence.cameras([index])
        if half:
            cameras = cameras.resized(max(1, cameras.width // 2), max(1, cameras.height // 2))
        picture = self._picture(index, half)
        return TrainingView(
            index, self.sequence.capture.frames[index].timestep, cameras, picture.float().mul_(1.0 / 255.0)
        )

    def _picture(self, index: int, half: bool) -> Tensor:
        """(1, 3, H, W) uint8."""
        key = (index, half)
        if key in self._kept:
            return self._kept[key]
        picture = self.sequence.capture.composited(index, self.background)
        if half:
            height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
            picture = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
        tensor = torch.from_numpy(np.rint(picture * 255.0).astype(np.uint8)).permute(2, 0, 1)[None].contiguous()
        if self._bytes + tensor.numel() <= MEMORY_LIMIT:
            self._kept[key] = tensor
            self._bytes += tensor.numel()
        return tensor
