"""Where eyes, mouth and skin are on the neutral head, found by colour from all views of a batch at once.

A batch is gathered into one map of the face, seen from the front of the neutral head.  Eyes and lips are looked for near where
every head of these models has them, as what differs from the skin around; what is not found keeps its usual place and size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from avatarkit.edit.paint.canvas import Canvas
from avatarkit.edit.paint.oklab import smoothstep
from avatarkit.types import BoolArray, Float32Array, FloatArray

HALF_WIDTH, BOTTOM, TOP = 0.072, -0.115, 0.125  # metres: what of the neutral head the map shows
CELL = 0.00125
EYE = (0.0315, 0.0265)  # usual place of the eyes: from the middle, height; metres
EYE_HALF = (0.0145, 0.0050)  # usual half width and half height of an open eye
EYE_REACH = 0.013  # metres above and below their usual height in which eyes are looked for
EYE_WINDOW = (0.0165, 0.0085)  # half axes of what belongs to an eye that was found
MOUTH_BELOW_EYES = 0.0715
MOUTH_HALF = (0.0245, 0.0085)
MOUTH_WINDOW = (0.034, 0.017)
EYE_CONTRAST, LIP_CONTRAST = 0.05, 0.014
"""OKLab, between eyes or lips and the skin in their window; less is nothing found."""
SHOWS = 1e-3  # weight from which a cell was seen
LEAST_SEEN = 150  # cells of the middle of the face that have to show
SOFT_RED = 0.012  # to either side of the edge of the lips


@dataclass(frozen=True)
class FaceMap:
    """The face from the front: colour (R, C, 3) OKLab and weight (R, C) of the cells; x (C,) to the subject's left, y (R,) up,
    metres."""

    colour: Float32Array
    weight: Float32Array
    x: FloatArray
    y: FloatArray


@dataclass(frozen=True)
class Oval:
    """A part of the face seen from the front: centre (x, y) and half axes, metres; tilt: rise over run, outwards for eyes.

    found: whether the pictures showed it, or it is only where such parts usually are.
    """

    x: float
    y: float
    half_width: float
    half_height: float
    tilt: float = 0.0
    found: bool = True

    def local(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(N, 3) → across and up from the centre in half axes, (N,) each; the tilt taken out."""
        across = points[:, 0] - self.x
        return across / self.half_width, (points[:, 1] - self.y - self.tilt * across) / self.half_height


@dataclass(frozen=True)
class Marks:
    """eyes: the subject's left, right; mouth: both lips together; skin (3,): its typical OKLab; lips (3,): theirs; red: the
    ``redness`` at the edge of the lips."""

    eyes: tuple[Oval, Oval]
    mouth: Oval
    skin: Float32Array
    lips: Float32Array
    red: float


def face_map(canvases: Sequence[Canvas]) -> FaceMap | None:
    """The map of a batch; None where no view shows the middle of the face."""
    columns, rows = round(2 * HALF_WIDTH / CELL), round((TOP - BOTTOM) / CELL)
    sums = np.zeros((rows * columns, 4))
    for canvas in canvases:
        surface = canvas.surface
        if not surface.anchored:
            continue
        points, crossed = surface.points, surface.crossed
        front = crossed[..., 2] > 0.3 * np.sqrt((crossed * crossed).sum(-1))
        use = surface.shows & front & (points[..., 2] > 0.0) & (surface.facing > 0.3)
        use &= (np.abs(points[..., 0]) < HALF_WIDTH) & (points[..., 1] > BOTTOM) & (points[..., 1] < TOP)
        across = ((points[..., 0][use] + HALF_WIDTH) / CELL).astype(np.int64).clip(0, columns - 1)
        up = ((points[..., 1][use] - BOTTOM) / CELL).astype(np.int64).clip(0, rows - 1)
        weight = surface.facing[use].astype(np.float64)
        values = np.concatenate([canvas.lab[use], np.ones((len(weight), 1))], 1)
        flat = up * columns + across
        for k in range(4):
            sums[:, k] += np.bincount(flat, values[:, k] * weight, rows * columns)
    laid = sums.reshape(rows, columns, 4)
    soft = [gaussian_filter(laid[..., k], 0.8) + 1e-3 * gaussian_filter(laid[..., k], 3.0) for k in range(4)]
    weight = soft[3].astype(np.float32)
    colour = np.stack(soft[:3], -1) / np.maximum(soft[3], 1e-9)[..., None]
    x = (np.arange(columns) + 0.5) * CELL - HALF_WIDTH
    y = (np.arange(rows) + 0.5) * CELL + BOTTOM
    face = FaceMap(colour.astype(np.float32), weight, x, y)
    return face if int(_middle(face).sum()) >= LEAST_SEEN else None


