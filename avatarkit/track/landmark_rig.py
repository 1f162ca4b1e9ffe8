"""The landmarks of a skinned head as a small rig of their own: points and their exact Jacobian, without the mesh.

A landmark is a fixed combination b of three vertices, and skinning (``avatarkit.head.skinning``) is linear in the rest
position, so L landmarks reduce exactly to

    X_l = Σ_j R_j U_lj + w_lj c_j,      U_lj = Σ_i b_li W_ij rest_i,      w_lj = Σ_i b_li W_ij,      c_j = p_j − R_j rest_joint_j

with R_j the joint's rotation in the world and p_j its place.  U is linear in shape, expression and pose correctives, so a
clip of hundreds of frames costs a few small matrix products.  float64 numpy throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avatarkit.contracts import HeadModel, LandmarkEmbedding
from avatarkit.errors import InputError
from avatarkit.types import FloatArray

POSE = 18  # rotation 3, translation 3, neck 3, jaw 3, eyes 6: the first columns of a timestep's parameters; then expression
ROTATION, TRANSLATION, NECK, JAW, EYES = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12), slice(12, 18)


@dataclass(frozen=True)
class LandmarkRig:
    """L landmarks on J joints with S identity and E expression modes.

    weights (L, J); rest (L, J, 3); by_shape (J·3, L·S), by_expr (J·3, L·E), by_corrective (J·3, L·9(J − 1)): how U moves;
    joints (J, 3), joints_by_shape (J, 3, S), joints_by_expr (J, 3, E): rest joints; parents (J,).  Metres.
    """

    weights: FloatArray
    rest: FloatArray
    by_shape: FloatArray
    by_expr: FloatArray
    by_corrective: FloatArray
    joints: FloatArray
    joints_by_shape: FloatArray
    joints_by_expr: FloatArray
    parents: tuple[int, ...]

    @property
    def num_landmarks(self) -> int:
        return int(self.weights.shape[0])

    @property
    def num_shape(self) -> int:
        return int(self.joints_by_shape.shape[2])

    @property
    def num_expr(self) -> int:
        return int(self.joints_by_expr.shape[2])

    def points(
        self, frames: FloatArray, shape: FloatArray, offsets: FloatArray, reference: FloatArray
    ) -> tuple[FloatArray, _Posed]:
        """frames (T, 18 + E), shape (S,), offsets (L, 3) metres on the rest position, reference (3, 3) → (T, L, 3) world.

        The global rotation is exp(frames[:, :3]) · reference: rotations stay near zero for any camera convention.
        """
        steps, marks, joints = len(frames), self.num_landmarks, len(self.parents)
        local = rotations(np.concatenate([frames[:, ROTATION], frames[:, 6:POSE]], 1).reshape(steps, joints, 3))
        corrective = (local[:, 1:] - np.eye(3)).reshape(steps, -1)
        local[:, 0] = local[:, 0] @ reference
        expr = frames[:, POSE:]
        u = self.rest + self.weights[..., None] * offsets[:, None]
        u = u + (self.by_shape.reshape(joints, 3, marks, -1) @ shape).transpose(2, 0, 1)
        moved = np.einsum("xle,te->tlx", self.by_expr.reshape(joints * 3, marks, -1), expr, optimize=True)
        moved += np.einsum("xle,te->tlx", self.by_corrective.reshape(joints * 3, marks, -1), corrective, optimize=True)
        u = u + moved.reshape(steps, marks, joints, 3)
        rest_joints = (
            self.joints
            + self.joints_by_shape @ shape
            + (expr @ self.joints_by_expr.reshape(joints * 3, -1).T).reshape(steps, joints, 3)
        )
        turn = np.empty_like(local)
        place = np.empty((steps, joints, 3))
        turn[:, 0], place[:, 0] = local[:, 0], rest_joints[:, 0] + frames[:, TRANSLATION]
        for joint, parent in enumerate(self.parents[1:], start=1):
            turn[:, joint] = turn[:, parent] @ local[:, joint]
            bone = rest_joints[:, joint] - rest_joints[:, parent]
            place[:, joint] = place[:, parent] + np.einsum("tab,tb->ta", turn[:, parent], bone)
        shift = place - np.einsum("tjab,tjb->tja", turn, rest_joints)
        parts = np.einsum("tjab,tljb->tlja", turn, u, optimize=True)
        world = parts.sum(2) + np.einsum("lj,tja->tla", self.weights, shift)
        return world, _Posed(local, turn, place, shift, parts)

    def jacobian(
        self, frames: FloatArray, posed: _Posed, reference: FloatArray, *, shared: bool
    ) -> tuple[FloatArray, FloatArray | None]:
        """Derivatives of ``points``: by frame (T, L, 3, 18 + E), and by shape (T, L, 3, S) if ``shared``."""
        steps, marks, joints = len(frames), self.num_landmarks, len(self.parents)
        turn, shift, place = posed.turn, posed.shift, posed.place
        flat = turn.transpose(0, 2, 1, 3).reshape(steps * 3, joints * 3)
        out = np.zeros((steps, marks, 3, POSE + self.num_expr))
        out[..., TRANSLATION] = np.eye(3)
        vectors = np.concatenate([frames[:, ROTATION], frames[:, 6:POSE]], 1).reshape(steps, joints, 3)
        left = left_jacobian(vectors)
        by_corrective = (flat @ self.by_corrective).reshape(steps, 3, marks, joints - 1, 9)
        for joint in range(joints):
            below = [j for j in range(joints) if joint in self._ancestry(j)]
            arm = posed.parts[:, :, below].sum(2) + np.einsum(
                "lj,tja->tla", self.weights[:, below], shift[:, below] - place[:, joint, None]
            )
            parent = self.parents[joint]
            axes = left[:, joint] if joint == 0 else turn[:, parent] @ left[:, joint]
            # δX = axis × arm for each of the three axes
            swept = np.cross(axes.transpose(0, 2, 1)[:, None], arm[:, :, None]).transpose(0, 1, 3, 2)
            columns = ROTATION if joint == 0 else slice(3 + 3 * joint, 6 + 3 * joint)
            out[..., columns] = swept
            if joint:
                turned = np.einsum("tax,abc->txbc", left[:, joint], _CROSS) @ posed.local[:, joint, None]
                out[..., columns] += np.einsum(
                    "talk,txk->tlax", by_corrective[:, :, :, joint - 1], turned.reshape(steps, 3, 9), optimize=True
                )
        out[..., POSE:] = self._linear(flat, turn, self.by_expr, self.joints_by_expr)
        by_shape = self._linear(flat, turn, self.by_shape, self.joints_by_shape) if shared else None
        return out, by_shape

    def offset_jacobian(self, posed: _Posed) -> FloatArray:
        """Derivatives of ``points`` by the offsets: (T, L, 3, 3)."""
        return np.einsum("lj,tjab->tlab", self.weights, posed.turn)

    def _linear(self, flat: FloatArray, turn: FloatArray, basis: FloatArray, joint_basis: FloatArray) -> FloatArray:
        """∂X of modes that move rest positions and rest joints: (T, L, 3, M)."""
        steps, joints, marks = len(turn), len(self.parents), self.num_landmarks
        direct = (flat @ basis).reshape(steps, 3, marks, -1).transpose(0, 2, 1, 3)
        place = np.empty((steps, joints, *joint_basis.shape[1:]))
        place[:, 0] = joint_basis[0]
        for joint, parent in enumerate(self.parents[1:], start=1):
            place[:, joint] = place[:, parent] + turn[:, parent] @ (joint_basis[joint] - joint_basis[parent])
        shift = place - turn @ joint_basis
        return direct + np.einsum("lj,tjam->tlam", self.weights, shift, optimize=True)

    def _ancestry(self, joint: int) -> list[int]:
        chain = [joint]
        while self.parents[chain[-1]] >= 0:
            chain.append(self.parents[chain[-1]])
        return chain


@dataclass(frozen=True)
class _Posed:
    """local, turn (T, J, 3, 3); place, shift (T, J, 3); parts (T, L, J, 3) = R_j U_lj."""

    local: FloatArray
    turn: FloatArray
    place: FloatArray
    shift: FloatArray
    parts: FloatArray


def require_rig(head: HeadModel) -> Any:
    """The head's ``avatarkit.head.skinning.Rig``; raises InputError for a model that is not linear blend skinning."""
    rig = getattr(head, "rig", None)
    if rig is None:
        raise InputError(
            f"head model '{head.name}' has no linear-blend-skinning rig (attribute 'rig'), which the landmark fit needs; "
            "choose another --head, or a tracker made for this model"
        )
    return rig


