"""Label images for the literal form of the tracking loss (paper, eq. 12): what a segmenter sees, in flat colours.

The rendered label image is the Gaussians' own labels blended like colour, so the loss moves Gaussians towards the region
that they belong to.  Labels come from a vote over the training views before the first step, and children inherit them.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel, Segmenter
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose
from avatarkit.labels import LABEL_COLOURS
from avatarkit.recon.labelling import view_of
from avatarkit.track.sequence import Sequence


@functools.cache
def palette(device: str | torch.device = "cpu") -> Tensor:
    """(19, 3) colour of each class in [0, 1]; the background is black.  Brought to a device once; not to be written to."""
    return (torch.tensor(LABEL_COLOURS, dtype=torch.float32) / 255.0).to(device)


def label_colours(gaussians: Gaussians) -> Tensor:
    """(N, 3) palette colours blended by each Gaussian's class probabilities; no gradient."""
    with torch.no_grad():
        return torch.softmax(gaussians.label_logits, 1) @ palette(gaussians.label_logits.device)


class LabelImages:
    """The segmenter's label image of a frame: (1, 3, H, W) in palette colours.  Maps are made once and kept as classes."""

    def __init__(
        self, sequence: Sequence, head: HeadModel, pose: HeadPose, segmenter: Segmenter, device: str = "cpu"
    ) -> None:
        self._parts, self._device = (sequence, head, pose, segmenter), device
        self._classes: dict[int, Tensor] = {}

    def __call__(self, index: int, height: int, width: int) -> Tensor:
        """Of frame ``index``, reduced to (height, width) by area."""
        self.make(index)
        picture = palette(self._device)[self._classes[index].long()].permute(2, 0, 1)[None].contiguous()
        if picture.shape[2:] != (height, width):
            picture = torch.nn.functional.interpolate(picture, size=(height, width), mode="area")
        return picture

    def make(self, index: int) -> None:
        """The map of frame ``index``, where there is none yet."""
        if index in self._classes:
            return
        sequence, head, pose, segmenter = self._parts
        image = torch.from_numpy(np.array(sequence.capture.image(index))).permute(2, 0, 1)[None].float() / 255.0
        with torch.no_grad():
            found = segmenter.segment(image, [view_of(sequence, head, pose, index)])
        self._classes[index] = found[0].argmax(0).to(torch.uint8).to(self._device)
