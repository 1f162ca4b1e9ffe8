"""Avatar files: one safetensors file of format ``avatarkit/1`` (see ``tensor_file`` for the container).

Tensors: ``gaussians/<field>``, ``motion/<field>``, ``viewmats``, ``Ks``, ``background``.  JSON metadata: ``head``,
``timestep_names``, ``frames`` (rows of timestep, camera, split, source, time), ``cameras`` (rows of name, width, height),
``source``, ``history``, ``meta``.  Correctives, where there are any, are ``gaussians/mean_correctives`` and ``…colour_correctives`` (N, 3, K), and
``pose_weights/<field>``.  Edit ``i`` of the history can be undone with ``undo/i/<name>``: whole rows of the Gaussians that it
changed or took away, ``order`` (ids of all Gaussians before it) and the tensors of the motion that it changed.

Offsets over time that are a few modes times numbers, as tracking finds them (``track.soft_modes``), are kept so instead of as
``motion/dynamic_offset``: ``motion/offset_modes`` (K, V, 3) metres, ``motion/offset_weights`` (T, K).  Files of before have one mode,
``motion/offset_mode`` (V, 3) and ``motion/offset_weight`` (T,).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args

import torch
from torch import Tensor

from avatarkit.capture.capture import Frame, Split
from avatarkit.errors import FileFormatError, InputError
from avatarkit.gaussians.avatar import Avatar, AvatarCamera
from avatarkit.gaussians.correctives import PoseWeights
from avatarkit.gaussians.gaussians import CORRECTIVES, Gaussians
from avatarkit.gaussians.offset_modes import factored, product
from avatarkit.gaussians.tensor_file import finite, load_tensors, save_tensors
from avatarkit.head.parameters import HeadParams
from avatarkit.labels import NUM_LABELS
from avatarkit.render.sh import MAX_DEGREE
from avatarkit.types import Json, PathArg

FORMAT = "avatarkit/1"
_INTEGERS = {"binding": torch.int32, "ids": torch.int64, "parents": torch.int64, "groups": torch.int32}
_MODES, _AMOUNTS, _OFFSETS = "motion/offset_modes", "motion/offset_weights", "motion/dynamic_offset"
_ONE_MODE, _ONE_AMOUNT = "motion/offset_mode", "motion/offset_weight"  # of files of before
_CORRECTIVES = tuple(f"gaussians/{name}" for name in CORRECTIVES)
_WEIGHTS = tuple(f"pose_weights/{f.name}" for f in fields(PoseWeights))
_OPTIONAL = (*_CORRECTIVES, *_WEIGHTS, "motion/static_offset", _OFFSETS, _MODES, _AMOUNTS)


def save_avatar(avatar: Avatar, path: PathArg) -> None:
    """Write ``avatar`` to ``path``, atomically.  Raises InputError for an avatar that could not be read again."""
    tensors = {"viewmats": avatar.viewmats, "Ks": avatar.Ks, "background": avatar.background}
    tensors |= {f"gaussians/{name}": value for name, value in avatar.gaussians.stored().items()}
    if avatar.pose_weights is not None:
        tensors |= {f"pose_weights/{f.name}": getattr(avatar.pose_weights, f.name) for f in fields(PoseWeights)}
    motion = {f"motion/{f.name}": getattr(avatar.motion, f.name) for f in fields(HeadParams)}
    tensors |= {name: value for name, value in motion.items() if value is not None}
    if _OFFSETS in tensors and (few := factored(tensors[_OFFSETS])):
        tensors[_MODES], tensors[_AMOUNTS] = few
        del tensors[_OFFSETS]
    tensors |= {f"undo/{i}/{name}": value for i, back in enumerate(avatar.undo) for name, value in back.items()}
    metadata = {
        "head": avatar.head,
        "timestep_names": list(avatar.timestep_names),
        "frames": [[int(f.timestep), int(f.camera), f.split, f.source, float(f.time)] for f in avatar.frames],
        "cameras": [[c.name, int(c.width), int(c.height)] for c in avatar.cameras],
        "source": avatar.source,
        "history": avatar.history,
        "meta": avatar.meta,
    }
    problem = next(_problems(tensors, metadata), None)
    if problem:
        raise InputError(f"{path}: this avatar cannot be saved: {problem}")
    save_tensors(path, tensors, metadata, FORMAT)


def load_avatar(path: PathArg) -> Avatar:
    """Read an avatar.  Raises FileFormatError, naming the file and the key, for any file that ``save_avatar`` did not write."""
    tensors, metadata = load_tensors(path, FORMAT)
    _renamed(tensors)
    problem = next(_problems(tensors, metadata), None)
    if problem:
        raise FileFormatError(f"{path}: {problem}")

    if _MODES in tensors:
        tensors[_OFFSETS] = product(tensors.pop(_MODES), tensors.pop(_AMOUNTS))

    def group(prefix: str) -> dict[str, Any]:
        return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

    try:
        return Avatar(
            gaussians=Gaussians(**group("gaussians/")),
            head=metadata["head"],
            motion=HeadParams(**group("motion/")),
            timestep_names=tuple(metadata["timestep_names"]),
            frames=tuple(Frame(*row) for row in metadata["frames"]),
            cameras=tuple(AvatarCamera(*row) for row in metadata["cameras"]),
            viewmats=tensors["viewmats"],
            Ks=tensors["Ks"],
            background=tensors["background"],
            source=metadata["source"],
            history=metadata["history"],
            undo=[group(f"undo/{i}/") for i in range(len(metadata["history"]))],
            meta=metadata["meta"],
            pose_weights=PoseWeights(**group("pose_weights/")) if _WEIGHTS[0] in tensors else None,
        )
    except InputError as error:
        raise FileFormatError(f"{path}: {error}") from error


def _renamed(tensors: dict[str, Tensor]) -> None:
    """One mode of a file of before becomes the first of several."""
    for old, new, axis in ((_ONE_MODE, _MODES, 0), (_ONE_AMOUNT, _AMOUNTS, 1)):
        if old in tensors and new not in tensors:
            tensors[new] = (value := tensors.pop(old)).unsqueeze(min(axis, value.ndim))


def _problems(tensors: dict[str, Tensor], metadata: Json) -> Iterator[str]:
    """What is wrong, in words; the first problem is enough to refuse a file, later ones may assume that it is mended."""
    yield from _metadata_problems(metadata)
    expected = {f"gaussians/{f.name}" for f in fields(Gaussians)} | {f"motion/{f.name}" for f in fields(HeadParams)}
    expected |= {"viewmats", "Ks", "background", _MODES, _AMOUNTS, *_WEIGHTS}
    for name in sorted(expected - set(_OPTIONAL) - tensors.keys()):
        yield f"tensor '{name}' is missing"
    for name in (*_CORRECTIVES[1:], *_WEIGHTS):
        if (name in tensors) != (_CORRECTIVES[0] in tensors):
            yield f"one of '{_CORRECTIVES[0]}' and '{name}' is missing"
    if (_MODES in tensors) != (_AMOUNTS in tensors):
        yield f"one of '{_MODES}' and '{_AMOUNTS}' is missing"
    if _MODES in tensors and _OFFSETS in tensors:
        yield f"'{_MODES}' and '{_OFFSETS}' say the same thing twice"
    backs = {name for name in tensors if name.startswith("undo/")}
    for name in sorted(tensors.keys() - expected - backs):
        yield f"unknown tensor '{name}'"
    for name, shape in _shapes(tensors, metadata).items():
        if name not in tensors:
            continue
        value = tensors[name]
        dtype = _INTEGERS.get(name.removeprefix("gaussians/"), torch.float32)
        if value.dtype != dtype:
            yield f"tensor '{name}' is {str(value.dtype)[6:]}; expected {str(dtype)[6:]}"
        if tuple(value.shape) != shape:
            yield f"tensor '{name}' has shape {tuple(value.shape)}; expected {shape}"
        if not finite(value):
            yield f"tensor '{name}' holds NaN or infinity"
    yield from _undo_problems({name: tensors[name] for name in sorted(backs)}, tensors, metadata)
    ids = tensors["gaussians/ids"]
    if len(torch.unique(ids)) != len(ids):
        yield "tensor 'gaussians/ids' names a Gaussian twice"


def _shapes(tensors: dict[str, Tensor], metadata: Json) -> dict[str, tuple[int, ...]]:
    """Expected shapes; counts come from the means, the timestep names, the head reference and the cameras."""
    means, sh = tensors["gaussians/means"], tensors["gaussians/sh"]
    count = means.shape[0] if means.ndim else -1
    degree = round((sh.shape[1] if sh.ndim > 1 else 1) ** 0.5) - 1
    terms = (min(max(degree, 0), MAX_DEGREE) + 1) ** 2
    axes = tensors.get("pose_weights/axes", torch.zeros(0, 0))
    correctives = int(axes.shape[0]) if axes.ndim else 0
    modes = next(iter(tensors.get(_MODES, torch.zeros(0)).shape), 0)
    steps, cameras, head = len(metadata["timestep_names"]), len(metadata["cameras"]), metadata["head"]
    return {
        "gaussians/means": (count, 3), "gaussians/quats": (count, 4), "gaussians/log_scales": (count, 3),
        "gaussians/opacity_logits": (count,), "gaussians/sh": (count, terms, 3), "gaussians/binding": (count,),
        "gaussians/label_logits": (count, NUM_LABELS), "gaussians/ids": (count,), "gaussians/parents": (count,),
        "gaussians/groups": (count,), "motion/shape": (head["shape"],), "motion/expr": (steps, head["expr"]),
        "motion/rotation": (steps, 3), "motion/translation": (steps, 3), "motion/neck_pose": (steps, 3),
        "motion/jaw_pose": (steps, 3), "motion/eyes_pose": (steps, 6), "motion/static_offset": (head["vertices"], 3),
        _OFFSETS: (steps, head["vertices"], 3), _MODES: (modes, head["vertices"], 3), _AMOUNTS: (steps, modes), "viewmats": (cameras, 4, 4), "Ks": (cameras, 3, 3),
        "background": (3,), "pose_weights/reference": (3, 3),
        "pose_weights/mean": (head["expr"] + 6,), "pose_weights/axes": (correctives, head["expr"] + 6), "pose_weights/limits": (correctives,),
    } | dict.fromkeys(_CORRECTIVES, (count, 3, correctives))  # fmt: skip


def _undo_problems(backs: dict[str, Tensor], tensors: dict[str, Tensor], metadata: Json) -> Iterator[str]:
    """Each edit has an order, and rows of the Gaussians' shapes; what it changed of the motion may have another count of nothing."""
    edits = range(len(metadata["history"]))
    names = {f"gaussians/{f.name}" for f in fields(Gaussians) if f"gaussians/{f.name}" in tensors} | {"order"}
    motion = {f"motion/{f.name}" for f in fields(HeadParams)}
    for i in edits:
        missing = sorted(name for name in names if f"undo/{i}/{name}" not in backs)
        if missing:
            yield f"tensor 'undo/{i}/{missing[0]}' is missing"
            continue
        count = backs[f"undo/{i}/gaussians/ids"].shape[:1]
        for name in sorted(names - {"order"}):
            value, now = backs[f"undo/{i}/{name}"], tensors[name]
            if value.dtype != now.dtype or value.shape[:1] != count or value.ndim != now.ndim:
                yield f"tensor 'undo/{i}/{name}' does not fit 'undo/{i}/gaussians/ids'"
        if backs[f"undo/{i}/order"].dtype != torch.int64 or backs[f"undo/{i}/order"].ndim != 1:
            yield f"tensor 'undo/{i}/order' is no list of ids"
    for name, value in backs.items():
        parts = name.split("/", 2)
        if not parts[1].isdecimal() or int(parts[1]) not in edits or parts[2] not in names | motion:
            yield f"unknown tensor '{name}'"
        if not finite(value):
            yield f"tensor '{name}' holds NaN or infinity"


