"""Joints, skinning weights and the soft masks that expressions and regions are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust import eyes, lips
from avatarkit.head.bust.assembly import Rest
from avatarkit.head.bust.skin import mouth_chain

Array = NDArray[np.float64]

JOINT_NAMES = ("root", "neck", "jaw", "l_eye", "r_eye")
PARENTS = (-1, 0, 1, 1, 1)
# Millimetres.  The jaw turns about the hinge in front of the ear canal, the head about the middle of the neck.
ROOT, NECK, JAW = (0.0, -150.0, -48.0), (0.0, -108.0, -42.0), (0.0, 2.0, -6.0)


def smoothstep(low: float | Array, high: float | Array, value: Array) -> Array:
    t = np.clip((value - low) / (np.asarray(high) - low), 0, 1)
    return t * t * (3 - 2 * t)


def bell(points: Array, centre: tuple[float, float, float], widths: tuple[float, float, float]) -> Array:
    """(V,) Gaussian falloff around ``centre`` with one width per axis, mm."""
    return np.exp(-(((points - np.array(centre)) / np.array(widths)) ** 2).sum(-1))


@dataclass(frozen=True)
class Fields:
    """Soft masks over the vertices, (V,) in [0, 1].

    soft: what is skin or lining (not teeth, tongue or eyeballs); upper: above the lips' line; jaw: weight of the jaw joint
    before normalisation; head: weight of everything above the neck; left: 1 on the left half, 0 on the right, smooth over the lips' width.
    lid_hold: how freely the skin around the eye may be pulled (0 on the lids themselves).
    """

    soft: Array
    upper: Array
    jaw: Array
    head: Array
    left: Array
    lid_hold: Array


def _smoothed(values: Array, rest: Rest, fixed: NDArray[np.bool_], rounds: int) -> Array:
    edges = np.concatenate([rest.faces[:, [0, 1]], rest.faces[:, [1, 2]], rest.faces[:, [2, 0]]])
    degree = np.bincount(edges.ravel(), minlength=len(values)).astype(float)
    for _ in range(rounds):
        total = np.bincount(edges[:, 0], values[edges[:, 1]], len(values)) + np.bincount(
            edges[:, 1], values[edges[:, 0]], len(values)
        )
        values = np.where(fixed, values, 0.4 * values + 0.6 * total / np.maximum(degree, 1))
    return values


def _upper(rest: Rest) -> Array:
    """1 above the lips' line, 0 below, exact on the lips and softer with distance from the mouth."""
    p = rest.points
    x = np.abs(p[:, 0])
    from_mouth = np.sqrt(np.maximum(x - lips.MOUTH.corner_x, 0) ** 2 + np.maximum(45.0 - p[:, 2], 0) ** 2)
    # along the cheek the line runs up towards the jaw's hinge
    slope = np.clip((lips.MOUTH.corner_z - p[:, 2]) / (lips.MOUTH.corner_z - JAW[2]), 0, 1.4)
    line_y = lips.MOUTH.corner_y + slope * 14.0
    width = 4.0 + 0.8 * from_mouth
    upper = smoothstep(-width, width, p[:, 1] - line_y)
    fixed = np.zeros(len(p), bool)
    t, above = mouth_chain()
    to_corner = np.abs(np.arange(len(t)) - 18) / 11.0
    exact = 0.5 + 0.5 * np.where(above, 1, -1) * smoothstep(0.0, 1.0, to_corner)
    for ids in (rest.grids["mouth"][3:], rest.mirror[rest.grids["mouth"][3:]]):
        upper[ids] = exact[None]
        fixed[ids] = True
    upper = _smoothed(upper, rest, fixed, 30)
    upper[rest.parts["upper_teeth"]] = 1.0
    upper[rest.parts["lower_teeth"] | rest.parts["tongue"]] = 0.0
    upper[rest.parts["eyeball"] | rest.parts["ear"] | rest.parts["eyelid"]] = 1.0
    return upper


