"""The parameters of N Gaussians, each bound to a triangle or riding free on a joint.

Bound Gaussians follow GaussianAvatars (Qian et al., CVPR 2024, eq. 1-3): coordinates in the triangle's frame, in units of
its size k.  Free Gaussians have coordinates in the frame of a joint, in metres.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from avatarkit.labels import NUM_LABELS

CORRECTIVES = ("mean_correctives", "colour_correctives")


@dataclass
class Gaussians:
    """All float32 unless said otherwise; first axis N.

    means (N, 3) local; quats (N, 4) wxyz, normalised on use; log_scales (N, 3) ln of local standard deviations;
    opacity_logits (N,); sh (N, K, 3) spherical harmonics, K = (degree + 1)², colour = 0.5 + Σ sh·Y clamped at 0;
    binding (N,) int32: ≥ 0 a triangle of the head model, −1 − j free on joint j;
    label_logits (N, 19); parents (N,) int64: id of the Gaussian that this one came from (its own id for originals);
    ids (N,) int64, unique for the life of an avatar; groups (N,) int32: 0, or the number of a named group;
    mean_correctives, colour_correctives (N, 3, K): how the local mean and the constant SH term change by each of K weights of a pose
    (``avatarkit.gaussians.correctives``); K is 0 where they are not given.
    """

    means: Tensor
    quats: Tensor
    log_scales: Tensor
    opacity_logits: Tensor
    sh: Tensor
    binding: Tensor
    label_logits: Tensor
    ids: Tensor
    parents: Tensor
    groups: Tensor
    mean_correctives: Tensor = None  # type: ignore[assignment]  # (N, 3, 0) from the first moment on
    colour_correctives: Tensor = None  # type: ignore[assignment]

    TRAINED = ("means", "quats", "log_scales", "opacity_logits", "sh", "label_logits")

    def __post_init__(self) -> None:
        for name in CORRECTIVES:
            if getattr(self, name) is None:
                setattr(self, name, self.means.new_zeros(len(self.means), 3, 0))

    def __len__(self) -> int:
        return int(self.means.shape[0])

    @property
    def sh_degree(self) -> int:
        return round(self.sh.shape[1] ** 0.5) - 1

    @property
    def num_correctives(self) -> int:
        return int(self.mean_correctives.shape[2])

    @property
    def free(self) -> Tensor:
        """(N,) bool: rides on a joint."""
        return self.binding < 0

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def stored(self) -> dict[str, Tensor]:
        """``tensors`` for a file: correctives only where there are any."""
        return {name: value for name, value in self.tensors().items() if name not in CORRECTIVES or value.shape[2] > 0}

    def select(self, keep: Tensor) -> Gaussians:
        """The Gaussians at ``keep``: (M,) indices or (N,) bool."""
        return Gaussians(**{name: value[keep] for name, value in self.tensors().items()})

    def to(self, device: str | torch.device) -> Gaussians:
        return Gaussians(**{name: value.to(device) for name, value in self.tensors().items()})

    def detach(self) -> Gaussians:
        return Gaussians(**{name: value.detach() for name, value in self.tensors().items()})

    @staticmethod
    def cat(parts: list[Gaussians]) -> Gaussians:
        """One after the other.  Those with fewer correctives stay where they are by the others'."""
        most = max(part.num_correctives for part in parts)
        padded = [part.with_correctives(most) for part in parts]
        return Gaussians(**{name: torch.cat([getattr(part, name) for part in padded]) for name in parts[0].tensors()})

    def with_correctives(self, count: int) -> Gaussians:
        """The same with the first ``count`` correctives, those that are new moving nothing."""
        own = self.num_correctives
        if own == count:
            return self
        new = self.means.new_zeros(len(self), 3, max(0, count - own))
        return replace(self, **{name: torch.cat([getattr(self, name)[:, :, :count], new], 2) for name in CORRECTIVES})

    @staticmethod
    def fresh(
        means: Tensor, log_scales: Tensor, opacity: float, colours: Tensor, binding: Tensor, sh_degree: int = 0
    ) -> Gaussians:
        """New Gaussians with identity rotation.  means (N, 3), log_scales (N, 3), colours (N, 3) in [0, 1], binding (N,)."""
        count = len(means)
        sh = torch.zeros(count, (sh_degree + 1) ** 2, 3)
        sh[:, 0] = (colours - 0.5) / 0.28209479177387814  # Y_00
        quats = torch.zeros(count, 4)
        quats[:, 0] = 1.0
        ids = torch.arange(count)
        logit = torch.logit(torch.full((count,), float(opacity)))
        return Gaussians(
            means, quats, log_scales, logit, sh, binding.to(torch.int32), torch.zeros(count, NUM_LABELS), ids, ids.clone(),
            torch.zeros(count, dtype=torch.int32),
        )  # fmt: skip
