"""Corrective blendshapes of Gaussians: local means and colours that change linearly with the pose, on top of what carries them.

    mean(pose) = mean + Σ_k weight_k(pose) · mean_corrective_k,   and the constant term of the colour likewise

Skinning and expression modes do not say all that moves: hair swings, shoulders follow a turn of the head by half, skin slides, and a
tracked expression is not quite the person's.  What of it repeats with expression and turn of the head is learnt, as a few
displacements of every Gaussian, and changes of its colour (reduced Gaussian blendshapes, as in RGBAvatar, Li et al., CVPR 2025, here
without rotations, sizes and opacities).

The weights are the principal components of what the training poses do.  They stop at LIMIT standard deviations: a pose beyond
those that were seen gets the correction of the last one that was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadParams
from avatarkit.types import FloatArray

TURN = 4.0  # a quarter of a radian of turn counts as a whole weight of expression
LIMIT = 1.5  # standard deviations
LEAST = 1e-3  # of the largest component's spread: less is noise


@dataclass(frozen=True)
class PoseWeights:
    """Head parameters → weights of K correctives.  float32 on the CPU.

    reference (3, 3): the mean rotation of the skull; mean (D,) and axes (K, D) of the features, D = E + 6 for E expressions;
    limits (K,): weights are within ±limit.
    """

    reference: Tensor
    mean: Tensor
    axes: Tensor
    limits: Tensor

    def __len__(self) -> int:
        return int(self.axes.shape[0])

    def __call__(self, params: HeadParams) -> Tensor:
        """(T, K) float32 on the device of ``params``; no gradient goes through it.  A timestep's are the same bits in any company."""
        features = _features(params, self.reference.double().numpy()) - self.mean.double().numpy()
        weights = np.einsum("td,kd->tk", features, self.axes.double().numpy())
        limits = self.limits.double().numpy()
        return torch.from_numpy(weights.clip(-limits, limits)).float().to(params.expr.device)


def pose_weights(params: HeadParams, steps: list[int], count: int) -> PoseWeights | None:
    """The first ``count`` principal components of the poses of ``steps``; fewer where they do not move in as many ways, None in none.

    A component's weights have the root of its share of the largest one's spread: what moves little corrects little.
    """
    seen = params[steps]
    turns = Rotation.from_rotvec(seen.rotation.detach().cpu().double().numpy()) * Rotation.from_rotvec(
        seen.neck_pose.detach().cpu().double().numpy()
    )
    reference = turns.mean().as_matrix()
    features = _features(seen, reference)
    mean = features.mean(0)
    _, spread, axes = np.linalg.svd(features - mean, full_matrices=False)
    spread = spread / np.sqrt(len(steps))
    kept = int((spread[:count] > LEAST * max(float(spread.max(initial=0.0)), 1e-9)).sum())
    if kept == 0 or count == 0:
        return None
    axes = axes[:kept] * np.sign(axes[:kept].sum(1, keepdims=True) + 1e-12)  # the decomposition leaves the sign open
    share = np.sqrt(spread[:kept] / spread[0])
    values = reference, mean, axes * (share / spread[:kept])[:, None], LIMIT * share
    return PoseWeights(*(torch.tensor(value, dtype=torch.float32) for value in values))


def _features(params: HeadParams, reference: FloatArray) -> FloatArray:
    """(T, E + 6): expression, turn of the skull beside ``reference``, jaw."""
    expr, rotation, neck, jaw = (
        value.detach().cpu().double().numpy()
        for value in (params.expr, params.rotation, params.neck_pose, params.jaw_pose)
    )
    turn = Rotation.from_matrix(reference.T) * Rotation.from_rotvec(rotation) * Rotation.from_rotvec(neck)
    return np.concatenate([expr, TURN * turn.as_rotvec(), TURN * jaw], 1)


def corrected(gaussians: Gaussians, weights: Tensor | None) -> Gaussians:
    """``gaussians`` as they are in a pose with ``weights`` (K,) or (1, K); themselves without weights or without correctives.

    Differentiable in means, sh and correctives.
    """
    if weights is None or gaussians.num_correctives == 0:
        return gaussians
    row = weights.reshape(-1)
    constant = gaussians.sh[:, :1] + (gaussians.colour_correctives @ row)[:, None]
    sh = constant if gaussians.sh.shape[1] == 1 else torch.cat([constant, gaussians.sh[:, 1:]], 1)
    return replace(gaussians, means=gaussians.means + gaussians.mean_correctives @ row, sh=sh)
