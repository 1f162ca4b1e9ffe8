"""Small shapes that jewellery hangs or sits: rings, drops, flat figures, bars, strings of beads.

Each is built in a frame of its own: origin where it is held, x and y across its face, z towards who looks at it; metres.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatarkit.edit.accessories.discs import (
    Discs,
    ball_discs,
    discs,
    grid_discs,
    plate_discs,
    round_profile,
    together,
    tube_discs,
)
from avatarkit.edit.accessories.outlines import drop, heart, star, superellipse
from avatarkit.edit.accessories.vectors import levelled, resampled
from avatarkit.types import FloatArray

FIGURES = ("round", "square", "oval", "heart", "star")


def figure(form: str, half: float, count: int = 26) -> Discs:
    """A flat figure of half width ``half`` around the origin: one of ``FIGURES``, slightly domed."""
    outline = {
        "heart": heart(), "star": star(), "square": superellipse(0.86, 0.86, 0.3), "oval": superellipse(0.72, 1.0, 1.0)
    }.get(form, superellipse(1.0, 1.0, 1.0))  # fmt: skip
    outline = resampled(outline, count + (14 if form == "star" else 0), closed=True)
    return plate_discs(half * outline, 0.30 * half, 0.12 * half)


def ring(radius: float, thick: float, count: int, *, sides: int = 6) -> Discs:
    """A ring in the xy-plane around the origin; thick: radius of its wire."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    path = radius * np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    return tube_discs(path, round_profile(thick, sides), closed=True, up=np.array([0.0, 0.0, 1.0]))


def tear(half: float, tall: float, rings: int = 9, spokes: int = 12) -> Discs:
    """A drop that hangs from the origin: half its greatest width ``half``, ``tall`` metres high, round about the y axis."""
    outline = drop(2 * rings)[: rings + 1]  # from the tip down the left side
    radius, height = half * np.abs(outline[:, 0]), tall * (outline[:, 1] - outline[0, 1]) / 2.6
    turn = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    corners = np.stack([
        radius[:, None] * np.cos(turn), np.broadcast_to(height[:, None], (len(radius), spokes)), radius[:, None] * np.sin(turn)
    ], -1)  # fmt: skip
    return grid_discs(corners, closed=True, outward=np.array([0.0, -0.6 * tall, 0.0]))


def bar(tall: float, thick: float) -> Discs:
    """A straight bar that hangs from the origin."""
    path = np.linspace(0, 1, 9)[:, None] * np.array([0.0, -tall, 0.0])
    ends = ball_discs(path[-1], thick, 10)
    return together([tube_discs(path, round_profile(thick, 6), up=np.array([0.0, 0.0, 1.0])), ends])


def stem(tall: float, thick: float) -> Discs:
    """A wire that hangs from the origin."""
    path = np.linspace(0, 1, 6)[:, None] * np.array([0.0, -tall, 0.0])
    return tube_discs(path, round_profile(thick, 5), up=np.array([0.0, 0.0, 1.0]))


def stone(half: float, count: int = 60) -> Discs:
    """A cut stone around the origin: a flat top towards z and a belt of facets."""
    rows = np.array([[0.0, 0.42], [0.52, 0.42], [0.80, 0.22], [1.0, 0.0], [0.62, -0.30], [0.0, -0.62]])
    spokes = max(8, count // 6)
    turn = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    corners = half * np.stack([
        rows[:, :1] * np.cos(turn), rows[:, :1] * np.sin(turn), np.broadcast_to(rows[:, 1:], (len(rows), spokes))
    ], -1)  # fmt: skip
    return grid_discs(corners, closed=True, outward=np.zeros(3))


def beads(centres: FloatArray, radius: float, count: int) -> Discs:
    """A ball of ``count`` discs at each of ``centres`` (B, 3)."""
    one = ball_discs(np.zeros(3), radius, count)
    times = len(centres)
    return discs(
        (centres[:, None] + one.points).reshape(-1, 3), np.tile(one.normals, (times, 1)), np.tile(one.tangents, (times, 1)),
        np.tile(one.scales, (times, 1)), np.tile(one.surface, (times, 1)),
    )  # fmt: skip


def links(path: FloatArray, thick: float, *, closed: bool = False) -> Discs:
    """A chain along ``path`` (P, 3): a wire whose links swell and shrink."""
    swell = np.where(np.arange(len(path)) % 2 == 0, 1.25, 0.75)
    made = tube_discs(path, round_profile(thick, 5), closed=closed, sizes=swell)
    steps = len(path) if closed else len(path) - 1
    shadow = np.tile(np.where(np.arange(steps) % 2 == 0, 1.12, 0.80), 5)
    return replace(made, shadow=shadow)


def frame(outward: FloatArray) -> FloatArray:
    """(3, 3) axes of an ornament that faces ``outward`` (3,) and hangs straight: columns x, y up, z outward and level."""
    up, ahead = np.array([0.0, 1.0, 0.0]), levelled(outward)
    return np.stack([np.cross(up, ahead), up, ahead], 1)
