"""A segmenter.  It begins by calling the foreground skin: put your network in its place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avatarkit.contracts import View
from avatarkit.labels import LABEL_INDEX, NUM_LABELS


class Mine:
    """``avatarkit.contracts.Segmenter``."""

    def segment(self, images: Tensor, views: Sequence[View]) -> Tensor:
        """images (B, 3, H, W) → probabilities (B, 19, H, W) in the order of ``avatarkit.labels.LABELS``."""
        labels = torch.zeros(len(images), NUM_LABELS, *images.shape[2:])
        for index, view in enumerate(views):
            foreground = (images[index].mean(0) < 0.95).float() if view.mask is None else view.mask[0]
            labels[index, LABEL_INDEX["skin"]] = foreground
            labels[index, LABEL_INDEX["background"]] = 1.0 - foreground
        return labels
