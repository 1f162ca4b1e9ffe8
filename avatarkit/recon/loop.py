"""The reconstruction loop, in one place: load, sample a view, pose, render, lose, step, densify, report.

Read ``reconstruct`` from top to bottom; everything that it calls is a plain function beside it or in this package.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel, Rasterizer, Segmenter
from avatarkit.errors import DivergedError, InputError, LostProcess
from avatarkit.events import Finished, Progress, Run, Scalars, Started
from avatarkit.gaussians.correctives import PoseWeights, pose_weights
from avatarkit.gaussians.draw import draw
from avatarkit.losses.metrics import psnr
from avatarkit.losses.perceptual import lpips_or_none, why_no_lpips
from avatarkit.recon import checkpoint, head_tuning
from avatarkit.recon.adam import parameters
from avatarkit.recon.adapt import densify, reset_opacity
from avatarkit.recon.aside import aside_views
from avatarkit.recon.backgrounds import Backgrounds
from avatarkit.recon.calibrate import measured_total
from avatarkit.recon.colour_balance import camera_gains
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.following import followed
from avatarkit.recon.head_tuning import HeadState
from avatarkit.recon.initial import initial_gaussians, mean_triangle_size, triangles_seen
from avatarkit.recon.label_images import LabelImages
from avatarkit.recon.labelling import label_gaussians
from avatarkit.recon.pace import Clock, paced
from avatarkit.recon.placing import placed, placed_head
from avatarkit.recon.ranks import ALONE, Ranks
from avatarkit.recon.schedule import Schedule, view_order
from avatarkit.recon.step import Aids, TrainState, fresh_state, train_step
from avatarkit.recon.views import Views
from avatarkit.render.compiled import kernels_first
from avatarkit.render.hosted import bare, device_of, hosted
from avatarkit.track.sequence import Sequence

MAX_SKIPPED = 10  # non-finite steps in a row before the run rolls back, once


@kernels_first()
def reconstruct(
    sequence: Sequence,
    head: HeadModel,
    config: ReconConfig,
    run: Run,
    rasterizer: Rasterizer,
    *,
    resume: bool = False,
    segmenter: Segmenter | None = None,
    ranks: Ranks = ALONE,
) -> TrainState:
    """Train on the ``train`` split of ``sequence``; returns the last state, also when ``run`` was asked to stop.

    With ``run.folder`` checkpoints are written there; ``resume`` continues the newest readable one, bit-exact on the CPU.
    ``segmenter`` is needed by the label losses only.  All of a step is done on the rasterizer's device; the state that is returned
    is on the CPU.  Several processes (``ranks``) call it with the same arguments, share each step's views, and return the same state;
    the first one starts, resumes, evaluates and writes.
    Raises DivergedError when losses stay non-finite after one roll-back, LostProcess when another process is gone; what the
    finished steps made is in a checkpoint then.
    """
    rasterizer = bare(rasterizer)
    device = device_of(rasterizer)
    others = config.random_background > 0
    gains = camera_gains(sequence, head, config.seed) if config.colour_balance and several_sides(sequence) else {}
    if gains:
        most = max(float(abs(gain - 1.0).max()) for gain in gains.values())
        run.notice(f"the cameras' colours differ by up to {most:.0%}: that is taken out of the training pictures")
    views = Views(sequence, sequence.capture.indices("train"), config.background, device, through=others, gains=gains)
    config = config.seen_from(several_sides(sequence))
    held_out = _held_out(sequence, config, device)
    state = checkpoint.load_newest(run) if resume and run.folder and ranks.first else None
    colours, weigh = prior_colours(sequence, head, config), weights_of(sequence, config)
    if state is None and ranks.first:
        state = start(sequence, head, config, colours, weigh)
        if _wants_labels(config) and segmenter is not None:
            votes = replace(config, label_steps=0)
            state.gaussians.label_logits = label_gaussians(
                state.gaussians, sequence, head, state.head.pose, segmenter, hosted(rasterizer), votes, run
            )
    state = _everywhere(state, head, ranks, "cpu", weigh)
    aids = _aids(sequence, head, config, segmenter, run, colours, device, weigh)
    state, head = placed(state, device), placed_head(head, device)
    if state.total == 0:
        state.total = config.run_iterations or config.iterations
        if config.minutes:
            state.total, costs = measured_total(state, views, head, config, run, rasterizer, aids, ranks)
            state.costs = dataclasses.astuple(costs)
        if config.minutes and run.folder and ranks.first:  # another rate may be measured after a kill
            checkpoint.save(state, run)
    schedule = Schedule(config, state.total, state.origin)
    clock = Clock.of(state, config, schedule)
    background = torch.tensor(config.background, device=device)

    clips, tuned = clips_of(sequence), dict[str, float]()
    clips = None if clips is None else clips.to(device)
    run.emit(Started("recon", state.total))
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    shown: dict[str, float] = {}
    try:
        while state.step < state.total and not ranks.stopping(run):
            step = state.step
            if schedule.resets(step - 1):  # now, so that what is scored, kept or ended with is not next to transparent
                reset_opacity(state)
            unseen = max(0, -(-len(views) // config.batch) - step)
            left = clock.left(schedule, step, time.monotonic() - began, unseen)
            if left is not None:
                schedule = paced(schedule, step, ranks.from_first(left))
                state.total, state.origin = schedule.total, schedule.origin
            order = view_order(len(views), config.seed, step, config.batch)
            batch = [views.view(i, schedule.coarse(step)) for i in ranks.share(order)]
            timesteps = [views.timestep(i) for i in order]
            if aids.label_images is not None:
                with clock.aside(once=True):
                    for view in batch:
                        aids.label_images.make(view.frame)
            logs = (step + 1) % config.log_every == 0 or step + 1 == state.total
            values = train_step(
                state, batch, head, config, schedule, rasterizer, background, logs, aids, ranks, timesteps
            )  # fmt: skip
            ahead = view_order(len(views), config.seed, step + 1, config.batch)
            views.prefetch(ranks.share(ahead), schedule.coarse(step + 1))
            if values is None:
                _skip(state, run)
                if state.skipped >= MAX_SKIPPED:
                    state = _posed(placed(_rolled_back(state, run, ranks), device), head, weigh)
                    schedule = Schedule(config, state.total, state.origin)
                    clock = Clock.of(state, config, schedule)
                else:
                    state.step += 1
                continue
            state.skipped = 0
            if config.tune_head and (step + 1) % config.tune_every == 0:
                tuned = head_tuning.update(state.head, head, config, schedule.head_factor(step), clips)
            if schedule.densifies(step):
                with clock.aside():
                    densify(state, config, schedule, head)
            state.step += 1
            if schedule.densifies(step):
                state = _alike(state, head, ranks, run, device, weigh)
            state.seconds = time.monotonic() - began

            if logs:
                values = values | tuned
                shown |= {**values, "splats": len(state.gaussians), "steps/s": state.step / max(state.seconds, 1e-9)}
                run.emit(
                    Scalars(state.step, values | {"splats": float(len(state.gaussians)), "seconds": state.seconds})
                )
                run.emit(
                    Progress("recon", state.step, state.total, {k: shown[k] for k in ("psnr", "splats", "steps/s")})
                )
            if held_out is not None and schedule.evaluates(step):
                with clock.aside():
                    if config.tune_head and config.tune_follow:
                        follow(state, sequence, head)
                    score = (
                        _held_out_psnr(state, held_out, head, rasterizer, background, config) if ranks.first else 0.0
                    )
                    score = ranks.from_first(score)
                state.curve.append(
                    {"step": state.step, "seconds": state.seconds, "val_psnr": score, "splats": len(state.gaussians)}
                )
                run.emit(Scalars(state.step, {"val_psnr": score}))
            if run.folder and ranks.first and time.monotonic() - saved > config.checkpoint_every:
                checkpoint.save(state, run)
                saved = time.monotonic()
    except LostProcess:  # whoever is left keeps the steps that all have finished
        if run.folder and run.folder.is_dir():
            checkpoint.save(state, run)
        raise
    if run.folder and ranks.first:
        checkpoint.save(state, run)
    if config.tune_head and config.tune_follow:
        follow(state, sequence, head)
    state = placed(state, "cpu")
    state.gains = gains
    run.emit(Finished("recon", state.seconds, {k: shown[k] for k in ("psnr", "splats", "steps/s") if k in shown}))
    return state


def clips_of(sequence: Sequence) -> Tensor | None:
    """(T,) the camera of each timestep, where each has one and so every camera is a clip; else None."""
    if several_sides(sequence):
        return None
    clips = torch.zeros(len(sequence.params), dtype=torch.long)
    for frame in sequence.capture.frames:
        clips[frame.timestep] = frame.camera
    return clips


def several_sides(sequence: Sequence) -> bool:
    """Is any timestep seen by two cameras?"""
    seen = {(frame.timestep, frame.camera) for frame in sequence.capture.frames}
    return len({timestep for timestep, _ in seen}) < len(seen)


def _wants_labels(config: ReconConfig) -> bool:
    return config.label_l2 > 0 or config.label_perceptual > 0


def _aids(
    sequence: Sequence, head: HeadModel, config: ReconConfig, segmenter: Segmenter | None, run: Run, colours: Tensor | None,
    device: str, weigh: PoseWeights | None,
) -> Aids:  # fmt: skip
    """LPIPS, label images, colours of triangles and backgrounds where the config asks for them; what is missing is said."""
    perceptual = None
    if config.perceptual > 0 or config.label_perceptual > 0:
        perceptual = lpips_or_none(config.perceptual_net)
        if perceptual is None:
            run.notice(f"D-SSIM stands in for LPIPS in the loss: {why_no_lpips(config.perceptual_net)}", "warning")
    aids = replace(colour_aids(config, colours, device), perceptual=perceptual)
    if config.aside > 0:
        aids = replace(aids, aside=aside_views(sequence, head, config, device, weigh))
    if not _wants_labels(config):
        return aids
    if segmenter is None:
        raise InputError("the label losses need a segmenter, and labels are off (label_views is 0)")
    with (
        torch.no_grad()
    ):  # at the sequence's own parameters, which tuning does not change: a resumed run makes the same maps
        pose = head_tuning.posed(head, sequence.params)
    return replace(aids, label_images=LabelImages(sequence, head, pose, segmenter, device))


def prior_colours(sequence: Sequence, head: HeadModel, config: ReconConfig) -> Tensor | None:
    """``triangles_seen``, where the config asks for a prior of colours."""
    return triangles_seen(sequence, head) if config.colour_prior > 0 else None


def colour_aids(config: ReconConfig, colours: Tensor | None, device: str) -> Aids:
    """``prior_colours`` on the device, and backgrounds where the config asks for them."""
    return Aids(
        colours=None if colours is None else colours.to(device),
        backgrounds=Backgrounds(config, device) if config.random_background > 0 else None,
    )


def weights_of(sequence: Sequence, config: ReconConfig) -> PoseWeights | None:
    """What poses make of correctives: from the training timesteps at the sequence's own parameters, which tuning does not change.
    None where the config asks for none, or the head never moves."""
    frames = sequence.capture.frames
    steps = sorted({frames[i].timestep for i in sequence.capture.indices("train")})
    return pose_weights(sequence.params, steps, config.correctives) if config.correctives and steps else None


def start(
    sequence: Sequence,
    head: HeadModel,
    config: ReconConfig,
    colours: Tensor | None = None,
    weigh: PoseWeights | None = None,
) -> TrainState:
    """The state before the first step; colours: ``prior_colours``, which need not be computed again; weigh: ``weights_of``."""
    head_state = HeadState.start(sequence.params, head, weigh)
    gaussians = initial_gaussians(sequence, head, head_state.pose, config, colours)
    gaussians = gaussians.with_correctives(0 if weigh is None else len(weigh))
    return fresh_state(gaussians, head_state, mean_triangle_size(head))


def _everywhere(
    state: TrainState | None, head: HeadModel, ranks: Ranks, device: str, weigh: PoseWeights | None
) -> TrainState:
    """The first process's state on all."""
    shared = checkpoint.from_first(state, ranks)
    assert shared is not None
    return _posed(placed(shared, device), head, weigh)


