"""One training step, and what it changes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel, Rasterizer, Render
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.line_of_sight import line_of_sight_loss
from avatarkit.losses.photometric import photometric_loss
from avatarkit.losses.regularisers import position_loss, scale_loss
from avatarkit.recon.adam import Adam, parameters, require_gradients
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.guard import finite
from avatarkit.recon.head_tuning import HeadState
from avatarkit.recon.schedule import Schedule
from avatarkit.recon.views import TrainingView


@dataclass
class TrainState:
    """Everything that a step changes; a checkpoint holds exactly this.

    screen_gradient, seen (N,): summed norm of the screen gradient (normalised device coordinates) and how often each
    Gaussian showed since the last density event.  total: steps of this run.
    """

    gaussians: Gaussians
    adam: Adam
    head: HeadState
    screen_gradient: Tensor
    seen: Tensor
    next_id: int
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    skipped: int = 0
    rolled_back: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)


def fresh_state(gaussians: Gaussians, head_state: HeadState, unit: float) -> TrainState:
    """Empty moments and counters around ``gaussians``.  ``unit``: metres that one triangle unit is worth to free Gaussians."""
    require_gradients(gaussians)
    count = len(gaussians)
    return TrainState(
        gaussians,
        Adam(gaussians, unit),
        head_state,
        torch.zeros(count),
        torch.zeros(count),
        int(gaussians.ids.max()) + 1,
    )


def train_step(
    state: TrainState, batch: list[TrainingView], head: HeadModel, config: ReconConfig, schedule: Schedule,
    rasterizer: Rasterizer, background: Tensor, measure: bool = False,
) -> dict[str, float] | None:  # fmt: skip
    """One step on ``batch``; the losses by name, or None where one, or a gradient, was not finite (no parameter has changed then).

    ``measure``: also the PSNR of the batch, which costs a pass over the picture.
    """
    totals = {"loss": 0.0, "l1": 0.0, "dssim": 0.0, "position": 0.0, "scale": 0.0}
    counts_sight = config.line_of_sight > 0 and (state.step + 1) % config.line_of_sight_every == 0
    if counts_sight:
        totals["line_of_sight"] = 0.0
    for leaf in parameters(state.gaussians).values():
        leaf.grad = None
    visible = torch.zeros(len(state.gaussians), dtype=torch.bool)
    error = 0.0
    gathered = []
    for view in batch:
        vertices, joints = state.head.pose.vertices[view.timestep], state.head.pose.joints[view.timestep]
        if config.tune_head:
            vertices, joints = vertices.clone().requires_grad_(True), joints.clone().requires_grad_(True)
        posed = pose_gaussians(
            state.gaussians, vertices, joints, head.faces,
            camera_centre=view.cameras.centres()[0], sh_degree=schedule.sh_degree(state.step),
        )  # fmt: skip
        render = rasterizer.render(
            posed.means, posed.quats, posed.scales, posed.opacities, posed.colours, view.cameras,
            background=background, antialiased=config.antialiased,
        )  # fmt: skip
        photometric = photometric_loss(render.features, view.target, l1=config.l1, dssim=config.dssim)
        shows = render.radii[0] > 0
        position = position_loss(state.gaussians, shows, config.position_threshold)
        scale = scale_loss(state.gaussians, shows, config.scale_threshold)
        loss = (photometric.total + config.position * position + config.scale * scale) / len(batch)
        if counts_sight:
            sight = line_of_sight_loss(state.gaussians, posed, vertices, joints, head.faces, view.cameras, shows)
            loss = loss + config.line_of_sight * config.line_of_sight_every * sight / len(batch)
            totals["line_of_sight"] += float(sight.detach()) / len(batch)
        if not torch.isfinite(loss) or not finite(
            (vertices, joints)
        ):  # a broken head makes Gaussians invisible, not NaN
            return None
        loss.backward()
        visible |= shows
        gathered.append((view, vertices, joints, render))
        for name, value in (
            ("loss", loss),
            ("l1", photometric.l1),
            ("dssim", photometric.ssim),
            ("position", position),
            ("scale", scale),
        ):
            totals[name] += float(value.detach()) / (1 if name == "loss" else len(batch))
        if measure:
            error += float(((render.features.detach() - view.target) ** 2).mean()) / len(batch)
    heads = [leaf.grad for _, vertices, joints, _ in gathered for leaf in (vertices, joints) if leaf.requires_grad]
    if not finite((*(leaf.grad for leaf in parameters(state.gaussians).values()), *heads)):
        return None
    for view, vertices, joints, render in gathered:
        if config.tune_head:
            state.head.gather(view.timestep, vertices.grad, joints.grad)
        _gather_screen_gradient(state, render, view)
    state.adam.step(state.gaussians, schedule.gaussian_rates(state.step), visible)
    totals["dssim"] = 1.0 - totals["dssim"]
    return totals | ({"psnr": -10.0 * float(np.log10(max(error, 1e-12)))} if measure else {})


def _gather_screen_gradient(state: TrainState, render: Render, view: TrainingView) -> None:
    assert render.mean2d_gradients is not None
    half = torch.tensor([view.cameras.width / 2, view.cameras.height / 2])
    norm = (render.mean2d_gradients()[0] * half).norm(dim=1)
    state.screen_gradient += norm
    state.seen += render.radii[0] > 0
