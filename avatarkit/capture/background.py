"""The background behind a head, learned from a clip of a camera that stands still.

Nothing is trained: wall pixels are those far from the head, and, grown from there, those that agree with a smooth continuation
of what is already known.  Each pixel's colour is its median over the frames in which it shows the wall; what no frame shows is
filled smoothly.  A plain wall is recovered to within its noise; a textured one where some frame shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from avatarkit.capture.diffusion import fill, masked_median, over_channels
from avatarkit.errors import InputError
from avatarkit.types import ByteArray, Float32Array, FloatArray

LEARN_FRAMES = 48
SEED_SHARE = 0.15  # of the image: the pixels farthest from the head, above the chin, are taken for background
NOISE_FLOOR = 2.5  # levels of 255: sensor noise and compression below which nothing is concluded
STEADY_REACH = 0.35  # face widths from the head beyond which what never changes is background, whatever it looks like
ROUNDS = 6


@dataclass(frozen=True)
class Background:
    """colour (H, W, 3) float32 in [0, 255]; noise (H, W) float32, standard deviation in levels; confident (H, W) bool: seen
    without the head in enough frames (elsewhere the colour is a smooth guess, and ``noise`` says how good)."""

    colour: Float32Array
    noise: Float32Array
    confident: np.ndarray


def learn_background(images: ByteArray, heads: np.ndarray, faces: FloatArray | None = None) -> Background:
    """images (T, H, W, 3) uint8; heads: (T, 4) face boxes (left, top, right, bottom; NaN where unknown), or (T, H, W) bool masks.
    faces (T, 4): the face boxes where masks hold shoulders too, which would hide the wall beside the head.

    Raises InputError when no frame has a head, or the head fills the whole picture in every frame.
    """
    boxes = head_boxes(heads) if faces is None else faces
    known = np.flatnonzero(np.isfinite(boxes).all(1))
    if not len(known):
        raise InputError("no face in any frame: the background cannot be told from the head; give masks")
    keep = known[np.unique(np.linspace(0, len(known) - 1, min(LEARN_FRAMES, len(known))).round().astype(int))]
    frames = np.ascontiguousarray(images[keep])
    height, width = frames.shape[1:3]
    head = _head_zones(heads[keep] if heads.ndim == 3 else boxes[keep], height, width)
    far = far_from(boxes[keep], height, width)
    use = far & ~head
    if use.any(0).mean() < 0.02:
        raise InputError("the head fills the picture: too little background to learn from; give masks, or a wider crop")
    colour, spread, count = masked_median(frames, use)
    needed = max(2, len(keep) // 8)
    anchored = _steady(frames, np.asarray(far_from(boxes[keep], height, width, STEADY_REACH).all(0)))
    seen = count >= needed
    wall, scale = _wall(colour, seen)
    seen &= np.linalg.norm(colour - wall, axis=2) < 5.0 * np.sqrt(3.0) * scale  # hair that reaches into the seeds
    reach = 3
    for round_ in range(ROUNDS):
        guess, error = _continued(colour, seen)
        # a pixel that flickers far more than the rest sees hair come and go: that must not widen what counts as wall
        steady = np.minimum(spread, 2.0 * float(np.median(spread[seen])) + 1.0) if seen.any() else spread
        # nor may distance from the known: growing too little is mended by the next round, taking a shirt for wall is not
        noise = np.sqrt(NOISE_FLOOR**2 + np.where(seen, steady, np.minimum(error, 1.5 * error.min() + 1.0)) ** 2)
        agrees = np.empty_like(use)
        for t, frame in enumerate(frames):
            away = frame.astype(np.float32) - guess * gain(frame, guess, use[t])
            # a wall may be lit unevenly but does not jump: disagreement is judged on a small neighbourhood
            distance = ndimage.uniform_filter(over_channels(away**2), 3) / 3
            close = (distance < (3.0 * noise) ** 2) & ~head[t]
            agrees[t] = ndimage.binary_propagation(use[t] & close, mask=close)
            agrees[t] = (
                ndimage.binary_erosion(agrees[t], iterations=reach, border_value=1)
                | (use[t] & close & far[t])
                | anchored
            )
        use = agrees
        fresh, fresh_spread, count = masked_median(frames, use)
        now = count >= needed
        if not now.any():
            break
        now &= anchored | ~_strands(fresh, fresh_spread, count, now, len(frames))
        colour, spread, changed = fresh, fresh_spread, int((now != seen).sum())
        seen = now
        if round_ and changed < 1e-3 * seen.size:
            break
    guess, error = _continued(colour, seen)
    typical = float(np.median(spread[seen])) if seen.any() else NOISE_FLOOR
    noise = np.where(seen, np.clip(spread, 0.5 * typical, 4 * typical + NOISE_FLOOR), np.maximum(error, typical))
    noise = ndimage.median_filter(noise.astype(np.float32), 5)
    return Background(guess, np.sqrt(noise**2 + NOISE_FLOOR**2).astype(np.float32), seen)


def _steady(frames: ByteArray, clear: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of ``clear`` that look the same in every frame: pictures, shelves and doors are background too."""
    if not clear.any():
        return clear
    _, spread, _ = masked_median(frames, np.ascontiguousarray(np.broadcast_to(clear, frames.shape[:3])))
    quiet = ndimage.median_filter(spread, 3) < 2.0 * float(np.median(spread[clear])) + 1.0
    return ndimage.binary_opening(clear & quiet, iterations=2)