def _alike(
    state: TrainState, head: HeadModel, ranks: Ranks, run: Run, device: str, weigh: PoseWeights | None
) -> TrainState:
    """``state``, which every process should have to the bit; unlike processors may round otherwise."""
    if ranks.same(parameters(state.gaussians).values()):
        return state
    run.notice(f"step {state.step}: the processes have drifted apart; all follow the first one's Gaussians", "warning")
    return _everywhere(state, head, ranks, device, weigh)


def _posed(state: TrainState, head: HeadModel, weigh: PoseWeights | None) -> TrainState:
    """``state`` with what checkpoints leave out: how the skin hangs on the joints, and the weights of correctives.

    A run that was begun without them goes on without.
    """
    if weigh is not None and state.gaussians.num_correctives != len(weigh):
        weigh = None
    weights = None if weigh is None else weigh(state.head.params)
    state.head.weigh = weigh
    state.head.pose = replace(state.head.pose, skin=head.pose(state.head.params[0]).skin, weights=weights)
    return state


def follow(state: TrainState, sequence: Sequence, head: HeadModel) -> None:
    """Timesteps without training pictures are posed as ``following`` foretells from those that have some."""
    known = torch.zeros(len(state.head.params), dtype=torch.bool)
    known[[sequence.capture.frames[i].timestep for i in sequence.capture.indices("train")]] = True
    device = state.head.pose.vertices.device
    state.head.params = followed(sequence.params, state.head.params.to("cpu"), known, clips_of(sequence)).to(device)
    rest = torch.nonzero(~known)[:, 0].to(device)
    if len(rest):
        with torch.no_grad():
            fresh = head_tuning.posed(head, state.head.params[rest])
            state.head.pose.vertices[rest] = fresh.vertices
            state.head.pose.joints[rest] = fresh.joints
        if state.head.weigh is not None and state.head.pose.weights is not None:
            state.head.pose.weights[rest] = state.head.weigh(state.head.params[rest])


