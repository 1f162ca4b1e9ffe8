"""The second track: a label for every Gaussian, from label maps of the training views.

First a vote: a Gaussian's share of class c is Σ α·T·P_c over the pixels of all views (weights by α·T; counting pixels instead is
worse, 0.92 against 0.97 on a test head).  What hardly shows in any, the back of a head in a clip, is what its neighbours are.  Then cross-entropy between rendered labels and the maps: softmax per Gaussian, blended
like colour, the background having 1 − α.  Only logits learn; where Gaussians are is the pictures' business.

Maps are used at their full size: at half of it lips and mouth lose 3 to 8 points of IoU after the vote had them right, and brows
2, because what they are made of is two pixels wide.  So maps are kept sparsely, and the loss reads only the entries that they have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import HeadModel, Rasterizer, Segmenter, View
from avatarkit.events import Finished, Progress, Run, Scalars, Started
from avatarkit.gaussians.binding import Posed, gaussians_in_pose
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose
from avatarkit.labels import LABEL_INDEX, NUM_LABELS
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.schedule import spread
from avatarkit.track.sequence import Sequence

BACKGROUND = LABEL_INDEX["background"]
DOUBT = 0.5
"""Votes, in pixels, that are given beforehand, to every class alike, so that one stray pixel decides nothing; where a Gaussian has fewer of
its own, to the classes of its ``NEIGHBOURS``."""
NEIGHBOURS = 8
AT_ONCE = 4
"""Pictures that a segmenter is shown together."""
UNLIKELY = 1e-6
"""Least share of a class, whose logarithm is a logit."""
FLOOR = 1e-4
"""Least probability in the cross-entropy: a map that is wrong in one view must not outweigh the others."""


@dataclass(frozen=True)
class LabelMap:
    """One view's class map without its zeros: the place of each entry in (19, H, W) laid flat, and its probability in 255ths.

    places (K,) int32; shares (K,) uint8; K is a little more than H·W where most pixels are of one class.
    """

    places: Tensor
    shares: Tensor
    pixels: int

    @classmethod
    def of(cls, found: Tensor) -> LabelMap:
        """found (1, 19, H, W) probabilities."""
        levels = (found[0] * 255.0).round().to(torch.uint8).reshape(-1)
        places = torch.nonzero(levels)[:, 0]
        return cls(places.to(torch.int32), levels[places], found.shape[-2] * found.shape[-1])


def label_gaussians(
    gaussians: Gaussians, sequence: Sequence, head: HeadModel, pose: HeadPose, segmenter: Segmenter,
    rasterizer: Rasterizer, config: ReconConfig, run: Run,
) -> Tensor:  # fmt: skip
    """(N, 19) label logits; ``pose`` holds every timestep.  ``config.label_views`` and ``label_steps`` say how much is looked at.

    Raises nothing of its own; emits the stage "labels".
    """
    began = time.monotonic()
    frames = sequence.capture.indices("train")
    chosen = [frames[i] for i in spread(len(frames), config.label_views, config.seed)]
    run.emit(Started("labels", len(chosen) + config.label_steps, "view"))
    views = [view_of(sequence, head, pose, index) for index in chosen]
    maps: list[LabelMap] = []
    votes = torch.zeros(NUM_LABELS, len(gaussians))
    with torch.no_grad():
        for rows in _alike([(view.cameras.height, view.cameras.width) for view in views]):
            images = torch.from_numpy(np.stack([sequence.capture.image(chosen[row]) for row in rows]))
            found = segmenter.segment(images.permute(0, 3, 1, 2).float() / 255.0, [views[row] for row in rows])
            for row, one in zip(rows, found[:, None], strict=True):
                votes += filled(gaussians, head, views[row], one, rasterizer, config)
                maps.append(LabelMap.of(one))
                run.emit(Progress("labels", row + 1, len(chosen) + config.label_steps))
    with torch.no_grad():
        places = gaussians_in_pose(gaussians, pose[0], head.faces, sh_degree=0).means
    share = (votes + DOUBT * beforehand(votes, places)) / (votes.sum(0) + DOUBT)
    logits = share.clamp(min=UNLIKELY).T.log().contiguous()
    logits = fitted(logits, gaussians, head, views, maps, rasterizer, config, run)
    run.emit(Finished("labels", time.monotonic() - began, {"views": float(len(chosen))}))
    return logits


def beforehand(votes: Tensor, places: Tensor) -> Tensor:
    """(19, N) what each Gaussian is taken for before its own votes (19, N) count; places (N, 3), metres."""
    prior = torch.full_like(votes, 1.0 / NUM_LABELS)
    total = votes.sum(0)
    seen = total >= DOUBT
    if bool(seen.all()) or not bool(seen.any()):
        return prior
    near = cKDTree(places[seen].numpy()).query(places[~seen].numpy(), k=range(1, min(NEIGHBOURS, int(seen.sum())) + 1))[
        1
    ]
    prior[:, ~seen] = (votes[:, seen] / total[seen])[:, torch.from_numpy(near)].mean(2)
    return prior


def _alike(shapes: Many[tuple[int, ...]]) -> list[list[int]]:
    """The places of pictures in a row that have one shape, at most ``AT_ONCE`` together."""
    groups: list[list[int]] = []
    for row, shape in enumerate(shapes):
        if groups and len(groups[-1]) < AT_ONCE and shapes[groups[-1][0]] == shape:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def fitted(
    logits: Tensor, gaussians: Gaussians, head: HeadModel, views: Many[View], maps: Many[LabelMap], rasterizer: Rasterizer,
    config: ReconConfig, run: Run,
) -> Tensor:  # fmt: skip
    """``logits`` after ``config.label_steps`` steps of cross-entropy against the views' maps."""
    logits = logits.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([logits], lr=config.lr_labels)
    random = np.random.default_rng([config.seed, 4])
    order: list[int] = []
    for step in range(config.label_steps):
        if not order:
            order = random.permutation(len(views)).tolist()
        at = order.pop()
        loss = label_loss(_rendered(gaussians, logits, head, views[at], rasterizer, config), maps[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = float(loss.detach())
        run.emit(Scalars(step + 1, {"label_cross_entropy": value}))
        run.emit(Progress("labels", len(views) + step + 1, len(views) + config.label_steps, {"loss": value}))
    return logits.detach()


def label_loss(rendered: Tensor, truth: LabelMap) -> Tensor:
    """Mean over pixels of the cross-entropy of rendered label probabilities (1, 19, H, W) against a view's map.

    Only the entries that the map has are read: less than half the time of the sum over all classes.
    """
    picked = rendered.reshape(-1)[truth.places.long()].clamp(min=FLOOR)
    return -(truth.shares * picked.log()).sum() / (255.0 * truth.pixels)


def label_field(
    gaussians: Gaussians, logits: Tensor, pose: HeadPose, faces: Tensor, cameras: Cameras, rasterizer: Rasterizer,
    antialiased: bool,
) -> Tensor:  # fmt: skip
    """(B, 19, H, W) label probabilities of one timestep's ``pose``: each Gaussian's softmax blended like colour, the rest background."""
    with torch.no_grad():
        posed = gaussians_in_pose(gaussians, pose, faces, sh_degree=0)
    return _blended(posed, logits, cameras, rasterizer, antialiased)


def _rendered(
    gaussians: Gaussians, logits: Tensor, head: HeadModel, view: View, rasterizer: Rasterizer, config: ReconConfig
) -> Tensor:
    assert view.pose is not None
    return label_field(gaussians, logits, view.pose, head.faces, view.cameras, rasterizer, config.antialiased)


def _blended(posed: Posed, logits: Tensor, cameras: Cameras, rasterizer: Rasterizer, antialiased: bool) -> Tensor:
    behind = torch.zeros(NUM_LABELS)
    behind[BACKGROUND] = 1.0
    drawn = rasterizer.render(
        posed.means, posed.quats, posed.scales, posed.opacities, torch.softmax(logits, 1), cameras,
        background=behind, antialiased=antialiased,
    )  # fmt: skip
    return drawn.features


def filled(
    gaussians: Gaussians, head: HeadModel, view: View, masks: Tensor, rasterizer: Rasterizer, config: ReconConfig
) -> Tensor:
    """(M, N) Σ α·T·mask over one view's pixels, of masks (1, M, H, W)."""
    assert view.pose is not None
    posed = gaussians_in_pose(gaussians, view.pose, head.faces, sh_degree=0)
    drawn = rasterizer.render(
        posed.means, posed.quats, posed.scales, posed.opacities, posed.colours, view.cameras, masks=masks.contiguous(),
        antialiased=config.antialiased,
    )  # fmt: skip
    assert drawn.sums is not None
    return drawn.sums[0]


def view_of(sequence: Sequence, head: HeadModel, pose: HeadPose, index: int) -> View:
    """What a segmenter is told of frame ``index``; ``pose`` holds every timestep."""
    frame, mask = sequence.capture.frames[index], sequence.capture.mask(index)
    alpha = None if mask is None else torch.from_numpy(np.array(mask)).float()[None] / 255.0
    return View(sequence.cameras([index]), frame.timestep, pose[frame.timestep], alpha, head)
