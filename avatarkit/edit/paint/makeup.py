"""Makeup: lipstick, eyeshadow, eyeliner, blush, and all of them together.

Each is a share of paint for every point of the skin, a function of where the point is on the neutral head, and a colour below
the light that is there.  Where lids and lips are is told by the mask, or, where the mask is the whole face, found
(``marks``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.edit.paint.canvas import Canvas
from avatarkit.edit.paint.lids import Lids
from avatarkit.edit.paint.marks import SOFT_RED, Marks, redness
from avatarkit.edit.paint.oklab import lab_of, mix, smoothstep
from avatarkit.edit.paint.placement import Frame
from avatarkit.edit.paint.tint import tinted
from avatarkit.types import Float32Array, FloatArray

COLOURS = {"lipstick": "#b3203a", "eyeshadow": "#6b4a7a", "eyeliner": "#15100f", "blush": "#d8566b"}
COVER = {"lipstick": 0.9, "eyeshadow": 0.78, "eyeliner": 0.96, "blush": 0.4}
"""How much of the skin the paint hides where it is thickest."""
CONTRAST = {"lipstick": 1.15, "eyeshadow": 0.95, "eyeliner": 0.5, "blush": 1.0}
SHADOW_RISE = 3.4  # how far eyeshadow goes above the lash line, in half heights of an eye beside the crease
LINE = 0.12  # half thickness of eyeliner, in half widths of an eye
BLUSH_RADIUS = 0.021  # metres: at which a blush on a whole face has fallen to 1/e


@dataclass(frozen=True)
class Cheek:
    """A round place for blush: centre (3,) on the neutral head, radius in metres at which it has fallen to 1/e."""

    centre: FloatArray
    radius: float


def lipstick(canvas: Canvas, marks: Marks | None) -> Float32Array:
    """(N,) share of lipstick: all of the mask, or with ``marks`` what is red where the mouth is."""
    if marks is None:
        return np.ones(len(canvas.points), np.float32)
    across, up = marks.mouth.local(canvas.points)
    near = smoothstep(1.35, 1.02, np.hypot(across, up)) * smoothstep(0.0, 0.02, canvas.points[:, 2])
    red = redness(canvas.lab[canvas.inside], marks.skin)
    return near * smoothstep(marks.red - SOFT_RED, marks.red + SOFT_RED, red)


def lipstick_on(canvas: Canvas, typical: Float32Array) -> Float32Array:
    """(N,) share of lipstick on a mask that has lips and the open mouth: what is about as the lips (3,) are, not teeth, not the dark."""
    away = np.linalg.norm((canvas.lab[canvas.inside] - typical) * np.array([0.6, 1.5, 1.0], np.float32), axis=1)
    return smoothstep(0.16, 0.09, away)


def blush(canvas: Canvas, cheeks: list[Cheek]) -> Float32Array:
    """(N,) share of blush, round and soft."""
    share = np.zeros(len(canvas.points), np.float32)
    for cheek in cheeks:
        away = ((canvas.points - cheek.centre) ** 2).sum(1) / cheek.radius**2
        share = np.maximum(share, np.exp(-away))
    return share


def cheeks_of_pieces(pieces: list[Frame]) -> list[Cheek]:
    """One round place for each piece of the mask, as large as the piece allows."""
    return [Cheek(frame.centre, float(0.75 * np.sqrt(frame.half[0] * frame.half[1]))) for frame in pieces]


def cheeks_of_marks(marks: Marks) -> list[Cheek]:
    """On the apples of the cheeks: outwards of the pupils, a little below half way from eyes to mouth."""
    y = marks.eyes[0].y + 0.52 * (marks.mouth.y - marks.eyes[0].y)
    return [Cheek(np.array([1.28 * eye.x, y, 0.052]), BLUSH_RADIUS) for eye in marks.eyes]


def eyeshadow(canvas: Canvas, lids: list[Lids]) -> Float32Array:
    """(N,) share of eyeshadow: thickest at the upper lash line, gone towards the brow and towards the corners."""
    share = np.zeros(len(canvas.points), np.float32)
    for eye in lids:
        across, above, _ = eye.local(canvas.points)
        rise = above / (SHADOW_RISE * eye.rise)
        fade = smoothstep(1.0, 0.12, rise) * smoothstep(-0.10, 0.0, rise)
        outwards = smoothstep(1.55, 0.85, np.abs(across - 0.08))
        share = np.maximum(share, fade * outwards * eye.near(canvas.points))
    return share


def eyeliner(canvas: Canvas, lids: list[Lids]) -> Float32Array:
    """(N,) share of eyeliner: a line along the upper lashes that thickens outwards into a short wing, a fine one below."""
    share = np.zeros(len(canvas.points), np.float32)
    soft = 0.6 * canvas.pitch
    for eye in lids:
        across, above, below = eye.local(canvas.points)
        thick = LINE * eye.half_width * (0.55 + 0.45 * smoothstep(-0.9, 0.7, across))
        ends = smoothstep(-1.12, -0.85, across) * smoothstep(1.34, 1.05, across)
        upper = smoothstep(thick + soft, thick - soft, np.abs(above - thick)) * ends
        thin = 0.5 * LINE * eye.half_width
        lower = 0.6 * smoothstep(thin + soft, thin - soft, np.abs(below - thin)) * smoothstep(-0.6, 0.2, across)
        lower *= smoothstep(1.1, 0.95, across)
        share = np.maximum(share, np.maximum(upper, lower) * eye.near(canvas.points))
    return share


def applied(
    lab: Float32Array, style: str, share: Float32Array, typical: Float32Array, colour: str, amount: float = 1.0
) -> Float32Array:
    """(N, 3) OKLab with ``share`` (N,) of a paint.  typical (3,): what is painted over; colour: "" is the usual one."""
    paint = lab_of(colour or COLOURS[style])
    if style == "blush":  # a stain, not a cover: the skin keeps most of its lightness
        paint = np.array([typical[0] + 0.35 * min(0.0, float(paint[0] - typical[0])), *paint[1:]], np.float32)
    made = tinted(lab, typical, paint, contrast=CONTRAST[style], variety=0.12 if style == "lipstick" else 0.2)
    return mix(lab, made, COVER[style] * amount * share)
