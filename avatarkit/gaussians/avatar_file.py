"""Avatar files: one safetensors file of format ``avatarkit/1`` (see ``tensor_file`` for the container).

Tensors: ``gaussians/<field>``, ``motion/<field>``, ``viewmats``, ``Ks``, ``background``.  JSON metadata: ``head``,
``timestep_names``, ``frames`` (rows of timestep, camera, split, source, time), ``cameras`` (rows of name, width, height),
``source``, ``history``, ``meta``.  Correctives, where there are any, are ``gaussians/mean_correctives`` and ``…colour_correctives`` (N, 3, K), and
``pose_weights/<field>``.  Edit ``i`` of the history can be undone with ``undo/i/<name>``: whole rows of the Gaussians that it
changed or took away, ``order`` (ids of all Gaussians before it) and the tensors of the motion that it changed.

Offsets over time that are one mode times a number, as tracking finds them (``track.soft_modes``), are kept so instead of as
``motion/dynamic_offset``: ``motion/offset_mode`` (V, 3) metres, ``motion/offset_weight`` (T,), at most 1.  The avatar of a clip
of seven seconds is a sixth as large by it.
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
from avatarkit.gaussians.tensor_file import finite, load_tensors, save_tensors
from avatarkit.head.parameters import HeadParams
from avatarkit.labels import NUM_LABELS
from avatarkit.render.sh import MAX_DEGREE
from avatarkit.types import Json, PathArg

FORMAT = "avatarkit/1"
_INTEGERS = {"binding": torch.int32, "ids": torch.int64, "parents": torch.int64, "groups": torch.int32}
_MODE, _WEIGHT, _OFFSETS = "motion/offset_mode", "motion/offset_weight", "motion/dynamic_offset"
_CORRECTIVES = tuple(f"gaussians/{name}" for name in CORRECTIVES)
_WEIGHTS = tuple(f"pose_weights/{f.name}" for f in fields(PoseWeights))
_OPTIONAL = (*_CORRECTIVES, *_WEIGHTS, "motion/static_offset", _OFFSETS, _MODE, _WEIGHT)
ROUNDINGS = 8  # at most, until weights that are read from their rounded product are the same
SAME_OFFSETS = 1e-6  # of the largest: offsets of one mode are rounded to float32, and no farther from it than that


def save_avatar(avatar: Avatar, path: PathArg) -> None:
    """Write ``avatar`` to ``path``, atomically.  Raises InputError for an avatar that could not be read again."""
    tensors = {"viewmats": avatar.viewmats, "Ks": avatar.Ks, "background": avatar.background}
    tensors |= {f"gaussians/{name}": value for name, value in avatar.gaussians.stored().items()}
    if avatar.pose_weights is not None:
        tensors |= {f"pose_weights/{f.name}": getattr(avatar.pose_weights, f.name) for f in fields(PoseWeights)}
    motion = {f"motion/{f.name}": getattr(avatar.motion, f.name) for f in fields(HeadParams)}
    tensors |= {name: value for name, value in motion.items() if value is not None}
    if _OFFSETS in tensors and (one_mode := factored(tensors[_OFFSETS])):
        tensors[_MODE], tensors[_WEIGHT] = one_mode
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
    problem = next(_problems(tensors, metadata), None)
    if problem:
        raise FileFormatError(f"{path}: {problem}")

    if _MODE in tensors:
        tensors[_OFFSETS] = tensors.pop(_WEIGHT)[:, None, None] * tensors.pop(_MODE)

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


def factored(offsets: Tensor) -> tuple[Tensor, Tensor] | None:
    """``offsets`` (T, V, 3) as a mode (V, 3) and its weights (T,): the timestep that moves most is the mode, and has weight 1.

    None where the product is not the same to a millionth of the largest offset.  A head's avatar that is read and written again stays the same.
    """
    if offsets.ndim != 3 or not offsets.numel():
        return None
    lengths = (offsets.detach().double() ** 2).flatten(1).sum(1)
    if not (bool(torch.isfinite(lengths).all()) and float(lengths.max()) > 0):
        return None
    most = int(lengths.argmax())
    mode = offsets[most].clone()
    along = mode.double() / lengths[most]

    def weights(of: Tensor) -> Tensor:
        return torch.einsum("tvc,vc->t", of.double(), along).float()

    weight = weights(offsets)
    if float((weight[:, None, None] * mode - offsets).abs().max()) > SAME_OFFSETS * float(offsets.abs().max()):
        return None
    for _ in range(ROUNDINGS):
        before, weight = weight, weights(weight[:, None, None] * mode)
        if torch.equal(before, weight):
            break
    return mode, weight


def _problems(tensors: dict[str, Tensor], metadata: Json) -> Iterator[str]:
    """What is wrong, in words; the first problem is enough to refuse a file, later ones may assume that it is mended."""
    yield from _metadata_problems(metadata)
    expected = {f"gaussians/{f.name}" for f in fields(Gaussians)} | {f"motion/{f.name}" for f in fields(HeadParams)}
    expected |= {"viewmats", "Ks", "background", _MODE, _WEIGHT, *_WEIGHTS}
    for name in sorted(expected - set(_OPTIONAL) - tensors.keys()):
        yield f"tensor '{name}' is missing"
    for name in (*_CORRECTIVES[1:], *_WEIGHTS):
        if (name in tensors) != (_CORRECTIVES[0] in tensors):
            yield f"one of '{_CORRECTIVES[0]}' and '{name}' is missing"
    if (_MODE in tensors) != (_WEIGHT in tensors):
        yield f"one of '{_MODE}' and '{_WEIGHT}' is missing"
    if _MODE in tensors and _OFFSETS in tensors:
        yield f"'{_MODE}' and '{_OFFSETS}' say the same thing twice"
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
    steps, cameras, head = len(metadata["timestep_names"]), len(metadata["cameras"]), metadata["head"]
    return {
        "gaussians/means": (count, 3), "gaussians/quats": (count, 4), "gaussians/log_scales": (count, 3),
        "gaussians/opacity_logits": (count,), "gaussians/sh": (count, terms, 3), "gaussians/binding": (count,),
        "gaussians/label_logits": (count, NUM_LABELS), "gaussians/ids": (count,), "gaussians/parents": (count,),
        "gaussians/groups": (count,), "motion/shape": (head["shape"],), "motion/expr": (steps, head["expr"]),
        "motion/rotation": (steps, 3), "motion/translation": (steps, 3), "motion/neck_pose": (steps, 3),
        "motion/jaw_pose": (steps, 3), "motion/eyes_pose": (steps, 6), "motion/static_offset": (head["vertices"], 3),
        _OFFSETS: (steps, head["vertices"], 3), _MODE: (head["vertices"], 3), _WEIGHT: (steps,), "viewmats": (cameras, 4, 4), "Ks": (cameras, 3, 3),
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
