"""What a refiner is told about an avatar: which labels it shows, which groups earlier edits named, what was asked before."""

from __future__ import annotations

import torch

from avatarkit.edit.plan import EditRequest
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABELS

# A class counts as shown from this share of the visible Gaussians on: stray votes are fewer, an earring is more.
SHARE, LEAST = 0.0005, 5
VISIBLE = 0.1  # opacity


def request_for(
    avatar: Avatar, prompt: str, images: tuple[bytes, ...] = (), pieces: tuple[str, ...] = ()
) -> EditRequest:
    """The request of ``prompt`` for ``avatar``.  Named groups are those of ``avatar.meta["groups"]`` (name → number); pieces: what no
    label names and it shows all the same, such as a beard (``membership.pieces_shown``)."""
    groups = avatar.meta.get("groups", {})
    history = tuple(str(entry["prompt"]) for entry in avatar.history if entry.get("prompt"))
    labels = labels_shown(avatar.gaussians)
    return EditRequest(
        prompt, None if labels is None else labels | set(pieces), tuple(map(str, groups)), images, history
    )


def labels_shown(gaussians: Gaussians) -> frozenset[str] | None:
    """The classes that an avatar shows, the background left out; None for an avatar without labels."""
    logits = gaussians.label_logits
    if not len(gaussians) or bool((logits == logits[:, :1]).all()):
        return None
    visible = gaussians.opacity_logits.sigmoid() > VISIBLE
    counts = torch.bincount(logits[visible].argmax(1), minlength=len(LABELS))
    least = max(LEAST, SHARE * int(visible.sum()))
    return frozenset(name for name, count in zip(LABELS[1:], counts[1:].tolist(), strict=True) if count >= least)
