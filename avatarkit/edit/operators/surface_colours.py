"""The colours of the head's surface, by vertex: as the avatar's own pictures show them, and spread to where they show nothing.

Known vertices are those that trusted pixels of the pictures lie on.  The others take the mirrored vertex's colour where that one is known, and
are harmonic besides: the smoothest continuation of what is around them (Laplace's equation on the mesh).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.edit.scene import Place, Scene
from avatarkit.head.topology import edges
from avatarkit.types import FloatArray

MIRROR_WEIGHT = 0.2
"""How strongly an unknown vertex is held to its mirror image, beside one for each neighbour."""
MIRROR_REACH = 0.004  # metres: how far from the mirrored place a vertex may lie
LEAST = 0.5  # pixels that a vertex has to be seen in
NEAR_SURFACE = 0.02
"""Opacity that may be missing where a pixel counts as surface."""


@dataclass(frozen=True)
class SurfaceColours:
    """colours (V, 3) sRGB; known (V,) bool: seen in pictures, not spread."""

    colours: Tensor
    known: Tensor


def surface_colours(scene: Scene, places: list[Place], trusted: list[Tensor]) -> SurfaceColours:
    """trusted: for each place (1, H, W) in [0, 1], where the picture shows the surface that is asked for."""
    faces = scene.head.faces.numpy()
    count = len(scene.head.template)
    total, weight = np.zeros((count, 3)), np.zeros(count)
    for place, trust in zip(places, trusted, strict=True):
        mesh = scene.mesh(place)
        use = (mesh.triangle >= 0) & (trust[0].numpy() > 0.5)
        corners = faces[mesh.triangle[use]]
        share = mesh.barycentrics[use].astype(np.float64)
        seen = scene.picture(place).permute(1, 2, 0).numpy()[use]
        for k in range(3):
            weight += np.bincount(corners[:, k], share[:, k], count)
            for channel in range(3):
                total[:, channel] += np.bincount(corners[:, k], share[:, k] * seen[:, channel], count)
    known = weight > LEAST
    found = np.zeros((count, 3))
    found[known] = total[known] / weight[known, None]
    rest = scene.rest.vertices.numpy()
    return SurfaceColours(torch.from_numpy(spread(found, known, faces, rest)).float(), torch.from_numpy(known))


def spread(values: FloatArray, known: np.ndarray, faces: np.ndarray, rest: FloatArray) -> FloatArray:
    """(V, 3): ``values`` at the ``known`` (V,) vertices, continued to all others; rest (V, 3) metres tells mirror images.

    A part of the mesh without any known vertex gets the mean of all.
    """
    if not known.any():
        return np.full_like(values, 0.5)
    out = values.copy()
    unknown = np.flatnonzero(~known)
    if not len(unknown):
        return out
    pairs, _ = edges(faces)
    count = len(values)
    links = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    links = (links + links.T).tocsr()
    degree = np.asarray(links.sum(1)).ravel()
    mirrored, image = _mirror_images(rest, known)
    pull = MIRROR_WEIGHT * mirrored[unknown]
    # a whisper towards the mean keeps parts without known vertices solvable
    mean = values[known].mean(0)
    matrix = sparse.diags(degree[unknown] + pull + 1e-6) - links[unknown][:, unknown]
    right = (
        links[unknown][:, np.flatnonzero(known)] @ values[known] + pull[:, None] * values[image[unknown]] + 1e-6 * mean
    )
    out[unknown] = spsolve(matrix.tocsc(), right)
    return np.clip(out, 0.0, 1.0)


def _mirror_images(rest: FloatArray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(V,) 1.0 where a known vertex lies at a vertex's mirrored place, and (V,) which one."""
    places = np.flatnonzero(known)
    middle = 0.5 * (rest[:, 0].min() + rest[:, 0].max())
    flipped = rest * np.array([-1.0, 1.0, 1.0]) + np.array([2.0 * middle, 0.0, 0.0])
    gaps, near = cKDTree(rest[places]).query(flipped)
    return (gaps < MIRROR_REACH).astype(float), places[near]
