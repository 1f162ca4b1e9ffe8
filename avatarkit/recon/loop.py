"""The reconstruction loop, in one place: load, sample a view, pose, render, lose, step, densify, report.

Read ``reconstruct`` from top to bottom; everything that it calls is a plain function beside it or in this package.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel, Rasterizer, Render
from avatarkit.errors import DivergedError
from avatarkit.events import Finished, Progress, Run, Scalars, Started
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.draw import draw
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.metrics import psnr
from avatarkit.losses.photometric import photometric_loss
from avatarkit.losses.regularisers import position_loss, scale_loss
from avatarkit.recon import checkpoint, density, head_tuning
from avatarkit.recon.adam import Adam, parameters, require_gradients
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.head_tuning import HeadState
from avatarkit.recon.initial import initial_gaussians, mean_triangle_size
from avatarkit.recon.schedule import Schedule, view_order
from avatarkit.recon.views import TrainingView, Views
from avatarkit.track.sequence import Sequence

MAX_SKIPPED = 10  # non-finite steps in a row before the run rolls back, once


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


def reconstruct(
    sequence: Sequence, head: HeadModel, config: ReconConfig, run: Run, rasterizer: Rasterizer, *, resume: bool = False
) -> TrainState:
    """Train on the ``train`` split of ``sequence``; returns the last state, also when ``run`` was asked to stop.

    With ``run.folder`` checkpoints are written there; ``resume`` continues the newest readable one, bit-exact on the CPU.
    Raises DivergedError when losses stay non-finite after one roll-back.
    """
    views = Views(sequence, sequence.capture.indices("train"), config.background)
    held_out = _held_out(sequence, config)
    state = checkpoint.load_newest(run) if resume and run.folder else None
    if state is None:
        state = start(sequence, head, config)
    if state.total == 0:
        from avatarkit.recon.calibrate import measured_total

        state.total = (
            _measured_total(state, views, head, config, run, rasterizer)
            if config.minutes
            else config.run_iterations or config.iterations
        )
    schedule = Schedule(config, state.total)
    background = torch.tensor(config.background)
    eval_every = schedule.scaled(config.eval_every) if config.eval_every else max(1, state.total // 10)

    run.emit(Started("recon", state.total))
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    shown: dict[str, float] = {}
    while state.step < state.total and not run.stopping:
        step = state.step
        batch = [views.view(i, schedule.coarse(step)) for i in view_order(len(views), config.seed, step, config.batch)]
        values = train_step(state, batch, head, config, schedule, rasterizer, background)
        if values is None:
            _skip(state, run)
            state = _rolled_back(state, run) if state.skipped == MAX_SKIPPED else state
            continue
        state.skipped = 0
        if config.tune_head and (step + 1) % config.tune_every == 0:
            head_tuning.update(state.head, head, config, schedule.head_factor(step))
        if schedule.densifies(step):
            densify(state, config, schedule, head)
        if schedule.resets(step):
            _reset_opacity(state)
        state.step += 1
        state.seconds = time.monotonic() - began

        if state.step % config.log_every == 0 or state.step == state.total:
            shown |= {**values, "splats": len(state.gaussians), "steps/s": state.step / max(state.seconds, 1e-9)}
            run.emit(Scalars(state.step, values | {"splats": float(len(state.gaussians)), "seconds": state.seconds}))
            run.emit(Progress("recon", state.step, state.total, {k: shown[k] for k in ("psnr", "splats", "steps/s")}))
        if held_out is not None and (state.step % eval_every == 0 or state.step == state.total):
            score = _held_out_psnr(state, held_out, head, rasterizer, background, config)
            state.curve.append(
                {"step": state.step, "seconds": state.seconds, "val_psnr": score, "splats": len(state.gaussians)}
            )
            run.emit(Scalars(state.step, {"val_psnr": score}))
        if run.folder and time.monotonic() - saved > config.checkpoint_every:
            checkpoint.save(state, run)
            saved = time.monotonic()
    if run.folder:
        checkpoint.save(state, run)
    run.emit(Finished("recon", state.seconds, {k: shown[k] for k in ("psnr", "splats", "steps/s") if k in shown}))
    return state


def start(sequence: Sequence, head: HeadModel, config: ReconConfig) -> TrainState:
    """The state before the first step."""
    head_state = HeadState.start(sequence.params, head)
    gaussians = initial_gaussians(sequence, head, head_state.pose, config)
    return fresh_state(gaussians, head_state, mean_triangle_size(head))


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
    rasterizer: Rasterizer, background: Tensor,
) -> dict[str, float] | None:  # fmt: skip
    """One step on ``batch``; the losses by name, or None where one was not finite (nothing has changed then)."""
    totals = {"loss": 0.0, "l1": 0.0, "dssim": 0.0, "position": 0.0, "scale": 0.0}
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
        if not torch.isfinite(loss):
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
        error += photometric.mse / len(batch)
    for view, vertices, joints, render in gathered:
        if config.tune_head:
            state.head.gather(view.timestep, vertices.grad, joints.grad)
        _gather_screen_gradient(state, render, view)
    state.adam.step(state.gaussians, schedule.gaussian_rates(state.step), visible)
    totals["dssim"] = 1.0 - totals["dssim"]
    return totals | {"psnr": -10.0 * float(np.log10(max(error, 1e-12)))}


def densify(state: TrainState, config: ReconConfig, schedule: Schedule, head: HeadModel) -> None:
    """Prune what is transparent or broken, then split or clone; moments and counters follow."""
    random = np.random.default_rng([config.seed, 3, state.step])
    with torch.no_grad():
        gaussians = state.gaussians.detach()
        finite = torch.isfinite(gaussians.means).all(1) & torch.isfinite(gaussians.log_scales).all(1)
        keep = finite & (gaussians.opacity_logits > float(np.log(config.prune_opacity / (1 - config.prune_opacity))))
        if keep.any():
            _apply(state, density.prune(gaussians, keep, state.next_id))
        gaussians, mean = state.gaussians.detach(), state.screen_gradient / state.seen.clamp(min=1)
        if config.density == "budget":
            room = max(0, config.max_splats - len(gaussians))
            count = -(-room // schedule.densify_left(state.step))
            change = density.split_worst(gaussians, state.screen_gradient, count, state.next_id, random)
        else:
            size = _world_size(state, head)
            change = density.clone_and_split(
                gaussians,
                mean,
                config.densify_gradient,
                size,
                config.clone_size,
                config.max_splats,
                state.next_id,
                random,
            )
        _apply(state, change)
        state.screen_gradient.zero_()
        state.seen.zero_()


def _apply(state: TrainState, change: density.Change) -> None:
    require_gradients(change.gaussians)
    state.gaussians = change.gaussians
    state.adam.reindex(change.source, change.fresh)
    state.screen_gradient = state.screen_gradient[change.source]
    state.seen = state.seen[change.source]
    state.next_id = change.next_id


def _world_size(state: TrainState, head: HeadModel) -> Tensor:
    """(N,) largest standard deviation in metres, on the first timestep's head."""
    pose = state.head.pose[0]
    posed = pose_gaussians(
        state.gaussians, pose.vertices[0], pose.joints[0], head.faces, camera_centre=None, sh_degree=0
    )
    return posed.scales.detach().max(1).values


