"""``photometric_loss`` for float32 on the CPU: loss and gradient in one pass over each band of rows.

The window is separable and symmetric.  A band streams through two rings of 11 rows that stay in the first-level caches:
rows of the images are filtered horizontally into the first ring; its vertical sum gives the moments of a row, from them
SSIM and its three derivatives, which are filtered horizontally into the second ring; its vertical sum gives the gradient
ten rows behind.  Four moments suffice, not five, since SSIM needs σx² + σy² only.

Bands are cut the same way for any number of threads, and sums are taken in their order: same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.losses.ssim_torch import C1, C2, WINDOW, window
from avatarkit.render.compiled import kernel, run_parts, thread_count
from avatarkit.render.lanes import WIDTH, fma, hsum, load, magnitude, select, splat, store

_f = np.float32
_WEIGHTS = window().astype(np.float32)
_HALF = WINDOW // 2
_PAD = 16  # ≥ _HALF columns of zeros beside each row
_BAND = 100  # rows; each band recomputes 20 of its neighbours'
_C1, _C2, _ZERO, _ONE, _TWO = _f(C1), _f(C2), _f(0.0), _f(1.0), _f(2.0)


def photometric_loss_cpu(
    image: Tensor, target: Tensor, l1: float, dssim: float, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, float]:
    """total, l1, ssim, mse of (B, C, H, W) float32 tensors on the CPU."""
    mse: list[float] = []
    total, absolute, similarity = _Photometric.apply(image, target, weight, l1, dssim, mse)
    return total, absolute, similarity, mse[0]


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, target: Tensor, weight: Tensor | None, l1: float, dssim: float, mse: list[float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, channels, height, width = image.shape
        wants_gradient = ctx.needs_input_grad[0]
        if weight is None:
            covered, rows = float(batch * height * width), torch.ones(1)
        else:
            rows = weight.detach().to(torch.float32).contiguous()
            covered = max(float(rows.sum(dtype=torch.float64)), 1e-12)
        count = max(covered * channels, 1e-12)
        bands = max(1, round(height / _BAND))
        sums = np.zeros((batch * channels * bands, 3))
        gradient = torch.empty(image.shape if wants_gradient else (1,))
        arrays = [value.detach().contiguous().numpy().reshape(-1) for value in (image, target.to(torch.float32), rows)]
        run_parts(
            thread_count(), _bands, *arrays, weight is not None, gradient.numpy().reshape(-1), wants_gradient,
            sums, batch, channels, height, width, bands, _f(l1 / count), _f(-dssim / count),
        )  # fmt: skip
        absolute, similarity, squared = (float(value) / count for value in sums.sum(0))
        mse.append(squared)
        if wants_gradient:
            ctx.save_for_backward(gradient)
        parts = torch.tensor(absolute), torch.tensor(similarity)
        ctx.mark_non_differentiable(*parts)
        return torch.tensor(l1 * absolute + dssim * (1.0 - similarity)), *parts

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        # A loop calls this with 1 or a constant; most steps can hand over the stored gradient.
        return (gradient if float(grad_total) == 1.0 else gradient * grad_total), None, None, None, None, None


@kernel
def _fill_rows(image, target, weights, weighted, at, weight_at, width, x, y, squares, product, w):  # type: ignore[no-untyped-def]
    """One row of both images, times the weight, and their products, into padded rows."""
    whole = width - width % WIDTH
    for j in range(0, whole, WIDTH):
        a, b = load(image, at + j), load(target, at + j)
        if weighted:
            c = load(weights, weight_at + j)
            a, b = a * c, b * c
            store(w, _PAD + j, c)
        store(x, _PAD + j, a)
        store(y, _PAD + j, b)
        store(squares, _PAD + j, fma(a, a, b * b))
        store(product, _PAD + j, a * b)
    for j in range(whole, width):
        u, v = image[at + j], target[at + j]
        if weighted:
            s = weights[weight_at + j]
            u, v = u * s, v * s
            w[_PAD + j] = s
        x[_PAD + j], y[_PAD + j] = u, v
        squares[_PAD + j], product[_PAD + j] = u * u + v * v, u * v


@kernel
def _bands(  # type: ignore[no-untyped-def]
    part, parts, image, target, weights, weighted, gradient, wants_gradient, sums, batch, channels, height, width, bands,
    l1, dssim,
):  # fmt: skip
    padded = (width + WIDTH - 1) // WIDTH * WIDTH
    span = padded + 2 * _PAD
    x, y = np.zeros(span, np.float32), np.zeros(span, np.float32)
    squares, product, w = np.zeros(span, np.float32), np.zeros(span, np.float32), np.zeros(span, np.float32)
    by_mean, by_squares, by_product = np.zeros(span, np.float32), np.zeros(span, np.float32), np.zeros(span, np.float32)
    moments = np.zeros(WINDOW * 4 * padded, np.float32)
    derivatives = np.zeros(WINDOW * 3 * padded, np.float32)
    offsets = np.zeros(WINDOW, np.int64)
    line = np.zeros(padded, np.float32)
    g = _WEIGHTS
    w[_PAD : _PAD + width] = _ONE
    c1, c2, zero, one, two = splat(_C1), splat(_C2), splat(_ZERO), splat(_ONE), splat(_TWO)
    reach = 2 * _HALF if wants_gradient else _HALF
    for unit in range(part, batch * channels * bands, parts):
        plane, band = unit // bands, unit % bands
        weight_plane = plane // channels * height
        first, last = band * height // bands, (band + 1) * height // bands
        total_l1, total_ssim, total_mse = 0.0, 0.0, 0.0
        for r in range(first - reach, last + reach):
            slot = (r - first + reach) % WINDOW * 4 * padded
            if 0 <= r < height:
                _fill_rows(
                    image, target, weights, weighted, (plane * height + r) * width, (weight_plane + r) * width, width,
                    x, y, squares, product, w,
                )  # fmt: skip
                for j in range(0, padded, WIDTH):
                    at = _PAD - _HALF + j
                    mx, my, ms, mp = zero, zero, zero, zero
                    for t in range(WINDOW):
                        mx = fma(load(x, at + t), g[t], mx)
                        my = fma(load(y, at + t), g[t], my)
                        ms = fma(load(squares, at + t), g[t], ms)
                        mp = fma(load(product, at + t), g[t], mp)
                    store(moments, slot + j, mx)
                    store(moments, slot + padded + j, my)
                    store(moments, slot + 2 * padded + j, ms)
                    store(moments, slot + 3 * padded + j, mp)
            else:
                moments[slot : slot + 4 * padded] = _ZERO

            # The row of SSIM that is complete now.
            m = r - _HALF
            if m < first - reach + _HALF:
                continue
            slot = (m - first + reach) % WINDOW * 3 * padded
            if 0 <= m < height:
                if weighted:
                    for j in range(width):
                        w[_PAD + j] = weights[(weight_plane + m) * width + j]
                for t in range(WINDOW):
                    offsets[t] = (m - _HALF + t - first + reach) % WINDOW * 4 * padded
                similarity = zero
                for j in range(0, padded, WIDTH):
                    mx, my, ms, mp = zero, zero, zero, zero
                    for t in range(WINDOW):
                        at = offsets[t] + j
                        mx = fma(load(moments, at), g[t], mx)
                        my = fma(load(moments, at + padded), g[t], my)
                        ms = fma(load(moments, at + 2 * padded), g[t], ms)
                        mp = fma(load(moments, at + 3 * padded), g[t], mp)
                    means = fma(mx, mx, my * my)
                    a1 = fma(two * mx, my, c1)
                    a2 = fma(two, mp - mx * my, c2)
                    b1, b2 = means + c1, ms - means + c2
                    scale = load(w, _PAD + j)
                    per = one / (b1 * b2)
                    value = scale * a1 * a2 * per
                    similarity = similarity + value
                    if wants_gradient:
                        mean = two * (scale * my * (a2 - a1) * per - mx * value * (b2 - b1) * per)
                        store(by_mean, _PAD + j, mean)
                        store(by_squares, _PAD + j, -value * b1 * per)
                        store(by_product, _PAD + j, two * scale * a1 * per)
                if first <= m < last:
                    total_ssim += np.float64(hsum(similarity))
                    if not wants_gradient:
                        s, e = _errors(image, target, w, (plane * height + m) * width, width, line)
                        total_l1 += s
                        total_mse += e
                if wants_gradient:
                    for j in range(0, padded, WIDTH):
                        at = _PAD - _HALF + j
                        mx, ms, mp = zero, zero, zero
                        for t in range(WINDOW):
                            mx = fma(load(by_mean, at + t), g[t], mx)
                            ms = fma(load(by_squares, at + t), g[t], ms)
                            mp = fma(load(by_product, at + t), g[t], mp)
                        store(derivatives, slot + j, mx)
                        store(derivatives, slot + padded + j, ms)
                        store(derivatives, slot + 2 * padded + j, mp)
            elif wants_gradient:
                derivatives[slot : slot + 3 * padded] = _ZERO

            # The row of the gradient that is complete now.
            o = m - _HALF
            if not wants_gradient or o < first:
                continue
            at_image = (plane * height + o) * width
            if weighted:
                for j in range(width):
                    w[_PAD + j] = weights[(weight_plane + o) * width + j]
            for t in range(WINDOW):
                offsets[t] = (o - _HALF + t - first + reach) % WINDOW * 3 * padded
            sum_l1, sum_mse = zero, zero
            for j in range(0, padded, WIDTH):
                mx, ms, mp = zero, zero, zero
                for t in range(WINDOW):
                    at = offsets[t] + j
                    mx = fma(load(derivatives, at), g[t], mx)
                    ms = fma(load(derivatives, at + padded), g[t], ms)
                    mp = fma(load(derivatives, at + 2 * padded), g[t], mp)
                scale = load(w, _PAD + j)
                if j + WIDTH <= width:
                    a, b = load(image, at_image + j), load(target, at_image + j)
                else:
                    for i in range(width - j):
                        line[i] = image[at_image + j + i]
                    a = load(line, 0)
                    for i in range(width - j):
                        line[i] = target[at_image + j + i]
                    b = load(line, 0)
                d = a - b
                absolute = magnitude(d) * scale
                sum_l1 = sum_l1 + absolute
                sum_mse = fma(d, d * scale, sum_mse)
                sign = select(d > zero, one, select(d < zero, -one, zero))
                slope = fma(scale * b, mp, fma(two * scale * a, ms, mx))
                result = scale * fma(slope, dssim, sign * l1)
                if j + WIDTH <= width:
                    store(gradient, at_image + j, result)
                else:
                    store(line, 0, result)
                    for i in range(width - j):
                        gradient[at_image + j + i] = line[i]
                        line[i] = _ZERO
            total_l1 += np.float64(hsum(sum_l1))
            total_mse += np.float64(hsum(sum_mse))
        sums[unit, 0], sums[unit, 1], sums[unit, 2] = total_l1, total_ssim, total_mse


@kernel
def _errors(image, target, w, at, width, line):  # type: ignore[no-untyped-def]
    """Weighted Σ|d| and Σd² of one row, for a loss without gradient."""
    absolute, squared = 0.0, 0.0
    for j in range(width):
        d = image[at + j] - target[at + j]
        absolute += np.float64(w[_PAD + j] * abs(d))
        squared += np.float64(w[_PAD + j] * d * d)
    return absolute, squared
