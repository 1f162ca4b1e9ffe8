"""The Gaussians are fitted to accepted keyframes, and held to what they were where nothing was asked for.

    L_edit = (λ1·L_rgb + λ2·L_gs + λ3·L_G) / (λ1 + λ2 + λ3)          (paper, equation 17)
    L_rgb  = λ·L2 + (1 − λ)·L_perceptual, λ = 0.7                     (equation 11)

L_gs is equation 13 (``anchor``), L_G the hinge GAN's −E[D(G)] (equation 15).  D sees detached renders and has its own optimiser.  A part of the
steps looks at frames that were not edited, outside the region.  Only Gaussians of the region learn, and only they are split.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import Render
from avatarkit.edit.anchor import Anchor
from avatarkit.edit.config import EditConfig
from avatarkit.edit.ids import next_id
from avatarkit.edit.keyframes import Keyframe
from avatarkit.edit.lifting import TOUCHED
from avatarkit.edit.scene import Place, Scene
from avatarkit.events import Progress, Run
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.draw import draw
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.perceptual import Perceptual
from avatarkit.losses.photometric import photometric_loss
from avatarkit.recon import density
from avatarkit.recon.adam import Adam, parameters, require_gradients
from avatarkit.recon.guard import finite
from avatarkit.render.compiled import kernels_first

CORE = 0.5
EPS = 1e-3
SPLITS = (0.25, 0.5)
"""Shares of the steps at which the region's Gaussians are split."""
FREE_UNIT = 0.003  # metres of a free Gaussian's step for one triangle unit of a bound one's


LEAST_WINDOW, AROUND = 48, 12
"""Pixels: the least side of what is compared around a region, and how much of its surroundings belongs to it."""


@dataclass(frozen=True)
class Edited:
    """A keyframe and the accepted picture (3, H, W) that is learnt from it; focus (1, H, W): eyes and mouth, for a discriminator."""

    keyframe: Keyframe
    view: Tensor
    focus: Tensor | None = None