def _skip(state: TrainState, run: Run) -> None:
    state.skipped += 1
    run.notice(
        f"step {state.step}: the loss or its gradient is not finite; skipped ({state.skipped} in a row)", "warning"
    )
    if state.skipped >= MAX_SKIPPED and (state.rolled_back or run.folder is None):
        raise DivergedError(
            f"training diverged at step {state.step}: {_broken_tensor(state)}; try lower learning rates"
        )


def _rolled_back(state: TrainState, run: Run, ranks: Ranks) -> TrainState:
    """The newest checkpoint, once; without one the run ends."""
    earlier = checkpoint.from_first(checkpoint.load_newest(run) if ranks.first else None, ranks)
    if earlier is None:
        raise DivergedError(
            f"training diverged at step {state.step}: {_broken_tensor(state)}; try lower learning rates"
        )
    earlier.rolled_back = True
    return earlier


def _broken_tensor(state: TrainState) -> str:
    """What is not finite, for the error."""
    named = parameters(state.gaussians) | {
        "head " + name: getattr(state.head.params, name) for name in state.head.first
    }
    broken = [name for name, value in named.items() if not torch.isfinite(value).all()]
    return f"'{broken[0]}' is not finite" if broken else f"{state.broken or 'the loss or its gradient'} is not finite"


def _held_out(sequence: Sequence, config: ReconConfig, device: str = "cpu") -> Views | None:
    """Up to ``eval_frames`` frames of val (else test) for the curve in the log."""
    frames = sequence.capture.indices("val") or sequence.capture.indices("test")
    if not frames or config.eval_frames == 0:
        return None
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), config.eval_frames)).round().astype(int))
    return Views(sequence, [frames[i] for i in chosen], config.background, device)


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
