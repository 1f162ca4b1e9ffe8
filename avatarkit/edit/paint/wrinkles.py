"""Wrinkles: furrows drawn on the neutral head where faces fold, a dark valley beside a lit ridge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from avatarkit.edit.paint.marks import Marks
from avatarkit.types import Float32Array, FloatArray

MOUTH_UNITS = 2.27  # from the eyes down to the mouth, in half distances between the eyes
VALLEY, RIDGE = 0.0008, 0.0013  # metres: deviation of the valley, and how far below it the ridge lies
CELL = 0.0005  # metres between the values that are kept
STEPS = 9  # points along a furrow
# (three points of a curve: start, bend, end, in half distances between the eyes from the point between them; depth).  Each is
# drawn on both sides; those that begin at 0 go on across the middle.
FURROWS: tuple[tuple[tuple[float, float], tuple[float, float], tuple[float, float], float], ...] = (
    ((0.00, 1.18), (0.70, 1.27), (1.30, 1.10), 0.8),
    ((0.00, 1.52), (0.80, 1.62), (1.45, 1.42), 1.0),
    ((0.00, 1.86), (0.70, 1.95), (1.25, 1.80), 0.7),
    ((0.17, 0.42), (0.22, 0.68), (0.16, 0.95), 0.8),
    ((1.62, 0.12), (1.86, 0.26), (2.10, 0.44), 0.8),
    ((1.64, 0.00), (1.90, 0.00), (2.14, 0.04), 0.9),
    ((1.60, -0.12), (1.84, -0.26), (2.04, -0.36), 0.7),
    ((0.48, -0.28), (0.95, -0.66), (1.48, -0.28), 0.9),
    ((0.62, -0.46), (1.02, -0.84), (1.40, -0.52), 0.5),
    ((0.52, -1.02), (0.92, -1.42), (1.00, -2.12), 1.3),
    ((0.90, -2.42), (1.02, -2.66), (0.92, -3.02), 1.0),
    ((1.12, -1.62), (1.32, -1.96), (1.30, -2.38), 0.5),
    ((0.16, -1.90), (0.15, -2.00), (0.17, -2.08), 0.4),
    ((0.40, -1.92), (0.41, -2.01), (0.44, -2.09), 0.4),
)  # fmt: skip


@dataclass(frozen=True)
class Creases:
    """Change of light by furrows (R, C) over the face seen from the front, −1 at the bottom of the deepest to about 0.5 on a
    ridge.  low: the x and y of its first cell, metres."""

    change: Float32Array
    low: FloatArray

    def at(self, points: Float32Array) -> Float32Array:
        """(N, 3) on the neutral head → (N,); 0 away from the face and behind it."""
        places = (points[:, :2] - self.low) / CELL
        found = map_coordinates(self.change, places[:, ::-1].T, np.float32, order=1, mode="constant", prefilter=False)
        return found * (points[:, 2] > 0.0)


def creases(marks: Marks, pitch: float) -> Creases:
    """The furrows of a face.  pitch: metres between pixels; what is finer than they can show is wider and shallower."""
    low, high = np.array([-0.075, -0.115]), np.array([0.075, 0.120])
    columns, rows = np.round((high - low) / CELL).astype(int) + 1
    x, y = np.meshgrid(low[0] + CELL * np.arange(columns), low[1] + CELL * np.arange(rows))
    places, unit = face_units(np.stack([x.ravel(), y.ravel()], 1).astype(np.float32), marks)
    valley = max(VALLEY, 0.7 * pitch)
    made = np.zeros(len(places), np.float32)
    for start, bend, end, strength in FURROWS:
        curve = _curve(np.array(start), np.array(bend), np.array(end))
        for side in (1.0, -1.0):
            line = curve * np.array([side, 1.0])
            reach = (4.0 * valley + RIDGE) / unit
            near = np.flatnonzero((places > line.min(0) - reach).all(1) & (places < line.max(0) + reach).all(1))
            dark = _profile(places[near], line, valley / unit, start[0] == 0.0)
            light = _profile(places[near] + np.array([0.0, RIDGE / unit]), line, valley / unit, start[0] == 0.0)
            change = (strength / 1.3 * VALLEY / valley * (0.5 * light - dark)).astype(np.float32)
            made[near] = np.where(np.abs(change) > np.abs(made[near]), change, made[near])
    return Creases(made.reshape(rows, columns), low)


def face_units(points: Float32Array, marks: Marks) -> tuple[FloatArray, float]:
    """(N, 2 or 3) metres → (N, 2): across and up from between the eyes in half distances between them, the mouth at
    −``MOUTH_UNITS``; and that unit in metres."""
    left, right = marks.eyes
    unit = 0.5 * abs(left.x - right.x)
    middle, height = 0.5 * (left.x + right.x), 0.5 * (left.y + right.y)
    across, up = (points[:, 0] - middle) / unit, (points[:, 1] - height) / unit
    stretch = MOUTH_UNITS * unit / max(height - marks.mouth.y, 0.5 * unit)
    return np.stack([across, np.where(up < 0, up * stretch, up)], 1).astype(np.float64), unit


def _curve(start: FloatArray, bend: FloatArray, end: FloatArray) -> FloatArray:
    """(STEPS, 2): the parabola through three points."""
    t = np.linspace(0.0, 1.0, STEPS)[:, None]
    middle = 2.0 * bend - 0.5 * (start + end)
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end


def _profile(places: FloatArray, line: FloatArray, width: float, open_start: bool) -> FloatArray:
    """(N,) in [0, 1]: 1 on the line, a Gaussian across it, running out towards its ends."""
    nearest = np.full(len(places), np.inf)
    along = np.zeros(len(places))
    for k in range(len(line) - 1):
        side, away = line[k + 1] - line[k], places - line[k]
        share = np.clip((away @ side) / float(side @ side), 0.0, 1.0)
        off = ((away - share[:, None] * side) ** 2).sum(1)
        better = off < nearest
        nearest = np.where(better, off, nearest)
        along = np.where(better, (k + share) / (len(line) - 1), along)
    if open_start:
        along = 0.5 + 0.5 * along
    return np.exp(-0.5 * nearest / width**2) * np.sqrt(np.clip(4.0 * along * (1.0 - along), 0.0, 1.0))