def _metadata_problems(metadata: Json) -> Iterator[str]:
    kinds = {
        "head": dict, "timestep_names": list, "frames": list, "cameras": list, "source": str, "history": list, "meta": dict,
    }  # fmt: skip
    for key, kind in kinds.items():
        if not isinstance(metadata.get(key), kind):
            yield f"metadata '{key}' is missing or not of the kind '{kind.__name__}'"
    head = metadata["head"]
    if not isinstance(head.get("name"), str):
        yield "metadata 'head' has no 'name'"
    for key in ("vertices", "shape", "expr"):
        if not _count(head.get(key)):
            yield f"metadata 'head' has no count '{key}'"
    if not all(isinstance(name, str) for name in metadata["timestep_names"]):
        yield "metadata 'timestep_names' holds something that is not a name"
    if not all(isinstance(entry, dict) for entry in metadata["history"]):
        yield "metadata 'history' holds something that is not an entry"
    for i, row in enumerate(metadata["cameras"]):
        if not (_row(row, str, int, int) and row[1] > 0 and row[2] > 0):
            yield f"metadata 'cameras' row {i} is not a name, a width and a height"
    for i, row in enumerate(metadata["frames"]):
        if not (_row(row, int, int, str, str, (int, float)) and row[2] in get_args(Split)):
            yield f"metadata 'frames' row {i} is not a timestep, a camera, a split, a source and a time"


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _row(row: Any, *kinds: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == len(kinds)
        and all(isinstance(value, kind) and not isinstance(value, bool) for value, kind in zip(row, kinds, strict=True))
    )
