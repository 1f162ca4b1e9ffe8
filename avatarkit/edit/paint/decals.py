"""Tattoos, moles, scars and freckles: what lies on the skin at a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatarkit.edit.paint.canvas import Canvas
from avatarkit.edit.paint.noise import cells, noise
from avatarkit.edit.paint.oklab import lab_of, mix, smoothstep
from avatarkit.edit.paint.placement import Frame
from avatarkit.edit.paint.shapes import OUTLINES, signed_distance
from avatarkit.edit.paint.tint import tinted, toned
from avatarkit.edit.plan import Attributes
from avatarkit.types import Float32Array, FloatArray

WIDTHS = {"tattoo": 0.024, "mole": 0.005, "freckles": 0.0034, "scar": 0.034}
"""Metres across at size 1; of freckles where they are counted."""
FORM_WIDTHS = {"dot": 0.010, "line": 0.032, "drop": 0.017, "round": 0.020, "oval": 0.022, "square": 0.018}
"""Metres across, or up where that is longer, of tattoos of these forms."""
TATTOO_FORM = "star"  # of a tattoo without form
INK, MOLE = "#22303f", "#4b2a1c"
FRECKLED, SCARRED = np.array([-0.19, 0.012, 0.022], np.float32), np.array([-0.035, 0.042, -0.004], np.float32)
"""From the colour of skin to that of freckles and of scars, OKLab."""
GAP = 1.35  # from one decal's middle to the next's, in widths
FILLS = 0.92  # of the region's extent that decals may take up
FRECKLE, FRECKLE_APART = 0.0012, 0.0042  # radius and distance, metres
RIM = 0.0011  # metres from the middle of a scar to those of its rims
SLANT = 1.15  # radians from the horizontal: how scars lie


@dataclass(frozen=True)
class Decal:
    """One decal: its frame, half of its extent across and up (2,) metres, its turn (radians), a number for its irregularity,
    and which piece of the region it is on."""

    frame: Frame
    half: FloatArray
    turn: float
    seed: int
    piece: int


def width_of(target: str, attributes: Attributes) -> float:
    """Metres across of one decal at size 1."""
    form = attributes.form or TATTOO_FORM
    return FORM_WIDTHS.get(form, WIDTHS["tattoo"]) if target == "tattoo" else WIDTHS[target]


def placed(target: str, attributes: Attributes, pieces: Sequence[Frame], seed: int) -> list[Decal]:
    """The decals of an operation: ``count`` of them shared out over the pieces of the region, at least one on each.

    A row that the region has no room for shrinks; moles and counted freckles lie where the seed says.
    """
    made: list[Decal] = []
    for index, frame in enumerate(pieces):
        count = max(1, attributes.count // len(pieces) + (index < attributes.count % len(pieces)))
        half = 0.5 * width_of(target, attributes) * _factors(attributes)
        if target in ("mole", "freckles") and count > 1:
            made += _scattered_about(frame, half, count, seed, index)
            continue
        turn = 0.0
        if target == "scar":
            turn = SLANT if frame.centre[0] <= 0 else np.pi - SLANT
        needed = _extent(target, attributes) * half
        row = needed + np.array([half[0] * GAP * (count - 1), 0.0])
        along = np.array([np.cos(turn), np.sin(turn)])
        room = frame.half if turn == 0.0 else np.full(2, float(1.0 / np.linalg.norm(along / frame.half)))
        shrink = float(min(1.0, *(FILLS * room / row)))
        for k in range(count):
            step = (k - (count - 1) / 2) * GAP * 2 * half[0] * shrink
            made.append(Decal(frame.moved(step, 0.0), half * shrink, turn, seed + k, index))
    return made


def _extent(target: str, attributes: Attributes) -> FloatArray:
    """(across, up): how much of its half width and height a decal takes up."""
    if target != "tattoo":
        return np.array([1.0, 0.1]) if target == "scar" else np.ones(2)
    return np.abs(OUTLINES[attributes.form or TATTOO_FORM]()).max(0)


def _factors(attributes: Attributes) -> FloatArray:
    """(across, up): what ``size`` multiplies."""
    size = attributes.size
    if attributes.dimension in ("width", "length"):
        return np.array([size, 1.0])
    if attributes.dimension in ("height", "thickness", "depth"):
        return np.array([1.0, size])
    return np.array([size, size])


def _scattered_about(frame: Frame, half: FloatArray, count: int, seed: int, piece: int) -> list[Decal]:
    """``count`` places within the region's extent, well apart: the best of many tries, the same for the same seed."""
    random = np.random.default_rng([abs(seed), count, 21])
    chosen: list[FloatArray] = []
    while len(chosen) < count:
        tries = random.uniform(-1.0, 1.0, (64, 2))
        tries = tries[(tries**2).sum(1) < 1.0]
        away = np.array([min((((one - other) ** 2).sum() for other in chosen), default=1.0) for one in tries])
        chosen.append(tries[int(away.argmax())])
    return [
        Decal(frame.moved(*(0.65 * one * frame.half)), half * random.uniform(0.8, 1.2), 0.0, seed + k, piece)
        for k, one in enumerate(chosen)
    ]


def seen_change(target: str, form: str, decal: Decal, places: FloatArray, pitch: float) -> Float32Array:
    """(N,) in [0, 1]: how much a decal changes places (N, 2) on its plane, metres from its centre.  pitch: metres between pixels."""
    if target != "scar":
        return covered(target, form, decal, places, pitch)
    body, lit, dark = _scar_layers(decal, places, pitch)
    return np.maximum(0.45 * body, np.maximum(0.5 * lit, dark))