def _gather_screen_gradient(state: TrainState, render: Render, view: TrainingView) -> None:
    assert render.mean2d_gradients is not None
    half = torch.tensor([view.cameras.width / 2, view.cameras.height / 2])
    norm = (render.mean2d_gradients()[0] * half).norm(dim=1)
    state.screen_gradient += norm
    state.seen += render.radii[0] > 0


def _reset_opacity(state: TrainState) -> None:
    """3DGS: opacities down to at most 0.01, so that what is not needed gets pruned."""
    with torch.no_grad():
        state.gaussians.opacity_logits.clamp_(max=float(np.log(0.01 / 0.99)))
    state.adam.forget("opacity_logits")


def _skip(state: TrainState, run: Run) -> None:
    state.skipped += 1
    run.notice(f"step {state.step}: the loss is not finite; skipped ({state.skipped} in a row)", "warning")
    if state.skipped >= MAX_SKIPPED and (state.rolled_back or run.folder is None):
        raise DivergedError(
            f"training diverged at step {state.step}: {_broken_tensor(state)}; try lower learning rates"
        )


def _rolled_back(state: TrainState, run: Run) -> TrainState:
    """The newest checkpoint, once; without one the run ends."""
    earlier = checkpoint.load_newest(run)
    if earlier is None:
        raise DivergedError(
            f"training diverged at step {state.step}: {_broken_tensor(state)}; try lower learning rates"
        )
    earlier.rolled_back = True
    return earlier


def _broken_tensor(state: TrainState) -> str:
    """Which tensor is not finite, for the error."""
    named = parameters(state.gaussians) | {
        "head " + name: getattr(state.head.params, name) for name in state.head.first
    }
    broken = [name for name, value in named.items() if not torch.isfinite(value).all()]
    return f"'{broken[0]}' is not finite" if broken else "every tensor is finite, the pictures may not be"


def _held_out(sequence: Sequence, config: ReconConfig) -> Views | None:
    """Up to ``eval_frames`` frames of val (else test) for the curve in the log."""
    frames = sequence.capture.indices("val") or sequence.capture.indices("test")
    if not frames or config.eval_frames == 0:
        return None
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), config.eval_frames)).round().astype(int))
    return Views(sequence, [frames[i] for i in chosen], config.background)


def _held_out_psnr(
    state: TrainState, views: Views, head: HeadModel, rasterizer: Rasterizer, background: Tensor, config: ReconConfig
) -> float:
    scores = []
    for i in range(len(views)):
        view = views.view(i)
        pose = state.head.pose[view.timestep]
        with torch.no_grad():
            drawn = draw(
                state.gaussians,
                pose,
                head.faces,
                view.cameras,
                rasterizer,
                background=background,
                antialiased=config.antialiased,
            ).features
        scores.append(float(psnr(drawn.clamp(0.0, 1.0), view.target)))
    return float(np.mean(scores))
