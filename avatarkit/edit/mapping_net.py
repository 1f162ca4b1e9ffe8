"""The mapping net (paper, section 4.2 and Figure 5): a region's mask at any time and camera, refined beyond what labels alone say.

    M = σ(logit(S) + Δ)

S is the rendered soft label, Δ a small convolutional net on [S, transported mask, canonical coordinates, depth, the avatar's own picture],
conditioned on a grid of features over (t, p) that is read by bilinear interpolation: t a timestep that was learnt from, p the camera's azimuth and elevation in the head's frame.  A pose
that is none of those timesteps reads its nearest neighbours in expression space, with softmax weights.  The last layer begins at
zero, so that an untrained net is the rendered label.  Training: cross-entropy and Dice against the masks of stage 1; some (t, p) cells are
held out, and the net is used only where it is at least as good on them as the rendered labels are.

Labels that a vote over all views made already outvote a segmenter that errs at random; the net is for errors that come with a time or a
direction, and for edges, which Gaussians blur.  A mask that has little to do with the rendered label, far less than the others have, is an error of
the segmenter and no lesson: it is left out.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from avatarkit.edit.pieces import face_coordinates
from avatarkit.edit.region import lifted, region_mask
from avatarkit.edit.scene import Place, Scene
from avatarkit.events import Finished, Progress, Run, Started

SIDE = 512
"""Pixels of the longer side at which masks are refined; the correction is enlarged to the picture's size.  At half of a picture of 512 lips lose
0.014 of IoU, eyes 0.027, brows 0.05, and rendered labels are better than the net."""
CROP = 128
"""Pixels of a side of what a step of training sees, around some point of the region."""
PLANES, CHANNELS, FEATURES = 9, 20, 6
COLOURS = slice(6, 9)
"""The planes that are the picture.  It shows edges that labels blur: brows gain 0.02 of IoU by it."""
RECOLOUR, REOFFSET = 0.15, 0.05
"""By how much colours are mixed and shifted in training, so that the net goes by edges and an edit's colours do not lead it astray."""
AZIMUTHS, ELEVATIONS = 9, 5
REACH = (math.radians(100.0), math.radians(50.0))  # of the grid's azimuth and elevation
NEIGHBOURS = 3
WARMTH = 0.15
"""Of the softmax over expression distances, in standard deviations of the motion."""
HELD_OUT = 5  # every fifth (t, p) cell judges the net
STEPS, RATE = 400, 3e-3
EPS = 0.02  # a rendered label is never quite sure
BAND = 6.0  # how many times more the pixels at a mask's edge count
ODD, LEAST_ODD = 3.0, 0.1
"""A mask is left out whose IoU with the rendered label is lower than the median by so many median deviations, and by so much."""


@dataclass(frozen=True)
class Sample:
    """A place, what the net sees there (9, h, w), and the mask that it should give (1, h, w)."""

    place: Place
    inputs: Tensor
    truth: Tensor


