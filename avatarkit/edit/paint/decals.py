"""Tattoos, moles, scars and freckles: what lies on the skin at a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatarkit.edit.paint.canvas import Canvas
from avatarkit.edit.paint.noise import noise
from avatarkit.edit.paint.oklab import lab_of, mix, smoothstep
from avatarkit.edit.paint.placement import Frame
from avatarkit.edit.paint.shapes import OUTLINES, signed_distance
from avatarkit.edit.paint.tint import tinted
from avatarkit.edit.plan import Attributes
from avatarkit.types import Float32Array, FloatArray

WIDTHS = {"tattoo": 0.024, "mole": 0.005, "scar": 0.034}
"""Metres across at size 1."""
FORM_WIDTHS = {"dot": 0.010, "line": 0.032, "drop": 0.017, "round": 0.020, "oval": 0.022, "square": 0.018}
"""Metres across, or up where that is longer, of tattoos of these forms."""
TATTOO_FORM = "star"  # of a tattoo without form
INK, MOLE, SCAR = "#22303f", "#4b2a1c", "#d9a39b"
GAP = 1.35  # from one decal's middle to the next's, in widths
FILLS = 0.92  # of the region's extent that decals may take up
FRECKLE, FRECKLE_APART = 0.0012, 0.0042  # radius and distance, metres
SLANT = 1.15  # radians from the horizontal: how scars lie


@dataclass(frozen=True)
class Decal:
    """One decal: its frame, half of its extent across and up (2,) metres, its turn (radians), and a number for its irregularity."""

    frame: Frame
    half: FloatArray
    turn: float
    seed: int


def width_of(target: str, attributes: Attributes) -> float:
    """Metres across of a tattoo, mole or scar at size 1."""
    form = attributes.form or TATTOO_FORM
    return FORM_WIDTHS.get(form, WIDTHS["tattoo"]) if target == "tattoo" else WIDTHS[target]


def placed(target: str, attributes: Attributes, pieces: Sequence[Frame], seed: int) -> list[Decal]:
    """The decals of an operation: ``count`` of them shared out over the pieces of the region, at least one on each.

    A row that the region has no room for shrinks; a scattered few lie where the seed says.
    """
    made: list[Decal] = []
    for index, frame in enumerate(pieces):
        count = max(1, attributes.count // len(pieces) + (index < attributes.count % len(pieces)))
        half = 0.5 * width_of(target, attributes) * _factors(attributes)
        turn = 0.0
        if target == "scar":
            half = half * np.array([1.0, 0.5])
            turn = SLANT if frame.centre[0] <= 0 else np.pi - SLANT
        if target == "mole" and count > 1:
            made += _scattered_about(frame, half, count, seed)
            continue
        span = np.array([half[0] * 2 * (1 + GAP * (count - 1)), half[1] * 2])
        shrink = float(min(1.0, *(FILLS * 2 * frame.half / np.maximum(span, 1e-9))))
        if target == "scar":
            shrink = float(min(1.0, 1.5 * FILLS * frame.half.max() / half[0]))
        for k in range(count):
            step = (k - (count - 1) / 2) * GAP * 2 * half[0] * shrink
            made.append(Decal(frame.moved(step, 0.0), half * shrink, turn, seed + k))
    return made


def _factors(attributes: Attributes) -> FloatArray:
    """(across, up): what ``size`` multiplies."""
    size = attributes.size
    if attributes.dimension in ("width", "length"):
        return np.array([size, 1.0])
    if attributes.dimension in ("height", "thickness", "depth"):
        return np.array([1.0, size])
    return np.array([size, size])


def _scattered_about(frame: Frame, half: FloatArray, count: int, seed: int) -> list[Decal]:
    """``count`` places within the region's extent, well apart: the best of many tries, the same for the same seed."""
    random = np.random.default_rng([abs(seed), count, 21])
    chosen: list[FloatArray] = []
    while len(chosen) < count:
        tries = random.uniform(-1.0, 1.0, (64, 2))
        tries = tries[(tries**2).sum(1) < 1.0]
        away = np.array([min((((one - other) ** 2).sum() for other in chosen), default=1.0) for one in tries])
        chosen.append(tries[int(away.argmax())])
    return [
        Decal(frame.moved(*(0.8 * one * frame.half)), half * random.uniform(0.8, 1.2), 0.0, seed + k)
        for k, one in enumerate(chosen)
    ]


