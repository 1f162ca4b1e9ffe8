"""Identity modes: smooth displacements (mm) of the resting head, scaled so that a coefficient of 1 is a common difference
between two people (a few millimetres)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust import eyes
from avatarkit.head.bust.assembly import Rest
from avatarkit.head.bust.rigging import Fields, bell, smoothstep

Array = NDArray[np.float64]
Field = Callable[[Array], Array]

EYE = np.array(eyes.EYE.centre)


def _vector(weight: Array, x: Array | float = 0.0, y: Array | float = 0.0, z: Array | float = 0.0) -> Array:
    return weight[:, None] * np.stack(np.broadcast_arrays(np.asarray(x, float) + 0 * weight, y, z), -1)


def _pair(points: Array, centre: tuple[float, float, float], widths: tuple[float, float, float]) -> Array:
    """A bell on both sides of the face."""
    mirrored = (-centre[0], centre[1], centre[2])
    return bell(points, centre, widths) + bell(points, mirrored, widths)


def _above(points: Array, low: float, high: float) -> Array:
    return smoothstep(low, high, points[:, 1])


def _side(points: Array) -> Array:
    """−1 … 1 across the head, smooth at the midline."""
    return np.tanh(points[:, 0] / 8.0)


def _face_below_nose(p: Array) -> Array:
    """0 above the base of the nose, 1 at the chin, front half only; the neck follows half of it."""
    return (
        smoothstep(-20.0, -80.0, p[:, 1]) * (1 - smoothstep(-90.0, -150.0, p[:, 1])) * smoothstep(-60.0, 10.0, p[:, 2])
    )


def _fields() -> dict[str, Field]:
    """Name → displacement field of points (V, 3) mm."""
    return {
        "head_width": lambda p: _vector(_above(p, -110, -40), x=0.042 * p[:, 0]),
        "head_depth": lambda p: _vector(_above(p, -70, 0), z=0.035 * (p[:, 2] - 10.0)),
        "head_height": lambda p: _vector(_above(p, 40, 140), y=5.0),
        "face_length": lambda p: _vector(_face_below_nose(p), y=-4.5),
        "forehead_slope": lambda p: _vector(bell(p, (0, 98, 55), (70, 30, 40)), z=-4.5),
        "brow_ridge": lambda p: _vector(_pair(p, (20, 49, 68), (22, 9, 22)), z=2.2),
        "brow_height": lambda p: _vector(_pair(p, (28, 50, 64), (26, 11, 22)), y=2.6),
        "cheekbones": lambda p: _vector(_pair(p, (50, 2, 48), (22, 20, 30)), x=2.0 * _side(p), z=1.5),
        "cheek_fullness": lambda p: _vector(_pair(p, (48, -36, 38), (25, 28, 36)), x=3.4 * _side(p), z=1.5),
        "jaw_width": lambda p: _vector(_pair(p, (56, -58, 8), (30, 32, 42)), x=3.6 * _side(p)),
        "jaw_angle": lambda p: _vector(_pair(p, (60, -60, -8), (18, 20, 24)), y=-4.5),
        "chin_forward": lambda p: _vector(bell(p, (0, -76, 66), (32, 21, 34)), z=3.6),
        "chin_width": lambda p: _vector(_pair(p, (15, -76, 64), (19, 19, 32)), x=2.3 * _side(p)),
        "chin_height": lambda p: _vector(bell(p, (0, -84, 60), (38, 20, 38)), y=-3.4),
        "nose_length": lambda p: _vector(bell(p, (0, -17, 84), (24, 20, 30)), y=-2.3),
        "nose_width": lambda p: _vector(_pair(p, (13, -15, 76), (11, 14, 22)), x=1.7 * _side(p)),
        "nose_bridge": lambda p: _vector(bell(p, (0, 18, 74), (11, 20, 24)), z=2.8),
        "nose_projection": lambda p: _vector(bell(p, (0, -12, 92), (13, 14, 22)), z=3.4),
        "nose_tip_up": lambda p: _vector(bell(p, (0, -15, 92), (11, 10, 16)), y=2.4),
        "eye_spacing": lambda p: _vector(_pair(p, (31.5, 30, 50), (17, 22, 34)), x=1.6 * _side(p)),
        "eye_depth": lambda p: _vector(_pair(p, (31.5, 30, 52), (20, 16, 30)), z=-2.0),
        "lip_fullness": lambda p: _vector(
            bell(p, (0, -46, 77), (20, 13, 16)), y=1.7 * np.tanh((p[:, 1] + 45.6) / 2.5) * (np.abs(p[:, 1] + 45.6) > 0.3), z=1.1
        ),
        "mouth_width": lambda p: _vector(_pair(p, (23, -46, 68), (16, 18, 30)), x=2.6 * _side(p)),
        "mouth_height": lambda p: _vector(bell(p, (0, -46, 74), (34, 15, 40)), y=2.4),
        "ear_size": lambda p: _vector(smoothstep(66.0, 74.0, np.abs(p[:, 0])) * bell(p, (0, 5, -24), (1e3, 60, 60)) * 0.09, y=p[:, 1] - 3.0, z=p[:, 2] + 18.0),
        "neck_thickness": lambda p: _vector(bell(p, (0, -118, -40), (1e3, 34, 1e3)), x=0.075 * p[:, 0], z=0.06 * (p[:, 2] + 40)),
    }  # fmt: skip


def _eye_shape_modes(p: Array) -> dict[str, Array]:
    """Modes that turn or scale lids and ball together about the ball's centre."""
    out = {name: np.zeros_like(p) for name in ("eye_size", "eye_tilt")}
    for sign in (1.0, -1.0):
        centre = EYE * [sign, 1, 1]
        arm = p - centre
        near = 1 - smoothstep(17.0, 34.0, np.linalg.norm(arm, axis=1))
        near *= smoothstep(2.0, 10.0, sign * p[:, 0])
        out["eye_size"] += near[:, None] * arm * 0.055
        angle = sign * np.radians(3.0)
        out["eye_tilt"] += near[:, None] * np.stack([-angle * arm[:, 1], angle * arm[:, 0], 0 * angle * arm[:, 2]], -1)
    return out


