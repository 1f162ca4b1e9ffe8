"""Headwear that follows the head: a cap with a visor, a knitted beanie with a fold, a headband."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import Discs, ball_discs, facing, grid_discs, together
from avatarkit.edit.accessories.headform import Headform, dome_shares, headform
from avatarkit.edit.accessories.painting import Piece
from avatarkit.edit.accessories.vectors import levelled, smooth_step
from avatarkit.edit.accessories.wishes import Wish
from avatarkit.types import FloatArray

CAP_LINE, BEANIE_LINE, BAND_LINE = 0.22, 0.18, 0.17  # of the forehead
VISOR, VISOR_HALF = 0.066, np.radians(64)  # metres; half the angle that it spans
PANELS = 6
FOLD = 0.036  # metres, height of a beanie's fold
RIBS, RIB = 44, (1.0, 0.4, -1.0, 0.2)  # how many, and one of them across
BAND = 0.030  # metres, height of a headband
OFF_HEAD = 0.0015


def caps(wish: Wish, anatomy: Anatomy) -> list[Piece]:
    """A baseball cap, at rest in the world."""
    form = headform(anatomy, CAP_LINE)
    dome, _ = _dome(wish, form, 30, _cap_off(form, 30))
    shell = _seamed(grid_discs(dome, closed=True, outward=anatomy.envelope.centre), form, 29)
    button = ball_discs(dome[0].mean(0) + np.array([0.0, 0.002, 0.0]), np.array([0.0065, 0.0035, 0.0065]), 40)
    visor = _visor(wish, form, dome[-1])
    return [Piece(together([shell, button, visor]), wish.colour, wish.material)]


def beanies(wish: Wish, anatomy: Anatomy) -> list[Piece]:
    """A beanie, at rest in the world: ribbed where it is knitted."""
    form = headform(anatomy, BEANIE_LINE, 0.34, columns=RIBS * len(RIB))
    thick = wish.only("thickness", "depth")
    rows = 20
    share = dome_shares(rows)
    slack = 0.0060 * thick + 0.014 * (1 - share) ** 2.0 + 0.004 * np.sin(np.pi * share)
    ribs = np.tile(np.array(RIB), RIBS) * (1.0 if wish.material.knitted else 0.0)
    dome, raised = _dome(wish, form, rows, slack + 0.0012 * ribs * np.clip(4 * share, 0, 1), "length")
    tall = FOLD * min(1.0, wish.factor("height", "length"))
    length = np.linalg.norm(np.diff(dome, axis=0), axis=2).mean(1)
    above = np.cumsum(length[::-1])[::-1] - 0.5 * length - tall  # metres from the fold's edge to each row
    gathered = 1 - 0.42 * np.exp(-np.clip(above, 0, None) / 0.006)
    shell = _shaded(grid_discs(dome, closed=True, outward=anatomy.envelope.centre, shadow=gathered), ribs)
    fold = _lower_part(form.dome(40, np.full((40, 1), 0.0085 * thick), raised), tall, 7)
    away = levelled(fold - anatomy.envelope.centre)
    swell = 0.0045 * thick * np.sin(np.linspace(0.25, np.pi - 0.25, len(fold)))[:, None] ** 0.5 + 0.0012 * ribs
    fold = fold + swell[..., None] * away
    lips = np.concatenate([fold[:1] - 0.007 * away[:1], fold, fold[-1:] - 0.004 * away[-1:]])
    shade = np.array([0.9, 1.06, 1.08, 1.06, 1.04, 1.0, 0.92, 0.7])
    cuff = _shaded(grid_discs(lips, closed=True, outward=anatomy.envelope.centre, shadow=shade), ribs)
    return [Piece(together([shell, cuff]), wish.colour, wish.material)]


def headbands(wish: Wish, anatomy: Anatomy) -> list[Piece]:
    """A band around the head, at rest in the world."""
    form = headform(anatomy, BAND_LINE, 0.34)
    tall = BAND * wish.factor("width", "height", "length", "thickness")
    thick = 0.0035 * wish.only("depth", "thickness")
    low, high = form.ring(OFF_HEAD, -0.10 * tall), form.ring(OFF_HEAD, 0.90 * tall)
    share = np.array([0.0, 0.0, 0.12, 0.3, 0.5, 0.7, 0.88, 1.0, 1.0])
    bulge = np.array([-0.6, 0.35, 0.85, 1.0, 1.05, 1.0, 0.85, 0.35, -0.6]) * thick
    line = low + share[:, None, None] * (high - low)
    straight = np.linalg.norm((line - anatomy.envelope.centre)[..., [0, 2]], axis=2) - OFF_HEAD
    out = np.maximum(form.around(line[..., 1]), straight) + OFF_HEAD + bulge[:, None]
    made = grid_discs(form.at(out, line[..., 1]), closed=True, outward=anatomy.envelope.centre)
    return [Piece(made, wish.colour, wish.material)]


def _dome(wish: Wish, form: Headform, rows: int, off: FloatArray, *taller: str) -> tuple[FloatArray, float]:
    """The shell (rows, C, 3) and how far its edge is raised.

    A greater one stands higher off the head, a smaller one covers less of it.  taller: dimensions that mean its height besides "height".
    """
    factor = wish.factor("height", *taller)
    tall = form.top - float(form.ring()[:, 1].mean())
    raised = max(0.0, 1 - factor) * tall
    dome, up = form.dome(rows, off, raised), 1 - dome_shares(rows)
    away = (dome - form.anatomy.envelope.centre) * np.array([1.0, 0.0, 1.0])
    puff = 0.8 * max(0.0, wish.factor("width") - 1) * smooth_step(0.0, 0.5, up)
    dome = dome + puff[..., None] * away
    dome[..., 1] += max(0.0, factor - 1) * tall * up**0.9
    return dome, raised


def _cap_off(form: Headform, rows: int) -> FloatArray:
    """Metres off the head: a stiff front stands up straight."""
    share = dome_shares(rows)
    front = np.clip(np.cos(form.azimuths), 0, 1)[None] ** 2
    return 0.006 + 0.004 * (1 - share) + 0.010 * front * np.exp(-(((share - 0.5) / 0.25) ** 2))


def _seamed(made: Discs, form: Headform, rows: int) -> Discs:
    """Panels with darker seams, and the edge a little in shade."""
    columns = len(form.azimuths)
    panel = np.tile(form.azimuths + np.pi / columns, rows) / (2 * np.pi) * PANELS
    seam = np.exp(-(((panel - np.round(panel)) / 0.055) ** 2))
    row = np.repeat(np.arange(rows), columns)
    stitched = 1 - 0.30 * seam * (row > 1) - 0.12 * (row == rows - 3)
    return replace(made, shadow=made.shadow * stitched)


def _visor(wish: Wish, form: Headform, edge: FloatArray) -> Discs:
    """From the front of the cap's edge: a stiff sheet, bowed across."""
    across = np.sin(np.linspace(-0.5 * np.pi, 0.5 * np.pi, 33))  # closer together at its ends
    foot = np.stack([np.interp(VISOR_HALF * across, form.azimuths, edge[:, k], period=2 * np.pi) for k in range(3)], 1)
    reach = VISOR * wish.factor("length", "width") * np.sqrt(np.clip(1 - np.abs(across) ** 3.2, 0, 1))
    share = np.array([-0.06, 0.0, 0.15, 0.32, 0.50, 0.68, 0.84, 0.95, 1.0])[:, None]
    sheet = foot + np.zeros((len(share), 1, 1))
    sheet[..., 2] += reach * share
    sheet[..., 0] += 0.12 * reach * across * share
    bow = 0.15 * VISOR * across**2 * np.clip(share, 0, 1)
    sheet[..., 1] -= 0.17 * reach * share * np.abs(share) ** 0.2 + bow + 0.001
    thick = 0.0024 * wish.only("thickness", "depth")
    up = np.array([0.0, 1.0, 0.0])
    under = sheet - thick * up
    rim = np.stack([sheet[-1], 0.5 * (sheet[-1] + under[-1]) + np.array([0.0, 0.0, 0.0008]), under[-1]])
    stitched = np.where(np.arange(len(share) - 1) % 2 == 0, 1.03, 0.95)
    top, low = grid_discs(sheet, shadow=stitched), grid_discs(under, shadow=0.60)
    return together([facing(top, up), facing(low, -up), grid_discs(rim, outward=form.anatomy.envelope.centre)])


def _shaded(made: Discs, ribs: FloatArray) -> Discs:
    """Darker between the ribs; ribs (C,): 1 on one, −1 between two."""
    return replace(made, shadow=made.shadow * np.tile(1 + 0.17 * ribs, len(made) // len(ribs)))


def _lower_part(dome: FloatArray, tall: float, rows: int) -> FloatArray:
    """(rows, C, 3) the last ``tall`` metres of a dome above its edge."""
    length = np.concatenate([np.zeros((1, dome.shape[1])), np.cumsum(np.linalg.norm(np.diff(dome, axis=0), axis=2), 0)])
    wanted = length[-1] - np.linspace(tall, 0.0, rows)[:, None]
    made = np.empty((rows, dome.shape[1], 3))
    for column in range(dome.shape[1]):
        for axis in range(3):
            made[:, column, axis] = np.interp(wanted[:, column], length[:, column], dome[:, column, axis])
    return made
