"""Labels for an avatar that is there already: from another segmenter, or from one that has learnt since.  Nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import torch

from avatarkit.contracts import HeadModel, Rasterizer, Segmenter
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABELS
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.head_tuning import posed
from avatarkit.recon.labelling import label_gaussians
from avatarkit.track.sequence import Sequence


def labelled_anew(
    avatar: Avatar, sequence: Sequence, head: HeadModel, segmenter: Segmenter, name: str, rasterizer: Rasterizer,
    config: ReconConfig, run: Run,
) -> Avatar:  # fmt: skip
    """``avatar`` with the labels that ``segmenter``, called ``name``, finds in the training views of the capture it was made from.

    ``config``: label_views, label_steps, lr_labels and the seed count.  Raises InputError for an avatar with edits (what was
    painted or added is in no picture of the capture), for another capture than its own, and where nothing would be looked at.
    """
    if avatar.history:
        raise InputError(
            "this avatar has been edited, which no picture shows; label the one before its edits, and edit it again"
        )
    if sequence.capture.timestep_names != avatar.timestep_names:
        raise InputError(
            f"{sequence.capture.name}: has other timesteps than this avatar: it was made from another capture"
        )
    if config.label_views < 1 or not sequence.capture.indices("train"):
        raise InputError("labels come from training views: none are left (label_views, and the capture's split)")
    gaussians = avatar.gaussians.detach()
    config = replace(config, antialiased=avatar.antialiased)
    pose = avatar.weighed(posed(head, avatar.motion), avatar.motion)
    logits = label_gaussians(gaussians, sequence, head, pose, segmenter, rasterizer, config, run)
    meta = {**avatar.meta, "segmenter": name}
    return replace(avatar, gaussians=replace(gaussians, label_logits=logits), meta=meta)


def label_counts(gaussians: Gaussians) -> dict[str, int]:
    """How many Gaussians each label has, those that have any; empty where nothing was labelled."""
    logits = gaussians.label_logits
    if bool((logits == logits[:, :1]).all()):
        return {}
    counts = torch.bincount(logits.argmax(1), minlength=len(LABELS)).tolist()
    return {name: count for name, count in zip(LABELS, counts, strict=True) if count}
