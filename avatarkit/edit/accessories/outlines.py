"""Flat outlines: of lenses, pendants and studs.  In units of half the width, x away from the nose, y up."""

from __future__ import annotations

import numpy as np

from avatarkit.edit.accessories.vectors import resampled, rounded
from avatarkit.types import FloatArray


def superellipse(width: float, height: float, power: float, count: int = 240) -> FloatArray:
    """|x/width|^p + |y/height|^p = 1 with p = 2/power: power 1 is an ellipse, below it a rounded box."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([width * np.sign(c) * np.abs(c) ** power, height * np.sign(s) * np.abs(s) ** power], 1)


def star(points: int = 5, inner: float = 0.45) -> FloatArray:
    """(2·points, 2) corners of a star, one upwards."""
    turn = np.pi / 2 + np.arange(2 * points) * np.pi / points
    radius = np.where(np.arange(2 * points) % 2 == 0, 1.0, inner)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)


def heart(count: int = 240) -> FloatArray:
    """A heart, its tip down; half width 1."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x = np.sin(t) ** 3
    y = (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16 + 0.12
    return np.stack([-x, y], 1)


def drop(count: int = 240) -> FloatArray:
    """A drop, its tip up; half width 1, height 2.6."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = np.sin(t) * np.sin(t / 2) ** 1.5, np.cos(t)
    return np.stack([-x / np.abs(x).max(), 1.3 * y], 1)


# Of the left lens: half width and half height (millimetres on a head whose eyes are 63 mm apart), and the outline that fills them.
LENSES: dict[str, tuple[float, float]] = {
    "": (24.5, 19.0), "round": (21.5, 21.0), "square": (25.0, 18.5), "oval": (25.0, 16.0), "cat_eye": (25.5, 18.0),
    "heart": (25.5, 22.5), "star": (27.0, 25.5), "drop": (27.0, 23.0), "dot": (16.0, 15.5), "line": (25.5, 11.0),
    "full": (28.0, 24.0), "wide_brim": (29.0, 23.0),
}  # fmt: skip


def lens(form: str, count: int) -> FloatArray:
    """(count, 2) outline of a left lens of half width and half height 1, counterclockwise from the front, x towards the temple.

    form: a key of ``LENSES``; any other has the usual outline.
    """
    if form in ("round", "oval", "dot"):
        outline = superellipse(1, 1, 1.0)
    elif form in ("square", "line"):
        outline = superellipse(1, 1, 0.38)
    elif form == "heart":
        outline = rounded(resampled(heart(), 240, closed=True), 12, closed=True)
    elif form == "star":
        outline = rounded(resampled(star(5, 0.5), 240, closed=True), 30, closed=True)
    else:
        outline = superellipse(1, 1, 0.66 if form != "cat_eye" else 0.85)
        x, y = outline.T
        if form == "drop":  # an aviator's: wide and low at the outside, cut off towards the nose
            outline = np.stack([x * (1 - 0.10 * y) - 0.10 * (1 - y) * (x < 0) * x, y + 0.10 * x * (y < 0) * y], 1)
            outline[:, 0] = np.where((x < 0) & (y < 0), outline[:, 0] * (1 + 0.28 * y), outline[:, 0])
        elif form == "cat_eye":  # swept up at the outer corner
            sweep = np.clip((x + 0.25) / 1.25, 0.0, 1.0) ** 2 * ((y + 1) / 2) ** 1.5
            outline = np.stack([x * (1 + 0.10 * y) + 0.16 * sweep, y + 0.62 * sweep], 1)
        else:  # wider at the top
            outline = np.stack([x * (1 + 0.09 * y), y], 1)
    low, high = outline.min(0), outline.max(0)
    if form not in ("star", "heart"):
        outline = outline - 0.5 * (low + high)
    return resampled(outline / (0.5 * (high - low)), count, closed=True)
