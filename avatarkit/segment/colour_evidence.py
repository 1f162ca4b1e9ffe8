"""What the picture's colours say where the mesh cannot know: is this hair, skin or cloth?

A head model ends at the skull: a bob before the neck, a fringe over the forehead, a collar on the throat are skin or neck to it.  But it
knows where skin surely is (the middle of the face), and where hair and cloth mostly are.  The colours found there are
three histograms; every pixel that could be another of the three is given to the one that explains it best, with the geometry's own
word as the prior and its neighbours' likelihoods averaged in.  Classes whose colours look alike (a shaved head, a black shirt under black hair) are
not told apart by colour: there geometry keeps the last word.

A model's scalp reaches into the forehead of whoever's hairline is higher, and what it calls hair is skin there: hair is learnt from
those pixels alone that do not look like the face (``_unlike``).  Its brows are a stripe of skin with the brow in it: what is as light as
the skin around is skin (``brows``).
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
SKINLIKE = 0.1
"""Likelihood of the skin, of its highest, from which on a pixel of the scalp may be forehead."""
HAIR_LEFT = 0.15
"""Share of the scalp that has to look unlike the face; less is no hair of another colour, but its shadows."""
COLLAR = 0.35
"""How far above the jaw clothes may reach, of the face's height."""
NEAR_MESH = 0.02  # of the longer side: how far beside the mesh skin may be
RING = 0.03  # of the longer side: how far from where the model has it a brow may be, and skin around it
LIDS = 0.018  # of the longer side: around an eye, where it is dark too
CONTRAST = 0.035
"""How much darker than the skin a brow's darkest tenth has to be (cube root of luminance); of blonde brows geometry says where they are."""

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
    clothed = _clothed(scenery)
    hair = (kinds == HAIR) & ~(scenery.beside & clothed)  # beside the jaw stands a collar
    seeds = [scenery.face & (kinds == SKIN), hair, cloth]
    seeds = [ndimage.binary_erosion(seed, iterations=reach) for seed in seeds]
    seeds[HAIR] = _unlike(seeds[HAIR], seeds[SKIN], colours)
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
    apart = _apart(histograms)
    changed = open_pixels & (kinds >= 0) & (best != kinds) & apart[np.maximum(kinds, 0), best]
    changed &= ~(scenery.face & (best == CLOTH)) & ~((best == CLOTH) & ~clothed)
    changed &= ~((best == SKIN) & _far_beside(scenery))
    found = _named(classes, changed, best, scenery)
    found = _without_islands(found, seeds[HAIR], scenery)
    return found if apart[HAIR, CLOTH] else _with_collars(found, seeds[HAIR], scenery, clothed)


def brows(image: ByteArray, classes: IntArray) -> IntArray:
    """Classes (H, W) with brows where it is darker than the skin around, near where they are now; what is as light as skin is skin."""
    longest = max(classes.shape)
    light = ndimage.gaussian_filter(_opponent(image)[..., 0], 0.5 * BLUR * longest)
    eyes = np.isin(classes, [LABEL_INDEX["l_eye"], LABEL_INDEX["r_eye"]])
    lids = ndimage.binary_dilation(eyes, iterations=max(1, round(LIDS * longest)))
    found = classes.copy()
    for name in ("l_brow", "r_brow"):
        brow = classes == LABEL_INDEX[name]
        if brow.sum() < 8:
            continue
        around = ndimage.binary_dilation(brow, iterations=max(2, round(RING * longest)))
        around &= np.isin(classes, [LABEL_INDEX["skin"], LABEL_INDEX[name]]) & ~lids
        skin, dark = np.quantile(light[around], (0.6, 0.05)) if around.sum() > brow.sum() else (0.0, 0.0)
        if skin - dark <= CONTRAST:
            continue
        parts, count = ndimage.label(around & (light < 0.5 * (skin + dark)))
        if not count:
            continue
        largest = parts == 1 + np.bincount(parts[parts > 0])[1:].argmax()
        if np.ptp(np.nonzero(largest)[1]) < 0.4 * np.ptp(np.nonzero(brow)[1]):
            continue
        found[brow] = LABEL_INDEX["skin"]
        found[largest] = LABEL_INDEX[name]
    return found


def _unlike(hair: np.ndarray, skin: np.ndarray, colours: Float32Array) -> np.ndarray:
    """Those pixels of ``hair`` (H, W) bool that do not look like ``skin``; all of them where hardly any would be left."""
    if skin.sum() < LEAST:
        return hair
    other = hair & (_histogram(colours[skin])[_cells(colours)] < SKINLIKE)
    return other if other.sum() >= max(LEAST, HAIR_LEFT * hair.sum()) else hair


def _far_beside(scenery: Scenery) -> np.ndarray:
    """(H, W) bool: so far beside the mesh that no skin can be there: the thin edge of hair has the colour of what is behind it."""
    if scenery.beside.all():
        return scenery.beside
    away = np.asarray(ndimage.distance_transform_edt(scenery.beside))
    return away > NEAR_MESH * max(scenery.classes.shape)


def _alone(classes: IntArray, seed: np.ndarray, scenery: Scenery) -> tuple[np.ndarray, IntArray]:
    """(H, W) bool: hair that hangs together with none of ``seed``, on the mesh where there is some; and which piece each pixel is of.

    Hair grows from one head.
    """
    hair = scenery.person & (classes == LABEL_INDEX["hair"])
    parts = np.asarray(ndimage.label(hair)[0])
    if not seed.any():
        return np.zeros_like(hair), parts
    seed = seed & ~scenery.beside if (seed & ~scenery.beside).any() else seed
    return hair & ~np.isin(parts, np.unique(parts[seed & hair])), parts


def _without_islands(classes: IntArray, seed: np.ndarray, scenery: Scenery) -> IntArray:
    """Dark spots on the face that are no part of the hair (lashes, a shadow, an open mouth) are what they were, and skin where that was hair."""
    spots = _alone(classes, seed, scenery)[0] & ~scenery.beside & ~scenery.below
    found = np.where(spots, scenery.classes, classes)
    found[spots & (found == LABEL_INDEX["hair"])] = LABEL_INDEX["skin"]
    return found


def _with_collars(classes: IntArray, seed: np.ndarray, scenery: Scenery, clothed: np.ndarray) -> IntArray:
    """What is no part of the hair and touches clothes, beside the mesh where clothes may be, is a collar."""
    alone, parts = _alone(classes, seed, scenery)
    cloth = ndimage.binary_dilation(scenery.person & (classes == LABEL_INDEX["cloth"]))
    collar = alone & scenery.beside & np.isin(parts, np.unique(parts[alone & cloth]))
    return np.where(collar & clothed, LABEL_INDEX["cloth"], classes)


def _clothed(scenery: Scenery) -> np.ndarray:
    """(H, W) bool: where clothes may be: under the jaw, and beside the mesh a little above it."""
    face = np.flatnonzero(scenery.face.any(1))
    rows = np.flatnonzero(scenery.below.any(1))
    if not len(face) or not len(rows):
        return scenery.below
    highest = rows[0] - COLLAR * (face[-1] - face[0])
    collar = np.broadcast_to(np.arange(len(scenery.classes))[:, None] >= highest, scenery.classes.shape)
    return scenery.below | (collar & scenery.beside)


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
