"""Adam over the Gaussians that showed, with a step count of its own for every row.

Rows that no view saw keep value and moments (gsplat's SelectiveAdam does the same); children of a split start with empty
moments and a proper bias correction, instead of a first step that is three times too long (Kingma & Ba 2015, section 3).
The state is plain tensors: a checkpoint stores them and resumes to the bit.

Adam moves by the sign of the gradient, however small: what hardly shows wanders as far as what fills the picture, and is confetti
from elsewhere.  With an epsilon that is a part of the usual gradient (``measure``) it moves in proportion to what it shows.

Two bodies: one Numba pass on the CPU; on a GPU about twenty launches for all tensors, laid side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.bodies import compiled
from avatarkit.gaussians.gaussians import CORRECTIVES, Gaussians
from avatarkit.render.compiled import kernel, run_parts, thread_count
from avatarkit.types import Float32Array

BETA1, BETA2, EPS = 0.9, 0.999, 1e-15
ALWAYS = ("means", "quats", "log_scales", "opacity_logits", "sh")
LOCAL = ("means", "mean_correctives")  # lengths: metres of free Gaussians, triangle units of bound ones


def parameters(gaussians: Gaussians) -> dict[str, Tensor]:
    """The tensors that photometric training moves."""
    names = ALWAYS if gaussians.num_correctives == 0 else (*ALWAYS, *CORRECTIVES)
    return {name: getattr(gaussians, name) for name in names}


def require_gradients(gaussians: Gaussians) -> None:
    """Make fresh contiguous leaves of the trained tensors, in place."""
    for name, value in parameters(gaussians).items():
        setattr(gaussians, name, value.detach().contiguous().requires_grad_(True))


class Adam:
    """Moments (N, …) by tensor name, ``steps`` (N,) int32 and ``floor`` (5 or, with correctives, 7,) float32: the epsilon of each tensor.

    ``free_unit``: metres by which the rates of the means and correctives of free Gaussians are multiplied, since rates are in triangle units; their
    gradients, by metres, are that much larger.
    """

    def __init__(self, gaussians: Gaussians, free_unit: float) -> None:
        self.first = {name: torch.zeros_like(value) for name, value in parameters(gaussians).items()}
        self.second = {name: torch.zeros_like(value) for name, value in parameters(gaussians).items()}
        self.steps = torch.zeros(len(gaussians), dtype=torch.int32, device=gaussians.means.device)
        self.free_unit = free_unit
        self.floor = torch.full((len(self.first),), EPS, device=gaussians.means.device)
        self._most: int | None = None  # no row has more steps than this; None: look
        self._roots, self._factors = _corrections(1024)
        self._moved: tuple[Tensor, Tensor] | None = None  # both on a GPU

    @torch.no_grad()
    def measure(self, gaussians: Gaussians, share: float) -> None:
        """Set each tensor's epsilon to ``share`` of its mean gradient over the rows that have moved: the root of the second moment."""
        moved = self.steps > 0
        unbiased = -torch.expm1(self.steps.clamp(min=1).double() * float(np.log(BETA2)))
        for place, name in enumerate(parameters(gaussians)):
            size = (self.second[name].reshape(len(moved), -1).double().mean(1) / unbiased).sqrt()
            if name in LOCAL:
                size = torch.where(gaussians.free, self.free_unit * size, size)
            mean = (size * moved).sum() / moved.sum().clamp_min(1)
            self.floor[place] = (share * mean).clamp_min(EPS)

    def step(self, gaussians: Gaussians, rates: dict[str, float], visible: Tensor) -> None:
        """Move the rows where ``visible`` (N,) is true by their ``grad``.

        rates: "means", "quats", "log_scales", "opacity_logits", "sh_dc", "sh_rest"; and "mean_correctives" of bound and "free_correctives" of
        free Gaussians, and "colour_correctives", which stay as they are without.
        """
        self._most = self.count() + 1
        if self._most >= len(self._roots):
            self._roots, self._factors = _corrections(2 * self._most)
            self._moved = None
        if not compiled(gaussians.means):
            self._step_torch(gaussians, rates, visible)
            return
        arrays: list[Any] = []
        for (name, value), floor in zip(parameters(gaussians).items(), self.floor.numpy(), strict=True):
            width = value.numel() // max(1, len(value))
            gradient = torch.zeros_like(value) if value.grad is None else value.grad.contiguous()
            tensors = (value.detach(), gradient, self.first[name], self.second[name])
            rate = np.full(width, _rate(rates, name), np.float32)
            if name == "sh":
                rate[:3] = rates["sh_dc"]
            arrays += [tensor.reshape(-1, width).numpy() for tensor in tensors] + [rate, floor]
        if gaussians.num_correctives == 0:
            arrays += 2 * ([np.zeros((0, 0), np.float32)] * 4 + [np.zeros(0, np.float32), np.float32(EPS)])
        unit, (of_bound, of_free) = np.float32(self.free_unit), _shares(rates)
        run_parts(
            thread_count(), _step, visible.numpy(), self.steps.numpy(), self._roots, self._factors,
            gaussians.binding.numpy(), unit, np.float32(of_bound), np.float32(of_free), *arrays,
        )  # fmt: skip

    def count(self) -> int:
        """No row has more steps than this.  Asks the tensor once."""
        if self._most is None:
            self._most = int(self.steps.max())
        return self._most

    @torch.no_grad()
    def _step_torch(self, gaussians: Gaussians, rates: dict[str, float], visible: Tensor) -> None:
        """``step`` in plain torch, without asking the device anything.  Gradients of rows that do not show may hold anything."""
        if self._moved is None:
            self._moved = tuple(torch.from_numpy(v).to(visible.device) for v in (self._roots, self._factors))
        roots, factors = self._moved
        self.steps += visible
        count = self.steps.long()
        values = parameters(gaussians)
        rows = {name: value.detach().view(len(value), -1) for name, value in values.items()}
        first, second = (
            [moments[name].view(row.shape) for name, row in rows.items()] for moments in (self.first, self.second)
        )
        widths = [row.shape[1] for row in rows.values()]
        scale = factors[count][:, None]
        free = torch.where(gaussians.free, self.free_unit, 1.0)[:, None]
        floors = [floor.expand(len(visible), width) for floor, width in zip(self.floor, widths, strict=True)]
        for place, name in enumerate(rows):
            if name in LOCAL:
                floors[place] = floors[place] / free  # by metres
        epsilon = roots[count][:, None] * torch.cat(floors, 1)
        gradients = [
            torch.zeros_like(rows[name]) if value.grad is None else value.grad.reshape(rows[name].shape)
            for name, value in values.items()
        ]
        shown = visible[:, None]
        gradient = torch.where(shown, torch.cat(gradients, 1), 0.0)
        old_m, old_v = torch.cat(first, 1), torch.cat(second, 1)
        m = torch.where(shown, BETA1 * old_m + (1.0 - BETA1) * gradient, old_m)
        v = torch.where(shown, BETA2 * old_v + (1.0 - BETA2) * gradient * gradient, old_v)
        move = torch.where(shown, scale * m / (v.sqrt() + epsilon), 0.0)
        torch.split_with_sizes_copy(m, widths, 1, out=first)
        torch.split_with_sizes_copy(v, widths, 1, out=second)
        for (name, row), step in zip(rows.items(), move.split(widths, 1), strict=True):
            if name == "sh":
                row[:, :3].sub_(step[:, :3], alpha=rates["sh_dc"])
                row[:, 3:].sub_(step[:, 3:], alpha=rates["sh_rest"])
            elif name == "mean_correctives":
                of_bound, of_free = _shares(rates)
                row.sub_(
                    step * free * torch.where(gaussians.free[:, None], of_free, of_bound), alpha=_rate(rates, name)
                )
            else:
                row.sub_(step * free if name in LOCAL else step, alpha=_rate(rates, name))

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