def covered(target: str, form: str, decal: Decal, places: FloatArray, pitch: float) -> Float32Array:
    """(N,) in [0, 1]: how much of those places a tattoo, mole or freckle covers."""
    flat, soft = _turned(places, decal.turn), _soft(pitch)
    if target == "tattoo":
        return smoothstep(soft, -soft, signed_distance(flat, OUTLINES[form or TATTOO_FORM]() * decal.half))
    angle = np.arctan2(flat[:, 1], flat[:, 0])
    wobble = 1.0 + 0.09 * np.sin(2 * angle + decal.seed % 5) + 0.06 * np.sin(3 * angle + decal.seed % 7)
    distance = (np.hypot(flat[:, 0] / decal.half[0], flat[:, 1] / decal.half[1]) - wobble) * decal.half.min()
    return smoothstep(soft, -soft, distance)


def painted(
    canvas: Canvas, target: str, attributes: Attributes, decals: Sequence[Decal], typical: Float32Array
) -> Float32Array:
    """(h, w, 3) OKLab with the decals.  typical: the region's skin."""
    lab = canvas.lab[canvas.inside]
    usual = {"tattoo": lab_of(INK), "mole": lab_of(MOLE), "freckles": typical + FRECKLED, "scar": typical + SCARRED}
    colour = _colour(attributes, usual[target])
    on_mesh = smoothstep(0.3, 0.8, canvas.trust)
    for decal in decals:
        places = decal.frame.places(canvas.points)
        reach = 1.2 * float(decal.half.max()) + 2 * canvas.pitch
        near = (np.abs(places[:, :2]) <= reach).all(1) & (np.abs(places[:, 2]) <= reach + 0.004) & (on_mesh > 0)
        flat, old, mesh = places[near, :2], lab[near], on_mesh[near]
        if target == "scar":
            body, lit, dark = _scar_layers(decal, flat, canvas.pitch)
            new = mix(old, tinted(old, typical, colour, contrast=0.5, variety=0.1), 0.85 * body * mesh)
            new[:, 0] += (0.06 * lit - 0.12 * dark) * mesh
            new[:, 1] += 0.02 * (lit + dark) * mesh
        else:
            share = covered(target, attributes.form, decal, flat, canvas.pitch) * mesh
            contrast, opaque = (0.6, 0.94) if target == "tattoo" else (0.7, 0.9)
            new = mix(old, tinted(old, typical, colour, contrast=contrast, variety=0.15), opaque * share)
        lab[near] = new
    return canvas.spread(lab)


def freckled(canvas: Canvas, attributes: Attributes, typical: Float32Array, seed: int) -> Float32Array:
    """(h, w, 3) OKLab with freckles all over the mask, thinner where a slow noise is low."""
    lab, points = canvas.lab[canvas.inside], canvas.points
    size = float(np.clip(attributes.size, 0.4, 2.5))
    scattered = cells(points, FRECKLE_APART * size**0.5, seed, jitter=0.9)
    chosen, weight = scattered.random(seed), scattered.random(seed + 1)
    thick = 0.70 + 0.2 * noise(points, 0.012, seed + 2)
    radius = FRECKLE * size * (0.55 + 0.65 * weight)
    seen = np.maximum(radius, 0.75 * canvas.pitch)  # fainter where pixels are larger than freckles
    away = np.linalg.norm(scattered.offset, axis=1) / seen
    spot = np.exp(-(away**2.5)) * smoothstep(thick + 0.06, thick - 0.06, chosen) * (radius / seen) ** 2
    paint = tinted(lab, typical, _colour(attributes, typical + FRECKLED), variety=0.5)
    return canvas.spread(mix(lab, paint, (0.35 + 0.5 * weight) * spot * canvas.trust))


def _colour(attributes: Attributes, usual: Float32Array) -> Float32Array:
    """(3,) OKLab: the asked colour or the usual one, lighter or more saturated as asked."""
    return toned(lab_of(attributes.colour) if attributes.colour else usual, attributes.lightness, attributes.saturation)


def _turned(flat: FloatArray, turn: float) -> FloatArray:
    across, up = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    return np.stack([flat @ across, flat @ up], 1)


def _soft(pitch: float) -> float:
    """Half of the width of a soft edge, metres."""
    return max(0.0003, 0.6 * pitch)


def _scar_layers(decal: Decal, places: FloatArray, pitch: float) -> tuple[Float32Array, Float32Array, Float32Array]:
    """(N,) shares of smooth tissue, of the lit rim beside it and of the shaded one."""
    flat, soft = _turned(places, decal.turn), _soft(pitch)
    along = flat[:, 0] / decal.half[0]
    bent, fine = np.sin(3.1 * along + decal.seed % 7), np.sin(11.0 * along + decal.seed % 5)
    crooked = 0.05 * decal.half[0] * bent + 0.0002 * fine
    thick = 0.075 * decal.half[1] * np.sqrt(np.clip(1.0 - along**2, 0.0, 1.0))

    def line(off: FloatArray) -> Float32Array:
        return smoothstep(soft, -soft, np.where(np.abs(along) < 1.0, np.abs(off) - thick, 0.01))

    off = flat[:, 1] + crooked
    body = line(off)
    return body, line(off - RIM) * (1.0 - body), line(off + RIM) * (1.0 - body)
