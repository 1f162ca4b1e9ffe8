"""FLAME and any other head in its topology: a skinned mesh of 5023 vertices read from an npz file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import LandmarkEmbedding
from avatarkit.errors import FileFormatError, InputError
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.head.skinning import Rig, make_rig, pose_rig
from avatarkit.paths import explained
from avatarkit.types import PathArg

FLAME_VERTICES = 5023
TEETH_VERTICES = 120
JOINT_NAMES = ("root", "neck", "jaw", "l_eye", "r_eye")
REQUIRED = ("v_template", "faces", "shapedirs", "exprdirs", "posedirs", "lbs_weights", "J_regressor", "parents")
LANDMARK_KEYS = ("mediapipe_landmark_index", "mediapipe_landmark_face", "mediapipe_landmark_bary")


@dataclass(frozen=True, eq=False)
class FlameModel:
    """A head in FLAME topology (contracts.HeadModel).

    faces (F, 3) int64; template (V, 3) float32 metres; expr_names one per mode, "" where unnamed; regions name → (V,)
    float32; digest: sha256 of the file it came from.  V is 5023, or 5143 with teeth.
    """

    name: str
    rig: Rig
    faces: Tensor
    expr_names: tuple[str, ...]
    landmarks: LandmarkEmbedding | None
    regions: dict[str, Tensor]
    digest: str
    joint_names: tuple[str, ...] = JOINT_NAMES

    @property
    def num_shape(self) -> int:
        return int(self.rig.shape_basis.shape[0])

    @property
    def num_expr(self) -> int:
        return self.rig.num_expr

    @property
    def template(self) -> Tensor:
        return self.rig.template

    @property
    def parents(self) -> tuple[int, ...]:
        return self.rig.parents

    @property
    def has_teeth(self) -> bool:
        return self.template.shape[0] == FLAME_VERTICES + TEETH_VERTICES

    @property
    def reference(self) -> dict[str, Any]:
        """What an avatar file keeps to find this model again."""
        return {
            "name": self.name,
            "sha256": self.digest,
            "vertices": int(self.template.shape[0]),
            "shape": self.num_shape,
            "expr": self.num_expr,
        }

    def pose(self, params: HeadParams) -> HeadPose:
        """(T, V, 3) vertices and (T, J, 4, 4) joints; see ``avatarkit.head.skinning.pose_rig``."""
        return pose_rig(self.rig, params)

    def to(self, device: str | torch.device) -> FlameModel:
        landmarks = self.landmarks
        if landmarks is not None:
            landmarks = LandmarkEmbedding(
                landmarks.indices.to(device), landmarks.faces.to(device), landmarks.barycentrics.to(device)
            )
        regions = {name: mask.to(device) for name, mask in self.regions.items()}
        return replace(self, rig=self.rig.to(device), faces=self.faces.to(device), landmarks=landmarks, regions=regions)


def read_flame(path: PathArg, *, name: str | None = None) -> FlameModel:
    """Read a FLAME-topology npz.

    Keys: v_template (5023, 3) m, faces (F, 3), shapedirs (5023, 3, S), exprdirs (5023, 3, E), posedirs (5023, 3, 36),
    lbs_weights (5023, 5), J_regressor (5, 5023), parents (5,), optional expr_names (E,) and
    mediapipe_landmark_{index (L,), face (L,), bary (L, 3)}.
    Raises FileFormatError naming file and key.
    """
    file = Path(path)
    arrays, digest = read_arrays(file)
    return flame_from_arrays(arrays, name=name or file.stem, digest=digest, source=str(file))


def read_arrays(file: Path) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of an npz without pickles, and the file's sha256."""
    import io
    import zipfile

    with explained(file):
        content = file.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{file}: not a readable head model npz ({error}); expected keys {', '.join(REQUIRED)}"
        ) from error
    return arrays, hashlib.sha256(content).hexdigest()


