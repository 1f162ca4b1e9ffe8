"""Adam over the Gaussians that showed, with a step count of its own for every row.

Rows that no view saw keep value and moments (gsplat's SelectiveAdam does the same); children of a split start with empty
moments and a proper bias correction, instead of a first step that is three times too long (Kingma & Ba 2015, section 3).
The state is plain tensors: a checkpoint stores them and resumes to the bit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.render.compiled import kernel, run_parts, thread_count

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
        arrays: list[np.ndarray] = []
        for name, value in parameters(gaussians).items():
            width = value.numel() // max(1, len(value))
            gradient = torch.zeros_like(value) if value.grad is None else value.grad.contiguous()
            tensors = (value.detach(), gradient, self.first[name], self.second[name])
            rate = np.full(width, rates[RATE_OF[name]] if name in RATE_OF else rates["sh_rest"], np.float32)
            if name == "sh":
                rate[:3] = rates["sh_dc"]
            row_factor = means if name == "means" else factor
            arrays += [tensor.reshape(-1, width).numpy() for tensor in tensors] + [row_factor.numpy(), rate]
        run_parts(thread_count(), _step, visible.numpy(), root.numpy(), *arrays)

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


@kernel
def _rows(value, gradient, first, second, factor, rate, visible, root, begin, end):  # type: ignore[no-untyped-def]
    for i in range(begin, end):
        if not visible[i]:
            continue
        scale, epsilon = factor[i], np.float32(EPS) * root[i]
        for j in range(value.shape[1]):
            g = gradient[i, j]
            m = np.float32(BETA1) * first[i, j] + np.float32(1.0 - BETA1) * g
            v = np.float32(BETA2) * second[i, j] + np.float32(1.0 - BETA2) * g * g
            first[i, j] = m
            second[i, j] = v
            value[i, j] -= rate[j] * scale * m / (np.sqrt(v) + epsilon)


@kernel
def _step(  # type: ignore[no-untyped-def]
    part, parts, visible, root,
    means, g0, m0, s0, f0, r0, quats, g1, m1, s1, f1, r1, log_scales, g2, m2, s2, f2, r2,
    opacities, g3, m3, s3, f3, r3, sh, g4, m4, s4, f4, r4,
):  # fmt: skip
    """All five tensors in one call: waking a thread five times costs more than the arithmetic."""
    begin, end = len(visible) * part // parts, len(visible) * (part + 1) // parts
    _rows(means, g0, m0, s0, f0, r0, visible, root, begin, end)
    _rows(quats, g1, m1, s1, f1, r1, visible, root, begin, end)
    _rows(log_scales, g2, m2, s2, f2, r2, visible, root, begin, end)
    _rows(opacities, g3, m3, s3, f3, r3, visible, root, begin, end)
    _rows(sh, g4, m4, s4, f4, r4, visible, root, begin, end)