def landmark_rig(head: HeadModel, embedding: LandmarkEmbedding, static_offset: Any = None) -> LandmarkRig:
    """Reduce ``head`` to the points of ``embedding``.

    The head must be skinned linearly (``head.rig``, ``avatarkit.head.skinning.Rig``), as both built-ins are; raises
    InputError otherwise.  static_offset (V, 3) metres or None.
    """
    rig = require_rig(head)
    faces = np.asarray(head.faces)[np.asarray(embedding.faces)]
    bary = np.asarray(embedding.barycentrics, np.float64)
    joints, vertices = len(rig.parents), len(rig.template)
    skin = np.asarray(rig.weights, np.float64).T[faces] * bary[..., None]  # (L, 3, J)
    template = np.asarray(rig.template, np.float64)
    if static_offset is not None:
        template = template + np.asarray(static_offset, np.float64)

    def reduced(basis: Any) -> FloatArray:
        """(M, 3·V) planar → (J·3, L·M)"""
        modes = np.asarray(basis).reshape(-1, 3, vertices)[:, :, faces].astype(np.float64)  # (M, 3, L, 3)
        return np.einsum("lij,mali->jalm", skin, modes, optimize=True).reshape(joints * 3, -1)

    regressor = np.asarray(rig.joint_regressor, np.float64)
    count = rig.num_expr
    shapes = np.asarray(rig.shape_basis, np.float64).reshape(-1, 3, vertices)
    return LandmarkRig(
        weights=skin.sum(1),
        rest=np.einsum("lij,lia->lja", skin, template[faces]),
        by_shape=reduced(rig.shape_basis),
        by_expr=reduced(rig.motion_basis[:count]),
        by_corrective=reduced(rig.motion_basis[count:]),
        joints=regressor @ template,
        joints_by_shape=np.einsum("jv,mav->jam", regressor, shapes, optimize=True),
        joints_by_expr=np.asarray(rig.joint_expr, np.float64).reshape(-1, joints, 3).transpose(1, 2, 0).copy(),
        parents=tuple(rig.parents),
    )


