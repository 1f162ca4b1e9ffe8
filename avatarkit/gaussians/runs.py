"""Which Gaussians ride on which frame: the work list of the CPU kernels.

Gaussians are grouped into *runs* that share a frame, so that a frame is computed once and its gradient is summed by one
owner, in a fixed order: no atomics, and the same bits for any number of threads.  Lists are rebuilt only when the binding or
the mesh changes, which is at densification.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.errors import InputError
from avatarkit.types import IntArray

FREE_RUN = 128  # a joint may carry thousands of Gaussians; its runs are cut so that threads share them
BLOCKS = 64  # work items with about equal numbers of Gaussians; fixed, so that results do not follow the thread count


@dataclass(frozen=True)
class Runs:
    """order (N,): Gaussians sorted by frame; run r has binding[r] and members order[start[r]:start[r + 1]];
    block b has runs block[b]:block[b + 1]."""

    order: IntArray
    binding: IntArray
    start: IntArray
    block: IntArray


@dataclass(frozen=True)
class Corners:
    """The corners that meet at each vertex: corner[start[v]:start[v + 1]] are 3·face + corner."""

    faces: IntArray
    start: IntArray
    corner: IntArray


class _Cache:
    """Values by tensor identity and version, dropped with the tensor."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Tensor], int, tuple[int, ...], Any]] = {}

    def get(self, tensor: Tensor, sizes: tuple[int, ...]) -> Any:
        entry = self._entries.get(id(tensor))
        if entry is None:
            return None
        reference, version, known, value = entry
        fresh = version == tensor._version and known == sizes
        return value if fresh and reference() is tensor else None

    def put(self, tensor: Tensor, sizes: tuple[int, ...], value: Any) -> None:
        key = id(tensor)

        def forget(gone: weakref.ref[Tensor]) -> None:
            entry = self._entries.get(key)
            if entry is not None and entry[0] is gone:
                del self._entries[key]

        self._entries[key] = (weakref.ref(tensor, forget), tensor._version, sizes, value)


_runs_cache, _corners_cache = _Cache(), _Cache()


def runs(binding: Tensor, num_faces: int, num_joints: int) -> Runs:
    """Group ``binding`` (N,).  Raises InputError where it names a triangle or a joint that the head model lacks."""
    sizes = (num_faces, num_joints)
    if torch.is_inference(binding):  # has no version counter to tell when it changed
        return _group(binding.numpy(), num_faces, num_joints)
    found = _runs_cache.get(binding, sizes)
    if found is None:
        found = _group(binding.numpy(), num_faces, num_joints)
        _runs_cache.put(binding, sizes, found)
    return found


def corners(faces: Tensor, num_vertices: int) -> Corners:
    """The inverse of ``faces`` (F, 3).  Raises InputError where it names a vertex that is not there."""
    if torch.is_inference(faces):
        return _invert(faces.numpy(), num_vertices)
    found = _corners_cache.get(faces, (num_vertices,))
    if found is None:
        found = _invert(faces.numpy(), num_vertices)
        _corners_cache.put(faces, (num_vertices,), found)
    return found


def _group(binding: IntArray, num_faces: int, num_joints: int) -> Runs:
    wrong = np.flatnonzero((binding >= num_faces) | (binding < -num_joints))
    if len(wrong):
        raise InputError(
            f"Gaussian {wrong[0]} is bound to {binding[wrong[0]]}; the head model has {num_faces} triangles and "
            f"{num_joints} joints (this avatar belongs to another head model)"
        )
    order = np.argsort(binding, kind="stable").astype(np.int32)
    ordered = binding[order]
    first = np.ones(len(order), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    position = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    first |= (ordered < 0) & (position % FREE_RUN == 0)
    starts = np.flatnonzero(first)
    ends = np.append(starts, len(order))
    # Each run also costs a frame: about as much as one Gaussian.
    work = np.cumsum(np.diff(ends) + 1)
    total = work[-1] if len(work) else 0
    block = np.searchsorted(work, np.linspace(0.0, total, BLOCKS + 1))
    block[-1] = len(starts)
    return Runs(order, ordered[starts].astype(np.int32), ends.astype(np.int32), block.astype(np.int32))


def _invert(faces: IntArray, num_vertices: int) -> Corners:
    if len(faces) and (faces.min() < 0 or faces.max() >= num_vertices):
        raise InputError(f"faces name vertex {faces.max()}; the mesh has {num_vertices} vertices")
    flat = np.ascontiguousarray(faces, np.int32).reshape(-1)
    corner = np.argsort(flat, kind="stable").astype(np.int32)
    start = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=num_vertices))]).astype(np.int32)
    return Corners(flat.reshape(-1, 3), start, corner)
