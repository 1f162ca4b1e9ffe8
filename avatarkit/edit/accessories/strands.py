"""Locks of hair: curves that become chains of long thin Gaussians."""

from __future__ import annotations

import numpy as np

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import Discs, discs
from avatarkit.edit.accessories.vectors import unit
from avatarkit.types import FloatArray, IntArray

TURN = 7.0  # radii of a curl that a turn is long
VARIED = 0.14  # spread of brightness from lock to lock
OVERLAP = 0.46  # standard deviation along a piece of a lock, in lengths of the piece


def locks(paths: FloatArray, normals: FloatArray, thick: FloatArray, *, root_shade: float = 0.72) -> Discs:
    """One Gaussian for each piece of ``paths`` (S, K, 3): S·(K − 1), lock by lock.

    normals (S, 3) or (S, K − 1, 3): what a lock is lit as; thick (S,): standard deviation across it, metres; root_shade: share
    of the light at the root, all of it at the tip.
    """
    count, pieces = paths.shape[0], paths.shape[1] - 1
    steps = np.diff(paths, axis=1)
    lengths = np.linalg.norm(steps, axis=2)
    tangents = steps / np.maximum(lengths, 1e-9)[..., None]
    faced = normals[:, None] if normals.ndim == 2 else normals
    faced = np.broadcast_to(faced, steps.shape)
    faced = faced - (faced * tangents).sum(2, keepdims=True) * tangents
    taper = np.linspace(1.0, 0.7, pieces)[None] * thick[:, None]
    scales = np.stack([OVERLAP * lengths, taper, 0.7 * taper], -1)
    shade = np.linspace(root_shade, 1.0, pieces + 1)[:-1] + 0.5 * (1 - root_shade) / pieces
    return discs(
        ((paths[:, 1:] + paths[:, :-1]) / 2).reshape(-1, 3), unit(faced).reshape(-1, 3), tangents.reshape(-1, 3),
        scales.reshape(-1, 3), None, np.tile(shade, count),
    )  # fmt: skip


def grown(
    roots: FloatArray,
    normals: FloatArray,
    flow: FloatArray,
    lengths: FloatArray,
    pieces: int,
    *,
    lift: FloatArray | float,
    hang: FloatArray,
) -> FloatArray:
    """(S, pieces + 1, 3) curves from ``roots`` (S, 3): they leave along ``flow`` and the normals, and end along ``hang``, all
    (S, 3).

    lengths (S,) metres; lift (S,) or one: share of the normal in the first direction.
    """
    begin = unit(flow + np.asarray(lift).reshape(-1, 1) * normals)
    path = [roots]
    for piece in range(pieces):
        share = (piece + 0.5) / pieces
        path.append(path[-1] + unit((1 - share) * begin + share * hang) * (lengths / pieces)[:, None])
    return np.stack(path, 1)


def curled(paths: FloatArray, radius: float, random: np.random.Generator) -> FloatArray:
    """``paths`` (S, K, 3) wound around themselves: ``radius`` metres wide at the tips, a turn every ``TURN`` radii."""
    along = unit(np.gradient(paths, axis=1))
    first = unit(np.cross(along, np.array([0.0, 1.0, 0.3])) + 1e-9)
    second = np.cross(along, first)
    length = np.cumsum(np.linalg.norm(np.diff(paths, axis=1, prepend=paths[:, :1]), axis=2), 1)
    turn = 2 * np.pi * (length / (TURN * radius) + random.random((len(paths), 1)))
    wide = radius * (length / length[:, -1:]) ** 0.6
    wound = (wide * np.cos(turn))[..., None] * first + (wide * np.sin(turn))[..., None] * second
    return paths + wound - wound[:, :1]


def off_skin(paths: FloatArray, anatomy: Anatomy, least: FloatArray) -> FloatArray:
    """``paths`` (S, K, 3) pushed out of the skin; least (K,): height that each point along them keeps at least, metres."""
    flat = paths.reshape(-1, 3)
    near = anatomy.skin.nearest(flat)
    lacking = np.tile(least, len(paths)) + anatomy.flesh(near.points) - near.heights
    return (flat + np.clip(lacking, 0.0, 0.02)[:, None] * near.normals).reshape(paths.shape)


def thinned(growing: IntArray, weights: FloatArray, count: int, random: np.random.Generator) -> IntArray:
    """At most ``count`` of the places ``growing`` (G,), more of them where the weights (P,) are high."""
    if len(growing) <= count:
        return growing
    keys = random.exponential(1.0, len(growing)) / weights[growing]
    return growing[np.argsort(keys)[:count]]


def strewn(colour: FloatArray, count: int, pieces: int, random: np.random.Generator) -> FloatArray:
    """(count·pieces, 3) sRGB: ``colour`` (3,) a little lighter or darker from lock to lock."""
    shades = np.clip(1 + VARIED * random.standard_normal((count, 1)), 0.6, 1.5)
    return np.clip(np.repeat(shades, pieces, axis=0) * colour, 0.0, 1.0)
