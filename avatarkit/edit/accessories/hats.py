"""Hats with a brim: a creased crown in felt, a round one in straw, with a ribbon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import COVER, Discs, facing, grid_discs, together
from avatarkit.edit.accessories.headform import Headform, headform
from avatarkit.edit.accessories.light import encoded, linear
from avatarkit.edit.accessories.materials import material
from avatarkit.edit.accessories.painting import Piece
from avatarkit.edit.accessories.vectors import levelled, path_lengths
from avatarkit.edit.accessories.wishes import Wish
from avatarkit.types import FloatArray

FOREHEAD = 0.24
BRIM, WIDE = 0.052, 0.098  # metres
THICK = 0.0016
LOOSE = 0.0045  # metres between head and hat
TALL = 0.021  # metres from the head to the top of the crown
CREASE = 0.013
RIBBON = 0.024
LEAST_BRIM = 0.006
UP = np.array([0.0, 1.0, 0.0])
SHADE = 0.62  # of the light under a brim
ROWS = (0.0, 0.10, 0.24, 0.38, 0.52, 0.66, 0.80, 0.92, 0.975, 1.0)  # of a brim, close together at its edge


def hats(wish: Wish, anatomy: Anatomy) -> list[Piece]:
    """The pieces at rest, in the world."""
    form = headform(anatomy, FOREHEAD)
    size = wish.factor("width", "length")
    brim = WIDE if wish.form == "wide_brim" else BRIM
    thick = THICK * wish.only("thickness")
    foot = _foot(form)
    around = float(np.linalg.norm((foot - foot.mean(0))[:, [0, 2]], axis=1).mean())
    # The whole hat grows by the factor; the head that it sits on does not, so most of it goes into the brim.
    crown = 1 + 0.2 * max(0.0, size - 1)
    wide = size * (around + brim) - crown * around
    if wide >= LEAST_BRIM:
        return _hat(wish, form, foot, crown, wide, thick)
    # Too small to be worn: a whole small hat, perched on the crown of the head.
    pieces = _hat(replace(wish, size=1.0), form, foot, 1.0, brim, thick)
    return [Piece(_perched(piece.discs, form, size), piece.colour, piece.material) for piece in pieces]


def _foot(form: Headform) -> FloatArray:
    """(C, 3) where the crown begins: outside everything that is above the line."""
    ring = form.ring()
    heights = np.linspace(0.0, 1.0, 7)[:, None] * (form.top - ring[:, 1]) * 0.6 + ring[:, 1]
    widest = form.around(heights).max(0)
    widest = np.maximum(widest, _smoothed(widest)) + LOOSE
    centre = form.anatomy.envelope.centre
    return form.at(widest, form.height(centre[2] + widest * np.cos(form.azimuths)))


def _smoothed(values: FloatArray, waves: int = 5) -> FloatArray:
    """(C,) around the circle, without what is finer than ``waves`` waves."""
    spectrum = np.fft.rfft(values)
    spectrum[waves + 1 :] = 0
    return np.fft.irfft(spectrum, len(values))


def _hat(wish: Wish, form: Headform, foot: FloatArray, crown: float, brim: float, thick: float) -> list[Piece]:
    foot = _scaled(foot, crown)
    shape = _Crown(form, foot, wish, wish.form in ("round", "wide_brim") or wish.material.coiled)
    parts = [shape.discs(), _brim(form, foot, brim, thick, wish)]
    return [
        Piece(together(parts), wish.colour, wish.material),
        Piece(shape.ribbon(), _ribbon_colour(wish.colour), material("ribbon")),
    ]


class _Crown:
    """What stands on the line: a wall that leans in, a rounded corner, a top that is creased unless it is ``rounded``."""

    def __init__(self, form: Headform, foot: FloatArray, wish: Wish, rounded: bool) -> None:
        self.form, self.foot, self.wish, self.rounded = form, foot, wish, rounded
        self.axis = np.array([foot[:, 0].mean(), 0.0, foot[:, 2].mean()])
        base = float(foot[:, 1].mean())
        tall = wish.factor("height") * (form.top + TALL - base)
        self.level = base + max(tall, form.top + 0.007 - base)

    def surface(self, level: FloatArray, out: FloatArray) -> FloatArray:
        """(R, C, 3): ``level`` (R,) from 0 at the foot to 1 at the top, ``out`` (R,) share of the foot's distance from the
        axis."""
        rise, wide = level[:, None], out[:, None]
        heights = self.foot[:, 1] + rise * (self.level - self.foot[:, 1])
        lean = 1 - (0.03 if self.rounded else 0.07) * rise
        points = self.axis + ((self.foot - self.axis) * np.array([1.0, 0.0, 1.0])) * (wide * lean)[..., None]
        points[..., 1] = heights
        if not self.rounded:
            self._crease(points, rise)
        centre = self.form.anatomy.envelope.centre
        own = np.hypot(points[..., 0] - centre[0], points[..., 2] - centre[2])
        under = points[..., 1] < self.form.top - 0.001
        needed = np.where(under, self.form.around(np.minimum(points[..., 1], self.form.top - 0.001)) + 0.003, 0.0)
        push = np.maximum(needed / np.maximum(own, 1e-6), 1.0)
        for k in (0, 2):
            points[..., k] = centre[k] + (points[..., k] - centre[k]) * push
        return points

    def _crease(self, points: FloatArray, rise: FloatArray) -> None:
        """A fold along the top, open to the front, and a pinch on both its sides."""
        x, z = points[..., 0] - self.axis[0], points[..., 2] - self.axis[2]
        upper = np.clip((rise - 0.45) / 0.55, 0.0, 1.0) ** 2
        fold = np.exp(-((x / 0.019) ** 2)) * np.clip(1.0 + z / 0.11, 0.0, 1.0) ** 0.7
        points[..., 1] -= min(CREASE, self.level - self.form.top - 0.005) * fold * upper
        pinch = 0.16 * np.exp(-(((np.abs(x) - 0.034) / 0.016) ** 2)) * np.clip((z - 0.02) / 0.05, 0.0, 1.0) * upper
        points[..., 0] -= pinch * x
        points[..., 2] -= 0.5 * pinch * z

    def discs(self) -> Discs:
        """The shell, in rows that are evenly spaced up the wall and across the top."""
        bend = 0.62 if self.rounded else 0.34
        turn = np.linspace(0.0, 0.5 * np.pi, 400)
        level, out = np.sin(turn) ** bend, np.cos(turn) ** bend
        length = path_lengths(np.stack([0.11 * level, 0.085 * out], 1))
        rows = 25 if self.wish.material.coiled else 19
        at = np.linspace(0.0, 0.985 * length[-1], rows)
        corners = self.surface(np.interp(at, length, level), np.interp(at, length, out))
        shade = 1 - 0.14 * np.exp(-((np.arange(rows - 1) / 1.5) ** 2))
        shade *= _rings(rows - 1, self.wish)
        return grid_discs(
            corners, closed=True, outward=self.form.anatomy.envelope.centre, shadow=shade, cover=_cover(self.wish)
        )

    def ribbon(self) -> Discs:
        heights = np.array([0.0, 0.3, 0.7, 1.0]) * RIBBON * self.wish.only("height") ** 0.5
        level = heights / (self.level - float(self.foot[:, 1].mean()))
        corners = self.surface(level, np.ones(4))
        corners += 0.0012 * levelled(corners - self.axis)
        return grid_discs(corners, closed=True, outward=self.form.anatomy.envelope.centre)


def _brim(form: Headform, foot: FloatArray, brim: float, thick: float, wish: Wish) -> Discs:
    """Top, underside and edge; the underside reaches in to the head."""
    axis = np.array([foot[:, 0].mean(), 0.0, foot[:, 2].mean()])
    away = levelled(foot - axis)
    rows = np.array(ROWS) if not wish.material.coiled else np.linspace(0, 1, 13)
    share = rows[:, None]
    front, side = np.clip(away[:, 2], 0, 1), np.abs(away[:, 0])
    wide = brim > 0.075  # a wide one hangs and waves, a narrow one turns up at the sides
    sides, snap, wave = (0.10, 0.16, 0.03) if wide else (0.20, 0.12, 0.0)
    lift = sides * side**3 - snap * front**2 - 0.06 * np.clip(-away[:, 2], 0, 1)
    lift = lift + wave * np.sin(3 * form.azimuths + 0.7)
    level = foot + (brim * share)[..., None] * away
    level[..., 1] += brim * lift * share**1.6 - 0.04 * brim * share
    under = level - thick * UP
    inside = form.ring(-0.001)
    inside[:, 1] = foot[:, 1] - thick
    under = np.concatenate([inside[None], under[:: 2 if wish.material.coiled else 1]])
    edge = np.stack([level[-1], level[-1] + 0.6 * thick * away - 0.5 * thick * UP, level[-1] - thick * UP])
    cover = _cover(wish)
    top = grid_discs(level, closed=True, shadow=_rings(len(level) - 1, wish), cover=cover)
    low = grid_discs(under, closed=True, shadow=SHADE * _rings(len(under) - 1, wish), cover=cover)
    rim = grid_discs(edge, closed=True, outward=foot.mean(0))
    return together([facing(top, UP), facing(low, -UP), rim])


def _rings(rows: int, wish: Wish) -> FloatArray:
    """(rows,) light and shade by row where the material is plaited and sewn in coils; else 1."""
    return np.where(np.arange(rows) % 2 == 0, 1.10, 0.80) if wish.material.coiled else np.ones(rows)


def _cover(wish: Wish) -> float:
    return 0.44 if wish.material.coiled else COVER


def _scaled(ring: FloatArray, factor: float) -> FloatArray:
    middle = ring.mean(0)
    return middle + (ring - middle) * np.array([factor, 1.0, factor])


def _perched(own: Discs, form: Headform, small: float) -> Discs:
    """A hat at the scale ``small``, lifted to where the head is as narrow as it has become."""
    line = form.ring()
    foot = line.mean(0)
    wanted = small * float(np.linalg.norm((line - foot)[:, [0, 2]], axis=1).mean())
    heights = np.linspace(foot[1], form.top - 0.004, 24)
    widths = form.around(heights[:, None] + np.zeros(len(form.azimuths))).mean(1)
    narrow = np.flatnonzero(widths < wanted)
    centre = form.anatomy.envelope.centre
    place = np.array([centre[0], heights[narrow[0] if len(narrow) else -1], centre[2]])
    return replace(own, points=place + small * (own.points - foot), scales=own.scales * np.array([small, small, 1.0]))


def _ribbon_colour(colour: FloatArray) -> FloatArray:
    """Darker than the hat; lighter on a hat that is nearly black."""
    light = linear(colour)
    return encoded(light * 0.30) if light.mean() > 0.02 else encoded(light + 0.02)
