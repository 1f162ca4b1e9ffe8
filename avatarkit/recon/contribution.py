"""Which Gaussians the training pictures show at all.

Some end outside of every picture, or deep behind others: no picture has taught them anything, and from a new direction they are
smears and confetti.  What a Gaussian gives to a picture is its Σ α·T over the pixels.  What closes the head from aside stays.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from avatarkit.contracts import HeadModel, Rasterizer
from avatarkit.events import Finished, Progress, Run, Started
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose
from avatarkit.recon.aside import Aside, closing
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.labelling import filled, view_of
from avatarkit.track.sequence import Sequence

VIEWS = 150  # training pictures that are looked at, spread evenly


def contributing(
    gaussians: Gaussians, sequence: Sequence, head: HeadModel, pose: HeadPose, rasterizer: Rasterizer, config: ReconConfig,
    run: Run, beside: Aside | None = None,
) -> Gaussians:  # fmt: skip
    """Those that fill enough of some training picture, or of one from ``beside``; ``pose`` holds every timestep.  The stage "trim".

    Enough is ``config.trim`` of the fair share: the pixels that all fill in the fullest picture, by their number.
    """
    began = time.monotonic()
    frames = sequence.capture.indices("train")
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(VIEWS, len(frames))).round().astype(int)).tolist()
    others = [] if beside is None else beside.views[::2]
    run.emit(Started("trim", len(chosen) + len(others), "view"))
    most, fullest = torch.zeros(len(gaussians)), 0.0
    for done, at in enumerate(chosen):
        view = view_of(sequence, head, pose, frames[at])
        everywhere = torch.ones(1, 1, view.cameras.height, view.cameras.width)
        with torch.no_grad():
            given = filled(gaussians, head, view, everywhere, rasterizer, config)[0]
        most, fullest = torch.maximum(most, given), max(fullest, float(given.sum()))
        run.emit(Progress("trim", done + 1, len(chosen) + len(others)))
    for done, other in enumerate(others):
        given = closing(gaussians, other, pose.skin, head, rasterizer, antialiased=config.antialiased)
        most = torch.maximum(most, given)
        run.emit(Progress("trim", len(chosen) + done + 1, len(chosen) + len(others)))
    kept = most >= config.trim * fullest / len(gaussians)
    dropped = float((~kept).sum())
    run.emit(Finished("trim", time.monotonic() - began, {"dropped": dropped, "splats": len(gaussians) - dropped}))
    return gaussians.select(kept)
