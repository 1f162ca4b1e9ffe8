"""Necklaces: chains, beads, cords and pendants on the neck and the chest, over the clothes."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import Discs, boxy_profile, round_profile, together, tube_discs
from avatarkit.edit.accessories.materials import METALS, STONES, material
from avatarkit.edit.accessories.ornaments import FIGURES, bar, beads, figure, frame, links, stem, stone, tear
from avatarkit.edit.accessories.painting import Piece
from avatarkit.edit.accessories.relief import Relief
from avatarkit.edit.accessories.vectors import levelled, resampled
from avatarkit.edit.accessories.wishes import Wish, rgb
from avatarkit.types import FloatArray

BEAD, CHAIN, CORD = 0.0042, 0.0012, 0.0016  # metres, radii
PENDANT = 0.0075
SHOULDER = 0.009  # metres by which the neck has widened where a necklace comes to lie
DROP = 0.030  # metres from there down to its lowest point in front
RISE = 0.012  # and up to the nape
CHOKER = 0.006, 0.014  # metres: drop of a band on the neck, and how much higher than a chain it lies
OFF_SKIN = 0.0022  # metres: skin and clothes of an avatar are a little thicker than they measure
ROWS = 0.013  # metres between rows in front
BEHIND, APART = 0.0118, 0.0012  # metres between the middles of rows on the nape, and at least between their outsides
NAPE = 0.028  # metres that all rows take there, at most: above it is the head
DISCS = 7000  # at most, for all rows of beads
BEADED = ("pearl", "wood", "glass", "stone", "ceramic", "plastic")
CORDS = ("leather", "rubber", "wool", "felt", "denim", "cotton", "silk", "velvet", "straw", "fur")


def necklace(wish: Wish, anatomy: Anatomy) -> list[Piece]:
    """The pieces at rest, in the world."""
    scale = anatomy.scale
    grown = wish.factor() ** 0.75 * wish.only("thickness", "width", "depth") * scale
    form = _form(wish)
    band = form == "" and wish.material.name in CORDS
    radius = (BEAD if form == "pearls" else CHAIN) * grown
    rows = [_line(anatomy, wish, row, radius, band) for row in range(wish.count)]
    parts: list[Discs] = []
    for path in rows:
        if form == "pearls":
            centres = _spaced(path, 2.06 * BEAD * grown)
            parts.append(beads(centres, BEAD * grown, int(np.clip(DISCS / len(rows) / len(centres), 12, 30))))
        elif wish.material.name in CORDS:
            flat = boxy_profile(5.0 * CORD * grown, 1.2 * CORD * grown, 8) if band else round_profile(CORD * grown, 6)
            parts.append(tube_discs(_spaced(path, 0.0035), flat, closed=True))
        else:
            parts.append(links(_spaced(path, 0.0024 * max(1.0, len(rows) / 3.0)), CHAIN * grown, closed=True))
    pieces = [Piece(together(parts), wish.colour, wish.material)]
    half = 0.85 * PENDANT * grown
    hung = _pendant(wish, form, half)
    if hung is not None:
        lowest = rows[-1][0]
        outward = levelled(lowest - anatomy.column.axis(lowest[1]))
        # It hangs down in front of a chest that comes forward, from a bail that reaches out to it.
        tall = -float(hung.points[:, 1].min())
        chest = anatomy.column.at(np.zeros(8), lowest[1] - np.linspace(0, tall, 8))
        out = max(0.0, float(chest[:, 2].max()) + 0.003 + OFF_SKIN - float(hung.points[:, 2].min()) - lowest[2])
        reach = np.linspace(0.0, 1.0, 6)[:, None] * (out * outward)
        bail = tube_discs(lowest + reach, round_profile(0.16 * half, 5), up=np.array([0.0, 1.0, 0.0]))
        drop = hung.turned(frame(outward), lowest + out * outward)
        hangs = together([bail, drop]) if out > half / 8 else drop
        pieces.append(Piece(hangs, wish.colour, wish.material))
        if wish.material.name in STONES:  # the chain of a stone is of metal
            pieces[0] = Piece(pieces[0].discs, rgb(material("silver").colour), material("silver"))
    return pieces


def _form(wish: Wish) -> str:
    if wish.form in ("pearls", "dot"):
        return "pearls"
    if wish.form in ("", "full", "short") and wish.material.name in BEADED:
        return "pearls"
    return wish.form


def _pendant(wish: Wish, form: str, half: float) -> Discs | None:
    """What hangs in front, from the origin down; None for beads, cords and plain chains."""
    if form in ("pearls", "chain"):
        return None
    held = stem(0.5 * half, 0.16 * half)
    if form in FIGURES:
        return together([held, figure(form, half).turned(np.eye(3), np.array([0.0, -1.4 * half, 0.0]))])
    if form in ("line", "straight", "stud"):
        return together([held, bar(3.2 * half, 0.2 * half)])
    if wish.material.name in STONES:
        return together([held, stone(0.85 * half, 84).turned(np.eye(3), np.array([0.0, -1.2 * half, 0.2 * half]))])
    if form == "drop" or (form == "" and wish.material.name in METALS):
        return together(
            [held, tear(0.62 * half, 2.2 * half).turned(np.eye(3), np.array([0.0, -0.4 * half, 0.25 * half]))]
        )
    return None


def _line(anatomy: Anatomy, wish: Wish, row: int, radius: float, choker: bool) -> FloatArray:
    """(P, 3) the middle of the necklace's row, closed; the first point is the lowest, in front."""
    longer = wish.only("length", "height")
    drop = CHOKER[0] if choker else DROP
    base = _drape(anatomy, row, wish.count, drop, radius, choker)
    if longer == 1.0:
        return base
    wanted = longer * _length(_drape(anatomy, 0, 1, drop, radius, choker))
    low, high = -0.012, 0.30  # metres of drop; with the least it lies level
    for _ in range(18):
        middle = 0.5 * (low + high)
        shorter = _length(_drape(anatomy, 0, 1, middle, radius, choker)) < wanted
        low, high = (middle, high) if shorter else (low, middle)
    return _drape(anatomy, row, wish.count, 0.5 * (low + high), radius, choker)


