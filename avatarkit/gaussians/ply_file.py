"""Gaussians as PLY files, in the layout of 3D Gaussian splatting (Kerbl et al. 2023), which every splat viewer reads.

One ``vertex`` element of float32 properties, binary little endian:

    x y z  nx ny nz  f_dc_0..2  f_rest_0..  opacity  scale_0..2  rot_0..3  [binding_0]

Scales are natural logarithms, opacities logits, rotations wxyz of any length; ``f_rest`` holds one channel after the other
(all of red, then green, then blue).  ``binding_0`` is GaussianAvatars' triangle index.  Reading and writing are trimesh's (MIT): it
keeps properties of any name, and its files have no date in them.  plyfile is under the GPL; meshio writes the time of day.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from avatarkit.errors import FileFormatError, InputError, nearest
from avatarkit.paths import atomic_write, explained
from avatarkit.render.sh import MAX_DEGREE
from avatarkit.types import Float32Array, PathArg

POSITION, NORMAL = ("x", "y", "z"), ("nx", "ny", "nz")
DC, SCALE, ROTATION = (
    tuple(f"f_dc_{i}" for i in range(3)),
    tuple(f"scale_{i}" for i in range(3)),
    tuple(f"rot_{i}" for i in range(4)),
)
BINDING = "binding_0"
EXACT = 1 << 24  # integers up to here are exact in float32
MAX_COEFFICIENTS = (MAX_DEGREE + 1) ** 2


@dataclass(frozen=True)
class Splats:
    """What such a file holds of N Gaussians, float32.

    means (N, 3); quats (N, 4) wxyz; log_scales (N, 3); opacity_logits (N,); sh (N, K, 3), K = (degree + 1)²; binding (N,) int32
    triangle indices, or None; normals (N, 3), which nobody uses, or None for zeros.
    """

    means: Float32Array
    quats: Float32Array
    log_scales: Float32Array
    opacity_logits: Float32Array
    sh: Float32Array
    binding: np.ndarray | None = None
    extra: tuple[str, ...] = ()


def write_splats(path: PathArg, splats: Splats) -> None:
    """Write ``splats`` to ``path``, atomically.

    Raises InputError for a value that is not finite or a triangle that float32 cannot hold, EnvironmentProblem for a full disk.
    """
    columns: dict[str, Float32Array] = {}

    def add(names: tuple[str, ...], values: np.ndarray) -> None:
        for i, name in enumerate(names):
            columns[name] = np.ascontiguousarray(values.reshape(len(values), -1)[:, i], np.float32)

    count, terms = splats.sh.shape[:2]
    add(POSITION, splats.means)
    add(NORMAL, np.zeros((count, 3), np.float32))
    add(DC, splats.sh[:, 0])
    rest = splats.sh[:, 1:].transpose(0, 2, 1).reshape(count, -1)
    add(tuple(f"f_rest_{i}" for i in range(3 * (terms - 1))), rest)
    add(("opacity",), splats.opacity_logits)
    add(SCALE, splats.log_scales)
    add(ROTATION, splats.quats)
    if splats.binding is not None:
        if count and not (splats.binding.min() >= 0 and splats.binding.max() < EXACT):
            raise InputError(f"{path}: a binding is not a triangle index between 0 and {EXACT - 1}")
        add((BINDING,), splats.binding)
    wrong = next((name for name, values in columns.items() if not np.isfinite(values).all()), None)
    if wrong is not None:
        raise InputError(f"{path}: '{wrong}' of a Gaussian is not finite; it is not written")
    write_columns(path, columns)


def read_splats(path: PathArg) -> Splats:
    """Read a file of that layout.  Raises FileFormatError, naming file and property, for anything else."""
    columns = read_columns(path)
    rest_names = [name for name in columns if name.startswith("f_rest_")]
    known = {*POSITION, *NORMAL, *DC, *rest_names, *SCALE, *ROTATION, "opacity", BINDING}
    strangers = tuple(name for name in columns if name not in known)

    def take(names: tuple[str, ...]) -> Float32Array:
        for name in names:
            if name not in columns:
                raise FileFormatError(
                    f"{path}: property '{name}' is missing{nearest(name, strangers)}; expected a splat of 3D Gaussian splatting"
                )
        return np.stack([columns[name] for name in names], 1)

    means = take(POSITION)
    count = len(means)
    if not count:
        raise FileFormatError(f"{path}: it has no Gaussians")
    terms, left = divmod(len(rest_names), 3)
    terms += 1
    if left or round(terms**0.5) ** 2 != terms or terms > MAX_COEFFICIENTS:
        raise FileFormatError(
            f"{path}: {len(rest_names)} properties f_rest_…; expected 0, 9, 24, 45 or 72: spherical harmonics of degree 0 to {MAX_DEGREE}"
        )
    dc = take(DC)[:, None]
    rest = (
        take(tuple(f"f_rest_{i}" for i in range(len(rest_names)))) if rest_names else np.zeros((count, 0), np.float32)
    )
    sh = np.concatenate([dc, rest.reshape(count, 3, terms - 1).transpose(0, 2, 1)], 1)
    quats = take(ROTATION)
    if (np.abs(quats).max(1) == 0).any():
        raise FileFormatError(f"{path}: a rotation is zero (rot_0 to rot_3)")
    binding = None
    if BINDING in columns:
        stored = columns[BINDING]
        if (stored != np.rint(stored)).any() or stored.min() < 0 or stored.max() >= EXACT:
            raise FileFormatError(f"{path}: '{BINDING}' must hold triangle indices")
        binding = stored.astype(np.int32)
    return Splats(means, quats, take(SCALE), take(("opacity",))[:, 0], np.ascontiguousarray(sh), binding, strangers)


# --- any properties --------------------------------------------------------------------------------------------------------


def write_columns(path: PathArg, columns: Mapping[str, Float32Array]) -> None:
    """Vertex properties (N,) by name, x y z first, as a binary little-endian PLY without faces, atomically."""
    import trimesh
    from trimesh.exchange.ply import export_ply

    cloud = trimesh.PointCloud(np.stack([columns[name] for name in POSITION], 1))
    cloud.vertex_attributes = {name: values for name, values in columns.items() if name not in POSITION}
    blob = export_ply(cloud, encoding="binary_little_endian", vertex_normal=False)
    with atomic_write(path) as stream:
        stream.write(blob)


def read_columns(path: PathArg) -> dict[str, Float32Array]:
    """The vertex properties (N,) of a PLY file, all finite.  Raises FileFormatError for a damaged one."""
    from trimesh.exchange.ply import load_ply

    with explained(path), open(path, "rb") as stream:
        blob = stream.read()
    try:
        element = load_ply(io.BytesIO(blob), skip_materials=True)["metadata"]["_ply_raw"]["vertex"]
        vertex, count = element["data"], int(element["length"])
        names = vertex.dtype.names if isinstance(vertex, np.ndarray) else tuple(vertex)
        found = {str(name): np.asarray(vertex[name]) for name in names}
    except (
        Exception
    ) as error:  # whatever the reader meets in a damaged file: ValueError, IndexError, KeyError, MemoryError, …
        said = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise FileFormatError(
            f"{path}: not a PLY file that can be read ({said}); it is damaged or cut short"
        ) from error
    columns: dict[str, Float32Array] = {}
    for name, values in found.items():
        if values.size != count or values.dtype.kind not in "fiu":
            raise FileFormatError(f"{path}: property '{name}' is not one number for each Gaussian")
        columns[name] = values.reshape(count).astype(np.float32)
        if not np.isfinite(columns[name]).all():
            raise FileFormatError(f"{path}: property '{name}' holds NaN or infinity")
    return columns