def flame_from_arrays(arrays: dict[str, np.ndarray], *, name: str, digest: str, source: str) -> FlameModel:
    """Check the arrays of a FLAME-topology head and make the model.  ``source`` names the file in errors."""
    check_arrays(arrays, source)
    tensors = {key: torch.from_numpy(np.ascontiguousarray(arrays[key], np.float32)) for key in
               ("v_template", "shapedirs", "exprdirs", "posedirs", "J_regressor", "lbs_weights")}  # fmt: skip
    try:
        rig = make_rig(
            tensors["v_template"], tensors["shapedirs"], tensors["exprdirs"], tensors["posedirs"],
            tensors["J_regressor"], tensors["lbs_weights"], tuple(int(p) for p in arrays["parents"]),
        )  # fmt: skip
    except InputError as error:
        raise FileFormatError(f"{source}: {error}") from error
    modes = rig.num_expr
    names = tuple(str(n) for n in arrays["expr_names"]) if "expr_names" in arrays else ("",) * modes
    faces = torch.from_numpy(np.ascontiguousarray(arrays["faces"], np.int64))
    return FlameModel(name, rig, faces, names, landmark_embedding(arrays), {}, digest)


def landmark_embedding(arrays: dict[str, np.ndarray]) -> LandmarkEmbedding | None:
    if not all(key in arrays for key in LANDMARK_KEYS):
        return None
    index, face, bary = (arrays[key] for key in LANDMARK_KEYS)
    return LandmarkEmbedding(
        torch.from_numpy(index.astype(np.int64)),
        torch.from_numpy(face.astype(np.int64)),
        torch.from_numpy(bary.astype(np.float32)),
    )


def check_arrays(arrays: dict[str, np.ndarray], source: str) -> None:
    """Raise FileFormatError when a key is missing, has a wrong shape or dtype, or values that no head has."""

    def wrong(key: str, what: str) -> FileFormatError:
        return FileFormatError(f"{source}: '{key}' {what}")

    for key in REQUIRED:
        if key not in arrays:
            raise FileFormatError(f"{source}: key '{key}' is missing; a FLAME-topology head has {', '.join(REQUIRED)}")
    vertices = arrays["v_template"].shape[0] if arrays["v_template"].ndim else 0
    if vertices != FLAME_VERTICES:
        raise wrong("v_template", f"has shape {arrays['v_template'].shape}; FLAME topology has ({FLAME_VERTICES}, 3)")
    dims = {"v_template": 2, "faces": 2, "shapedirs": 3, "exprdirs": 3, "posedirs": 3, "lbs_weights": 2,
            "J_regressor": 2, "parents": 1}  # fmt: skip
    for key, ndim in dims.items():
        value = arrays[key]
        if value.ndim != ndim:
            raise wrong(key, f"has shape {value.shape}; expected {ndim} dimensions")
        if value.dtype.kind not in ("iu" if key in ("faces", "parents") else "fiu"):
            raise wrong(key, f"has dtype {value.dtype}; expected numbers")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise wrong(key, "holds values that are not finite")
    if len(arrays["parents"]) != len(JOINT_NAMES):
        raise wrong(
            "parents", f"has {len(arrays['parents'])} joints; expected {len(JOINT_NAMES)}: {', '.join(JOINT_NAMES)}"
        )
    faces = arrays["faces"]
    if faces.shape[1] != 3 or faces.size == 0 or faces.min() < 0 or faces.max() >= vertices:
        raise wrong("faces", f"must be (F, 3) indices below {vertices}")
    if not np.allclose(arrays["lbs_weights"].sum(1), 1, atol=1e-3):
        raise wrong("lbs_weights", "must sum to one for each vertex")
    if "expr_names" in arrays and arrays["expr_names"].shape != arrays["exprdirs"].shape[2:]:
        raise wrong("expr_names", f"has {arrays['expr_names'].size} names for {arrays['exprdirs'].shape[2]} modes")
    if all(key in arrays for key in LANDMARK_KEYS):
        index, face, bary = (arrays[key] for key in LANDMARK_KEYS)
        if not (face.shape == index.shape == bary.shape[:1] and bary.shape[1:] == (3,)):
            raise wrong("mediapipe_landmark_bary", f"has shape {bary.shape}; expected ({index.size}, 3)")
        if face.min() < 0 or face.max() >= len(faces):
            raise wrong("mediapipe_landmark_face", f"must be face indices below {len(faces)}")