def _drape(anatomy: Anatomy, row: int, rows: int, drop: float, radius: float, choker: bool) -> FloatArray:
    """(240, 3) a closed line: on the nape, and in front from the sides of the neck down to ``drop`` metres below them."""
    column, scale = anatomy.column, anatomy.scale
    middle = _resting_height(anatomy) + (CHOKER[1] * scale if choker else 0.0)
    bottom = max(middle - (drop + ROWS * row) * scale, column.bottom + 0.006)
    apart = min(max(BEHIND * scale, 2.0 * radius + APART * scale), NAPE * scale / max(1, rows - 1))
    rest = middle + apart * (0.5 * (rows - 1) - row)
    behind = np.linspace(0.5 * np.pi, 1.5 * np.pi, 121)[:-1]
    nape = column.at(behind, rest - RISE * scale * np.cos(behind))
    left, right = nape[0], nape[-1]
    across = np.linspace(right[0], left[0], 121)[:-1]
    hanging = np.abs(across - 0.5 * (right[0] + left[0])) / (0.5 * (left[0] - right[0]))
    power = 2.2 - 6.0 * np.clip(drop - DROP, 0.0, 0.12)  # the longer, the more like a V
    height = bottom + (rest - bottom) * hanging**power
    depth = Relief(column.surface(), 2)(across, height)
    # What hangs over a hollow does not fall into it.
    front = np.stack([across, height, np.maximum(depth, gaussian_filter1d(depth, 6.0, mode="nearest"))], 1)
    path = np.concatenate([front[60:], nape, front[:60]])
    away = levelled(path - column.axis(path[:, 1]))
    smooth = np.stack([gaussian_filter1d(path[:, k], 2.0, mode="wrap") for k in range(3)], 1)
    return smooth + (0.9 * radius + OFF_SKIN) * away


def _resting_height(anatomy: Anatomy) -> float:
    """Height at the side of the neck where it has widened towards the shoulder."""
    column = anatomy.column
    heights = column.heights
    sides = [column.reach(np.full(len(heights), turn), heights) for turn in (0.5 * np.pi, -0.5 * np.pi)]
    wide = 0.5 * (sides[0] + sides[1])
    narrowest = int(wide[: max(3, 2 * len(wide) // 3)].argmin())
    shoulder = np.flatnonzero(wide[narrowest:] > wide[narrowest] + SHOULDER * anatomy.scale)
    return float(heights[narrowest + (shoulder[0] if len(shoulder) else 0)])


def _length(path: FloatArray) -> float:
    return float(np.linalg.norm(np.roll(path, -1, 0) - path, axis=1).sum())


def _spaced(path: FloatArray, spacing: float) -> FloatArray:
    """(P, 3) points on the closed ``path`` at about ``spacing`` metres, an even number of them."""
    return resampled(path, 2 * max(6, round(_length(path) / spacing / 2)), closed=True)
