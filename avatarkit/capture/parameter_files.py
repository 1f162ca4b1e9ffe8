"""The npz files of a GaussianAvatars/VHAP data set: FLAME parameters of one timestep each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatarkit.capture.npz import read_npz
from avatarkit.errors import FileFormatError, nearest
from avatarkit.events import Run
from avatarkit.types import Float32Array

POSES = {"translation": 3, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}


def read_parameters(
    files: list[Path], run: Run | None
) -> tuple[dict[str, Float32Array], Float32Array, Float32Array | None, Float32Array | None]:
    """Stacked per-timestep parameters, shape (S,), static_offset (V, 3) or None, dynamic_offset (T, V, 3) or None.

    Shape and static offset are the first file's; a warning says where others differ.
    """
    first = read_parameter_file(files[0])
    expected: dict[str, tuple[int, ...]] = {key: first[key].shape for key in ("shape", "expr")}
    offsets: dict[str, tuple[int, ...]] = {
        key: first[key].shape for key in ("static_offset", "dynamic_offset") if key in first
    }
    stacked: dict[str, list[Float32Array]] = {key: [] for key in (*POSES, "expr")}
    dynamics: list[Float32Array] = []
    drift = {"shape": 0.0, "static_offset": 0.0}
    read: dict[Path, dict[str, Float32Array]] = {files[0]: first}
    for file in files:
        arrays = read.pop(file, None) or read_parameter_file(file)
        for key, shape in {**expected, **offsets}.items():
            if key not in arrays:
                raise FileFormatError(f"{file}: key '{key}' is missing, but {files[0]} has it")
            if arrays[key].shape != shape:
                raise FileFormatError(f"{file}: '{key}' has {arrays[key].shape}; {files[0]} has {shape}")
        for key in stacked:
            stacked[key].append(arrays[key])
        for key in drift:
            if key in arrays and key in first:
                drift[key] = max(drift[key], float(np.abs(arrays[key] - first[key]).max(initial=0.0)))
        if "dynamic_offset" in offsets:
            dynamics.append(arrays["dynamic_offset"])
    for key, difference in drift.items():
        if difference > 1e-5 and run is not None:
            run.notice(
                f"{files[0].parent}: '{key}' differs between timesteps by up to {difference:.3g}; that of {files[0].name} is taken",
                "warning",
            )
    dynamic = np.stack(dynamics) if dynamics and any(array.any() for array in dynamics) else None
    params = {key: np.stack(values) for key, values in stacked.items()}
    return params, first["shape"], first.get("static_offset"), dynamic


def read_parameter_file(file: Path) -> dict[str, Float32Array]:
    """The arrays of one parameter file, squeezed and checked: poses (3,) or (6,), shape (S,), expr (E,), offsets (V, 3)."""
    wanted = (*POSES, "shape", "expr", "static_offset", "dynamic_offset")
    found, names = read_npz(file, wanted)
    arrays: dict[str, Float32Array] = {}
    for key in wanted:
        if key not in found:
            hint = nearest(key, [name for name in names if name not in wanted])
            if key.endswith("_offset") and not hint:
                continue  # optional
            raise FileFormatError(f"{file}: key '{key}' is missing{hint}")
        value = found[key]
        if value.dtype.kind not in "fiu":
            raise FileFormatError(f"{file}: '{key}' has dtype {value.dtype}; expected numbers")
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, which is refused below
            value = value.astype(np.float32)
        if value.ndim > 1 and value.shape[0] == 1:
            value = value[0]
        want = f"({POSES[key]},)" if key in POSES else "(V, 3)" if key.endswith("_offset") else "(N,)"
        fits = value.shape == (POSES[key],) if key in POSES else value.ndim == 1
        if key.endswith("_offset"):
            fits = value.ndim == 2 and value.shape[1] == 3
        if not fits:
            raise FileFormatError(f"{file}: '{key}' has shape {found[key].shape}; expected (1, …) of {want}")
        if not np.isfinite(value).all():
            raise FileFormatError(
                f"{file}: '{key}' has a value that is not finite; track that timestep again or take it out"
            )
        arrays[key] = value
    return arrays


def check_canonical(file: Path, arrays: dict[str, Float32Array], counts: dict[str, int | None]) -> None:
    """Raise FileFormatError unless the canonical parameters have the timesteps' counts."""
    for key in ("shape", "expr"):
        if len(arrays[key]) != counts[key]:
            raise FileFormatError(f"{file}: '{key}' has {len(arrays[key])} values; the timesteps have {counts[key]}")
    static = arrays.get("static_offset")
    if static is not None and counts["vertices"] is not None and len(static) != counts["vertices"]:
        raise FileFormatError(
            f"{file}: 'static_offset' has {len(static)} vertices; the timesteps have {counts['vertices']}"
        )
