"""What every shape needs: unit vectors, soft steps, points evenly spread along a line."""

from __future__ import annotations

import numpy as np

from avatarkit.types import FloatArray

SIDES = {"l": 1.0, "r": -1.0}
"""The subject's sides and the sign of their x."""


def unit(vectors: FloatArray) -> FloatArray:
    """``vectors`` (…, 3) at length one; a zero vector stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def levelled(vectors: FloatArray) -> FloatArray:
    """``vectors`` (…, 3) without their height, at length one."""
    return unit(vectors * np.array([1.0, 0.0, 1.0]))


def smooth_step(begin: float | FloatArray, end: float | FloatArray, value: FloatArray) -> FloatArray:
    """From 0 at ``begin`` to 1 at ``end``, flat beyond; begin may be the greater one."""
    t = np.clip((value - begin) / (np.asarray(end) - begin), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def path_lengths(path: FloatArray) -> FloatArray:
    """(P,) length from the first of ``path`` (P, D) to each point."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])


def resampled(path: FloatArray, count: int, *, closed: bool = False) -> FloatArray:
    """(count, D) points evenly spread along ``path`` (P, D); ``closed``: it returns to its first point."""
    if closed:
        path = np.concatenate([path, path[:1]])
    length = path_lengths(path)
    at = np.linspace(0.0, length[-1], count, endpoint=not closed)
    return np.stack([np.interp(at, length, path[:, k]) for k in range(path.shape[1])], 1)


def rounded(path: FloatArray, rounds: int, *, closed: bool = False) -> FloatArray:
    """``path`` (P, D) with its corners cut off by averaging neighbours; its ends stay unless it is closed."""
    for _ in range(rounds):
        if closed:
            path = 0.25 * np.roll(path, 1, 0) + 0.5 * path + 0.25 * np.roll(path, -1, 0)
        else:
            inner = 0.25 * path[:-2] + 0.5 * path[1:-1] + 0.25 * path[2:]
            path = np.concatenate([path[:1], inner, path[-1:]])
    return path
