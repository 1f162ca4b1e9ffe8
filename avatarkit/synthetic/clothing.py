"""Shirts: the torso's surface pushed outwards from a neckline down, with a hem or collar along the neckline."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avatarkit.head.bust import cage
from avatarkit.head.bust.spline import CageSurface
from avatarkit.synthetic.appearance import Appearance, rgb
from avatarkit.synthetic.materials import SURFACE, Material, linear
from avatarkit.synthetic.parts import Part, grid_faces, tube, unit, vertex_normals
from avatarkit.types import FloatArray, IntArray

CLOTH = Material(SURFACE, (0.20, 0.20, 0.20), 0.015, 8.0, mottle=0.10, mottle_scale=90.0, bump=0.05, bump_scale=700.0,
                 two_sided=True, weave=0.05)  # fmt: skip
BOTTOM = 29.0
ACROSS = 49

# Row of the cage (front, side, back) at which each shirt begins.
_NECKLINE = {"crew": (25.55, 25.0, 24.55), "v_neck": (25.5, 25.0, 24.55), "collar": (25.2, 24.75, 24.35),
             "turtleneck": (23.75, 23.7, 23.7)}  # fmt: skip


@lru_cache(maxsize=1)
def torso() -> CageSurface:
    """The bust's smooth skin as a function of (u, v); millimetres."""
    return CageSurface(cage.control_points())


def around() -> FloatArray:
    """(ACROSS, 2): u in [0, 12] and side, once around the body from the front's middle over the left."""
    u = np.linspace(0, 12, ACROSS)
    return np.concatenate([np.stack([u, np.ones(ACROSS)], 1), np.stack([u[-2:0:-1], -np.ones(ACROSS - 2)], 1)])


def on_torso(u: FloatArray, side: FloatArray, v: FloatArray, out: FloatArray | float) -> FloatArray:
    """(..., 3) millimetres: ``out`` mm above the skin at (u, v) of one side."""
    u, v = np.broadcast_arrays(np.asarray(u, float), np.asarray(v, float))
    surface, step = torso(), 0.02
    here = surface(np.stack([u, v], -1))
    across = surface(np.stack([np.minimum(u + step, 12), v], -1)) - surface(np.stack([np.maximum(u - step, 0), v], -1))
    across[..., 1:] = np.where(((u <= 0) | (u >= 12))[..., None], 0.0, across[..., 1:])
    down = surface(np.stack([u, np.minimum(v + step, 29)], -1)) - surface(np.stack([u, v - step], -1))
    normal = unit(np.cross(down, across))
    points = here + np.asarray(out)[..., None] * normal
    return points * np.stack([side + 0 * u, np.ones_like(u), np.ones_like(u)], -1)


def neckline(style: str, u: FloatArray) -> FloatArray:
    """(N,) v of the shirt's edge."""
    front, side, back = _NECKLINE[style]
    v = np.interp(u, (0.0, 3.0, 7.5, 12.0), (front, front * 0.6 + side * 0.4, side, back))
    if style == "v_neck":
        v = v + 1.85 * np.clip(1 - u / 3.6, 0, 1)
    if style == "collar":
        v = v + 0.9 * np.clip(1 - u / 1.6, 0, 1)
    return v


def shirt_parts(look: Appearance) -> list[Part]:
    """The shirt of ``look``; it rides on the root joint."""
    if look.shirt == "none":
        return []
    ring = around()
    u, side = ring[:, 0], ring[:, 1]
    start = neckline(look.shirt, u)
    share = np.linspace(0, 1, 26)[:, None]
    v = start + (BOTTOM - start) * share
    out = 4.5 + 2.0 * share + 0.8 * np.sin(9.0 * u + 5.0 * share) * share  # soft folds
    body = on_torso(np.tile(u, (26, 1)), side[None], v, np.broadcast_to(out, v.shape))
    below = np.linspace(0, 1, 7)[1:, None, None]  # the chest goes on below the bust, out of the picture
    body = np.concatenate([body, body[-1:] + below * np.array([0.0, -110.0, 0.0])])
    faces = grid_faces(len(body), len(ring), closed=True)
    parts = [_cloth(body.reshape(-1, 3), faces, look.shirt_colour)]
    if look.shirt == "turtleneck":
        fold = np.linspace(0, 1, 9)[:, None]
        v = start + 0.55 * np.abs(1 - 2 * fold) ** 1.0 - 0.55
        out = 4.0 + 6.0 * fold + 1.5 * np.sin(np.pi * fold) + 0.5 * np.cos(60.0 * u)
        roll = on_torso(np.tile(u, (9, 1)), side[None], v + 0.55 * fold, np.broadcast_to(out, v.shape))
        parts.append(_cloth(roll.reshape(-1, 3), grid_faces(9, len(ring), closed=True), look.shirt_trim))
    elif look.shirt == "collar":
        parts.append(_collar(look))
    else:
        width = 2.6 if look.shirt == "crew" else 2.2
        for shift in (0.0, 1.0):
            row = on_torso(u, side, start + 0.10 * shift, 5.2 + 0.3 * shift)
            parts.append(_cloth(*tube(row, width, sides=8, closed=True), look.shirt_trim))
    return parts


def _collar(look: Appearance) -> Part:
    """A band that stands up along the neck and folds over, open in front."""
    ring = around()
    u, side = ring[:, 0], ring[:, 1]
    # from the right front round the back to the left front
    order = np.concatenate([np.flatnonzero(side < 0)[::-1], np.flatnonzero(side > 0)[::-1]])
    order = order[u[order] > 0.55]
    u, side = u[order], side[order]
    start = neckline("collar", u)
    # (towards the head in v, outwards in mm): inside foot, inside top, fold, outer leaf down
    profile = (
        (0.05, 3.5),
        (-0.45, 4.5),
        (-0.85, 6.5),
        (-0.95, 8.5),
        (-0.85, 10.5),
        (-0.45, 12.0),
        (0.05, 12.5),
        (0.45, 12.0),
    )
    tip = np.clip(1 - (u - 0.55) / 2.6, 0, 1)
    rows = [
        on_torso(
            u,
            side,
            start + dv * (0.75 + 0.25 * (1 - tip)) + (0.75 * tip * (k >= 5) * (k - 4) / 3),
            out + 2.0 * (k >= 5) * tip,
        )
        for k, (dv, out) in enumerate(profile)
    ]
    return _cloth(np.stack(rows).reshape(-1, 3), grid_faces(len(rows), len(u)), look.shirt_trim)


def _cloth(points: FloatArray, faces: IntArray, colour: str) -> Part:
    normals = vertex_normals(points, faces)
    return Part(
        points * 1e-3, faces, normals, linear(rgb(colour)), CLOTH, "cloth", neck=np.zeros(len(points)), casts=True
    )
