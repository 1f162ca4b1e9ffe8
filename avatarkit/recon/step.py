"""One training step, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from avatarkit.bodies import compiled
from avatarkit.contracts import HeadModel, Rasterizer, Render
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.depth_spread import CHANNELS, depth_features, depth_spread_loss
from avatarkit.losses.line_of_sight import line_of_sight_loss
from avatarkit.losses.perceptual import Perceptual
from avatarkit.losses.photometric import photometric_loss
from avatarkit.losses.regularisers import colour_loss, position_loss, scale_loss, tint_loss
from avatarkit.recon.adam import Adam, parameters, require_gradients
from avatarkit.recon.aside import Aside, aside_loss
from avatarkit.recon.backgrounds import Backgrounds
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.guard import finite, sound
from avatarkit.recon.head_tuning import HeadState
from avatarkit.recon.label_images import LabelImages, label_colours, palette
from avatarkit.recon.ranks import ALONE, Ranks
from avatarkit.recon.schedule import Schedule
from avatarkit.recon.shared_step import Learnt, over_ranks
from avatarkit.recon.views import TrainingView
from avatarkit.render.compiled import kernel
from avatarkit.render.sh import Y00
from avatarkit.types import FloatArray

GAMUT = ((1 / 512 - 0.5) / Y00, (511 / 512 - 0.5) / Y00)  # the constant term of all but black and all but white
MEASURED = 50  # steps between measurements of the usual gradient


@dataclass
class TrainState:
    """Everything that a step changes; a checkpoint holds exactly this.

    screen_gradient, seen (N,): summed norm of the screen gradient (normalised device coordinates) and how often each
    Gaussian showed since the last density event.  total: steps of this run.  origin: where its schedule begins (``Schedule``).
    costs: what its steps cost, where it keeps to minutes (``pace.Costs``), else empty.  unsound: on a GPU, where nobody asks after every
    step, how many steps in a row and since the last reading were not finite; broken: what was not finite, where a CPU skipped a
    step; gains: of cameras, which are found anew at the start (``colour_balance``); no checkpoint holds these.
    """

    gaussians: Gaussians
    adam: Adam
    head: HeadState
    screen_gradient: Tensor
    seen: Tensor
    next_id: int
    step: int = 0
    total: int = 0
    origin: float = 0.0
    costs: tuple[float, ...] = ()
    seconds: float = 0.0
    skipped: int = 0
    rolled_back: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)
    unsound: Tensor | None = None
    broken: str = ""
    gains: dict[int, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Aids:
    """What some losses need beside the pictures.

    perceptual: LPIPS, or None where D-SSIM stands in.  label_images: for the label losses, else None.  colours (F, 3): of triangles in
    the training pictures, for the prior of colours.  backgrounds: of steps that have another one, else None.
    aside: views from aside for some steps, else None.
    """

    perceptual: Perceptual | None = None
    label_images: LabelImages | None = None
    colours: Tensor | None = None
    backgrounds: Backgrounds | None = None
    aside: Aside | None = None


def fresh_state(gaussians: Gaussians, head_state: HeadState, unit: float) -> TrainState:
    """Empty moments and counters around ``gaussians``.  ``unit``: metres that one triangle unit is worth to free Gaussians."""
    require_gradients(gaussians)
    count = len(gaussians)
    return TrainState(
        gaussians,
        Adam(gaussians, unit),
        head_state,
        torch.zeros(count, device=gaussians.means.device),
        torch.zeros(count, device=gaussians.means.device),
        int(gaussians.ids.max()) + 1,
    )


def train_step(
    state: TrainState, batch: list[TrainingView], head: HeadModel, config: ReconConfig, schedule: Schedule,
    rasterizer: Rasterizer, background: Tensor, measure: bool = False, aids: Aids = Aids(), ranks: Ranks = ALONE,
    timesteps: Many[int] = (),
) -> dict[str, float] | None:  # fmt: skip
    """One step on ``batch``; the losses by name, or None where one, or a gradient, was not finite (no parameter has changed then).

    ``measure``: also the PSNR of the batch, which costs a pass over the picture.  Where ``ranks`` are several processes, ``batch``
    is this one's share of the step's views, ``timesteps`` are those of all views, and every process returns the same.

    A GPU alone is not asked anything but with ``measure``: whether all was finite is decided there, and no row moves where it was not.
    Without ``measure`` the losses are {} then; with it, None says that this step was not finite, and ``state.skipped`` how many before it.
    """
    waits = compiled(state.gaussians.means) or not ranks.alone
    device = state.gaussians.means.device
    count = len(batch) if ranks.alone else len(timesteps)
    counts_depth = (state.step + 1) % config.line_of_sight_every == 0
    counts_sight = config.line_of_sight > 0 and counts_depth
    counts_spread = config.depth_spread > 0 and counts_depth and not schedule.coarse(state.step)
    for leaf in parameters(state.gaussians).values():
        leaf.grad = None
    weights = state.head.pose.weights if schedule.corrects(state.step) else None
    visible = torch.zeros(len(state.gaussians), dtype=torch.bool, device=device)
    gathered, told, broken = [], [], False
    other = None if aids.backgrounds is None else aids.backgrounds.at(state.step)
    for view in batch:
        behind, target = background, view.target
        if other is not None and view.through is not None:
            behind, target = other, view.over(other, background)
        vertices, joints = state.head.pose.vertices[view.timestep], state.head.pose.joints[view.timestep]
        if config.tune_head:
            vertices, joints = vertices.clone().requires_grad_(True), joints.clone().requires_grad_(True)
        posed = pose_gaussians(
            state.gaussians, vertices, joints, head.faces,
            camera_centre=view.cameras.centres()[0], sh_degree=schedule.sh_degree(state.step), skin=state.head.pose.skin,
            weights=None if weights is None else weights[view.timestep],
        )  # fmt: skip
        labels = None if aids.label_images is None else label_colours(state.gaussians)
        features, backs = [posed.colours], [behind]
        if labels is not None:
            features, backs = [*features, labels], [*backs, palette(device)[0]]
        if counts_spread:
            depths = depth_features(posed, state.gaussians.binding, vertices, head.faces, view.cameras)
            features, backs = [*features, depths], [*backs, torch.zeros(CHANNELS, device=device)]
        several = len(features) > 1
        render = rasterizer.render(
            posed.means, posed.quats, posed.scales, posed.opacities, torch.cat(features, 1) if several else posed.colours,
            view.cameras, background=torch.cat(backs) if several else behind, antialiased=config.antialiased,
        )  # fmt: skip
        drawn = render.features[:, :3].contiguous() if several else render.features
        parts, loss = picture_losses(drawn, target, config, aids)
        if aids.label_images is not None:
            truth = aids.label_images(view.frame, view.cameras.height, view.cameras.width)
            label_parts, label_loss = label_losses(render.features[:, 3:6], truth, config, aids)
            parts, loss = parts | label_parts, loss + label_loss
        loss = loss / count
        shows = render.radii[0] > 0
        if config.position > 0:
            parts["position"] = position_loss(state.gaussians, shows, config.position_threshold)
            loss = loss + config.position * parts["position"] / count
        if config.scale > 0:
            parts["scale"] = scale_loss(state.gaussians, shows, config.scale_threshold)
            loss = loss + config.scale * parts["scale"] / count
        if config.colour_prior > 0 and aids.colours is not None:
            parts["colour_prior"] = colour_loss(state.gaussians, aids.colours) / (3 * target[0, 0].numel())
            loss = loss + config.colour_prior * parts["colour_prior"] / count
        if config.tint > 0 and weights is not None and counts_depth:
            parts["tint"] = tint_loss(state.gaussians, weights[view.timestep]) / (3 * target[0, 0].numel())
            loss = loss + config.tint * config.line_of_sight_every * parts["tint"] / count
        if counts_sight:
            sight = line_of_sight_loss(state.gaussians, posed, vertices, joints, head.faces, view.cameras, shows)
            loss = loss + config.line_of_sight * config.line_of_sight_every * sight / count
            parts["line_of_sight"] = sight
        if counts_spread:
            spread = depth_spread_loss(render.features[:, -CHANNELS:], render.alpha)
            loss = loss + config.depth_spread * config.line_of_sight_every * spread / count
            parts["depth_spread"] = spread
        # A broken head makes Gaussians invisible, not NaN.
        parts |= {"loss": loss * count}
        if measure:
            usual = drawn.detach()
            if behind is not background:  # curves are over one background
                usual = usual + (background - behind)[:, None, None] * (1.0 - render.alpha.detach())
            parts["error"] = ((usual - view.target) ** 2).mean()
        told.append({name: value.detach() for name, value in parts.items()})
        if waits and (not torch.isfinite(loss) or not finite((vertices, joints))):
            broken = True
            state.broken = _broken(view, vertices, joints, parts)
            break
        loss.backward()
        visible |= shows
        gathered.append((view, vertices, joints, render))
    beside = aids.aside.at(state.step) if aids.aside is not None and batch and not broken else None
    if beside is not None:
        through, shows = aside_loss(
            state.gaussians,
            beside if weights is not None else replace(beside, weights=None),
            state.head.pose.skin,
            head,
            rasterizer,
            antialiased=config.antialiased,
        )
        broken = waits and not bool(torch.isfinite(through))
        if broken:
            state.broken = "the loss 'aside'"
        else:
            (config.aside * config.aside_every * len(batch) / count * through).backward()  # type: ignore[no-untyped-call]
            visible |= shows
            told = [parts | {"aside": through.detach()} for parts in told]
    heads = [(view.timestep, vertices.grad, joints.grad) for view, vertices, joints, _ in gathered if config.tune_head]
    values = None
    if not ranks.alone:
        screen = torch.zeros_like(state.screen_gradient), torch.zeros_like(state.seen)
        for view, _, _, render in gathered:
            _gather_screen_gradient(*screen, render, view)
        own = Learnt(broken, heads, visible, screen, _means(told, count))
        broken, heads, visible, screen, values = over_ranks(
            own, parameters(state.gaussians), state.head, ranks, timesteps if config.tune_head else ()
        )  # fmt: skip
    by_name = {f"'{name}'": leaf.grad for name, leaf in parameters(state.gaussians).items()}
    gradients = [*by_name.values(), *(gradient for _, *pair in heads for gradient in pair)]
    kept = None
    if waits:
        if broken:
            return None
        if not finite(gradients):
            bad = (name for name, gradient in by_name.items() if not finite([gradient]))
            state.broken = f"the gradient by {next(bad, 'the posed head')}"
            return None
    else:
        posed_heads = [tensor for _, vertices, joints, _ in gathered for tensor in (vertices, joints)]
        kept = sound([*gradients, *posed_heads, *(parts["loss"] for parts in told)])
        visible &= kept
    for timestep, by_vertices, by_joints in heads:
        state.head.gather(timestep, _kept(by_vertices, kept), _kept(by_joints, kept))
    if ranks.alone:
        for view, _, _, render in gathered:
            _gather_screen_gradient(state.screen_gradient, state.seen, render, view, kept)
    else:
        state.screen_gradient += screen[0]
        state.seen += screen[1]
    if config.least_gradient > 0 and state.step % MEASURED == 0:
        state.adam.measure(state.gaussians, config.least_gradient)
    state.adam.step(state.gaussians, schedule.gaussian_rates(state.step), visible)
    if config.in_gamut:
        with torch.no_grad():
            state.gaussians.sh[:, 0].clamp_(*GAMUT)
    if kept is None:
        return _told(_means(told, count) if values is None else values)
    bad = torch.zeros(2, dtype=torch.int32, device=device) if state.unsound is None else state.unsound
    state.unsound = torch.stack([torch.where(kept, 0, bad[0] + 1), bad[1] + ~kept])
    return _read(state, told) if measure else {}


def _broken(view: TrainingView, vertices: Tensor, joints: Tensor, parts: Mapping[str, Tensor]) -> str:
    """What of a view's step is not finite."""
    if not finite((vertices, joints)):
        return f"the posed head of timestep {view.timestep}"
    if not finite([view.target]):
        return f"the picture of frame {view.frame}"
    bad = (name for name, value in parts.items() if name != "loss" and not finite([value]))
    return f"the loss '{next(bad, 'loss')}' of frame {view.frame}"