def window(mask: Tensor) -> tuple[slice, slice]:
    """Rows and columns around a region (1, H, W) in which a picture is compared: a mean over the whole of it would let an iris of
    three pixels weigh nothing against what holds its Gaussians.  Everything where the region is empty."""
    height, width = mask.shape[-2:]
    inside = torch.nonzero(mask[0] > TOUCHED)
    if not len(inside):
        return slice(0, height), slice(0, width)
    first, last = inside.min(0).values.tolist(), inside.max(0).values.tolist()
    spans = []
    for low, high, size in zip(first, last, (height, width), strict=True):
        length = min(size, max(LEAST_WINDOW, high - low + 1 + 2 * AROUND))
        start = min(max(0, (low + high + 1 - length) // 2), size - length)
        spans.append(slice(start, start + length))
    return spans[0], spans[1]


@dataclass
class Opponent:
    """A discriminator and its optimiser; both live through all fits of one operation."""

    network: Any
    optimiser: Any

    @classmethod
    def of(cls, network: Any) -> Opponent:
        rate, betas = getattr(network, "learning_rate", 4e-4), getattr(network, "betas", (0.0, 0.9))
        return cls(network, torch.optim.Adam(network.parameters(), lr=rate, betas=betas))


@dataclass
class Fitting:
    """What a fit begins from and goes on with: the region's weights and the anchor follow the table of Gaussians.

    weights (N,): membership; anchor: the state before the edit; unedited: places that are only watched; mask: the region's mask
    (1, H, W) at a place; colours_only: shapes stay and nothing is split, because the edit asks for no other.
    """

    weights: Tensor
    anchor: Anchor
    unedited: list[Place]
    mask: Callable[[Place], Tensor]
    colours_only: bool = False
    perceptual: Perceptual | None = None
    opponent: Opponent | None = None
    curve: list[dict[str, float]] = field(default_factory=list)

    def select(self, source: Tensor) -> None:
        self.weights, self.anchor = self.weights[source], self.anchor.select(source)


@kernels_first()
def fit(
    before: Scene, scene: Scene, views: Sequence[Edited], fitting: Fitting, config: EditConfig, run: Run, seed: int, grow: bool = True,
    deadline: float = math.inf,
) -> Avatar:  # fmt: skip
    """The avatar of ``scene`` after ``config.steps`` steps on ``views``; ``before``: the scene before the edit, for frames that stay.

    deadline: of ``time.monotonic``, after which no more steps are begun; that is said.
    ``fitting`` follows the table where Gaussians were split.  A step whose loss or gradient is not finite is left out.
    """
    guarded = config.fit == "guarded"
    state = _State(scene, fitting, config, guarded)
    random = np.random.default_rng([seed, 17])
    for step in range(config.steps):
        if run.stopping:
            break
        if time.monotonic() > deadline:
            run.notice(f"{step} of {config.steps} steps of fitting were made in their time; raise 'seconds'", "warning")
            break
        watch = guarded and fitting.unedited and random.random() < config.unedited
        if watch:
            place = fitting.unedited[int(random.integers(len(fitting.unedited)))]
            parts, loss, render, rows = state.watch(before, place)
        else:
            view = views[int(random.integers(len(views)))]
            parts, loss, render, rows = state.learn(view)
        if loss is None or not state.step(loss, render, rows, step):
            continue
        if grow and guarded and not fitting.colours_only and step in [round(share * config.steps) for share in SPLITS]:
            state.split(random)
        if (step + 1) % 20 == 0 or step + 1 == config.steps:
            fitting.curve.append({"step": float(step + 1), **parts})
            run.emit(Progress("fitting", step + 1, config.steps, parts))
    return replace(scene.avatar, gaussians=state.gaussians.detach())


class _State:
    """The Gaussians while they are fitted, with Adam's moments."""

    def __init__(self, scene: Scene, fitting: Fitting, config: EditConfig, guarded: bool) -> None:
        self.scene, self.fitting, self.config, self.guarded = scene, fitting, config, guarded
        self.gaussians: Gaussians = scene.avatar.gaussians.select(torch.arange(len(scene.avatar.gaussians)))
        require_gradients(self.gaussians)
        self.adam = Adam(self.gaussians, FREE_UNIT)
        self.gradient = torch.zeros(len(self.gaussians))
        self.next_id, self.known = next_id(scene.avatar), scene.avatar.gaussians.ids
        self.kept: dict[str, tuple[Tensor, Tensor]] = {}
        self.room = int(config.grow * float((fitting.weights > CORE).sum()))

    def drawn(self, place: Place) -> Render:
        avatar, scene = self.scene.avatar, self.scene
        return draw(
            self.gaussians, scene.pose(place.timestep), scene.head.faces, place.cameras, scene.rasterizer,
            background=avatar.background, antialiased=avatar.antialiased, world_directions=avatar.world_directions,
        )  # fmt: skip

    def learn(self, view: Edited) -> tuple[dict[str, float], Tensor | None, Render, Tensor]:
        """A step on an edited keyframe."""
        config = self.config
        render = self.drawn(view.keyframe.place)
        picture, target = render.features, view.view[None]
        rows, columns = window(view.keyframe.mask) if self.guarded else (slice(None), slice(None))
        parts: dict[str, Tensor] = {"rgb": self.rgb(picture[..., rows, columns], target[..., rows, columns])}
        weights = {"rgb": config.weight_rgb}
        if self.guarded:
            parts["gs"], weights["gs"] = self.fitting.anchor.loss(self.gaussians, config), config.weight_gs
        if self.guarded and self.fitting.opponent is not None:
            parts["gan"], weights["gan"] = self.against(self.fitting.opponent, picture, view), config.weight_gan
        total: Tensor = sum((weights[name] * value for name, value in parts.items()), torch.zeros(()))
        loss = total / sum(weights.values())
        return {name: float(value.detach()) for name, value in parts.items()}, loss, render, render.radii[0] > 0

    def rgb(self, picture: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Equation 11."""
        share = self.config.rgb_lambda
        difference = (picture - target).square()
        squared = difference.mean() if weight is None else (difference * weight).mean() / weight.mean().clamp(min=EPS)
        if self.fitting.perceptual is not None and weight is None:
            return share * squared + (1.0 - share) * self.fitting.perceptual(picture, target).mean()
        other = photometric_loss(picture, target, l1=0.0, dssim=1.0, weight=weight).total
        return share * squared + (1.0 - share) * other

    def against(self, opponent: Opponent, picture: Tensor, view: Edited) -> Tensor:
        """D learns from the detached render, then says what is wrong with it."""
        network = opponent.network
        condition = torch.cat([view.keyframe.source, view.keyframe.mask])[None]
        real, fake = view.view[None], picture.clamp(0.0, 1.0)
        if hasattr(network, "attend"):
            network.attend(None if view.focus is None else view.focus[None])
        opponent.optimiser.zero_grad()
        network.d_loss(real, fake.detach(), condition).backward()
        opponent.optimiser.step()
        result: Tensor = network.g_loss(fake, condition)
        return result

    def watch(self, before: Scene, place: Place) -> tuple[dict[str, float], Tensor | None, Render, Tensor]:
        """A step on a frame that was not edited: outside the region it has to look as it did."""
        if place.name not in self.kept:
            mask = self.fitting.mask(place)
            near = torch.nn.functional.max_pool2d(mask[None], 9, 1, 4)[0]
            self.kept[place.name] = (before.picture(place), (near < TOUCHED).float())
        target, outside = self.kept[place.name]
        render = self.drawn(place)
        weight = outside[None]
        loss = self.config.weight_rgb * self.rgb(render.features, target[None], weight)
        gs = self.fitting.anchor.loss(self.gaussians, self.config)
        total = (loss + self.config.weight_gs * gs) / (self.config.weight_rgb + self.config.weight_gs)
        parts = {"unedited": float(loss.detach()), "gs": float(gs.detach())}
        return parts, total, render, render.radii[0] > 0

    def step(self, loss: Tensor, render: Render, rows: Tensor, step: int) -> bool:
        for leaf in parameters(self.gaussians).values():
            leaf.grad = None
        if not bool(torch.isfinite(loss)):
            return False
        loss.backward()
        if not finite(tuple(leaf.grad for leaf in parameters(self.gaussians).values() if leaf.grad is not None)):
            return False
        assert render.mean2d_gradients is not None
        self.gradient += render.mean2d_gradients()[0].norm(dim=1)
        if self.guarded:
            rows = rows & (self.fitting.weights > TOUCHED)
        config = self.config
        decay = config.lr_final ** (step / max(1, config.steps - 1))
        rates = {
            "means": config.lr_means, "quats": config.lr_quats, "log_scales": config.lr_scales, "opacity_logits": config.lr_opacity,
            "sh_dc": config.lr_colour, "sh_rest": config.lr_colour / 20.0,
        }  # fmt: skip
        if (
            self.guarded and self.fitting.colours_only
        ):  # shape would bend to what is drawn on it, and fray at every edge
            rates |= dict.fromkeys(("means", "quats", "log_scales", "opacity_logits"), 0.0)
        self.adam.step(self.gaussians, {name: decay * rate for name, rate in rates.items()}, rows)
        return True

    def split(self, random: np.random.Generator) -> None:
        """Split the region's Gaussians that the pictures pull at most."""
        count = self.room // len(SPLITS)
        score = self.gradient * (self.fitting.weights > CORE)
        if count < 1 or not bool((score > 0).any()):
            return
        with torch.no_grad():
            change = density.split_worst(self.gaussians.detach(), score, count, self.next_id, random)
        self.take(change)

    def take(self, change: density.Change) -> None:
        """The new table; what descends from a child has its ancestor for a parent, since the child is gone."""
        old, rows = self.gaussians.detach(), change.source[change.fresh]
        ancestors = torch.where(torch.isin(old.ids[rows], self.known), old.ids[rows], old.parents[rows])
        self.gaussians = change.gaussians
        self.gaussians.parents[change.fresh] = ancestors
        require_gradients(self.gaussians)
        self.adam.reindex(change.source, change.fresh)
        self.gradient = torch.zeros(len(self.gaussians))
        self.next_id = change.next_id
        self.fitting.select(change.source)
