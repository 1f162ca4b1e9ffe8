"""Training views: pictures over the background, whole and half size, held in memory as uint8 where they fit.

On a GPU they are held there, as long as they take less than half of its free memory; the others are streamed: composited and copied
beside the training, since ``prefetch`` knows which views come next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.errors import InputError
from avatarkit.recon.streaming import Ahead, Arriving, Upload
from avatarkit.track.sequence import Sequence
from avatarkit.types import FloatArray

MEMORY_LIMIT = 4 << 30  # bytes of pictures kept; more are composited from the frame cache each time
BLOCK = 64 << 20
"""Bytes of pictures that are kept side by side on the CPU.  Large enough that every malloc maps memory of its own for it."""


@dataclass(frozen=True)
class TrainingView:
    """One view: frame index, timestep, cameras (batch of one) and target (1, 3, H, W) float32 in [0, 1].

    through (1, 1, H, W): how much of the background shows in each pixel, where the capture has masks and it was asked for.
    """

    frame: int
    timestep: int
    cameras: Cameras
    target: Tensor
    through: Tensor | None = None

    def over(self, background: Tensor, usual: Tensor) -> Tensor:
        """The target over another ``background`` (3,) than the ``usual`` one that it was made with."""
        if self.through is None:
            return self.target
        return (self.target + (background - usual)[:, None, None] * self.through).clamp(0.0, 1.0)


class Shelf:
    """Pictures in blocks of one size, for as long as the shelf lives.

    Kept one by one, between the floats that each was made from, they left so many holes that four gigabytes of them took nearly eight.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[int, ...], tuple[Tensor, int]] = {}

    def keep(self, picture: Tensor) -> Tensor:
        """``picture`` (1, C, H, W), uint8, as it stands on the shelf."""
        shape = tuple(picture.shape[1:])
        block, used = self._open.get(shape, (picture[:0], 0))
        if used == len(block):
            block, used = torch.empty((max(1, BLOCK // picture.numel()), *shape), dtype=picture.dtype), 0
        block[used] = picture[0]
        self._open[shape] = block, used + 1
        return block[used : used + 1]


class Views:
    """Frames of one split of ``sequence`` over a background colour (3,), for training on ``device``.

    ``limit``: bytes of pictures that are kept there; more are made again each time.  ``through``: give views that, too.  gains: camera → (3,),
    which its pictures are divided by, what shows of the background aside (``recon.colour_balance``).
    """

    def __init__(
        self,
        sequence: Sequence,
        frames: list[int],
        background: tuple[float, ...],
        device: str = "cpu",
        limit: int | None = None,
        through: bool = False,
        gains: Mapping[int, FloatArray] | None = None,
    ) -> None:
        if not frames:
            raise InputError(f"{sequence.capture.name}: no frames to train on")
        self.sequence = sequence
        self.frames = frames
        self.background = np.asarray(background, np.float32)
        self._kept: dict[tuple[int, bool], Tensor] = {}
        self._bytes, self._shelf = 0, Shelf()
        self._device = device
        self._cameras: dict[tuple[int, bool], Cameras] = {}
        self._ahead: Ahead[tuple[int, bool], Arriving] | None = None
        self._through = through and sequence.capture.masked
        self._gains = gains or {}
        self._limit = MEMORY_LIMIT if limit is None else limit
        if device != "cpu":
            upload = Upload(device)
            self._ahead = Ahead(lambda key: upload(self._made(*key)))
            self._limit = torch.cuda.mem_get_info(device)[0] // 2 if limit is None else limit

    def __len__(self) -> int:
        return len(self.frames)

    def timestep(self, position: int) -> int:
        return self.sequence.capture.frames[self.frames[position]].timestep

    def view(self, position: int, half: bool = False) -> TrainingView:
        """The view at ``position`` of the split; ``half`` for half resolution (box filter)."""
        index = self.frames[position]
        cameras = self._cameras_of(index, half)
        picture = self._picture(index, half).float().mul_(1.0 / 255.0)
        timestep, through = self.sequence.capture.frames[index].timestep, None
        if self._through:
            picture, through = picture[:, :3].contiguous(), picture[:, 3:]
        return TrainingView(index, timestep, cameras, picture, through)

    def prefetch(self, positions: list[int], half: bool = False) -> None:
        """Say which views come next; nothing happens where all are kept, or on the CPU."""
        if self._ahead is not None:
            for position in positions:
                key = (self.frames[position], half)
                if key not in self._kept:
                    self._ahead.ask(key)

    def _cameras_of(self, index: int, half: bool) -> Cameras:
        """On the device; kept there, since a copy from the host would make a GPU wait."""
        if (index, half) in self._cameras:
            return self._cameras[index, half]
        cameras = self.sequence.cameras([index])
        if half:
            cameras = cameras.resized(max(1, cameras.width // 2), max(1, cameras.height // 2))
        if self._device != "cpu":
            cameras = self._cameras[index, half] = cameras.to(self._device)
        return cameras

    def _picture(self, index: int, half: bool) -> Tensor:
        """(1, 3 or, with what shows through, 4, H, W) uint8 on the device."""
        key = (index, half)
        if key in self._kept:
            return self._kept[key]
        tensor = self._made(index, half) if self._ahead is None else self._ahead.take(key).arrived()
        if self._bytes + tensor.numel() <= self._limit:
            tensor = self._kept[key] = self._shelf.keep(tensor) if self._device == "cpu" else tensor
            self._bytes += tensor.numel()
        return tensor

    def _made(self, index: int, half: bool) -> Tensor:
        """The same on the host."""
        picture = self.sequence.capture.composited(index, self.background)
        gain = self._gains.get(self.sequence.capture.frames[index].camera)
        if self._through or gain is not None:
            mask = self.sequence.capture.mask(index)
            alpha = np.full(picture.shape[:2], 255, np.uint8) if mask is None else mask
            through = 1.0 - alpha[..., None].astype(np.float32) / 255.0
            if gain is not None:
                behind = through * self.background
                picture = np.clip((picture - behind) / gain.astype(np.float32) + behind, 0.0, 1.0)
            if self._through:
                picture = np.concatenate([picture, through], 2)
        if half:
            height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
            picture = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, -1).mean((1, 3))
        return torch.from_numpy(np.rint(picture * 255.0).astype(np.uint8)).permute(2, 0, 1)[None].contiguous()