def _kept(gradient: Tensor | None, kept: Tensor | None) -> Tensor | None:
    """Zero where a GPU has found that the step was not finite."""
    return gradient if gradient is None or kept is None else torch.where(kept, gradient, 0.0)


def _means(told: list[dict[str, Tensor]], count: int) -> dict[str, float]:
    """What the views of a step said, by name, each a ``count``-th of it; brought from the device at once."""
    totals = {"loss": 0.0, "l1": 0.0, "dssim": 0.0}
    numbers = iter(torch.stack([value for parts in told for value in parts.values()]).tolist())
    for parts in told:
        for name in parts:
            totals[name] = totals.get(name, 0.0) + next(numbers) / count
    return totals


def _told(means: dict[str, float]) -> dict[str, float]:
    """For the log: a mean squared "error" becomes PSNR."""
    error = means.get("error")
    told = {name: value for name, value in means.items() if name != "error"}
    return told if error is None else told | {"psnr": -10.0 * float(np.log10(max(error, 1e-12)))}


def _read(state: TrainState, told: list[dict[str, Tensor]]) -> dict[str, float] | None:
    """``_told``, with what a GPU has skipped since the last reading."""
    assert state.unsound is not None
    in_a_row, since = state.unsound.tolist()
    state.unsound = torch.stack([state.unsound[0], torch.zeros_like(state.unsound[1])])
    if in_a_row > 0:
        state.skipped = in_a_row - 1
        return None
    return _told(_means(told, len(told))) | ({"skipped": float(since)} if since else {})


