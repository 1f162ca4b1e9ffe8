"""Outlines of decals, and how far places are from them.

An outline is a closed polygon (K, 2) about the origin that reaches from −1 to 1 across or up, whichever is longer; x to the
right as one looks at the skin, y up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avatarkit.types import FloatArray


def _turns(count: int) -> FloatArray:
    return np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)


def _heart() -> FloatArray:
    t = _turns(72)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, y + 2.5], 1) / 16.0


def _star() -> FloatArray:
    t = np.pi / 2 + _turns(10)
    out = np.where(np.arange(10) % 2 == 0, 1.0, 0.4)
    return np.stack([out * np.cos(t), out * np.sin(t)], 1)


def _drop() -> FloatArray:
    t = _turns(64)
    return np.stack([0.72 * np.sin(t) * np.sin(t / 2) ** 1.4, np.cos(t)], 1)


def _ellipse(across: float, up: float) -> FloatArray:
    t = _turns(64)
    return np.stack([across * np.cos(t), up * np.sin(t)], 1)


def _bar(half: float) -> FloatArray:
    """A line with round ends."""
    t = np.linspace(-np.pi / 2, np.pi / 2, 13)
    right = np.stack([1.0 - half + half * np.cos(t), half * np.sin(t)], 1)
    return np.concatenate([right, -right])


def _square() -> FloatArray:
    return np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


OUTLINES: dict[str, Callable[[], FloatArray]] = {
    "heart": _heart, "star": _star, "drop": _drop, "dot": lambda: _ellipse(1.0, 1.0), "round": lambda: _ellipse(1.0, 1.0),
    "oval": lambda: _ellipse(1.0, 0.62), "square": _square, "line": lambda: _bar(0.085),
}  # fmt: skip


def signed_distance(places: FloatArray, outline: FloatArray) -> FloatArray:
    """(N, 2) → (N,): distance to the polygon's edge, negative inside (crossings of a ray to the right)."""
    nearest = np.full(len(places), np.inf)
    crossings = np.zeros(len(places), np.int64)
    for start, end in zip(outline, np.roll(outline, -1, 0), strict=True):
        side, away = end - start, places - start
        share = np.clip((away @ side) / max(float(side @ side), 1e-12), 0.0, 1.0)
        off = away - share[:, None] * side
        nearest = np.minimum(nearest, (off * off).sum(1))
        straddles = (start[1] > places[:, 1]) != (end[1] > places[:, 1])
        if side[1] != 0.0:
            crossings += straddles & (places[:, 0] < start[0] + (places[:, 1] - start[1]) / side[1] * side[0])
    return np.sqrt(nearest) * np.where(crossings % 2 == 1, -1.0, 1.0)