class MappingNet(nn.Module):
    """Δ for one target of one avatar; ``timesteps``: those whose features the grid has."""

    def __init__(self, timesteps: Tensor, moves: Tensor) -> None:
        """timesteps (K,) int64; moves (K, D): expression and jaw at each, in standard deviations of the motion."""
        super().__init__()
        self.register_buffer("timesteps", timesteps)
        self.register_buffer("moves", moves)
        count = len(timesteps)
        self.by_azimuth = nn.Parameter(torch.zeros(1, FEATURES, count, AZIMUTHS))
        self.by_elevation = nn.Parameter(torch.zeros(1, FEATURES, count, ELEVATIONS))
        self.layers = nn.Sequential(
            nn.Conv2d(PLANES + FEATURES, CHANNELS, 3, padding=1), nn.SiLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2), nn.SiLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.SiLU(),
        )  # fmt: skip
        self.last = nn.Conv2d(CHANNELS, 1, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def features(self, weights: Tensor, azimuth: float, elevation: float) -> Tensor:
        """(FEATURES,) of a moment and a direction; weights (K,): how much of each training timestep it is."""
        found = torch.zeros(FEATURES)
        for grid, angle, reach, count in (
            (self.by_azimuth, azimuth, REACH[0], AZIMUTHS), (self.by_elevation, elevation, REACH[1], ELEVATIONS),
        ):  # fmt: skip
            at = (min(1.0, max(-1.0, angle / reach)) + 1.0) / 2.0 * (count - 1)
            low = min(int(at), count - 2)
            share = at - low
            column = (1.0 - share) * grid[0, :, :, low] + share * grid[0, :, :, low + 1]
            found = found + column @ weights
        return found

    def forward(self, inputs: Tensor, features: Tensor) -> Tensor:
        """inputs (B, 9, h, w), features (B, FEATURES) → logits (B, 1, h, w) of the refined mask."""
        planes = features[:, :, None, None].expand(-1, -1, *inputs.shape[2:])
        correction = self.last(self.layers(torch.cat([inputs, planes], 1)))
        return torch.logit(inputs[:, :1], EPS) + correction  # type: ignore[no-any-return]

    def moment(self, move: Tensor) -> Tensor:
        """(K,) weights of the training timesteps for a pose (D,): its nearest neighbours, softmax of their distances."""
        assert isinstance(self.moves, Tensor)
        gaps = (self.moves - move).norm(dim=1)
        near = gaps.topk(min(NEIGHBOURS, len(gaps)), largest=False)
        weights = torch.zeros(len(gaps))
        weights[near.indices] = torch.softmax(-near.values / WARMTH, 0)
        return weights


@dataclass
class Mapping:
    """A trained net for one target, and how it did on the held-out cells.

    base: the training masks, lifted to Gaussians (N,); weights (N,): the target's membership.  useful: whether the net is at least as good as rendered labels.
    """

    net: MappingNet
    weights: Tensor
    base: Tensor
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def useful(self) -> bool:
        return self.scores.get("net", 0.0) >= self.scores.get("labels", 1.0)

    def mask(self, scene: Scene, place: Place, rendered: Tensor | None = None) -> Tensor:
        """(1, H, W): the refined mask at ``place``; ``rendered``: the rendered label there, where it is known already."""
        full = region_mask(scene, self.weights, place) if rendered is None else rendered
        sample = _inputs(scene, place, self.weights, self.base)
        with torch.no_grad():
            features = self.net.features(self.net.moment(_move(scene, place)), *scene.direction(place))
            small = self.net(sample[None], features[None]) - torch.logit(sample[None, :1], EPS)
            correction = interpolate(small, size=full.shape[1:], mode="bilinear", align_corners=False)[0]
        return torch.sigmoid(torch.logit(full, EPS) + correction)


def train_mapping(
    scene: Scene, weights: Tensor, masks: list[tuple[Place, Tensor]], run: Run, *, seconds: float, seed: int = 0
) -> Mapping:
    """Learn the mask of a target from masks of stage 1; at most ``seconds``.

    weights (N,): the target's membership; masks: places of the avatar's training frames, and (1, H, W) in [0, 1] there; seed: of the
    net's first values and of the order of lessons, so that the same masks give the same net.
    """
    began = time.monotonic()
    kept = trusted([(mask, region_mask(scene, weights, place)) for place, mask in masks])
    masks = [one for one, fine in zip(masks, kept, strict=True) if fine]
    judging = masks[::HELD_OUT] if len(masks) >= HELD_OUT else masks
    learning = [one for i, one in enumerate(masks) if i % HELD_OUT] if len(masks) >= HELD_OUT else masks
    base = lifted(scene, learning)
    samples = [Sample(place, _inputs(scene, place, weights, base), _shrunk(mask)) for place, mask in learning]
    # Features of moments that only judge would stay as they began.
    timesteps = torch.tensor(sorted({place.timestep for place, _ in learning}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MappingNet(timesteps, _moves(scene)[timesteps])
    _learn(net, scene, samples, run, began + seconds, seed)
    mapping = Mapping(net, weights, base)
    mapping.scores = _judged(mapping, scene, judging) | {"left out": float(len(kept) - sum(kept))}
    run.emit(Finished("mapping net", time.monotonic() - began, mapping.scores))
    return mapping


def trusted(pairs: list[tuple[Tensor, Tensor]]) -> list[bool]:
    """Which of the (mask, rendered label) pairs, (1, H, W) each, agree about as well as most of them do."""
    agreement = torch.tensor([_iou(mask > 0.5, rendered > 0.5) for mask, rendered in pairs])
    middle = agreement.median()
    spread = (agreement - middle).abs().median()
    fine = agreement >= middle - max(LEAST_ODD, ODD * float(spread))
    return [bool(one) for one in fine]


def _iou(found: Tensor, truth: Tensor) -> float:
    """Of two masks; 1 where both are empty."""
    either = float((found | truth).sum())
    return float((found & truth).sum()) / either if either else 1.0


def _learn(net: MappingNet, scene: Scene, samples: list[Sample], run: Run, deadline: float, seed: int) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    random = np.random.default_rng([seed, 23])
    directions = {id(s): scene.direction(s.place) for s in samples}
    moments = {id(s): net.moment(_move(scene, s.place)) for s in samples}
    run.emit(Started("mapping net", STEPS))
    for step in range(STEPS):
        if run.stopping or time.monotonic() > deadline:
            break
        sample = samples[int(random.integers(len(samples)))]
        features = net.features(moments[id(sample)], *directions[id(sample)])
        inputs, truth = _cropped(sample, random)
        inputs = _recoloured(inputs, random)
        loss = _loss(net(inputs[None], features[None]), truth[None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            run.emit(Progress("mapping net", step + 1, STEPS, {"loss": float(loss.detach())}))


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy, its pixels near the mask's edge counting more, and Dice."""
    soft = torch.nn.functional.avg_pool2d(truth, 7, 1, 3)
    weight = 1.0 + BAND * 4.0 * soft * (1.0 - soft)
    entropy = (weight * binary_cross_entropy_with_logits(logits, truth, reduction="none")).sum() / weight.sum()
    found = torch.sigmoid(logits)
    dice = 1.0 - (2.0 * (found * truth).sum() + 1.0) / (found.sum() + truth.sum() + 1.0)
    return entropy + dice


def _cropped(sample: Sample, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Inputs (9, h, w) and mask (1, h, w) of a window around a point of the region, or of any where it does not show."""
    height, width = sample.truth.shape[1:]
    shown = torch.nonzero((sample.truth[0] > 0.5) | (sample.inputs[0] > 0.1))
    at = shown[int(random.integers(len(shown)))].tolist() if len(shown) else [height // 2, width // 2]
    corner = []
    for middle, size in zip(at, (height, width), strict=True):
        low = int(middle) - CROP // 2 + int(random.integers(-CROP // 4, CROP // 4 + 1))
        corner.append(max(0, min(low, size - CROP)))
    rows, columns = slice(corner[0], corner[0] + CROP), slice(corner[1], corner[1] + CROP)
    return sample.inputs[:, rows, columns], sample.truth[:, rows, columns]


def _recoloured(inputs: Tensor, random: np.random.Generator) -> Tensor:
    """Inputs (9, h, w) whose picture has its colours mixed."""
    mixed = torch.eye(3) + RECOLOUR * torch.from_numpy(random.normal(size=(3, 3))).float()
    offset = REOFFSET * torch.from_numpy(random.normal(size=(3, 1, 1))).float()
    return torch.cat([inputs[: COLOURS.start], torch.einsum("ij,jhw->ihw", mixed, inputs[COLOURS]) + offset])


def _judged(mapping: Mapping, scene: Scene, masks: list[tuple[Place, Tensor]]) -> dict[str, float]:
    """Mean IoU of the net's masks and of rendered labels on held-out cells, at the pictures' full size."""
    scores: dict[str, list[float]] = {"net": [], "labels": []}
    for place, truth in masks:
        rendered = region_mask(scene, mapping.weights, place)
        for name, found in (("net", mapping.mask(scene, place, rendered)), ("labels", rendered)):
            if bool(((found > 0.5) | (truth > 0.5)).any()):
                scores[name].append(_iou(found > 0.5, truth > 0.5))
    return {name: float(np.mean(values)) if values else 0.0 for name, values in scores.items()}


def _inputs(scene: Scene, place: Place, weights: Tensor, base: Tensor) -> Tensor:
    """(9, h, w): rendered label, transported mask, canonical coordinates (3), depth against the head's middle, picture; small."""
    small = scene.shrunk(place, SIDE)
    coordinates = 0.2 * face_coordinates(scene.head, scene.rest.vertices)(scene.rest.means)
    values = torch.cat([weights[:, None], base[:, None], coordinates], 1)
    field, alpha, _ = scene.field(values.contiguous(), small)
    middle = scene.pose(place.timestep).vertices[0].mean(0)
    view = place.cameras.viewmats[0]
    ahead = float((view[:3, :3] @ middle + view[:3, 3])[2])
    depth = scene.depth(small) - ahead * (alpha > 0.5)
    return torch.cat([field, 10.0 * depth * (alpha > 0.5), scene.picture(small) - 0.5])


def _shrunk(mask: Tensor) -> Tensor:
    factor = SIDE / max(mask.shape[1:])
    if factor >= 1.0:
        return mask
    size = round(mask.shape[1] * factor), round(mask.shape[2] * factor)
    return interpolate(mask[None], size=size, mode="area")[0]


def _moves(scene: Scene) -> Tensor:
    """(T, D): expression and jaw of every timestep, in standard deviations of the motion as a whole."""
    motion = scene.avatar.motion
    moves = torch.cat([motion.expr, motion.jaw_pose], 1)
    return moves / moves.std(0, correction=0).norm().clamp(min=1e-6)


def _move(scene: Scene, place: Place) -> Tensor:
    return _moves(scene)[place.timestep]
