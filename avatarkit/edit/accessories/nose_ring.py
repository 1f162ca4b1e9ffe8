"""Nose rings and studs, on a wing of the nose or in the septum: each rides on one triangle, so that it keeps its shape."""

from __future__ import annotations

import numpy as np

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import Discs, ball_discs, together
from avatarkit.edit.accessories.materials import JEWELS, STONES
from avatarkit.edit.accessories.ornaments import FIGURES, figure, frame, ring, stone
from avatarkit.edit.accessories.painting import Piece
from avatarkit.edit.accessories.vectors import SIDES, levelled, unit
from avatarkit.edit.accessories.wishes import Wish
from avatarkit.types import FloatArray, IntArray

RING, WIRE, STUD = 0.0046, 0.00062, 0.0017  # metres
FURTHER = 0.0042  # metres from one hole to the next, up the wing
STUDS = ("stud", "dot", *FIGURES[1:])


def nose_rings(wish: Wish, anatomy: Anatomy) -> tuple[list[Piece], IntArray]:
    """The pieces at rest in the world, and the triangle (N,) that carries each disc.

    On the wing that is named; without a side one alone is on the left wing, two are on both, a third is in the septum.  Below
    the nose means the septum.
    """
    parts, owners = [], []
    for spot, place in _spots(wish):
        made, held = _one(wish, anatomy, spot, place)
        parts.append(made)
        owners.append(np.full(len(made), anatomy.skin.nearest(held[None]).triangles[0]))
    return [Piece(together(parts), wish.colour, wish.material)], np.concatenate(owners)


def _spots(wish: Wish) -> list[tuple[str, int]]:
    """(wing "l" or "r", or "" for the septum; how far up) of each ring."""
    if wish.side:
        return [(wish.side, place) for place in range(wish.count)]
    if wish.relation == "below" or wish.anchor == "u_lip":
        return [("", place) for place in range(wish.count)]
    order = ("l", "r", "", "l", "r", "l", "r", "l", "r", "l")
    return [(spot, order[:i].count(spot)) for i, spot in enumerate(order[: wish.count])]


def _one(wish: Wish, anatomy: Anatomy, spot: str, place: int) -> tuple[Discs, FloatArray]:
    """One ring or stud, and the point of the skin that it is held by."""
    size = wish.factor("width", "height", "length") * anatomy.scale
    thick = wish.only("thickness", "depth") * size**0.5
    if not spot:
        held = anatomy["septum"] + np.array([0.0, -0.0026, 0.0012]) * place * size
        held = held + np.array([0.0, -0.4, 1.0]) * anatomy.flesh(held[None])[0]
        made = ring(RING * 1.1 * size, WIRE * 1.15 * thick, 36)
        return made.turned(np.eye(3), held + np.array([0.0, -0.50 * RING * size, 0.0004])), held
    hole, outward = _hole(anatomy, spot, place)
    facing = unit(outward + np.array([0.0, 0.0, 0.5]))
    if wish.form in STUDS or (wish.form in ("", "round") and wish.material.name in JEWELS):
        return _stud(wish, STUD * size * thick / size**0.5, frame(facing), hole + 0.0007 * facing), hole
    # The ring stands across the wing: from the hole outwards, around the edge and up inside the nostril.
    aside, up = levelled(outward), np.array([0.0, 1.0, 0.0])
    axes = np.stack([aside, up, np.cross(aside, up)], 1)
    made = ring(RING * size, WIRE * thick, 36)
    return made.turned(axes, hole - 0.28 * RING * size * aside - np.array([0.0, 0.78 * RING * size, 0.0])), hole


def _hole(anatomy: Anatomy, side: str, place: int) -> tuple[FloatArray, FloatArray]:
    """Where a wing is pierced, and the skin's normal there: the foremost point of a window on the wing's outer half."""
    base, middle, scale = anatomy["septum"], anatomy.middle, anatomy.scale
    wide = SIDES[side] * (anatomy[f"{side}_ala"][0] - middle)
    across = middle + SIDES[side] * np.linspace(0.74, 0.86, 7)[:, None] * wide
    height = base[1] + (0.0052 + FURTHER * place) * scale + np.linspace(-0.001, 0.001, 5)[None] * scale
    depth = anatomy.front(across + 0 * height, height + 0 * across)
    best = np.unravel_index(depth.argmax(), depth.shape)
    found = anatomy.skin.nearest(np.array([[across[best[0], 0], height[0, best[1]], depth[best]]]))
    return found.points[0] + anatomy.flesh(found.points)[0] * found.normals[0], found.normals[0]


def _stud(wish: Wish, half: float, axes: FloatArray, at: FloatArray) -> Discs:
    if wish.form in FIGURES and wish.form != "round":
        return figure(wish.form, 1.5 * half, 20).turned(axes, at)
    if wish.material.name in STONES:
        return stone(1.3 * half, 48).turned(axes, at)
    return ball_discs(at, half, 36)