def _rate(rates: dict[str, float], name: str) -> float:
    """Of a tensor: of mean correctives the larger of two, of SH that of the higher terms."""
    if name == "sh":
        return rates["sh_rest"]
    if name == "mean_correctives":
        return max(rates.get(name, 0.0), rates.get("free_correctives", 0.0))
    return rates.get(name, 0.0) if name == "colour_correctives" else rates[name]


def _shares(rates: dict[str, float]) -> tuple[float, float]:
    """What parts of the rate of mean correctives bound and free Gaussians have."""
    most = _rate(rates, "mean_correctives")
    if most <= 0:
        return 1.0, 1.0
    return rates.get("mean_correctives", 0.0) / most, rates.get("free_correctives", 0.0) / most


def _corrections(steps: int) -> tuple[Float32Array, Float32Array]:
    """By step count t up to ``steps``: √c2 and √c2 / c1, where c1 = 1 − β1ᵗ and c2 = 1 − β2ᵗ; what t = 0 holds is not used.

    Folded like this, m̂ / (√v̂ + ε) with m̂ = m / c1 and v̂ = v / c2 takes one factor and one epsilon per row.
    """
    count = np.maximum(np.arange(steps + 1), 1)
    roots = np.sqrt(-np.expm1(count * np.log(BETA2)))
    return roots.astype(np.float32), (roots / -np.expm1(count * np.log(BETA1))).astype(np.float32)


