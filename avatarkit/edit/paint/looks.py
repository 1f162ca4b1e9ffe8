"""Whom a head can be painted as: zombie, vampire, ghost, alien, clown, older, younger.  Shape stays as it is.

A look is paint on parts (skin, hair, eyes, lips) that are told apart by their colours and places on the neutral head; clothes are
left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from avatarkit.edit.paint.canvas import Canvas, smoothed
from avatarkit.edit.paint.marks import SOFT_RED, Marks, Oval, redness
from avatarkit.edit.paint.noise import cells, noise, octaves
from avatarkit.edit.paint.oklab import lab_of, mix, smoothstep
from avatarkit.edit.paint.survey import median, survey
from avatarkit.edit.paint.tint import tinted
from avatarkit.edit.paint.wrinkles import Creases, creases, face_units
from avatarkit.types import Float32Array, FloatArray

CROWN = 0.105  # metres on the neutral head: what lies above is hair, or bald
SHOULDERS = -0.125  # what lies below is no face; hair may hang there
SKIN_SPREAD = np.array([0.22, 0.040, 0.045], np.float32)
HAIR_SPREAD = np.array([0.16, 0.030, 0.035], np.float32)
SAME = 1.0  # a crown this near to the skin, in the skin's spread, is bald


@dataclass(frozen=True)
class Parts:
    """Shares (N,) of skin, hair, eyes and lips in the pixels inside of a canvas; places (N, 2): ``face_units``."""

    skin: Float32Array
    hair: Float32Array
    eyes: Float32Array
    lips: Float32Array
    places: Float32Array


@dataclass(frozen=True)
class Sitter:
    """Whose face it is: its marks; the typical colour of its hair (3,) OKLab, None for a bald head; the tip of its nose (3,) on the
    neutral head, None where no view shows it; metres between pixels."""

    marks: Marks
    hair: Float32Array | None
    nose: FloatArray | None
    pitch: float

    @cached_property
    def creases(self) -> Creases:
        """Where it will have wrinkles."""
        return creases(self.marks, self.pitch)


def sitter(marks: Marks, canvases: Sequence[Canvas]) -> Sitter:
    """Whom a batch shows."""
    seen, pitch = survey(canvases), float(np.median([canvas.pitch for canvas in canvases]))
    across, up = face_units(seen.point, marks)[0].T
    ridge = seen.point[(np.abs(across) < 0.35) & (up < -0.7) & (up > -1.8)]
    nose = ridge[int(ridge[:, 2].argmax())] if len(ridge) else None
    crown = seen.picked(np.flatnonzero(seen.point[:, 1] > CROWN))
    if not len(crown):
        return Sitter(marks, None, nose, pitch)
    hair = np.array([median(crown.lab[:, k], crown.area) for k in range(3)], np.float32)
    bald = float(np.linalg.norm((hair - marks.skin) / SKIN_SPREAD)) < SAME
    return Sitter(marks, None if bald else hair, nose, pitch)


def parts(canvas: Canvas, who: Sitter) -> Parts:
    """What each pixel belongs to."""
    lab, points, marks = canvas.lab[canvas.inside], canvas.points, who.marks
    near_skin = np.exp(-0.5 * (((lab - marks.skin) / SKIN_SPREAD) ** 2).sum(1))
    near_hair = np.zeros(len(lab), np.float32)
    if who.hair is not None:
        near_hair = np.exp(-0.5 * (((lab - who.hair) / HAIR_SPREAD) ** 2).sum(1))
    total = near_skin + near_hair + np.exp(-0.5 * 2.4**2)
    front = smoothstep(0.0, 0.02, points[:, 2])
    face = front * smoothstep(1.25, 0.95, np.hypot(points[:, 0] / 0.068, (points[:, 1] + 0.005) / 0.082))
    eyes = np.max([_within(eye, points, 1.15, 0.85) for eye in marks.eyes], 0) * front
    lips = _within(marks.mouth, points, 1.4, 1.0) * front
    lips = lips * smoothstep(marks.red - SOFT_RED, marks.red + SOFT_RED, redness(lab, marks.skin))
    above = smoothstep(SHOULDERS - 0.03, SHOULDERS, points[:, 1])
    skin = np.maximum(near_skin / total * above, face * (1.0 - 0.75 * near_hair / total)) * (1.0 - eyes)
    below = smoothstep(SHOULDERS - 0.02, SHOULDERS + 0.01, points[:, 1])  # clothes may be as dark as hair
    hair = near_hair / total * (1.0 - skin) * (1.0 - eyes) * below
    return Parts(skin, hair, eyes, lips, face_units(points, marks)[0].astype(np.float32))


def zombie(canvas: Canvas, who: Sitter, seed: int) -> Float32Array:
    """(N, 3) OKLab: grey-green mottled skin, sunken eyes that are clouded, dark lips and veins, dull hair."""
    lab, points, part = canvas.lab[canvas.inside], canvas.points, parts(canvas, who)
    made = mix(lab, tinted(lab, who.marks.skin, lab_of("#93a27f"), contrast=1.25, variety=0.25), 0.9 * part.skin)
    mottled = octaves(points, 0.022, seed, 3, canvas.pitch)
    bruised = tinted(made, lab_of("#93a27f"), lab_of("#6d6a72"), contrast=1.0)
    made = mix(made, bruised, 0.6 * smoothstep(-0.02, 0.55, mottled) * part.skin)
    veins = smoothstep(0.93, 1.0, 1.0 - np.abs(noise(points, 0.021, seed + 7) + 0.3 * noise(points, 0.007, seed + 8)))
    veins = veins * smoothstep(-0.2, 0.4, noise(points, 0.04, seed + 9))
    made = mix(made, made * np.array([0.70, 1.0, 1.0]) + np.array([0, 0.01, -0.02]), 0.75 * veins * part.skin)
    made = _sunken(made, part, who, "#3d2f38", 0.85)
    made = mix(made, tinted(made, who.marks.lips, lab_of("#4b3a40")), 0.85 * part.lips)
    made = _clouded(made, part.eyes)
    return mix(made, made * np.array([0.82, 0.35, 0.5]), part.hair)


def vampire(canvas: Canvas, who: Sitter, seed: int) -> Float32Array:
    """(N, 3) OKLab: white skin, blood-red lips, shaded eyes with red irises, black hair."""
    lab, part = canvas.lab[canvas.inside], parts(canvas, who)
    made = mix(lab, tinted(lab, who.marks.skin, lab_of("#e9e2e4"), contrast=1.2, variety=0.15), 0.9 * part.skin)
    made = _sunken(made, part, who, "#6a3e4c", 0.6)
    made = mix(made, tinted(lab, who.marks.lips, lab_of("#8d0f1e"), contrast=1.1), 0.92 * part.lips)
    inner = np.max([_within(eye, canvas.points, 0.85, 0.6) for eye in who.marks.eyes], 0)
    iris = inner * part.eyes * smoothstep(0.62, 0.45, lab[:, 0]) * smoothstep(0.12, 0.25, lab[:, 0])
    made = mix(
        made, np.concatenate([lab[:, :1], np.full((len(lab), 1), 0.19), np.full((len(lab), 1), 0.10)], 1), 0.85 * iris
    )
    if who.hair is not None:
        made = mix(made, tinted(lab, who.hair, lab_of("#1b171c")), 0.85 * part.hair)
    return made


def ghost(canvas: Canvas, who: Sitter, seed: int) -> Float32Array:
    """(N, 3) OKLab: everything pale and bluish, hardly any colour, hollow eyes."""
    lab, part = canvas.lab[canvas.inside], parts(canvas, who)
    wisps = 0.03 * octaves(canvas.points, 0.05, seed, 3, canvas.pitch)
    light = 0.60 + 0.38 * np.clip((lab[:, 0] - 0.25) / 0.6, -0.4, 1.1) + wisps
    made = np.stack([light, 0.15 * lab[:, 1] - 0.012, 0.15 * lab[:, 2] - 0.024], 1).astype(np.float32)
    return _sunken(made, part, who, "#4b5a6b", 0.55)


def alien(canvas: Canvas, who: Sitter, seed: int) -> Float32Array:
    """(N, 3) OKLab: smooth green skin with darker spots, black eyes."""
    lab, points, part = canvas.lab[canvas.inside], canvas.points, parts(canvas, who)
    flat = smoothed(canvas, 0.003, 0.03)[canvas.inside]
    made = mix(lab, tinted(flat, who.marks.skin, lab_of("#7fb069"), contrast=1.15, variety=0.1), 0.92 * part.skin)
    spots = cells(points, 0.011, seed, jitter=0.9)
    spot = (
        smoothstep(0.40, 0.28, spots.nearest)
        * (spots.random(seed) > 0.45)
        * smoothstep(0.9, 1.7, np.hypot(*part.places.T))
    )
    made = mix(made, made * np.array([0.78, 1.15, 1.1]), 0.8 * spot * part.skin)
    made = mix(made, tinted(lab, who.marks.lips, lab_of("#4f7d47")), 0.8 * part.lips)
    wide = np.max([_within(eye, points, 1.45, 1.2) for eye in who.marks.eyes], 0) * smoothstep(0.0, 0.02, points[:, 2])
    glint = smoothstep(0.88, 0.96, lab[:, 0])
    return mix(made, mix(lab_of("#0a0c10")[None], lab_of("#c8d4dc")[None], glint), 0.94 * wide)


def clown(canvas: Canvas, who: Sitter, seed: int) -> Float32Array:
    """(N, 3) OKLab: white face, red nose, a large red mouth, blue marks over the eyes, red cheeks and hair."""
    lab, points, part, marks = canvas.lab[canvas.inside], canvas.points, parts(canvas, who), who.marks
    front = smoothstep(0.0, 0.02, points[:, 2])
    red, blue = lab_of("#cf1526"), lab_of("#2453b8")
    soft = 0.03 + 0.6 * canvas.pitch / 0.03
    face = front * smoothstep(1.08, 0.95, np.hypot(points[:, 0] / 0.062, (points[:, 1] + 0.012) / 0.072))
    made = mix(lab, tinted(lab, marks.skin, lab_of("#f4f1ee"), contrast=1.1, variety=0.1), 0.92 * face * part.skin)
    across, up = marks.mouth.local(points)
    grin = np.hypot(across / 1.45, (up - 0.25 * np.minimum(across**2, 2.0)) / 1.7)
    inner = redness(lab, marks.skin) > marks.red - SOFT_RED
    mouth = smoothstep(1.0 + soft, 1.0 - soft, grin) * front * np.maximum(part.skin, part.lips * inner)
    made = mix(made, tinted(lab, marks.skin, red, contrast=1.1), 0.9 * mouth)
    cheeks = np.exp(-(((np.abs(part.places[:, 0]) - 1.22) / 0.42) ** 2) - ((part.places[:, 1] + 1.12) / 0.42) ** 2)
    made = mix(made, tinted(lab, marks.skin, lab_of("#f0707c")), 0.75 * cheeks * part.skin * front)
    aside, height = np.abs(np.abs(part.places[:, 0]) - 1.0), part.places[:, 1] - 0.05
    diamonds = smoothstep(1 + 2 * soft, 1 - 2 * soft, aside / 0.30 + np.abs(height))
    made = mix(made, tinted(lab, marks.skin, blue), 0.85 * diamonds * part.skin * front)
    if who.nose is not None:
        nose = smoothstep(0.0145, 0.0135 - 0.6 * canvas.pitch, np.linalg.norm(points - who.nose, axis=1))
        made = mix(made, tinted(lab, marks.skin, red, contrast=1.3), 0.92 * nose)
    if who.hair is not None:
        made = mix(made, tinted(lab, who.hair, lab_of("#e04a1f"), contrast=1.1), 0.9 * part.hair)
    return made


def older(canvas: Canvas, who: Sitter, seed: int) -> Float32Array:
    """(N, 3) OKLab: wrinkles, greying hair and brows, thinner colour, spots of age."""
    lab, points, part = canvas.lab[canvas.inside], canvas.points, parts(canvas, who)
    skin = part.skin
    made = mix(lab, lab * np.array([0.98, 0.86, 0.92]), skin)
    spots = cells(points, 0.010, seed, jitter=0.9)
    round_ = smoothstep(0.24, 0.10, spots.nearest + 0.05 * noise(points, 0.003, seed + 3))
    made = mix(made, made * np.array([0.86, 1.1, 1.15]), 0.6 * round_ * (spots.random(seed) < 0.22) * skin)
    rough = 0.018 * octaves(points, 0.006, seed + 1, 2, canvas.pitch)
    folds = who.creases.at(points)
    made[:, 0] = made[:, 0] * (1.0 + skin * (0.24 * folds + rough))
    made[:, 1] += 0.010 * skin * np.maximum(-folds, 0.0)
    hollow = _around_eyes(part, 0.95, -0.30) + 0.5 * _bag(part)
    made[:, 0] *= 1.0 - 0.10 * hollow * skin
    strands = octaves(points * np.array([1.0, 0.3, 1.0], np.float32), 0.006, seed + 5, 2, canvas.pitch)
    if who.hair is not None:
        grey = np.stack([0.30 + 0.95 * lab[:, 0], 0.12 * lab[:, 1], 0.14 * lab[:, 2] + 0.006], 1)
        made = mix(made, grey, (0.82 + 0.18 * smoothstep(-0.55, 0.25, strands)) * part.hair)
    brows = np.exp(-(((np.abs(part.places[:, 0]) - 0.9) / 0.62) ** 4) - ((part.places[:, 1] - 0.66) / 0.24) ** 4)
    dark = smoothstep(0.10, 0.24, who.marks.skin[0] - lab[:, 0]) * smoothstep(0.0, 0.02, points[:, 2])
    grey = np.stack([0.22 + 0.9 * lab[:, 0], 0.35 * lab[:, 1], 0.35 * lab[:, 2] + 0.004], 1)
    return mix(made, grey, 0.65 * brows * dark * (1.0 - part.eyes))


def younger(canvas: Canvas, who: Sitter, seed: int) -> Float32Array:
    """(N, 3) OKLab: smooth, rosy skin; no shadows below the eyes; grey hair gets its colour back."""
    lab, part = canvas.lab[canvas.inside], parts(canvas, who)
    flat = smoothed(canvas, 0.0035, 0.028, 2)[canvas.inside]
    skin = part.skin * (1.0 - part.lips)
    made = mix(lab, flat, 0.85 * skin)
    made[:, 0] += skin * (0.03 + 0.05 * _bag(part)) * (1.0 - made[:, 0]) / 0.3
    rosy = np.exp(-(((np.abs(part.places[:, 0]) - 1.2) / 0.5) ** 2) - ((part.places[:, 1] + 1.15) / 0.45) ** 2)
    made[:, 1] += skin * (0.005 + 0.016 * rosy)
    made[:, 1:] *= (1.0 + 0.06 * skin)[:, None]
    made[:, 1] += 0.018 * part.lips
    grey = who.hair is not None and float(np.hypot(*who.hair[1:])) < 0.02 and float(who.hair[0]) > 0.4
    if grey and who.hair is not None:
        made = mix(made, tinted(lab, who.hair, lab_of("#5b3f2b")), 0.85 * part.hair)
    return made


LOOKS: dict[str, Callable[[Canvas, Sitter, int], Float32Array]] = {
    "zombie": zombie, "vampire": vampire, "ghost": ghost, "alien": alien, "clown": clown, "older": older, "younger": younger,
}  # fmt: skip
"""``asked.LOOKS``' values; ``statue`` is the stone of ``materials``."""


