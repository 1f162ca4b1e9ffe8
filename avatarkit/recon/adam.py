"""Adam over the Gaussians that showed, with a step count of its own for every row.

Rows that no view saw keep value and moments (gsplat's SelectiveAdam does the same); children of a split start with empty
moments and a proper bias correction, instead of a first step that is three times too long (Kingma & Ba 2015, section 3).
The state is plain tensors: a checkpoint stores them and resumes to the bit.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from avatarkit.gaussians.gaussians import Gaussians

BETA1, BETA2, EPS = 0.9, 0.999, 1e-15
RATE_OF = {"means": "means", "quats": "quats", "log_scales": "log_scales", "opacity_logits": "opacity_logits"}


def parameters(gaussians: Gaussians) -> dict[str, Tensor]:
    """The tensors that photometric training moves."""
    return {name: getattr(gaussians, name) for name in (*RATE_OF, "sh")}


def require_gradients(gaussians: Gaussians) -> None:
    """Make fresh contiguous leaves of the trained tensors, in place."""
    for name, value in parameters(gaussians).items():
        setattr(gaussians, name, value.detach().contiguous().requires_grad_(True))


class Adam:
    """Moments (N, …) by tensor name and ``steps`` (N,) int32.

    ``free_unit``: metres by which the rate of the means of free Gaussians is multiplied, since rates are in triangle units.
    """

    def __init__(self, gaussians: Gaussians, free_unit: float) -> None:
        self.first = {name: torch.zeros_like(value) for name, value in parameters(gaussians).items()}
        self.second = {name: torch.zeros_like(value) for name, value in parameters(gaussians).items()}
        self.steps = torch.zeros(len(gaussians), dtype=torch.int32)
        self.free_unit = free_unit

    def step(self, gaussians: Gaussians, rates: dict[str, float], visible: Tensor) -> None:
        """Move the rows where ``visible`` (N,) is true by their ``grad``.

        rates: "means", "quats", "log_scales", "opacity_logits", "sh_dc" and "sh_rest".
        """
        self.steps += visible
        count = self.steps.clamp(min=1).float()
        # Folded into one factor and one epsilon per row: rate · m̂ / (√v̂ + ε), with m̂ = m / c1 and v̂ = v / c2.
        c1 = 1.0 - torch.exp(count * float(np.log(BETA1)))
        root = (1.0 - torch.exp(count * float(np.log(BETA2)))).sqrt()
        factor = root / c1
        means = torch.where(gaussians.binding < 0, factor * self.free_unit, factor)
        for name, value in parameters(gaussians).items():
            if value.grad is None:
                continue
            width = value.numel() // max(1, len(value))
            rate = np.full(width, rates[RATE_OF[name]] if name in RATE_OF else rates["sh_rest"], np.float32)
            if name == "sh":
                rate[:3] = rates["sh_dc"]
            flat = (value.detach(), value.grad, self.first[name], self.second[name])
            arrays = [tensor.reshape(-1, width).numpy() for tensor in flat]
            row_factor = means if name == "means" else factor
            _step(*arrays, row_factor.numpy(), root.numpy(), rate, visible.numpy())

    def reindex(self, source: Tensor, fresh: Tensor) -> None:
        """Follow a new table of Gaussians: row i came from ``source[i]``; ``fresh`` rows start empty."""
        for moments in (self.first, self.second):
            for name, value in moments.items():
                moved = value[source]
                moved[fresh] = 0.0
                moments[name] = moved
        self.steps = self.steps[source]
        self.steps[fresh] = 0

    def forget(self, name: str) -> None:
        """Empty the moments of one tensor (after a reset of its values)."""
        self.first[name].zero_()
        self.second[name].zero_()


@numba.njit(parallel=True, cache=True, fastmath={"contract", "nsz", "arcp"})
def _step(value, gradient, first, second, factor, root, rate, visible):  # type: ignore[no-untyped-def]
    rows, width = value.shape
    for i in numba.prange(rows):
        if not visible[i]:
            continue
        scale, epsilon = factor[i], np.float32(EPS) * root[i]
        for j in range(width):
            g = gradient[i, j]
            m = np.float32(BETA1) * first[i, j] + np.float32(1.0 - BETA1) * g
            v = np.float32(BETA2) * second[i, j] + np.float32(1.0 - BETA2) * g * g
            first[i, j] = m
            second[i, j] = v
            value[i, j] -= rate[j] * scale * m / (np.sqrt(v) + epsilon)