def picture_losses(drawn: Tensor, target: Tensor, config: ReconConfig, aids: Aids) -> tuple[dict[str, Tensor], Tensor]:
    """The parts by name and their weighted sum, between (1, 3, H, W) pictures."""
    stands_in = config.perceptual if aids.perceptual is None else 0.0
    photometric = photometric_loss(drawn, target, l1=config.l1, dssim=config.dssim + stands_in)
    parts, loss = {"l1": photometric.l1, "dssim": 1.0 - photometric.ssim}, photometric.total
    if config.l2 > 0:
        parts["l2"] = torch.nn.functional.mse_loss(drawn, target)
        loss = loss + config.l2 * parts["l2"]
    if config.perceptual > 0 and aids.perceptual is not None:
        parts["lpips"] = aids.perceptual(drawn, target).mean()
        loss = loss + config.perceptual * parts["lpips"]
    return parts, loss


def label_losses(drawn: Tensor, truth: Tensor, config: ReconConfig, aids: Aids) -> tuple[dict[str, Tensor], Tensor]:
    """Equation 12 to the letter: squared error and perceptual distance of label images."""
    parts = {"label_l2": torch.nn.functional.mse_loss(drawn, truth)}
    loss = config.label_l2 * parts["label_l2"]
    if config.label_perceptual > 0 and aids.perceptual is not None:
        parts["label_lpips"] = aids.perceptual(drawn, truth).mean()
        loss = loss + config.label_perceptual * parts["label_lpips"]
    elif config.label_perceptual > 0:
        photometric = photometric_loss(drawn, truth, l1=0.0, dssim=config.label_perceptual)
        parts["label_dssim"] = 1.0 - photometric.ssim
        loss = loss + photometric.total
    return parts, loss


def _gather_screen_gradient(
    norms: Tensor, seen: Tensor, render: Render, view: TrainingView, kept: Tensor | None = None
) -> None:
    assert render.mean2d_gradients is not None
    if not compiled(norms):
        x, y = render.mean2d_gradients()[0].unbind(-1)
        length = torch.hypot(x * (view.cameras.width / 2), y * (view.cameras.height / 2))
        shows = render.radii[0] > 0
        norms += length if kept is None else torch.where(kept, length, 0.0)
        seen += shows if kept is None else shows & kept
        return
    _gather(
        render.mean2d_gradients()[0].numpy(), render.radii[0].numpy(), np.float32(view.cameras.width / 2),
        np.float32(view.cameras.height / 2), norms.numpy(), seen.numpy(),
    )  # fmt: skip


@kernel
def _gather(gradient, radii, half_width, half_height, norms, seen):  # type: ignore[no-untyped-def]
    for i in range(len(radii)):
        x, y = half_width * gradient[i, 0], half_height * gradient[i, 1]
        norms[i] += np.sqrt(x * x + y * y)
        if radii[i] > 0:
            seen[i] += np.float32(1.0)
