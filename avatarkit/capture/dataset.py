"""Data sets in GaussianAvatars/VHAP layout: images, masks, cameras and head parameters of every timestep.

    transforms_{train,val,test}.json   frames[]: timestep_index camera_index cx cy fl_x fl_y h w transform_matrix
                                       file_path fg_mask_path flame_param_path; shared values may stand at top level
    flame_param/*.npz                  translation rotation neck_pose jaw_pose eyes_pose shape expr [static_offset]
                                       [dynamic_offset]
    canonical_flame_param.npz          the same keys (optional)

Paths are relative to the data set; union data sets point beside it (``../sequence/images/…``).  A value that is missing is an
error that names file and key; none is guessed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avatarkit.cameras import intrinsics, opengl_to_viewmat
from avatarkit.capture.backdrop import with_backdrop
from avatarkit.capture.cache import (
    CacheWriter,
    cache_key,
    cached,
    decode_mask,
    decode_picture,
    in_order,
    require_foreground,
)
from avatarkit.capture.capture import Capture, CaptureCamera, Frame, Split
from avatarkit.capture.parameter_files import check_canonical, read_parameter_file, read_parameters
from avatarkit.errors import FileFormatError, InputError, nearest
from avatarkit.events import Run
from avatarkit.paths import explained
from avatarkit.types import ByteArray, Float32Array, FloatArray, Json, PathArg

SPLITS: tuple[Split, ...] = ("train", "val", "test")
CAMERA_NUMBERS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
FRAME_KEYS = (
    "timestep_index", "camera_index", *CAMERA_NUMBERS, "transform_matrix", "file_path", "fg_mask_path", "flame_param_path",
)  # fmt: skip
RIGID_TOLERANCE = 1e-3  # written matrices are rounded; a scale or shear that matters is far above this


@dataclass(frozen=True)
class Dataset:
    """A capture whose head parameters are known; T timesteps in the order of ``capture.timestep_names``.

    params: expr (T, E), rotation, translation, neck_pose, jaw_pose (T, 3), eyes_pose (T, 6): float32, radians and metres.
    shape (S,); static_offset (V, 3) metres or None; dynamic_offset (T, V, 3) or None where all are zero or absent;
    canonical: the arrays of canonical_flame_param.npz or None; counts: {"vertices": V or None, "shape": S, "expr": E}.
    """

    capture: Capture
    params: dict[str, Float32Array]
    shape: Float32Array
    static_offset: Float32Array | None
    dynamic_offset: Float32Array | None
    canonical: dict[str, Float32Array] | None
    counts: dict[str, int | None]


@dataclass(frozen=True)
class _Row:
    """One checked entry of ``frames``."""

    split: Split
    timestep: tuple[int, str]  # index and parameter file: unequal sequences of a union may repeat an index
    camera: int
    width: int
    height: int
    K: FloatArray = field(repr=False)
    viewmat: FloatArray = field(repr=False)
    image: Path
    mask: Path | None

    def view(self) -> tuple[Any, ...]:
        return (self.camera, self.width, self.height, self.K.tobytes(), self.viewmat.tobytes())


def is_dataset(path: PathArg) -> bool:
    """Whether ``path`` is a folder with at least one transforms_{train,val,test}.json."""
    return any((Path(path) / f"transforms_{split}.json").is_file() for split in SPLITS)


def read_dataset(
    path: PathArg,
    *,
    splits: Sequence[Split] = SPLITS,
    cache_dir: PathArg | None = None,
    run: Run | None = None,
) -> Dataset:
    """Read the data set in folder ``path``; its own splits are kept.

    A camera that has several poses or intrinsics becomes several ``CaptureCamera``s.  Raises FileFormatError, naming file and
    key, for anything missing, misspelt, of a wrong size, damaged or not finite; InputError where there is no data set.
    """
    folder = Path(path).absolute()
    if ".." in folder.parts:  # what stands beside it is told by its real place
        folder = folder.resolve()
    if not folder.is_dir():
        raise InputError(f"{path}: no such folder")
    if not is_dataset(folder):
        raise InputError(f"{path}: not a GaussianAvatars/VHAP data set; expected transforms_train.json in it")
    rows = [row for split in splits for row in _read_split(folder, split)]
    if not rows:
        raise FileFormatError(f"{folder}: the splits {', '.join(splits)} have no frames")
    steps = sorted({row.timestep for row in rows})
    step_of = {step: i for i, step in enumerate(steps)}
    rows.sort(key=lambda row: (SPLITS.index(row.split), row.timestep, row.camera))
    _warn_of_leaks(folder, rows, run)

    params, shape, static, dynamic = read_parameters([Path(file) for _, file in steps], run)
    canonical_file = folder / "canonical_flame_param.npz"
    canonical = read_parameter_file(canonical_file) if canonical_file.exists() else None
    vertices = None if static is None else len(static)
    if dynamic is not None:
        vertices = dynamic.shape[1]
    counts = {"vertices": vertices, "shape": len(shape), "expr": params["expr"].shape[1]}
    if canonical is not None:
        check_canonical(canonical_file, canonical, counts)
    capture = _capture(folder, rows, steps, step_of, cache_dir, run)
    return Dataset(capture, params, shape, static, dynamic, canonical, counts)


# --- transforms ----------------------------------------------------------------------------------------------------------


def _read_split(folder: Path, split: Split) -> list[_Row]:
    file = folder / f"transforms_{split}.json"
    if not file.exists() and split != "train":
        return []  # some data sets hold out only one way
    try:
        with explained(file):
            text = file.read_text(encoding="utf-8")
        content = json.loads(text, object_pairs_hook=_once)
    except (
        ValueError,
        RecursionError,
    ) as error:  # JSONDecodeError, UnicodeDecodeError, an integer of thousands of digits
        raise FileFormatError(f"{file}: not valid JSON ({error}); the file is damaged or cut short") from error
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        hint = nearest("frames", content) if isinstance(content, dict) else ""
        raise FileFormatError(f"{file}: key 'frames' is missing or not a list{hint}")
    if split == "train" and not content["frames"]:
        raise FileFormatError(f"{file}: 'frames' is empty; expected at least one training image")
    shared = {key: value for key, value in content.items() if key != "frames"}
    rows, seen = [], set()
    for number, frame in enumerate(content["frames"]):
        row = _read_row(folder, file, split, number, frame, shared)
        if (row.timestep, row.camera) in seen:
            raise FileFormatError(
                f"{file}: frames[{number}] repeats timestep_index {row.timestep[0]} of camera_index {row.camera}"
            )
        seen.add((row.timestep, row.camera))
        rows.append(row)
    with_mask = sum(row.mask is not None for row in rows)
    if 0 < with_mask < len(rows):
        number = next(i for i, row in enumerate(rows) if row.mask is None)
        raise FileFormatError(
            f"{file}: frames[{number}] has no 'fg_mask_path', but {with_mask} of {len(rows)} frames do"
        )
    return rows


def _once(pairs: list[tuple[str, Any]]) -> Json:
    """A JSON object whose keys differ: of one that stands twice nobody can say which value was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key '{next(key for key in keys if keys.count(key) > 1)}' stands twice in one object")
    return found


