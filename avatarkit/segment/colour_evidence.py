"""What the picture's colours say where the mesh cannot know: is this hair, skin or cloth?

A head model ends at the skull: a bob before the neck, a fringe over the forehead, a collar on the throat are skin or neck to it.  But it
knows where skin surely is (the middle of the face), and where hair and cloth mostly are.  The colours found there are
three histograms; every pixel that could be another of the three is given to the one that explains it best, with the geometry's own
word as the prior and its neighbours' likelihoods averaged in.  Classes whose colours look alike (a shaved head, a black shirt under black hair) are
not told apart by colour: there geometry keeps the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from avatarkit.labels import LABEL_INDEX
from avatarkit.types import ByteArray, Float32Array, FloatArray, IntArray

SKIN, HAIR, CLOTH = 0, 1, 2
BINS = (16, 12, 12)  # of lightness and the two colour differences
SPREAD = (1.2, 0.8, 0.8)  # bins by which a histogram is blurred
FLOOR = 1e-3
"""Least likelihood: an unknown colour says nothing."""
PRIOR = 0.55
"""How far the geometry is believed; the rest is shared by the other two."""
LIKE = 0.45
"""Overlap of two histograms (Bhattacharyya) from which on they are too much alike to be told apart."""
LEAST = 150  # pixels that a histogram needs
BLUR = 0.004  # of the picture's longer side: over what the likelihoods are averaged
CORE = 0.012  # of the longer side: how far within its region a seed lies

_OF = {"skin": SKIN, "neck": SKIN, "l_ear": SKIN, "r_ear": SKIN, "nose": SKIN, "hair": HAIR, "cloth": CLOTH}
OPEN = ("skin", "neck", "l_ear", "r_ear", "hair", "cloth")
"""Labels of geometry that colour may overrule; features of the face are where the mesh has them."""


@dataclass(frozen=True)
class Scenery:
    """What geometry knows of one picture: classes (H, W) of every pixel; person (H, W) bool; face (H, W) bool: surely skin, unless
    hair hangs over it; below (H, W) bool: under the jaw; beside (H, W) bool: the mesh does not show there."""

    classes: IntArray
    person: np.ndarray
    face: np.ndarray
    below: np.ndarray
    beside: np.ndarray


def recoloured(image: ByteArray, scenery: Scenery) -> IntArray:
    """Classes (H, W) after the colours of ``image`` (H, W, 3) uint8 had their say; see the module."""
    classes = scenery.classes
    longest = max(classes.shape)
    family = np.full(int(classes.max()) + 1, -1)
    for name, kind in _OF.items():
        if LABEL_INDEX[name] < len(family):
            family[LABEL_INDEX[name]] = kind
    kinds = np.where(scenery.person, family[classes], -1)
    colours = _opponent(image)
    reach = max(1, round(CORE * longest))
    cloth = (kinds == CLOTH) & (~scenery.beside | _low(scenery))  # beside the neck hangs hair
    seeds = [scenery.face & (kinds == SKIN), kinds == HAIR, cloth]
    seeds = [ndimage.binary_erosion(seed, iterations=reach) for seed in seeds]
    histograms = [_histogram(colours[seed]) if seed.sum() >= LEAST else None for seed in seeds]
    likelihoods = np.full((3, *classes.shape), FLOOR, np.float32)
    for kind, histogram in enumerate(histograms):
        if histogram is not None:
            likelihoods[kind] = np.maximum(histogram[_cells(colours)], FLOOR)
    likelihoods = _averaged(np.log(likelihoods), scenery.person, BLUR * longest)
    prior = np.full_like(likelihoods, np.log((1.0 - PRIOR) / 2.0))
    for kind in (SKIN, HAIR, CLOTH):
        prior[kind][kinds == kind] = np.log(PRIOR)
        if histograms[kind] is None:
            likelihoods[kind] = likelihoods.min(0)
    told = likelihoods + prior
    best = told.argmax(0)
    open_pixels = scenery.person & np.isin(classes, [LABEL_INDEX[name] for name in OPEN])
    changed = open_pixels & (kinds >= 0) & (best != kinds) & _apart(histograms)[np.maximum(kinds, 0), best]
    changed &= ~(scenery.face & (best == CLOTH)) & ~((best == CLOTH) & ~scenery.below)
    return _named(classes, changed, best, scenery)


def _low(scenery: Scenery) -> np.ndarray:
    """(H, W) bool: the lower half of what is under the jaw."""
    rows = np.flatnonzero((scenery.person & scenery.below).any(1))
    middle = 0.5 * (rows[0] + rows[-1]) if len(rows) else 0.0
    return np.broadcast_to(np.arange(len(scenery.classes))[:, None] >= middle, scenery.classes.shape)


def _named(classes: IntArray, changed: np.ndarray, best: IntArray, scenery: Scenery) -> IntArray:
    """Labels for the pixels that changed; skin under the jaw is neck."""
    found = classes.copy()
    found[changed & (best == HAIR)] = LABEL_INDEX["hair"]
    found[changed & (best == CLOTH)] = LABEL_INDEX["cloth"]
    found[changed & (best == SKIN)] = LABEL_INDEX["skin"]
    found[changed & (best == SKIN) & scenery.below] = LABEL_INDEX["neck"]
    return found


def _apart(histograms: list[FloatArray | None]) -> np.ndarray:
    """(3, 3) bool: which kinds are told apart by colour."""
    told = np.zeros((3, 3), bool)
    for i, first in enumerate(histograms):
        for j, second in enumerate(histograms):
            if first is not None and second is not None and i != j:
                told[i, j] = np.sqrt(first * second).sum() / np.sqrt(first.sum() * second.sum()) < LIKE
    return told


def _opponent(image: ByteArray) -> Float32Array:
    """(H, W, 3) in [0, 1]: the cube root of luminance, and red and blue against it (a cheap CIELAB)."""
    linear = (image.astype(np.float32) / 255.0) ** 2.2
    bright = linear @ np.array([0.2127, 0.7152, 0.0722], np.float32)
    root, red, blue = np.cbrt(bright), np.cbrt(linear[..., 0]), np.cbrt(linear[..., 2])
    return np.stack([root, np.clip(0.5 + 1.6 * (red - root), 0, 1), np.clip(0.5 + 1.2 * (root - blue), 0, 1)], -1)


def _cells(colours: Float32Array) -> tuple[IntArray, ...]:
    return tuple(np.minimum((colours[..., k] * BINS[k]).astype(int), BINS[k] - 1) for k in range(3))


def _histogram(colours: Float32Array) -> FloatArray:
    """Density over BINS, blurred; 1 where all colours were alike and the blur left them."""
    counts, _ = np.histogramdd(colours, bins=BINS, range=((0, 1),) * 3)
    smooth = ndimage.gaussian_filter(counts / counts.sum(), SPREAD, mode="nearest")
    return np.asarray(smooth / smooth.max())


def _averaged(values: Float32Array, mask: np.ndarray, sigma: float) -> Float32Array:
    """Each plane blurred within ``mask``."""
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    return np.stack([ndimage.gaussian_filter(plane * mask, sigma) / np.maximum(weight, 1e-6) for plane in values])
