"""FLAME and any other head in its topology: a skinned mesh of 5023 vertices read from an npz file."""

from __future__ import annotations

import copy
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatarkit.contracts import LandmarkEmbedding
from avatarkit.errors import FileFormatError, InputError
from avatarkit.head import teeth
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.head.regions import LIP_RING, head_regions
from avatarkit.head.skinning import make_rig, pose_rig
from avatarkit.head.topology import ring_distance
from avatarkit.paths import explained
from avatarkit.types import PathArg

FLAME_VERTICES = 5023
TEETH_VERTICES = 120
JOINT_NAMES = ("root", "neck", "jaw", "l_eye", "r_eye")
REQUIRED = ("v_template", "faces", "shapedirs", "exprdirs", "posedirs", "lbs_weights", "J_regressor", "parents")
FLOATS = ("v_template", "shapedirs", "exprdirs", "posedirs", "J_regressor", "lbs_weights")
LANDMARK_KEYS = ("mediapipe_landmark_index", "mediapipe_landmark_face", "mediapipe_landmark_bary")


class FlameModel:
    """A head in FLAME topology (contracts.HeadModel).

    arrays: checked arrays of the file (``read_flame`` lists them), V = 5023, or 5143 with teeth.  digest: sha256 of the file.
    masks: FLAME_masks.pkl's vertex lists, where the user has registered them.
    """

    frames: str = "triangle"
    """What carries bound Gaussians: see ``avatarkit.head.frames``."""

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        *,
        name: str,
        digest: str,
        masks: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.arrays = arrays
        self.masks = masks
        self.name = name
        self.digest = digest
        floats = {key: torch.from_numpy(np.ascontiguousarray(arrays[key], np.float32)) for key in FLOATS}
        self.rig = make_rig(
            floats["v_template"], floats["shapedirs"], floats["exprdirs"], floats["posedirs"],
            floats["J_regressor"], floats["lbs_weights"], tuple(int(p) for p in arrays["parents"]),
        )  # fmt: skip
        self.num_shape = int(arrays["shapedirs"].shape[2])
        self.num_expr = int(arrays["exprdirs"].shape[2])
        self.expr_names = expression_names(arrays)
        self.joint_names: tuple[str, ...] = JOINT_NAMES
        self.parents = self.rig.parents
        self.faces = torch.from_numpy(np.ascontiguousarray(arrays["faces"], np.int64))
        self.template = self.rig.template
        self.landmarks = landmark_embedding(arrays)
        self.regions = {
            region: torch.from_numpy(mask)
            for region, mask in head_regions(
                arrays["v_template"], arrays["faces"], arrays["lbs_weights"], masks
            ).items()
        }

    @property
    def has_teeth(self) -> bool:
        return int(self.template.shape[0]) == FLAME_VERTICES + TEETH_VERTICES

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
        pose = pose_rig(self.rig, params)
        return pose if self.frames == "skin" else replace(pose, skin=None)

    def to(self, device: str | torch.device) -> FlameModel:
        """The same model with its tensors on another device."""
        moved = copy.copy(self)
        moved.rig = self.rig.to(device)
        moved.faces, moved.template = self.faces.to(device), moved.rig.template
        moved.regions = {name: mask.to(device) for name, mask in self.regions.items()}
        if self.landmarks is not None:
            moved.landmarks = LandmarkEmbedding(
                self.landmarks.indices.to(device),
                self.landmarks.faces.to(device),
                self.landmarks.barycentrics.to(device),
            )
        return moved

    def with_teeth(self) -> FlameModel:
        """This head with the 120 vertices of ``avatarkit.head.teeth`` appended (V = 5143); itself where it has them."""
        if self.has_teeth:
            return self
        return FlameModel(
            arrays_with_teeth(self.arrays, self.expr_names), name=self.name, digest=self.digest, masks=self.masks
        )

    def truncated(self, num_shape: int | None, num_expr: int | None) -> FlameModel:
        """The first ``num_shape`` and ``num_expr`` modes, where there are more; named expressions are never dropped."""
        keep_expr = num_expr if num_expr and not any(self.expr_names) else None
        if (num_shape or self.num_shape) >= self.num_shape and (keep_expr or self.num_expr) >= self.num_expr:
            return self
        arrays = dict(self.arrays)
        arrays["shapedirs"] = arrays["shapedirs"][:, :, :num_shape]
        arrays["exprdirs"] = arrays["exprdirs"][:, :, :keep_expr]
        return FlameModel(arrays, name=self.name, digest=self.digest, masks=self.masks)


