"""Does the camera stand still?  The picture away from the head answers: there, nothing may move."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from avatarkit.capture.background import far_from
from avatarkit.errors import InputError
from avatarkit.types import ByteArray, Float32Array, FloatArray

CLEARANCE = 0.15  # face widths between a head and what is looked at
PATCHES = 6  # patches along the shorter side
TOLERANCE = 0.004  # of the longer side: 2 pixels at 512
TEXTURE = 2.5  # levels of a high-passed patch, standard deviation: below it there is nothing to follow
COMPARED = 16  # frames
MOVED_SHARE = 0.25  # of the compared frames


def require_static(images: ByteArray, boxes: FloatArray, name: str) -> None:
    """Raise InputError when the background of images (T, H, W, 3) uint8 moves; boxes (T, 4) are face boxes, NaN where unknown.

    Patches far from the head are followed by normalised cross-correlation against the middle frame.  A wall without any
    texture cannot show movement, and does not need to.
    """
    known = np.flatnonzero(np.isfinite(boxes).all(1))
    if len(known) < 2:
        return
    keep = known[np.unique(np.linspace(0, len(known) - 1, COMPARED).round().astype(int))]
    height, width = images.shape[1:3]
    free: np.ndarray = np.all(far_from(boxes[keep], height, width, CLEARANCE), axis=0)
    side = max(16, min(height, width) // PATCHES)
    places = [
        (slice(y, y + side), slice(x, x + side))
        for y in range(0, height - side + 1, side // 2)
        for x in range(0, width - side + 1, side // 2)
        if free[y : y + side, x : x + side].mean() > 0.9
    ]
    grey = [_detail(images[i]) for i in keep]
    reference = len(keep) // 2
    places = [place for place in places if grey[reference][place].std() > TEXTURE]
    if len(places) < 2:
        return
    limit = max(1.0, TOLERANCE * max(height, width))
    moved = 0
    for t, frame in enumerate(grey):
        if t != reference:
            shifts = np.array([_shift(grey[reference][place], frame[place]) for place in places])
            moved += float(np.median(shifts)) > limit
    if moved > MOVED_SHARE * (len(keep) - 1):
        raise InputError(
            f"{name}: the camera moves (the background shifts in {moved} of {len(keep) - 1} frames looked at): a moving camera needs "
            "masks; give them as an image folder with masks/, or film with the camera on a stand"
        )


def _detail(image: ByteArray) -> Float32Array:
    grey = image.astype(np.float32).mean(-1)
    return ndimage.gaussian_filter(grey, 1.0) - ndimage.gaussian_filter(grey, 6.0)


def _shift(a: Float32Array, b: Float32Array) -> float:
    """Pixels by which b is shifted against a; infinite where they do not match at all."""
    window = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1]))
    a, b = (a - a.mean()) * window, (b - b.mean()) * window
    scale = float(np.sqrt((a**2).sum() * (b**2).sum())) + 1e-9
    scores = np.fft.irfft2(np.conj(np.fft.rfft2(a)) * np.fft.rfft2(b), a.shape) / scale
    best = np.unravel_index(int(scores.argmax()), scores.shape)
    if scores[0, 0] > 0.9 * scores[best]:
        return 0.0
    if scores[best] < 0.4:
        return float("inf")
    return float(np.hypot(*(min(int(i), n - int(i)) for i, n in zip(best, scores.shape, strict=True))))
