"""The bust as a head model: its arrays, built by code once and cached, and the model that poses them."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import LandmarkEmbedding
from avatarkit.head.bust.assembly import Rest, build_rest
from avatarkit.head.bust.curves import Curves, make_curves
from avatarkit.head.bust.expressions import expression_modes
from avatarkit.head.bust.identity import identity_modes
from avatarkit.head.bust.landmarks import landmark_embedding
from avatarkit.head.bust.regions import region_masks
from avatarkit.head.bust.rigging import JOINT_NAMES, PARENTS, joint_regressor, make_fields, skinning_weights
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.head.skinning import Rig, make_rig, pose_rig
from avatarkit.types import Float32Array, IntArray

# Raise it whenever the shape of the bust changes: avatar files keep it as part of their head reference.
VERSION = 1
MILLIMETRE = 1e-3


@dataclass(frozen=True)
class BustArrays:
    """What the code builds, in metres.

    template (V, 3); faces (F, 3); shapedirs (V, 3, S); exprdirs (V, 3, E); weights (V, 5); J_regressor (5, V); uv (V, 2).
    """

    template: Float32Array
    faces: IntArray
    shape_names: tuple[str, ...]
    shapedirs: Float32Array
    expr_names: tuple[str, ...]
    exprdirs: Float32Array
    weights: Float32Array
    J_regressor: Float32Array
    regions: dict[str, Float32Array]
    landmark_indices: IntArray
    landmark_faces: IntArray
    landmark_barycentrics: Float32Array
    uv: Float32Array
    rest: Rest
    curves: Curves


def texture_coordinates(rest: Rest) -> np.ndarray:
    """(V, 2) in [0, 1]: u around the head (0.5 in front, the seam at the back), v upwards along the height.

    Eyeballs instead have the front view of the ball: (0.5, 0.5) at the pupil, the limbus at radius 0.15.
    """
    p = rest.points
    u = 0.5 + np.arctan2(p[:, 0], p[:, 2] + 27.0) / (2 * np.pi)
    low, high = p[:, 1].min(), p[:, 1].max()
    uv = np.stack([u, (p[:, 1] - low) / (high - low)], -1)
    ball = rest.grids["ball"]
    for ids, pole in ((ball, rest.grids["ball_pole"]), (rest.mirror[ball], rest.mirror[rest.grids["ball_pole"]])):
        centre = p[ids].reshape(-1, 3)[:, :2].mean(0)
        limbus = np.linalg.norm(p[ids[5]][:, :2] - centre, axis=1).mean()
        flat = p[ids][..., :2] - centre
        # behind the equator the front view would fold back: continue outwards
        polar = np.arange(1, len(ids) + 1)[:, None, None]
        direction = flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-9)
        reach = np.linalg.norm(flat, axis=-1, keepdims=True) / limbus * 0.15
        reach = np.where(polar > 10, 0.35 + 0.05 * (polar - 10), reach)
        uv[ids] = 0.5 + direction * reach
        uv[pole] = 0.5
    return uv


@lru_cache(maxsize=1)
def bust_arrays() -> BustArrays:
    """Build the bust (about half a second the first time in a process)."""
    rest = build_rest()
    fields = make_fields(rest)
    shape_names, shapes = identity_modes(rest, fields)
    expr_names, expressions = expression_modes(rest, fields)
    index, face, bary = landmark_embedding(rest)

    def single(value: np.ndarray) -> Float32Array:
        return np.ascontiguousarray(value, dtype=np.float32)

    return BustArrays(
        template=single(rest.points * MILLIMETRE),
        faces=rest.faces,
        shape_names=shape_names,
        shapedirs=single(shapes.transpose(1, 2, 0) * MILLIMETRE),
        expr_names=expr_names,
        exprdirs=single(expressions.transpose(1, 2, 0) * MILLIMETRE),
        weights=single(skinning_weights(rest, fields)),
        J_regressor=single(joint_regressor(rest)),
        regions=region_masks(rest, fields),
        landmark_indices=index,
        landmark_faces=face,
        landmark_barycentrics=single(bary),
        uv=single(texture_coordinates(rest)),
        rest=rest,
        curves=make_curves(rest),
    )


def array_digest(arrays: BustArrays) -> str:
    """A checksum of version, topology and mode names: what must agree for an avatar file to fit.

    Positions are left out: their last bit may differ between machines, and VERSION stands for them.
    """
    shapes = f"{arrays.template.shape} {arrays.shapedirs.shape} {arrays.exprdirs.shape}"
    digest = hashlib.sha256(f"bust {VERSION}\n{arrays.shape_names}\n{arrays.expr_names}\n{shapes}\n".encode())
    digest.update(np.ascontiguousarray(arrays.faces, dtype="<i8").tobytes())
    return digest.hexdigest()


class BustModel:
    """The built-in head model ``bust`` (contracts.HeadModel): head, neck and shoulders made by code, free of licences."""

    frames: str = "triangle"
    """What carries bound Gaussians: see ``avatarkit.head.frames``."""

    def __init__(self) -> None:
        arrays = bust_arrays()
        self.name = "bust"
        self.arrays = arrays
        tensor = torch.from_numpy
        corrective = torch.zeros(len(arrays.template), 3, 9 * (len(PARENTS) - 1))
        self.rig: Rig = make_rig(
            tensor(arrays.template), tensor(arrays.shapedirs), tensor(arrays.exprdirs), corrective,
            tensor(arrays.J_regressor), tensor(arrays.weights), PARENTS,
        )  # fmt: skip
        self.num_shape = len(arrays.shape_names)
        self.num_expr = len(arrays.expr_names)
        self.shape_names = arrays.shape_names
        self.expr_names = arrays.expr_names
        self.joint_names = JOINT_NAMES
        self.parents = PARENTS
        self.faces: Tensor = tensor(np.ascontiguousarray(arrays.faces, dtype=np.int64))
        self.template: Tensor = tensor(arrays.template)
        self.uv: Tensor = tensor(arrays.uv)
        self.regions: dict[str, Tensor] = {name: tensor(value) for name, value in arrays.regions.items()}
        self.landmarks: LandmarkEmbedding | None = LandmarkEmbedding(
            tensor(arrays.landmark_indices), tensor(arrays.landmark_faces), tensor(arrays.landmark_barycentrics)
        )

    @property
    def curves(self) -> Curves:
        """Lash lines, brows, hairline, lip rings, collar, ear lobes, bridge of the nose, skull ellipsoid."""
        return self.arrays.curves

    @property
    def reference(self) -> dict[str, Any]:
        """What an avatar file keeps to find this model again."""
        return {
            "name": self.name,
            "sha256": array_digest(self.arrays),
            "vertices": int(self.template.shape[0]),
            "shape": self.num_shape,
            "expr": self.num_expr,
        }

    def to(self, device: str | torch.device) -> BustModel:
        """The same model with what posing and binding need, rig and faces, on another device."""
        moved = copy.copy(self)
        moved.rig, moved.faces = self.rig.to(device), self.faces.to(device)
        moved.template = moved.rig.template
        return moved

    def pose(self, params: HeadParams) -> HeadPose:
        """(T, V, 3) vertices and (T, 5, 4, 4) joints; see ``avatarkit.head.skinning.pose_rig``."""
        pose = pose_rig(self.rig, params)
        return pose if self.frames == "skin" else replace(pose, skin=None)