def make_fields(rest: Rest) -> Fields:
    p = rest.points
    y, z = p[:, 1], p[:, 2]
    rigid = rest.parts["eyeball"] | rest.parts["upper_teeth"] | rest.parts["lower_teeth"] | rest.parts["tongue"]
    upper = _upper(rest)
    front = smoothstep(-16.0, 22.0, z)  # nothing behind the ear follows the jaw
    above_throat = smoothstep(-114.0, -79.0, y - 0.12 * np.maximum(z - 26, 0)) * (1 - smoothstep(0.0, 24.0, y))
    jaw = (1 - upper) * np.where(rigid | rest.parts["lining"], 1.0, front * above_throat)
    lining = rest.parts["lining"]
    jaw = np.where(lining, jaw * smoothstep(8.0, 45.0, z), jaw)  # the throat's wall stays
    tongue = rest.parts["tongue"]
    jaw = np.where(tongue, 0.35 + 0.65 * smoothstep(14.0, 40.0, z), jaw)
    # the neck turns over its whole length, the nape a little higher than the throat
    head = smoothstep(-150.0, -84.0, y + 0.10 * (z + 40))
    head = np.where(rigid | lining | rest.parts["ear"], 1.0, head)
    left = smoothstep(-9.0, 9.0, p[:, 0])
    lid_hold = np.ones(len(p))
    for k, hold in enumerate((1.0, 0.85, 0.65, 0.4, 0.15)):
        ring = rest.grids["eye"][k]
        lid_hold[ring] = lid_hold[rest.mirror[ring]] = hold
    for ids in (rest.grids["eye"][5:], rest.mirror[rest.grids["eye"][5:]]):
        lid_hold[ids] = 0.0
    return Fields(np.where(rigid, 0.0, 1.0), upper, np.clip(jaw, 0, 1), head, left, lid_hold)


def skinning_weights(rest: Rest, fields: Fields) -> Array:
    """(V, 5) rows that sum to one, in the order of JOINT_NAMES."""
    weights = np.zeros((len(rest.points), 5))
    weights[:, 0] = 1 - fields.head
    weights[:, 2] = fields.head * fields.jaw
    weights[:, 1] = fields.head - weights[:, 2]
    ball = rest.parts["eyeball"]
    weights[ball] = 0.0
    weights[ball & (rest.side > 0), 3] = 1.0
    weights[ball & (rest.side < 0), 4] = 1.0
    return weights


def joint_positions() -> Array:
    """(5, 3) millimetres."""
    eye = np.array(eyes.EYE.centre)
    return np.stack([ROOT, NECK, JAW, eye, eye * [-1, 1, 1]])


def joint_regressor(rest: Rest) -> Array:
    """(5, V) rows that sum to one and give each joint from the vertices.

    An eye's joint is the mean of two rings of its ball, weighted to lie at the centre (and stays there when gaze modes turn the
    ball).  The others are the least-norm combination of the skin around them, so that identity modes carry them along.
    """
    targets = joint_positions()
    p = rest.points
    regressor = np.zeros((5, len(p)))
    ball = rest.grids["ball"]
    before, behind = (np.cos(np.radians(eyes.BALL_RINGS[ring])) for ring in (9, 10))
    share = -behind / (before - behind)
    for row, ids in ((3, ball), (4, rest.mirror[ball])):
        regressor[row, ids[9]] = share / ids.shape[1]
        regressor[row, ids[10]] = (1 - share) / ids.shape[1]
    skin = rest.parts["skin"]
    for row, reach in ((0, 26.0), (1, 14.0), (2, 14.0)):
        near = skin & (np.abs(p[:, 1] - targets[row, 1]) < reach)
        if row == 2:
            near &= np.abs(p[:, 2] - targets[row, 2]) < 26.0
        ids = np.flatnonzero(near)
        system = np.concatenate([p[ids].T, np.ones((1, len(ids)))])
        system[:3] /= 100.0  # alike in size to the row of ones
        wanted = np.concatenate([targets[row] / 100.0, [1.0]])
        regressor[row, ids] = system.T @ np.linalg.solve(system @ system.T, wanted)
    return regressor