@kernel
def _rows(  # type: ignore[no-untyped-def]
    value, gradient, first, second, rate, floor, unit, of_bound, of_free, visible, steps, roots, factors, binding, begin, end
):  # fmt: skip
    for i in range(begin, end):
        if not visible[i]:
            continue
        scale, epsilon = factors[steps[i]], floor * roots[steps[i]]
        if binding[i] < 0:
            scale *= unit * of_free
            epsilon /= unit
        else:
            scale *= of_bound
        for j in range(value.shape[1]):
            g = gradient[i, j]
            m = np.float32(BETA1) * first[i, j] + np.float32(1.0 - BETA1) * g
            v = np.float32(BETA2) * second[i, j] + np.float32(1.0 - BETA2) * g * g
            first[i, j] = m
            second[i, j] = v
            value[i, j] -= rate[j] * scale * m / (np.sqrt(v) + epsilon)


@kernel
def _step(  # type: ignore[no-untyped-def]
    part, parts, visible, steps, roots, factors, binding, free_unit, of_bound, of_free,
    means, g0, m0, s0, r0, e0, quats, g1, m1, s1, r1, e1, log_scales, g2, m2, s2, r2, e2,
    opacities, g3, m3, s3, r3, e3, sh, g4, m4, s4, r4, e4, own, g5, m5, s5, r5, e5, tints, g6, m6, s6, r6, e6,
):  # fmt: skip
    """All tensors in one call: waking a thread for each costs more than the arithmetic."""
    begin, end = len(visible) * part // parts, len(visible) * (part + 1) // parts
    for i in range(begin, end):
        steps[i] += visible[i]
    one = np.float32(1.0)
    _rows(means, g0, m0, s0, r0, e0, free_unit, one, one, visible, steps, roots, factors, binding, begin, end)
    _rows(quats, g1, m1, s1, r1, e1, one, one, one, visible, steps, roots, factors, binding, begin, end)
    _rows(log_scales, g2, m2, s2, r2, e2, one, one, one, visible, steps, roots, factors, binding, begin, end)
    _rows(opacities, g3, m3, s3, r3, e3, one, one, one, visible, steps, roots, factors, binding, begin, end)
    _rows(sh, g4, m4, s4, r4, e4, one, one, one, visible, steps, roots, factors, binding, begin, end)
    if len(own) > 0:  # correctives of means and of colours
        _rows(
            own, g5, m5, s5, r5, e5, free_unit, of_bound, of_free, visible, steps, roots, factors, binding, begin, end
        )
        _rows(tints, g6, m6, s6, r6, e6, one, one, one, visible, steps, roots, factors, binding, begin, end)
