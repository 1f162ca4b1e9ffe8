"""What carries Gaussians in plain torch: the frames of all triangles, then those of all joints, of one posed head.

A training that does not move the head poses each timestep once and comes back to it hundreds of times; its frames are two hundred small
operations, more than the rest of binding, so they are kept while that row of posed heads is.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor

from avatarkit.gaussians.frames import quat_from_matrix, triangle_frames
from avatarkit.gaussians.skin_frames import posed_frames, skin_frames
from avatarkit.head.parameters import Skinning

LIMIT = 1 << 30  # bytes of frames that are kept


class Carriers(NamedTuple):
    """rotation (F + J, 3, 3), origin (F + J, 3) metres, size (F + J,), quats (F + J, 4) of the rotations."""

    rotation: Tensor
    origin: Tensor
    size: Tensor
    quats: Tensor


class _Kept(NamedTuple):
    sources: tuple[weakref.ref[Tensor], ...]
    versions: tuple[int, ...]
    made: Carriers


_kept: OrderedDict[tuple[int, ...], _Kept] = OrderedDict()
_lock = threading.Lock()


def carriers(vertices: Tensor, joints: Tensor, faces: Tensor, skin: Skinning | None) -> Carriers:
    """Of vertices (V, 3) and joints (J, 4, 4); differentiable in both.

    Kept where both are rows of larger tensors, as of posed heads, and want no gradient, until those are written to or gone.
    """
    sources = [faces] if skin is None else [faces, skin.neutral]
    for value in (vertices, joints):
        if value.requires_grad or value._base is None or value.is_inference():
            return _made(vertices, joints, faces, skin)
        sources.append(value._base)
    key = (vertices.storage_offset(), joints.storage_offset(), *map(id, sources))
    versions = tuple(value._version for value in sources)
    with _lock:
        found = _kept.get(key)
        if found and found.versions == versions and all(r() is v for r, v in zip(found.sources, sources, strict=True)):
            return found.made
    made = _made(vertices, joints, faces, skin)
    each = sum(value.numel() * value.element_size() for value in made)
    with _lock:
        for old in [k for k, kept in _kept.items() if any(reference() is None for reference in kept.sources)]:
            del _kept[old]
        _kept.pop(key, None)
        while _kept and (len(_kept) + 1) * each > LIMIT:
            _kept.popitem(last=False)
        _kept[key] = _Kept(tuple(map(weakref.ref, sources)), versions, made)
    return made


def _made(vertices: Tensor, joints: Tensor, faces: Tensor, skin: Skinning | None) -> Carriers:
    if skin is None:
        frames = triangle_frames(vertices, faces)
    else:
        frames = posed_frames(skin_frames(skin, faces), vertices, joints, faces)
    rotation = torch.cat([frames.rotation, joints[:, :3, :3]])
    origin = torch.cat([frames.origin, joints[:, :3, 3]])
    size = torch.cat([frames.size, torch.ones_like(joints[:, 0, 0])])
    return Carriers(rotation, origin, size, quat_from_matrix(rotation))