def marks(face: FaceMap) -> Marks:
    """Eyes, mouth and skin of a face."""
    skin = np.median(face.colour[_middle(face)], axis=0).astype(np.float32)
    eyes = _alike(_eye(face, skin, 1.0), _eye(face, skin, -1.0))
    mouth, red, lips = _mouth(face, skin, eyes)
    return Marks(eyes, mouth, skin, lips, red)


def _middle(face: FaceMap) -> BoolArray:
    """(R, C): from below the eyes to above the mouth, and the forehead; what of it shows."""
    x, y = np.meshgrid(face.x, face.y)
    cheeks = (np.abs(x) < 0.045) & (y > -0.028) & (y < 0.010)
    brow = (np.abs(x) < 0.030) & (y > 0.058) & (y < 0.075)
    return (cheeks | brow) & (face.weight > SHOWS)


def _eye(face: FaceMap, skin: Float32Array, side: float) -> Oval:
    """What differs from the skin within a window: the white, the iris, lashes, the shade of the upper lid."""
    x, y = np.meshgrid(side * (face.x - side * EYE[0]), face.y - EYE[1])
    away = np.linalg.norm((face.colour - skin) * np.array([0.7, 1.6, 1.6], np.float32), axis=-1) * (face.weight > SHOWS)
    y = y - _lowest_band(np.where(np.abs(x) < EYE_HALF[0], away, 0.0).sum(1), face.y - EYE[1])
    window = smoothstep(1.15, 0.85, np.hypot(x / EYE_WINDOW[0], y / EYE_WINDOW[1])) * (face.weight > SHOWS)
    threshold, apart = _threshold(away, window)
    evidence = window * smoothstep(threshold - 0.03, threshold + 0.03, away) * (apart > EYE_CONTRAST)
    height = np.broadcast_to(face.y[:, None] - EYE[1], x.shape)
    return _fitted(evidence, x, height, (side * EYE[0], EYE[1]), EYE_HALF, side)


def _lowest_band(profile: FloatArray, y: FloatArray) -> float:
    """The height of the lowest of the strong bands in a profile over the height: above eyes there are brows."""
    within = np.abs(y) < EYE_REACH
    smooth = np.where(within, gaussian_filter(profile, 0.0016 / CELL), 0.0)
    smooth -= smooth[within].min(initial=0.0)
    here = smooth[1:-1]
    peaks = (
        (here > smooth[:-2]) & (here >= smooth[2:]) & (here > 0.5 * smooth.max()) & (np.abs(y[1:-1]) < 0.9 * EYE_REACH)
    )
    return float(y[1:-1][peaks][0]) if peaks.any() else 0.0


def _alike(left: Oval, right: Oval) -> tuple[Oval, Oval]:
    """Both eyes at one height and of one size, by the mean of what was found: a look aside or a curl on one of them says less."""
    seen = [eye for eye in (left, right) if eye.found] or [left, right]
    middle = 0.5 * (left.x + right.x) if len(seen) == 2 else 0.0
    apart = float(np.mean([abs(eye.x - middle) for eye in seen]))
    y, half_width = (float(np.mean([getattr(eye, name) for eye in seen])) for name in ("y", "half_width"))
    tilt = float(np.mean([eye.tilt * np.sign(eye.x) for eye in seen]))
    half_height = EYE_HALF[1] / EYE_HALF[0] * half_width
    one, other = (
        Oval(middle + side * apart, y, half_width, half_height, side * tilt, seen[0].found) for side in (1.0, -1.0)
    )
    return one, other


