"""The parameters of N Gaussians, each bound to a triangle or riding free on a joint.

Bound Gaussians follow GaussianAvatars (Qian et al., CVPR 2024, eq. 1-3): coordinates in the triangle's frame, in units of
its size k.  Free Gaussians have coordinates in the frame of a joint, in metres.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from avatarkit.labels import NUM_LABELS


@dataclass
class Gaussians:
    """All float32 unless said otherwise; first axis N.

    means (N, 3) local; quats (N, 4) wxyz, normalised on use; log_scales (N, 3) ln of local standard deviations;
    opacity_logits (N,); sh (N, K, 3) spherical harmonics, K = (degree + 1)², colour = 0.5 + Σ sh·Y clamped at 0;
    binding (N,) int32: ≥ 0 a triangle of the head model, −1 − j free on joint j;
    label_logits (N, 19); parents (N,) int64: id of the Gaussian that this one came from (its own id for originals);
    ids (N,) int64, unique for the life of an avatar; groups (N,) int32: 0, or the number of a named group.
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

    TRAINED = ("means", "quats", "log_scales", "opacity_logits", "sh", "label_logits")

    def __len__(self) -> int:
        return int(self.means.shape[0])

    @property
    def sh_degree(self) -> int:
        return round(self.sh.shape[1] ** 0.5) - 1

    @property
    def free(self) -> Tensor:
        """(N,) bool: rides on a joint."""
        return self.binding < 0

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def select(self, keep: Tensor) -> Gaussians:
        """The Gaussians at ``keep``: (M,) indices or (N,) bool."""
        return Gaussians(**{name: value[keep] for name, value in self.tensors().items()})

    def to(self, device: str | torch.device) -> Gaussians:
        return Gaussians(**{name: value.to(device) for name, value in self.tensors().items()})

    def detach(self) -> Gaussians:
        return Gaussians(**{name: value.detach() for name, value in self.tensors().items()})

    @staticmethod
    def cat(parts: list[Gaussians]) -> Gaussians:
        names = parts[0].tensors()
        return Gaussians(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

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
