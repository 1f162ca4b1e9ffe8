"""Earrings: studs, hoops, drops and figures on the lobes, more of them up the ear's edge."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import Discs, ball_discs, together
from avatarkit.edit.accessories.materials import JEWELS, STONES
from avatarkit.edit.accessories.ornaments import FIGURES, bar, beads, figure, frame, links, ring, stem, stone, tear
from avatarkit.edit.accessories.painting import Piece
from avatarkit.edit.accessories.vectors import SIDES, unit
from avatarkit.edit.accessories.wishes import Wish
from avatarkit.types import FloatArray

HOOP, WIRE = 0.0125, 0.0012  # metres: radius of a hoop, of its wire
STUD, FIGURE = 0.0028, 0.0065
FURTHER = np.array([0.0, 0.0100, -0.0088])  # metres from one hole to the next, up the ear's edge
CLEARANCE = 0.0048  # metres between two ornaments in one ear, whose Gaussians blur by one or two
PUSHES = 4  # steps to get there
SMALLER, HUGGING = 0.72, 0.6  # an ornament beside that in the hole below; a hoop there hugs the edge
COVERED = 0.005  # metres of hair over an ear that hide it
OUT_OF_HAIR = 0.045  # metres that an earring comes out at most to hang before the hair
TURNED = np.radians(42.0)  # a hoop's plane against the head's side, so that front and side both see it


def earrings(wish: Wish, anatomy: Anatomy) -> list[Piece]:
    """The pieces at rest, in the world: on the side that is named, else a pair."""
    count = max(wish.count, 2) if not wish.side else wish.count
    per_ear = {wish.side: count} if wish.side else {"l": (count + 1) // 2, "r": count // 2}
    parts = []
    for side, number in per_ear.items():
        ear: list[Discs] = []
        for place in range(number):
            ear.append(_past(ear, _one(wish, anatomy, side, place)))
        parts += ear
    return [Piece(together(parts), wish.colour, wish.material)]


def _past(others: list[Discs], made: Discs) -> Discs:
    """``made`` moved on up the ear's edge until no ornament of the same ear goes through it."""
    along = unit(FURTHER)
    for other in others:
        tree = cKDTree(other.points)
        for _ in range(PUSHES):
            missing = CLEARANCE - float(tree.query(made.points)[0].min())
            if missing <= 0.0:
                break
            made = made.turned(np.eye(3), missing * along)
    return made


def _one(wish: Wish, anatomy: Anatomy, side: str, place: int) -> Discs:
    """The earring in the hole ``place`` of one ear, 0 on the lobe."""
    sign, smaller = SIDES[side], SMALLER**place
    if place and _form(wish) == "hoop":
        smaller *= HUGGING
    size = wish.factor() * smaller * anatomy.scale
    hole = anatomy[f"{side}_lobe"]
    if place:
        guess = hole + FURTHER * place * anatomy.scale + np.array([0.004 * sign, 0.0, 0.0])
        hole = anatomy.skin.nearest(guess[None]).points[0]
    facing = unit(np.array([0.75 * sign, 0.0, 0.66]))
    made = _shape(wish, size)
    hanging = made.points[:, 1].min() < -2.5 * STUD * size
    axes = frame(_hoop_facing(sign) if _form(wish) == "hoop" else facing)
    on_ear = made.turned(axes, hole + facing * (0.0006 if hanging else 0.0))
    return _clear(on_ear, anatomy, hole, sign)


def _form(wish: Wish) -> str:
    if wish.form in ("", "full", "short", "wide_brim", "cat_eye", "curly", "wavy", "goatee", "stubble"):
        return "stud" if wish.material.name in JEWELS else "hoop"
    return {"straight": "line"}.get(wish.form, wish.form)


def _shape(wish: Wish, size: float) -> Discs:
    """The ornament in its own frame, its hole at the origin."""
    form, long, thick = _form(wish), wish.only("length", "height"), wish.only("thickness", "width", "depth")
    wire = WIRE * thick * size**0.5
    if form == "hoop":
        radius = HOOP * size * long
        count = int(np.clip(round(2 * np.pi * radius / 0.0018), 28, 72))
        hoop = ring(radius, wire, count)
        return hoop.turned(np.eye(3), np.array([0.0, 1.2 * wire - radius, 0.0]))
    if form in ("stud", "dot"):
        if wish.material.name in STONES:
            return stone(1.25 * STUD * size * thick).turned(np.eye(3), np.array([0.0, 0.0, 0.9 * STUD * size]))
        grown = STUD * size * thick * (1.25 if wish.material.name == "pearl" else 1.0)
        return ball_discs(np.array([0.0, 0.0, 0.55 * grown]), grown, 70)
    hook = ball_discs(np.zeros(3), 0.0014 * size, 16)
    drop_by = 0.0075 * size * long
    held = [hook, stem(drop_by, 0.6 * wire)]
    if form == "line":
        held.append(bar(0.024 * size * long, 1.1 * wire))
    elif form == "chain":
        path = np.linspace(0, 1, 22)[:, None] * np.array([0.0, -0.032 * size * long, 0.0])
        held.append(links(path, 1.1 * wire))
    elif form == "pearls":
        pearl = 0.0032 * size * thick
        centres = np.array([[0.0, -(0.004 * size + (2 * i + 1) * pearl) * long, 0.0] for i in range(3)])
        held.append(beads(centres, pearl, 40))
    elif form in FIGURES:
        half = FIGURE * size * thick
        held.append(figure(form, half).turned(np.eye(3), np.array([0.0, -drop_by - 0.9 * half, 0.0])))
    else:  # a drop
        body = tear(0.0048 * size * thick, 0.014 * size * long)
        held.append(body.turned(np.eye(3), np.array([0.0, -drop_by, 0.0])))
    return together(held)


def _hoop_facing(sign: float) -> FloatArray:
    """The normal of a hoop's plane, level."""
    return np.array([np.cos(TURNED) * sign, 0.0, np.sin(TURNED)])


def _clear(made: Discs, anatomy: Anatomy, hole: FloatArray, sign: float) -> Discs:
    """``made`` moved outwards: what hangs off the skin, and all of it out of hair that covers the ear."""
    low = made.points[made.points[:, 1] < hole[1] - 0.006]
    inside = 0.0
    if len(low):
        reach = anatomy.left if sign > 0 else anatomy.right
        inside = float(np.clip((sign * (reach(low[:, 2], low[:, 1]) - low[:, 0])).max() + 0.001, 0.0, 0.008))
    offset = made.points - anatomy.envelope.centre
    distance = np.linalg.norm(offset, axis=1)
    outward = offset / distance[:, None]
    with_hair, bald = (anatomy.envelope.reach(outward, hair=hair) for hair in (True, False))
    covered = float(np.quantile(with_hair - np.maximum(distance, bald), 0.85))
    out = min(covered + 0.004, OUT_OF_HAIR) if covered > COVERED else 0.0
    return made.turned(np.eye(3), np.array([sign * max(inside, out), 0.0, 0.0]))