def identity_modes(rest: Rest, fields: Fields) -> tuple[tuple[str, ...], Array]:
    """Names and displacements (S, V, 3) in millimetres.

    Around each eye a mode moves lids and ball as one piece, so that the ball keeps its place in the socket whatever the
    identity; teeth and tongue move with the middle of the mouth.
    """
    p = rest.points
    eye_hold = np.zeros(len(p))
    eye_sign = np.where(p[:, 0] >= 0, 1.0, -1.0)
    distance = np.linalg.norm(np.stack([np.abs(p[:, 0]), p[:, 1], p[:, 2]], -1) - EYE, axis=1)
    eye_hold = 1 - smoothstep(16.5, 30.0, distance)
    modes = {}
    for name, field in _fields().items():
        moved = field(p)
        at_eyes = field(np.stack([EYE, EYE * [-1, 1, 1]]))
        own_eye = np.where(eye_sign[:, None] > 0, at_eyes[0], at_eyes[1])
        moved = moved + eye_hold[:, None] * (own_eye - moved)
        if name in _RIGID_MOUTH:
            moved = _teeth_in_one_piece(rest, moved, field)
        modes[name] = moved
    modes |= _eye_shape_modes(p)
    return tuple(modes), np.stack(list(modes.values()))


_RIGID_MOUTH = frozenset({"lip_fullness", "mouth_width", "mouth_height", "face_length", "chin_forward", "nose_length"})


def _teeth_in_one_piece(rest: Rest, moved: Array, field: Field) -> Array:
    """Teeth and tongue get the displacement that the field has behind the lips (upper) or half of the chin's (lower)."""
    moved = moved.copy()
    for part, anchor in (("upper_teeth", (0, -40, 66)), ("lower_teeth", (0, -50, 64)), ("tongue", (0, -50, 50))):
        shift = field(np.array([anchor], dtype=float))[0]
        moved[rest.parts[part]] = np.array([0.0, shift[1], shift[2]])
    return moved