def _read_row(folder: Path, file: Path, split: Split, number: int, frame: Any, shared: Json) -> _Row:
    where = f"{file}: frames[{number}]"
    if not isinstance(frame, dict):
        raise FileFormatError(f"{where} is not an object")

    def value(key: str) -> Any:
        if key in frame:
            return frame[key]
        if key in shared:
            return shared[key]
        unknown = [name for name in (*frame, *shared) if name not in FRAME_KEYS]
        raise FileFormatError(f"{where}: key '{key}' is missing{nearest(key, unknown)}")

    def number_of(key: str, whole: bool = False) -> float:
        found = value(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise FileFormatError(f"{where}: '{key}' is {found!r}; expected a finite number")
        if whole and (found != int(found) or found < 0):
            raise FileFormatError(f"{where}: '{key}' is {found!r}; expected a whole number that is not negative")
        return float(found)

    def path_of(key: str) -> Path:
        return _inside(folder, value(key), where, key)

    numbers = {key: number_of(key, whole=key in ("w", "h")) for key in CAMERA_NUMBERS}
    for key in ("fl_x", "fl_y", "w", "h"):
        if numbers[key] <= 0:
            raise FileFormatError(f"{where}: '{key}' is {numbers[key]:g}; expected a positive number")
    mask: Path | None = None
    if "fg_mask_path" in frame or nearest("fg_mask_path", [name for name in frame if name not in FRAME_KEYS]):
        mask = path_of("fg_mask_path")
    viewmat = rigid_viewmat(value("transform_matrix"), f"{where}: 'transform_matrix'")
    parameter_file = path_of("flame_param_path")
    return _Row(
        split,
        (int(number_of("timestep_index", whole=True)), str(parameter_file)),
        int(number_of("camera_index", whole=True)),
        int(numbers["w"]), int(numbers["h"]),
        intrinsics(numbers["fl_x"], numbers["fl_y"], numbers["cx"], numbers["cy"]),
        viewmat, path_of("file_path"), mask,
    )  # fmt: skip


def _inside(folder: Path, value: Any, where: str, key: str) -> Path:
    """A path of the data set: relative, and in the data set's folder or beside it (union data sets)."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise FileFormatError(f"{where}: '{key}' is {value!r}; expected a relative path")
    path = Path(os.path.normpath(folder / value))
    if Path(value).is_absolute() or not path.is_relative_to(folder.parent):
        raise FileFormatError(f"{where}: '{key}' is '{value}'; expected a path in the data set's folder or beside it")
    if not path.is_file():
        raise FileFormatError(f"{where}: '{key}' is '{value}', and {path} does not exist")
    return path


def rigid_viewmat(matrix: Any, where: str) -> FloatArray:
    """OpenGL camera-to-world, nested lists (4, 4), → OpenCV world-to-camera (4, 4) float64.

    Raises FileFormatError, starting with ``where``, unless it is finite and a rotation with a translation in metres.
    """
    try:
        c2w = np.array(matrix, np.float64)
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{where} is not a matrix of numbers") from error
    if c2w.shape != (4, 4):
        raise FileFormatError(f"{where} has shape {c2w.shape}; expected (4, 4)")
    if not np.isfinite(c2w).all():
        raise FileFormatError(f"{where} has a value that is not finite")
    rotation = c2w[:3, :3]
    off = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if off > RIGID_TOLERANCE or np.linalg.det(rotation) < 0 or np.abs(c2w[3] - (0, 0, 0, 1)).max() > RIGID_TOLERANCE:
        raise FileFormatError(
            f"{where} is not rigid (RᵀR differs from the identity by {off:.2g}, determinant {np.linalg.det(rotation):.3g}); "
            "expected a rotation and a translation in metres, camera to world, without scale or mirroring"
        )
    return opengl_to_viewmat(c2w)


def _warn_of_leaks(folder: Path, rows: list[_Row], run: Run | None) -> None:
    trained = {row.image for row in rows if row.split == "train"}
    for split in ("val", "test"):
        leaked = sum(row.image in trained for row in rows if row.split == split)
        if leaked and run is not None:
            run.notice(f"{folder}: {leaked} images of '{split}' are also in 'train': its metrics flatter", "warning")


# --- images --------------------------------------------------------------------------------------------------------------


def _capture(
    folder: Path,
    rows: list[_Row],
    steps: list[tuple[int, str]],
    step_of: dict[tuple[int, str], int],
    cache_dir: PathArg | None,
    run: Run | None,
) -> Capture:
    views = {row.view(): row for row in rows}
    ordered = sorted(views, key=lambda view: view[0])
    moving = len({view[0] for view in ordered}) < len(ordered)
    variants: dict[int, int] = {}
    cameras: list[CaptureCamera] = []
    camera_of: dict[tuple[Any, ...], int] = {}
    for view in ordered:
        row = views[view]
        count = variants[row.camera] = variants.get(row.camera, 0) + 1
        name = f"{row.camera:02d}" if count == 1 else f"{row.camera:02d}/{count}"
        camera_of[view] = len(cameras)
        cameras.append(CaptureCamera(name, row.width, row.height, row.K, row.viewmat))

    frames = tuple(
        Frame(step_of[row.timestep], camera_of[row.view()], row.split, os.path.relpath(row.image, folder))
        for row in rows
    )
    sources = {(row.image, row.mask): (row.width, row.height) for row in rows}  # leaked frames are decoded once
    position = {source: i for i, source in enumerate(sources)}
    where = [position[(row.image, row.mask)] for row in rows]
    key = cache_key([p for pair in sources for p in pair if p is not None], {"reader": "dataset"})
    cache = cached(
        key,
        _decoder(sources),
        cache_dir=cache_dir,
        run=run,
        total=len(sources),
        needed=sum(w * h * (3 if mask is None else 4) for (_, mask), (w, h) in sources.items()),
    )

    def image(index: int) -> ByteArray:
        return cache.image(where[index])

    def mask(index: int) -> ByteArray | None:
        return cache.mask(where[index])

    names = [f"{index:05d}" for index, _ in steps]
    if len(set(names)) < len(names):
        names = [f"{Path(file).parent.parent.name}/{index:05d}" for index, file in steps]
    capture = Capture(
        folder.name, tuple(cameras), frames, tuple(names), image, mask, cache.masked, not moving, str(folder), key,
        str(cache.folder.parent),
    )  # fmt: skip
    return with_backdrop(capture)


def _decoder(sources: dict[tuple[Path, Path | None], tuple[int, int]]) -> Callable[[CacheWriter], Json]:
    def decode(source: tuple[tuple[Path, Path | None], tuple[int, int]]) -> tuple[ByteArray, ByteArray | None]:
        (file, mask_file), size = source
        image, mask = decode_picture(file, size)
        if mask_file is not None:
            return image, decode_mask(mask_file, size)
        return image, None if mask is None else require_foreground(mask, file)

    def build(writer: CacheWriter) -> Json:
        for image, mask in in_order(decode, sources.items()):
            writer.add(image, mask)
        return {}

    return build