def _within(oval: Oval, points: Float32Array, outer: float, inner: float) -> Float32Array:
    return smoothstep(outer, inner, np.hypot(*oval.local(points)))


def _around_eyes(part: Parts, size: float, below: float) -> Float32Array:
    """(N,) in [0, 1]: soft round places around both eyes, ``below`` of the eyes' height."""
    off = np.hypot((np.abs(part.places[:, 0]) - 1.0) / size, (part.places[:, 1] - below) / (0.72 * size))
    return smoothstep(1.0, 0.25, off)


def _bag(part: Parts) -> Float32Array:
    """(N,) in [0, 1]: below the eyes."""
    off = np.hypot((np.abs(part.places[:, 0]) - 0.95) / 0.6, (part.places[:, 1] + 0.45) / 0.25)
    return smoothstep(1.0, 0.3, off)


def _sunken(made: Float32Array, part: Parts, who: Sitter, colour: str, strength: float) -> Float32Array:
    """Dark sockets around the eyes."""
    shade = _around_eyes(part, 0.92, -0.05) * part.skin
    return mix(made, tinted(made, who.marks.skin, lab_of(colour)), strength * shade)


def _clouded(made: Float32Array, eyes: Float32Array) -> Float32Array:
    """Irises and pupils behind a white film."""
    film = np.stack([0.62 + 0.32 * made[:, 0], 0.15 * made[:, 1], 0.15 * made[:, 2] + 0.01], 1)
    return mix(made, film, 0.75 * eyes * smoothstep(0.10, 0.25, made[:, 0]))
