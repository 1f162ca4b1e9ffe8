"""Trained GaussianAvatars folders (Qian et al., CVPR 2024; its public code): ``point_cloud.ply`` and ``flame_param.npz``.

The PLY has coordinates in the frames of triangles (``ply_file``; the triangle is ``binding_0``); the npz has the tuned head parameters of all
T timesteps: shape (S,), expr (T, E), rotation, translation, neck_pose, jaw_pose (T, 3), eyes_pose (T, 6), static_offset (1, V, 3),
dynamic_offset (T, V, 3).  Both use avatarkit's own conventions for the triangle frame and r' = R∘r, as that code does since
March 2024; models that were trained before compose the two rotations the other way round, which no file says.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatarkit import __version__
from avatarkit.capture.npz import read_npz
from avatarkit.contracts import HeadModel
from avatarkit.errors import AvatarkitError, FileFormatError, InputError, nearest
from avatarkit.events import Run
from avatarkit.gaussians.avatar import WORLD_DIRECTIONS, Avatar
from avatarkit.gaussians.carried import bound_to_triangles, off_skin_frames, world_sh
from avatarkit.gaussians.correctives import corrected
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.ply_file import Splats, read_splats, write_splats
from avatarkit.head.flame import FLAME_VERTICES, TEETH_VERTICES
from avatarkit.head.frames import with_frames
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import PER_TIMESTEP, HeadParams, HeadPose
from avatarkit.labels import NUM_LABELS
from avatarkit.paths import atomic_write, explained
from avatarkit.types import Float32Array, PathArg

CLOUD, PARAMETERS = "point_cloud.ply", "flame_param.npz"
FLAME_FACES = 9976  # triangles from here on are teeth
COUNTS = (300, 100)  # shape and expression coefficients that the public code asks for


# --- reading ---------------------------------------------------------------------------------------------------------------


def import_trained(path: PathArg, run: Run, *, head: str | None = None) -> Avatar:
    """The avatar of a trained folder: the one with both files in it, or the model folder above its iterations (the last is taken).

    head: name or file; default the registered ``flame``, else ``bust`` if the counts are its.  Colours keep their meaning along
    world directions.  Raises InputError where there is no such folder or no head fits, FileFormatError for a damaged file.
    """
    folder = trained_folder(path)
    splats = read_splats(folder / CLOUD)
    if splats.binding is None:
        raise FileFormatError(
            f"{folder / CLOUD}: no 'binding_0': a plain splat that is bound to no triangles, and cannot be driven"
        )
    motion, vertices = read_parameters(folder / PARAMETERS)
    model = _fitting_head(folder, motion, vertices, head)
    highest = int(splats.binding.max())
    if highest >= len(model.faces):
        raise FileFormatError(
            f"{folder / CLOUD}: a Gaussian is bound to triangle {highest}; head model '{model.name}' has {len(model.faces)}"
        )
    if splats.extra:
        run.notice(f"{folder / CLOUD}: not brought along: {', '.join(splats.extra[:8])}", "warning")
    toothed = int((torch.from_numpy(splats.binding) >= FLAME_FACES).sum())
    if toothed and len(model.template) == FLAME_VERTICES + TEETH_VERTICES:
        run.notice(
            f"{folder}: {toothed} Gaussians are bound to teeth, whose triangles are numbered as there, but whose shape is avatarkit's: "
            "what is inside the mouth stands a little elsewhere",
            "warning",
        )
    reference = dict(model.reference)
    if head is not None and Path(head).is_file():
        reference["path"] = str(Path(head).resolve())
    return Avatar(
        _gaussians(splats), reference, motion, tuple(f"{i:05d}" for i in range(len(motion))), (), (),
        torch.zeros(0, 4, 4), torch.zeros(0, 3, 3), source="",
        meta={
            "name": Path(path).resolve().name, "inputs": [str(folder.resolve())], "imported": "gaussianavatars",
            "view_directions": WORLD_DIRECTIONS, "version": __version__,
        },
    )  # fmt: skip


def trained_folder(path: PathArg) -> Path:
    """The folder with both files; of several iterations the last.  Raises InputError."""
    folder = Path(path)
    with explained(folder):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        inner = folder / "point_cloud" if (folder / "point_cloud").is_dir() else folder
        numbered = [(int(m[1]), each) for each in inner.iterdir() if (m := re.fullmatch(r"iteration_(\d+)", each.name))]
    tried = [folder, *(each for _, each in sorted(numbered, reverse=True))]
    for each in tried:
        if (each / CLOUD).is_file():
            if not (each / PARAMETERS).is_file():
                raise InputError(f"{each}: it has {CLOUD} but no {PARAMETERS}; the head's motion is in that")
            return each
    raise InputError(f"{folder}: no trained GaussianAvatars model; expected {CLOUD} and {PARAMETERS} in it")


def read_parameters(file: Path) -> tuple[HeadParams, int | None]:
    """``flame_param.npz``, and V where it says so; offsets of zeros become None.  Raises FileFormatError, naming file and key."""
    found, _ = read_npz(file)
    for key in ("shape", *PER_TIMESTEP):
        if key not in found:
            raise FileFormatError(f"{file}: key '{key}' is missing{nearest(key, found)}")
    known = {key: found[key] for key in ("shape", *PER_TIMESTEP, "static_offset", "dynamic_offset") if key in found}
    arrays: dict[str, Float32Array] = {}
    for key, value in known.items():
        if value.dtype.kind not in "fiu":
            raise FileFormatError(f"{file}: '{key}' has dtype {value.dtype}; expected numbers")
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, which is refused
            arrays[key] = np.ascontiguousarray(value, np.float32)
        if not np.isfinite(arrays[key]).all():
            raise FileFormatError(f"{file}: '{key}' has a value that is not finite")
    steps = len(arrays["expr"]) if arrays["expr"].ndim == 2 else -1
    if arrays["shape"].ndim == 2 and len(arrays["shape"]) == 1:
        arrays["shape"] = arrays["shape"][0]
    static = arrays.get("static_offset")
    if static is not None and static.ndim == 3 and len(static) == 1:
        arrays["static_offset"] = static[0]
    expected: dict[str, tuple[Any, ...]] = {"shape": ("S",), "expr": ("T", "E"), "static_offset": ("V", 3)}
    expected |= {name: (steps, width) for name, width in PER_TIMESTEP.items() if width is not None}
    vertices = len(arrays["static_offset"]) if "static_offset" in arrays else "V"
    expected["dynamic_offset"] = (steps, vertices, 3)
    for key, value in arrays.items():
        want = expected[key]
        if value.ndim != len(want) or any(
            isinstance(w, int) and w != n for w, n in zip(want, value.shape, strict=True)
        ):
            raise FileFormatError(f"{file}: '{key}' has shape {known[key].shape}; expected {want}")
    if steps < 1:
        raise FileFormatError(f"{file}: it has no timesteps")
    tensors: dict[str, Any] = {key: torch.from_numpy(value) for key, value in arrays.items()}
    known_vertices = None
    for key in ("static_offset", "dynamic_offset"):
        if key in tensors:
            known_vertices = tensors[key].shape[-2]
            tensors[key] = tensors[key] if bool(tensors[key].any()) else None
    return HeadParams(**tensors), known_vertices


def _fitting_head(folder: Path, motion: HeadParams, vertices: int | None, head: str | None) -> HeadModel:
    counts: dict[str, int] = {"shape": len(motion.shape), "expr": motion.expr.shape[1]}
    if vertices is not None:
        counts["vertices"] = vertices
    if head is not None:
        return load_head(head, expected=counts, teeth=True)
    refusals = []
    for name in ("flame", "bust"):
        try:
            return load_head(name, expected=counts, teeth=True)
        except AvatarkitError as error:
            refusals.append(str(error))
    raise InputError(f"{folder}: no head model here fits; give one with --head NAME|FILE ({'; '.join(refusals)})")


def _gaussians(splats: Splats) -> Gaussians:
    count = len(splats.means)
    assert splats.binding is not None
    tensor = lambda array: torch.from_numpy(np.ascontiguousarray(array))  # noqa: E731
    ids = torch.arange(count)
    return Gaussians(
        tensor(splats.means), tensor(splats.quats), tensor(splats.log_scales), tensor(splats.opacity_logits), tensor(splats.sh),
        tensor(splats.binding), torch.zeros(count, NUM_LABELS), ids, ids.clone(), torch.zeros(count, dtype=torch.int32),
    )  # fmt: skip


# --- writing ---------------------------------------------------------------------------------------------------------------


def export_trained(
    avatar: Avatar, head: HeadModel, cloud: Path, pose: HeadPose, run: Run, *, drop_free: bool = False
) -> None:
    """Write ``cloud`` and, beside it, ``flame_param.npz``.  What the format cannot say is said in notices.

    Free Gaussians are bound to triangles, exactly in ``pose`` (``carried.bound_to_triangles``), or dropped.
    """
    splats = trained_splats(avatar, head, pose, run, drop_free=drop_free)
    if (head.num_shape, head.num_expr) != COUNTS:
        run.notice(
            f"this avatar's head model '{head.name}' has {head.num_shape} shape and {head.num_expr} expression modes; "
            f"GaussianAvatars itself opens models of FLAME with {COUNTS[0]} and {COUNTS[1]}",
            "warning",
        )
    with atomic_write(cloud.with_name(PARAMETERS)) as stream:
        stream.write(parameter_bytes(avatar.motion, len(head.template)))
        stream.flush()  # the one file is in its place only after the other, and both are on the disk before
        os.fsync(stream.fileno())
        write_splats(cloud, splats)


def trained_splats(avatar: Avatar, head: HeadModel, pose: HeadPose, run: Run, *, drop_free: bool = False) -> Splats:
    """The avatar's Gaussians, all bound to triangles, with colours along world directions."""
    gaussians = avatar.gaussians.detach()
    if gaussians.num_correctives:
        gaussians = corrected(gaussians, pose.weights).with_correctives(0)
        pose = replace(pose, weights=None)
        run.notice(
            "this avatar's Gaussians have correctives, which the format cannot say: they are left out, exact in the chosen pose",
            "warning",
        )
    if pose.skin is not None:
        gaussians, strays = off_skin_frames(gaussians, head, pose, avatar.motion)
        head, pose = with_frames(head, "triangle"), replace(pose, skin=None)
        run.notice(
            "this avatar rides on skin frames, which the format cannot say: triangles carry it, exact in the chosen pose, "
            f"off by {1000 * float(strays.mean()):.2f} mm on average over the motion",
            "warning",
        )
    free = int(gaussians.free.sum())
    if free and drop_free:
        gaussians = gaussians.select(~gaussians.free)
        run.notice(f"{free} free Gaussians are left out: the format binds every one to a triangle", "warning")
        if not len(gaussians):
            raise InputError("every Gaussian of this avatar rides on a joint: nothing would be left to write")
    elif free:
        gaussians, strays = bound_to_triangles(gaussians, head, pose, avatar.motion)
        run.notice(
            f"{free} free Gaussians ride on joints, which the format cannot say: each is bound to a triangle, exact in the chosen pose, "
            f"off by {1000 * float(strays.mean()):.2f} mm on average over the motion (--drop-free leaves them out)",
            "warning",
        )
    sh = gaussians.sh
    if gaussians.sh_degree and not avatar.world_directions:
        sh = world_sh(gaussians, pose, head.faces)
        run.notice(
            "colours that depend on the view turn with the head here, with the world there: they are exact in the chosen pose"
        )
    return Splats(
        gaussians.means.numpy(), gaussians.quats.numpy(), gaussians.log_scales.numpy(), gaussians.opacity_logits.numpy(),
        sh.numpy(), gaussians.binding.numpy(),
    )  # fmt: skip


def parameter_bytes(motion: HeadParams, vertices: int) -> bytes:
    """``flame_param.npz`` of V = ``vertices``, with zeros for offsets that there are none of, since that code reads them."""
    motion = motion.detach().to("cpu")
    steps = len(motion)
    static = torch.zeros(vertices, 3) if motion.static_offset is None else motion.static_offset
    dynamic = torch.zeros(steps, vertices, 3) if motion.dynamic_offset is None else motion.dynamic_offset
    full = replace(motion, static_offset=static[None], dynamic_offset=dynamic)
    names = ("shape", *PER_TIMESTEP, "static_offset", "dynamic_offset")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: getattr(full, name).numpy() for name in names})
    return buffer.getvalue()