# _CROSS[a]: the skew matrix of axis a.
_CROSS = np.zeros((3, 3, 3))
for _a, _b, _c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _CROSS[_a, _b, _c], _CROSS[_a, _c, _b] = -1.0, 1.0


def rotations(vectors: FloatArray) -> FloatArray:
    """Axis-angle (…, 3) → (…, 3, 3), Rodrigues."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    skew = np.einsum("...a,abc->...bc", vectors, _CROSS)
    safe = np.maximum(angle, 1e-8)
    a = np.where(angle < 1e-4, 1 - angle**2 / 6, np.sin(safe) / safe)
    b = np.where(angle < 1e-4, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + a * skew + b * (skew @ skew)


def left_jacobian(vectors: FloatArray) -> FloatArray:
    """J_l(θ) (…, 3, 3): exp(θ + δ) ≈ exp(J_l(θ) δ) exp(θ) (Solà et al. 2018, eq. 145)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    skew = np.einsum("...a,abc->...bc", vectors, _CROSS)
    safe = np.maximum(angle, 1e-8)
    b = np.where(angle < 1e-3, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    c = np.where(angle < 1e-3, 1 / 6 - angle**2 / 120, (safe - np.sin(safe)) / safe**3)
    return np.eye(3) + b * skew + c * (skew @ skew)


def rotation_vectors(matrices: FloatArray) -> FloatArray:
    """(…, 3, 3) → axis-angle (…, 3) with angles in [0, π]."""
    from scipy.spatial.transform import Rotation

    flat = np.asarray(matrices, np.float64).reshape(-1, 3, 3)
    return Rotation.from_matrix(flat).as_rotvec().reshape(*matrices.shape[:-2], 3)