def _mouth(face: FaceMap, skin: Float32Array, eyes: tuple[Oval, Oval]) -> tuple[Oval, float, Float32Array]:
    """What is redder than the skin within a window below the eyes; how much redder the edge of the lips is; their
    colour."""
    centre = (0.5 * (eyes[0].x + eyes[1].x), 0.5 * (eyes[0].y + eyes[1].y) - MOUTH_BELOW_EYES)
    x, y = np.meshgrid(face.x - centre[0], face.y - centre[1])
    window = smoothstep(1.1, 0.8, np.hypot(x / MOUTH_WINDOW[0], y / MOUTH_WINDOW[1])) * (face.weight > SHOWS)
    red = redness(face.colour, skin)
    threshold, apart = _threshold(red, window)
    evidence = window * smoothstep(threshold - SOFT_RED, threshold + SOFT_RED, red) * (apart > LIP_CONTRAST)
    weight = evidence[..., None] + 1e-6 * window[..., None] + 1e-12
    lips = (face.colour * weight).sum((0, 1)) / weight.sum((0, 1))
    return _fitted(evidence, x, y, centre, MOUTH_HALF, 1.0), threshold, lips.astype(np.float32)


def redness(lab: Float32Array, skin: Float32Array) -> Float32Array:
    """(…, 3) → (…): how much redder than the skin, and a little how much darker, as lips are."""
    away = lab - skin
    return away[..., 1] - 0.45 * away[..., 2] - 0.12 * np.clip(away[..., 0], -0.25, 0.05)


def _threshold(values: Float32Array, weight: Float32Array) -> tuple[float, float]:
    """Where a window's values fall into two classes (Otsu 1979), and how far apart their means are."""
    order = np.argsort(values, axis=None)
    sorted_values, weights = values.reshape(-1)[order].astype(np.float64), weight.reshape(-1)[order].astype(np.float64)
    below = np.cumsum(weights)
    sums = np.cumsum(weights * sorted_values)
    above = below[-1] - below
    good = (below > 0.05 * below[-1]) & (above > 0.05 * below[-1])
    if not good.any():
        return float(sorted_values[-1]), 0.0
    low, high = sums / np.maximum(below, 1e-12), (sums[-1] - sums) / np.maximum(above, 1e-12)
    between = np.where(good, below * above * (high - low) ** 2, -1.0)
    best = int(between.argmax())
    return float(0.5 * (low[best] + high[best])), float(high[best] - low[best])


def _fitted(
    evidence: Float32Array, x: FloatArray, y: FloatArray, centre: tuple[float, float], half: tuple[float, float], side: float
) -> Oval:  # fmt: skip
    """The even ellipse with the moments of the evidence, or the usual one; x grows outwards for eyes."""
    total = float(evidence.sum())
    area = total * CELL**2
    usual = np.pi * half[0] * half[1]
    if not 0.4 * usual < area < 2.0 * usual:
        return Oval(centre[0], centre[1], half[0], half[1], found=False)
    mx, my = (float((evidence * v).sum()) / total for v in (x, y))
    dx, dy = x - mx, y - my
    xx, xy, yy = (float((evidence * v).sum()) / total for v in (dx * dx, dx * dy, dy * dy))
    slope = float(np.clip(xy / max(xx, 1e-12), -0.25, 0.25))
    tall = 2.0 * np.sqrt(max(yy - slope * xy, 1e-12))
    wide = float(np.clip(2.0 * np.sqrt(xx), 0.7 * half[0], 1.35 * half[0]))
    tall = float(np.clip(tall, 0.6 * half[1], 1.6 * half[1]))
    return Oval(centre[0] + side * mx, centre[1] + my, wide, tall, side * slope)
