"""When density adapts during training: prune, then split or clone; Adam's moments and the counters follow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.gaussians.binding import gaussians_in_pose
from avatarkit.recon import density
from avatarkit.recon.adam import require_gradients
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.schedule import Schedule
from avatarkit.recon.step import TrainState


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
    posed = gaussians_in_pose(state.gaussians, pose, head.faces, sh_degree=0)
    return posed.scales.detach().max(1).values


def reset_opacity(state: TrainState) -> None:
    """3DGS: opacities down to at most 0.01, so that what is not needed gets pruned."""
    with torch.no_grad():
        state.gaussians.opacity_logits.clamp_(max=float(np.log(0.01 / 0.99)))
    state.adam.forget("opacity_logits")