def _strands(
    colour: Float32Array, spread: Float32Array, count: np.ndarray, seen: np.ndarray, frames: int
) -> np.ndarray:
    """(H, W) bool: pixels whose median is no wall, because hair comes and goes there: off the smooth wall, and unsteady.

    A picture on the wall is off it too, but steady.
    """
    wall, scale = _wall(colour, seen)
    off = np.linalg.norm(colour - wall, axis=2) / np.sqrt(3.0) > 3.5 * scale + 2.0
    unsteady = (spread > 2.0 * np.median(spread[seen]) + 0.5) | (count < frames // 2)
    return ndimage.binary_dilation(off & unsteady, iterations=2)


def head_boxes(heads: np.ndarray) -> FloatArray:
    """(T, 4) boxes of (T, 4) boxes or of (T, H, W) masks; NaN where a mask is empty."""
    if heads.ndim == 2 and heads.shape[1] == 4:
        return np.asarray(heads, np.float64)
    if heads.ndim != 3:
        raise InputError(f"heads have shape {heads.shape}; expected (T, 4) boxes or (T, H, W) masks")
    boxes = np.full((len(heads), 4), np.nan)
    for t, mask in enumerate(heads):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            boxes[t] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def face_ellipse(box: FloatArray, height: int, width: int, grow: float = 1.0) -> np.ndarray:
    """(H, W) bool: the ellipse inscribed in ``box``, its axes scaled by ``grow``."""
    y, x = np.mgrid[:height, :width] + 0.5
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    a, b = max(box[2] - box[0], 2) / 2 * grow, max(box[3] - box[1], 2) / 2 * grow
    return ((x - centre_x) / a) ** 2 + ((y - centre_y) / b) ** 2 <= 1.0


def gain(image: ByteArray, colour: Float32Array, wall: np.ndarray) -> Float32Array:
    """(3,) brightness of ``image`` against ``colour`` on ``wall`` (H, W): cameras change exposure and white balance."""
    if int(wall.sum()) < 200:
        return np.ones(3, np.float32)
    ratio = (image[wall].astype(np.float32) + 1.0) / (colour[wall] + 1.0)
    return np.clip(np.median(ratio, axis=0), 0.7, 1.4).astype(np.float32)


def _head_zones(heads: np.ndarray, height: int, width: int) -> np.ndarray:
    """(T, H, W): pixels that are surely head or neck, so never background."""
    if heads.ndim == 3:
        return np.asarray(heads, bool)
    zones = np.zeros((len(heads), height, width), bool)
    for t, box in enumerate(heads):
        zones[t] = face_ellipse(box, height, width, 0.95)
        left, right, chin = (int(v) for v in (0.6 * box[0] + 0.4 * box[2], 0.4 * box[0] + 0.6 * box[2], box[3]))
        zones[t, max(chin - 2, 0) :, max(left, 0) : max(right, 0)] = True
    return zones


def far_from(boxes: FloatArray, height: int, width: int, reach: float | None = None) -> np.ndarray:
    """(T, H, W): pixels taken for background to begin with: the farthest from head, hair and a body below, in each frame.

    ``reach``: instead, all that are farther than so many face widths.
    """
    y, x = np.mgrid[:height, :width] + 0.5
    far = np.zeros((len(boxes), height, width), bool)
    for t, (left, top, right, bottom) in enumerate(boxes):
        w, h = right - left, bottom - top
        left, top, right = left - 0.1 * w, top - 0.45 * h, right + 0.1 * w  # a face box ends below the hair
        sideways = np.maximum(np.maximum(left - x, x - right), 0) / w
        upwards = np.maximum(top - y, 0) / h
        body = np.clip((y - bottom) / h + 0.35, 0, None) * 3.0  # shoulders widen below the ears
        distance = np.hypot(sideways, upwards) - body
        if reach is None:
            farthest = float(np.quantile(distance[y < max(bottom, 0.5 * height)], 1.0 - SEED_SHARE))
            far[t] = distance > min(0.7, max(farthest, 0.05))
        else:
            far[t] = distance > reach
    return far


def _wall(colour: Float32Array, seen: np.ndarray) -> tuple[Float32Array, float]:
    """A quadratic wall (H, W, 3) through what is seen, robust against what is not wall; and how far the wall strays from it,
    a robust standard deviation per channel, in levels."""
    height, width = seen.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    basis = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], -1)
    rows = np.flatnonzero(seen.ravel())
    rows = rows[:: max(1, len(rows) // 20000)]
    design, target = basis.reshape(-1, 6)[rows], colour.reshape(-1, 3)[rows].astype(np.float64)
    weight = np.ones(len(rows))
    scale = 1.0
    solution = np.zeros((6, 3))
    ridge = 1e-3 * len(rows) * np.diag([0, 1, 1, 3, 3, 3])  # seen only at an edge, curvature must not run away
    for _ in range(8):
        weighted = design * weight[:, None]
        solution = np.linalg.solve(weighted.T @ design + ridge + 1e-9 * np.eye(6), weighted.T @ target)
        residual = np.linalg.norm(design @ solution - target, axis=1) / np.sqrt(3.0)
        scale = max(1.4826 * float(np.median(residual)), 1.0)
        weight = np.clip(1 - (residual / (4.7 * scale)) ** 2, 0, None) ** 2  # Tukey's biweight
    return (basis @ solution).astype(np.float32), scale


def _continued(colour: Float32Array, seen: np.ndarray) -> tuple[Float32Array, Float32Array]:
    """Known colours everywhere: as they are where seen; elsewhere a quadratic wall plus what the known differs from it.

    Also the expected error (H, W) of the guess, in levels: how far the wall strays from the quadratic, more with distance.
    """
    smooth, scale = _wall(colour, seen)
    inner = ndimage.binary_erosion(seen, iterations=3, border_value=1)  # the rim is mixed with hair
    source = inner if inner.any() else seen
    rest = fill(np.where(source[..., None], colour - smooth, 0).astype(np.float32), source.astype(np.float32))
    guess = np.where(seen[..., None], colour, np.clip(smooth + rest, 0, 255)).astype(np.float32)
    distance = ndimage.distance_transform_edt(~seen) / max(seen.shape) if seen.any() else np.ones(seen.shape)
    return guess, (scale * (1.0 + 4.0 * distance)).astype(np.float32)