def arrays_with_teeth(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of a head with teeth appended; correctives and joint regressor do not know them."""
    template, faces = arrays["v_template"], arrays["faces"]
    positions = teeth.teeth_positions(faces, template)
    rings = ring_distance(faces, len(template), teeth.mouth_loop(faces, template))
    lips = np.flatnonzero(rings <= LIP_RING)
    chin = teeth.chin(arrays["lbs_weights"], rings > LIP_RING + 2)
    added = {
        "v_template": positions,
        "shapedirs": teeth.teeth_shapedirs(positions, template, arrays["shapedirs"], lips),
        "exprdirs": teeth.teeth_exprdirs(positions, template, arrays["exprdirs"], names, chin),
        "posedirs": np.zeros((TEETH_VERTICES, *arrays["posedirs"].shape[1:])),
        "lbs_weights": teeth.teeth_weights(arrays["lbs_weights"].shape[1]),
        "faces": teeth.teeth_faces(len(template)),
    }
    result = dict(arrays)
    for key, value in added.items():
        result[key] = np.concatenate([arrays[key], value.astype(arrays[key].dtype)])
    regressor = arrays["J_regressor"]
    result["J_regressor"] = np.concatenate([regressor, np.zeros((len(regressor), TEETH_VERTICES), regressor.dtype)], 1)
    return result


def read_flame(
    path: PathArg,
    *,
    name: str | None = None,
    masks: Mapping[str, np.ndarray] | None = None,
    landmarks: Mapping[str, np.ndarray] | None = None,
) -> FlameModel:
    """Read a FLAME-topology npz.

    Keys: v_template (5023, 3) m, faces (F, 3), shapedirs (5023, 3, S), exprdirs (5023, 3, E), posedirs (5023, 3, 36),
    lbs_weights (5023, 5), J_regressor (5, 5023), parents (5,), optional expr_names (E,) and
    mediapipe_landmark_{index (L,), face (L,), bary (L, 3)}, which ``landmarks`` supplies where the file has none.
    masks: FLAME_masks.pkl's vertex lists.  Raises FileFormatError naming file and key.
    """
    file = Path(path)
    arrays, digest = read_arrays(file)
    return flame_from_arrays(
        {**(landmarks or {}), **arrays}, name=name or file.stem, digest=digest, source=str(file), masks=masks
    )


def read_arrays(file: Path) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of an npz without pickles, and the file's sha256."""
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


def flame_from_arrays(
    arrays: dict[str, np.ndarray], *, name: str, digest: str, source: str, masks: Mapping[str, np.ndarray] | None = None
) -> FlameModel:
    """Check the arrays of a FLAME-topology head and make the model.  ``source`` names the file in errors."""
    check_arrays(arrays, source)
    try:
        return FlameModel(arrays, name=name, digest=digest, masks=masks)
    except InputError as error:
        raise FileFormatError(f"{source}: {error}") from error


def expression_names(arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """One name per expression mode, "" where the file has none."""
    if "expr_names" in arrays:
        return tuple(str(name) for name in arrays["expr_names"])
    return ("",) * int(arrays["exprdirs"].shape[2])


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
        check_landmarks(arrays, len(faces), source)


def check_landmarks(arrays: Mapping[str, np.ndarray], num_faces: int, source: str) -> None:
    """Raise FileFormatError when a landmark embedding does not fit itself or a mesh of ``num_faces``."""
    index, face, bary = (arrays[key] for key in LANDMARK_KEYS)
    if index.ndim != 1 or face.shape != index.shape or bary.shape != (len(index), 3):
        raise FileFormatError(f"{source}: '{LANDMARK_KEYS[2]}' has shape {bary.shape}; expected ({index.size}, 3)")
    if not len(index) or index.min() < 0 or index.max() >= 478:
        raise FileFormatError(f"{source}: '{LANDMARK_KEYS[0]}' must be MediaPipe landmarks below 478")
    if face.min() < 0 or face.max() >= num_faces:
        raise FileFormatError(f"{source}: '{LANDMARK_KEYS[1]}' must be face indices below {num_faces}")
