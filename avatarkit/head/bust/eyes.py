"""Eyeballs, and eyelids that live on a sphere a little larger than the ball, so that they slide over it when they close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EyeShape:
    """The left eye, millimetres.

    centre of the ball; radius; lid: radius of the sphere of the lids' outer skin; inner and outer: from the centre to the
    corners along x; rise: how far the outer corner stands above the inner; upper, lower: height of the lid margins above
    and below the line between the corners; closed: where the margins meet, below that line.
    """

    centre: tuple[float, float, float] = (31.5, 29.8, 45.0)
    radius: float = 13.2
    lid: float = 14.9
    inner: float = 13.8
    outer: float = 13.6
    rise: float = 1.6
    upper: float = 4.9
    lower: float = 4.6
    closed: float = 2.6


EYE = EyeShape()


def lid_positions(count: int) -> Array:
    """(count,) s from −1 (inner corner) to 1 (outer corner), closer together towards the corners."""
    even = np.linspace(-1, 1, count)
    return 0.5 * np.sin(even * np.pi / 2) + 0.5 * even


def lid_line(eye: EyeShape, s: Array, upper: bool, closed: float = 0.0) -> Array:
    """Height (mm, along y, in front view) of a lid margin above the line of the corners.

    ``closed`` in [0, 1] moves it to where the lids meet.  The upper margin peaks towards the nose, the lower one towards the
    temple, as real lids do.
    """
    bias = -0.10 if upper else 0.12
    t = np.clip(s + bias * (1 - s**2), -1, 1)
    arc = (1 - np.abs(t) ** 2.3) ** 0.85
    height = (eye.upper if upper else -eye.lower) * arc
    meet = -eye.closed * (1 - s**2)
    return height + closed * (meet - height)


def lid_sphere(eye: EyeShape, s: Array, height: Array, radius: float) -> Array:
    """(..., 3) the point of the lid sphere with that s and that height above the line of the corners."""
    x = np.where(s < 0, s * eye.inner, s * eye.outer)
    # Near the corners the ring around the corner axis is small; the sphere is continued there as a spheroid so that the
    # margin never leaves it.
    ring = np.sqrt(np.maximum(eye.lid**2 - x**2, 4.0**2)) - (eye.lid - radius)
    angle = np.arcsin(np.clip(height / ring, -1, 1))
    # heights beyond the ring continue around the back of the ball
    y, z = ring * np.sin(angle), ring * np.cos(angle)
    return _placed(eye, s, x, y, z)


def lid_turned(eye: EyeShape, s: Array, height: Array, turn: Array, radius: float) -> Array:
    """Like ``lid_sphere``, turned further around the corner axis by ``turn`` radians (positive: up)."""
    x = np.where(s < 0, s * eye.inner, s * eye.outer)
    outer_ring = np.sqrt(np.maximum(eye.lid**2 - x**2, 4.0**2))
    ring = outer_ring - (eye.lid - radius)
    angle = np.arcsin(np.clip(height / outer_ring, -1, 1)) + turn
    return _placed(eye, s, x, ring * np.sin(angle), ring * np.cos(angle))


def _placed(eye: EyeShape, s: Array, x: Array, y: Array, z: Array) -> Array:
    tilt = eye.rise * s / 2
    tear_duct = np.exp(-(((s + 1) / 0.25) ** 2))
    offset = np.stack([x - 1.6 * tear_duct, y + tilt - 0.8 * tear_duct, z + 1.6 * tear_duct], -1)
    return np.array(eye.centre) + offset


# Polar angles (degrees from the front pole) of the eyeball's rings: pupil, iris, limbus, white.
BALL_RINGS = (4.0, 8.5, 9.5, 16.0, 24.0, 27.0, 33.0, 44.0, 58.0, 75.0, 100.0, 135.0)
BALL_SEGMENTS = 24
LIMBUS_RING = 5
CORNEA_BULGE = 0.35  # mm; more would push through a closed lid when the eye turns


def eyeball(eye: EyeShape) -> tuple[Array, Array, Array]:
    """Front pole (3,), rings (12, 24, 3), back pole (3,)."""
    polar = np.radians(BALL_RINGS)[:, None]
    around = np.linspace(0, 2 * np.pi, BALL_SEGMENTS, endpoint=False)[None]
    bulge = CORNEA_BULGE * np.clip(np.cos(polar * 90 / 27.0), 0, 1) * (polar < np.radians(27.0))
    reach = eye.radius + bulge
    rings = np.stack(
        [
            reach * np.sin(polar) * np.cos(around),
            reach * np.sin(polar) * np.sin(around),
            reach * np.cos(polar) + 0 * around,
        ],
        -1,
    )
    centre = np.array(eye.centre)
    front = centre + np.array([0, 0, eye.radius + CORNEA_BULGE])
    return front, centre + rings, centre - np.array([0, 0, eye.radius])
