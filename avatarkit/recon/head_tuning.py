"""Fine tuning of head parameters with the pictures.

Posing the head costs more than a step can spare, so posed heads are cached by timestep.  Gradients by vertices and joints
are gathered over ``tune_every`` steps; then one batched backward pass through the head model and one Adam step serve all
timesteps that were touched.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.gaussians.correctives import PoseWeights
from avatarkit.head.parameters import PER_TIMESTEP, HeadParams, HeadPose
from avatarkit.recon.config import ReconConfig

BETAS, EPS = (0.9, 0.999), 1e-8


@dataclass
class HeadState:
    """Head parameters under optimisation, Adam's moments, gathered gradients, and the cache of posed heads.

    weigh: what poses make of the Gaussians' correctives; ``pose`` holds the weights then.
    vertex_gradient (T, V, 3) and joint_gradient (T, J, 4, 4) hold ∂loss gathered since the last update; ``touched`` (T,) bool.
    """

    params: HeadParams
    pose: HeadPose
    vertex_gradient: Tensor
    joint_gradient: Tensor
    touched: Tensor
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)
    weigh: PoseWeights | None = None

    @staticmethod
    def start(params: HeadParams, head: HeadModel, weigh: PoseWeights | None = None) -> HeadState:
        params = params.map(lambda value: value.detach().clone())
        with torch.no_grad():
            pose = replace(posed(head, params), weights=None if weigh is None else weigh(params))
        state = HeadState(
            params,
            pose,
            torch.zeros_like(pose.vertices),
            torch.zeros_like(pose.joints),
            torch.zeros(len(params), dtype=torch.bool, device=pose.vertices.device),
            weigh=weigh,
        )
        for name in (*PER_TIMESTEP, "shape", "static_offset"):
            value = getattr(params, name)
            if value is not None:
                rows = value.shape[0] if name in PER_TIMESTEP else 1
                state.first[name], state.second[name] = torch.zeros_like(value), torch.zeros_like(value)
                state.counts[name] = torch.zeros(rows, device=value.device)
        return state

    def gather(self, timestep: int, vertices: Tensor | None, joints: Tensor | None) -> None:
        """Add one step's gradients by the posed head of ``timestep``."""
        if vertices is not None:
            self.vertex_gradient[timestep] += vertices
        if joints is not None:
            self.joint_gradient[timestep] += joints
        self.touched[timestep] = True


def posed(head: HeadModel, params: HeadParams, chunk: int = 64) -> HeadPose:
    """Every timestep posed, in chunks that bound the memory."""
    parts = [head.pose(params[slice(i, i + chunk)]) for i in range(0, len(params), chunk)]
    return HeadPose(torch.cat([p.vertices for p in parts]), torch.cat([p.joints for p in parts]), parts[-1].skin)


def rates(config: ReconConfig, factor: float) -> dict[str, float]:
    """Learning rate of each head parameter."""
    return {
        "expr": config.lr_expr * factor,
        "rotation": config.lr_pose * factor,
        "neck_pose": config.lr_pose * factor,
        "jaw_pose": config.lr_joints * factor,
        "eyes_pose": config.lr_joints * factor,
        "translation": config.lr_translation * factor,
        "shape": config.lr_shape * factor,
        "static_offset": config.lr_offset * factor,
    }


def update(
    state: HeadState, head: HeadModel, config: ReconConfig, factor: float, clips: Tensor | None = None
) -> dict[str, float]:
    """One Adam step on the touched timesteps' parameters; clears what was gathered and refreshes the cache.

    clips (T,): the clip of each timestep, across which nothing is smooth; None for one.  Returns what to log: "smooth", the loss of that weight.
    """
    rows, told = torch.nonzero(state.touched)[:, 0], 0.0
    if len(rows) == 0:
        return {}
    tuned = {
        name: rate
        for name, rate in rates(config, factor).items()
        if rate > 0 and getattr(state.params, name) is not None
    }
    if not tuned:
        return {}
    leaves = state.params[rows].map(lambda value: value.detach().clone())
    for name in tuned:
        getattr(leaves, name).requires_grad_(True)
    with torch.enable_grad():
        pose = head.pose(leaves)
    pairs = [(pose.vertices, state.vertex_gradient[rows]), (pose.joints, state.joint_gradient[rows])]
    moved = [(made, gradient) for made, gradient in pairs if made.requires_grad]
    torch.autograd.backward([made for made, _ in moved], [gradient for _, gradient in moved])
    for name, rate in tuned.items():
        gradient = getattr(leaves, name).grad
        if gradient is None or not torch.isfinite(gradient).all():
            continue
        value = getattr(state.params, name)
        if name in PER_TIMESTEP:
            if config.smooth > 0:
                rough = roughness(value, rows, clips)
                gradient = gradient + config.smooth * rough
                told += 0.5 * float(rough.square().sum()) / len(rows)
            _adam_rows(value, gradient, state, name, rows, rate)
        else:
            _adam_rows(
                value[None], gradient[None], state, name, torch.zeros(1, dtype=torch.int64, device=value.device), rate
            )
    shared = any(name in tuned for name in ("shape", "static_offset"))
    with torch.no_grad():
        if shared:
            fresh = posed(head, state.params)
            state.pose.vertices.copy_(fresh.vertices)
            state.pose.joints.copy_(fresh.joints)
            state.pose = replace(state.pose, skin=fresh.skin)
        else:
            fresh = head.pose(state.params[rows])
            state.pose.vertices[rows] = fresh.vertices
            state.pose.joints[rows] = fresh.joints
    if state.weigh is not None and state.pose.weights is not None:
        state.pose.weights[rows] = state.weigh(state.params[rows])
    state.vertex_gradient[rows] = 0.0
    state.joint_gradient[rows] = 0.0
    state.touched.zero_()
    return {"smooth": told} if config.smooth > 0 else {}


def _adam_rows(value: Tensor, gradient: Tensor, state: HeadState, name: str, rows: Tensor, rate: float) -> None:
    """Adam on some rows of ``value``, each with its own step count."""
    first, second, count = state.first[name], state.second[name], state.counts[name]
    if name not in PER_TIMESTEP:
        first, second = first[None], second[None]
    count[rows] += 1
    step = count[rows].reshape(-1, *[1] * (value.ndim - 1))
    first[rows] = BETAS[0] * first[rows] + (1 - BETAS[0]) * gradient
    second[rows] = BETAS[1] * second[rows] + (1 - BETAS[1]) * gradient**2
    mean, spread = first[rows] / (1 - BETAS[0] ** step), second[rows] / (1 - BETAS[1] ** step)
    value[rows] -= rate * mean / (spread.sqrt() + EPS)


def roughness(value: Tensor, rows: Tensor, clips: Tensor | None = None) -> Tensor:
    """Gradient of ½‖p_t − ½(p_{t−1} + p_{t+1})‖² by p_t; the ends of a clip are left free.  value (T, D), rows (R,), clips (T,) → (R, D)."""
    last = value.shape[0] - 1
    before, after = (rows - 1).clamp(min=0), (rows + 1).clamp(max=last)
    inner = (rows > 0) & (rows < last)
    if clips is not None:
        inner &= clips[before] == clips[after]
    return (value[rows] - 0.5 * (value[before] + value[after])) * inner.to(value)[:, None]