def coverage(target: str, form: str, decal: Decal, points: FloatArray, pitch: float) -> Float32Array:
    """(N,) in [0, 1]: how much of each place of the surface the decal covers.  pitch: metres between pixels, for soft edges."""
    places = decal.frame.places(points)
    reach = 1.2 * float(decal.half.max())
    near = (np.abs(places[:, :2]) <= reach + 2 * pitch).all(1) & (np.abs(places[:, 2]) <= reach + 0.004)
    covered = np.zeros(len(points), np.float32)
    flat = _turned(places[near, :2], decal.turn)
    soft = max(0.0003, 0.6 * pitch)
    if target == "tattoo":
        outline = OUTLINES[form or TATTOO_FORM]() * decal.half
        distance = signed_distance(flat, outline)
    elif target == "mole":
        wobble = 1.0 + 0.22 * noise(points[near], 0.5 * float(decal.half[0]), decal.seed + 3)
        distance = (np.hypot(flat[:, 0] / decal.half[0], flat[:, 1] / decal.half[1]) - wobble) * decal.half.min()
    else:
        distance = _scar_distance(flat, decal, points[near])
    covered[near] = smoothstep(soft, -soft, distance)
    return covered


def painted(
    canvas: Canvas, target: str, attributes: Attributes, decals: Sequence[Decal], typical: Float32Array
) -> Float32Array:
    """(h, w, 3) OKLab with the decals.  typical: the region's skin."""
    lab = canvas.lab[canvas.inside]
    default = {"tattoo": INK, "mole": MOLE, "scar": SCAR}[target]
    colour = lab_of(attributes.colour or default)
    on_mesh = smoothstep(0.3, 0.8, canvas.trust)
    for decal in decals:
        covered = coverage(target, attributes.form, decal, canvas.points, canvas.pitch) * on_mesh
        if target == "tattoo":
            lab = mix(lab, tinted(lab, typical, colour, contrast=0.6, variety=0.1), 0.94 * covered)
        elif target == "mole":
            lab = mix(lab, tinted(lab, typical, colour, contrast=0.7, variety=0.2), 0.9 * covered)
        else:
            lab = _scarred(canvas, lab, decal, covered, colour, typical)
    return canvas.spread(lab)


def freckled(canvas: Canvas, attributes: Attributes, typical: Float32Array, seed: int) -> Float32Array:
    """(h, w, 3) OKLab with freckles all over the mask, thinner where a slow noise is low."""
    from avatarkit.edit.paint.noise import cells

    lab, points = canvas.lab[canvas.inside], canvas.points
    size = float(np.clip(attributes.size, 0.4, 2.5))
    scattered = cells(points, FRECKLE_APART * size**0.5, seed, jitter=0.9)
    chosen, weight = scattered.random(seed), scattered.random(seed + 1)
    thick = 0.62 + 0.3 * noise(points, 0.012, seed + 2)
    radius = FRECKLE * size * (0.55 + 0.65 * weight)
    seen = np.maximum(radius, 0.75 * canvas.pitch)  # fainter where pixels are larger than freckles
    away = np.linalg.norm(scattered.offset, axis=1) / seen
    spot = np.exp(-(away**2.5)) * smoothstep(thick + 0.06, thick - 0.06, chosen) * (radius / seen) ** 2
    colour = lab_of(attributes.colour) if attributes.colour else typical + np.array([-0.19, 0.012, 0.022], np.float32)
    paint = tinted(lab, typical, colour, variety=0.5)
    return canvas.spread(mix(lab, paint, (0.35 + 0.5 * weight) * spot * canvas.trust))


def _turned(flat: FloatArray, turn: float) -> FloatArray:
    across, up = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    return np.stack([flat @ across, flat @ up], 1)


def _scar_distance(flat: FloatArray, decal: Decal, points: FloatArray) -> FloatArray:
    """From the edge of a slightly crooked line that runs out to both ends."""
    along = flat[:, 0] / decal.half[0]
    off = (
        flat[:, 1]
        + 0.05 * decal.half[0] * np.sin(3.1 * along + decal.seed % 7)
        + 0.0004 * noise(points, 0.004, decal.seed)
    )
    thick = 0.075 * decal.half[1] * 2 * np.sqrt(np.clip(1.0 - along**2, 0.0, 1.0))
    return np.where(np.abs(along) < 1.0, np.abs(off) - thick, 0.01)


def _scarred(
    canvas: Canvas, lab: Float32Array, decal: Decal, covered: Float32Array, colour: Float32Array, typical: Float32Array
) -> Float32Array:
    """Pale smooth tissue between a lit and a shaded rim."""
    rim = np.zeros((len(lab), 2), np.float32)
    for k, sign in enumerate((1.0, -1.0)):
        shifted = Decal(decal.frame.moved(*(sign * 0.0011 * np.array([-np.sin(decal.turn), np.cos(decal.turn)]))), decal.half,
                        decal.turn, decal.seed)  # fmt: skip
        rim[:, k] = coverage("scar", "", shifted, canvas.points, canvas.pitch) * (1.0 - covered)
    made = mix(lab, tinted(lab, typical, colour, contrast=0.5, variety=0.1), 0.8 * covered)
    made[:, 0] += 0.05 * rim[:, 0] - 0.10 * rim[:, 1]
    made[:, 1] += 0.02 * rim.sum(1)
    return made
