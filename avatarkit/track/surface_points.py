"""Points on the skin of a skinned head, and how a picture's slopes there turn into slopes by every head parameter.

A point is a fixed place in a triangle.  Its position comes from the posed mesh; its derivative by the parameters is the rig's,
with the skinning weights blended within the triangle (exact at vertices, and to second order in a triangle's weights between).
Only the product with a picture's slope at the point is ever made, one row of numbers a point: a clip has millions of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit

from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.track.landmark_rig import _CROSS, POSE, left_jacobian, require_rig, rotations
from avatarkit.types import Float32Array, FloatArray, IntArray

SKIN = ("face", "lips", "l_ear", "r_ear", "l_eye", "r_eye")
NOT_SKIN = ("mouth", "teeth", "neck", "boundary")
SCALP = "scalp"
HAIR = 0.005  # metres by which what is seen of hair stands off the scalp, along its normal
ON_HAIR = 0.3  # points on hair for each one on skin
FAST = {"contract", "nnan", "ninf", "nsz", "arcp", "reassoc"}


@dataclass(frozen=True)
class SurfacePoints:
    """N points of a head with J joints, E expression, S identity and K = 9(J − 1) corrective modes.

    faces (N,) triangle numbers; corners (N, 3) vertices; bary (N, 3); weights (N, J) of skinning; basis (N, 3, E + K + S) metres;
    joint_basis (J, 3, E + S): how the rest joints move; parents (J,); lift (N,) metres along the normal.
    """

    faces: IntArray
    corners: IntArray
    bary: Float32Array
    weights: Float32Array
    basis: Float32Array
    joint_basis: FloatArray
    parents: tuple[int, ...]
    num_expr: int
    num_shape: int
    corrective: bool
    lift: Float32Array

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def width(self) -> int:
        """Numbers in a row: pose and expression of a frame, identity, focal length."""
        return POSE + self.num_expr + self.num_shape + 1

    @property
    def on_skin(self) -> int:
        """How many are not on hair."""
        return int((self.lift == 0).sum())

    def thinned(self, on_skin: int) -> SurfacePoints:
        """About ``on_skin`` of those on skin and their share of those on hair, as evenly spread."""
        count = round(on_skin * len(self) / max(self.on_skin, 1))
        kept = np.arange(count) * len(self) // count if count < len(self) else slice(None)
        return replace(
            self, faces=self.faces[kept], corners=self.corners[kept], bary=self.bary[kept], weights=self.weights[kept],
            basis=self.basis[kept], lift=self.lift[kept],
        )  # fmt: skip

    def positions(self, vertices: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Posed vertices (V, 3) → points (N, 3) and unit normals (N, 3) of their triangles."""
        a, b, c = (vertices[self.corners[:, i]] for i in range(3))
        normal = np.cross(b - a, c - a)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        where = self.bary[:, :1] * a + self.bary[:, 1:2] * b + self.bary[:, 2:] * c
        return where + self.lift[:, None] * normal, normal

    def rows(self, frame: FloatArray, joints: FloatArray, seen: IntArray, points: Float32Array, slopes: Float32Array,
             by_focal: Float32Array) -> Float32Array:  # fmt: skip
        """(n, 18 + E + S + 1): slopes of the picture's values by the parameters of one frame.

        frame (18 + E,); joints (J, 4, 4) of the posed head; seen (n,) which points; points (n, 3) world; slopes (n, 3) of the
        values by the world position; by_focal (n,) by the logarithm of the focal length.
        """
        count, modes = len(self.parents), self.num_expr + self.num_shape
        turn, place = joints[:, :3, :3], joints[:, :3, 3]
        vectors = np.concatenate([frame[:3], frame[6:POSE]]).reshape(count, 3)
        left = left_jacobian(vectors)
        axes = np.stack([left[j] if j == 0 else turn[self.parents[j]] @ left[j] for j in range(count)])
        below = np.zeros((count, count), np.float32)  # below[j, k]: joint k hangs on j
        for j in range(count):
            below[j, j] = 1.0
            if j:
                below[:, j] = np.maximum(below[:, j], below[:, self.parents[j]])
        moved = np.empty((count, 3, modes))
        moved[0] = self.joint_basis[0]
        for j, parent in enumerate(self.parents[1:], start=1):
            moved[j] = moved[parent] + turn[parent] @ (self.joint_basis[j] - self.joint_basis[parent])
        moved -= turn @ self.joint_basis
        felt = np.zeros((count - 1, 9, 3), np.float32)  # ∂vec(R_j) by the joint's angles
        if self.corrective:
            local = rotations(vectors[1:])
            felt[:] = np.einsum("jax,jabc->jbcx", left[1:], np.einsum("abc,jcd->jabd", _CROSS, local)).reshape(-1, 9, 3)
        out = np.zeros((len(seen), self.width), np.float32)
        _rows(
            seen, points, slopes, by_focal, self.weights, self.basis, turn.astype(np.float32), place.astype(np.float32),
            axes.astype(np.float32), below, moved.astype(np.float32), felt, self.num_expr, self.num_shape,
            self.corrective, out,
        )  # fmt: skip
        return out


def surface_points(head: HeadModel, count: int) -> SurfacePoints:
    """About ``count`` points spread evenly over the skin of the face, the ears and the eyeballs of ``head`` at rest, and ON_HAIR times as many
    over its scalp.

    Hair holds the skull where it is when a face moves in ways that no expression has.  It stands off the scalp by HAIR.

    Raises InputError for a head that has no region ``face`` or is not skinned linearly.
    """
    rig = require_rig(head)
    if "face" not in head.regions:
        raise InputError(f"head model '{head.name}' has no region 'face', which photometric tracking needs")
    hair = head.regions[SCALP].numpy() > 0.5 if SCALP in head.regions else np.zeros(len(head.template), bool)
    skin = hair | (np.max([head.regions[name].numpy() for name in SKIN if name in head.regions], 0) > 0.5)
    for name in NOT_SKIN:
        if name in head.regions:
            skin &= ~(head.regions[name].numpy() > 0.5)
    mesh, template = head.faces.numpy(), head.template.double().numpy()
    chosen = np.flatnonzero(skin[mesh].all(1))
    a, b, c = (template[mesh[chosen, i]] for i in range(3))
    # what can never be seen, the backs of eyeballs, takes no points
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    balls = np.max([head.regions[n].numpy() for n in ("l_eye", "r_eye") if n in head.regions] or [0 * skin], 0) > 0.5
    area *= np.where(balls[mesh[chosen]].all(1) & (np.cross(b - a, c - a)[:, 2] <= 0.6 * 2 * area), 0.0, 1.0)
    # where face and scalp overlap, and across the hairline, it is skin
    hairy = hair[mesh[chosen]].all(1) & ~(head.regions["face"].numpy() > 0.5)[mesh[chosen]].all(1)
    for own, wanted in ((hairy, ON_HAIR * count), (~hairy, count)):
        area[own] *= wanted / max(float(area[own].sum()), 1e-12)
    reach = np.cumsum(area)
    number = np.floor(reach).astype(int) - np.floor(np.r_[0.0, reach[:-1]]).astype(int)
    faces = np.repeat(chosen, number)
    bary = _spread(number)
    corners = mesh[faces]
    joints, vertices = len(rig.parents), len(template)

    def blended(planar: Any) -> FloatArray:
        modes = np.asarray(planar).reshape(-1, 3, vertices)[:, :, corners]  # (M, 3, N, 3)
        return np.einsum("maik,ik->iam", modes, bary)

    count_e = rig.num_expr
    motion = blended(rig.motion_basis)
    shapes = np.asarray(rig.shape_basis, np.float64).reshape(-1, 3, vertices)
    joint_shape = np.einsum("jv,mav->jam", np.asarray(rig.joint_regressor, np.float64), shapes)
    joint_expr = np.asarray(rig.joint_expr, np.float64).reshape(-1, joints, 3).transpose(1, 2, 0)
    return SurfacePoints(
        faces, corners, bary.astype(np.float32),
        np.einsum("jik,ik->ij", np.asarray(rig.weights)[:, corners], bary).astype(np.float32),
        np.ascontiguousarray(np.concatenate([motion, blended(rig.shape_basis)], 2), np.float32),
        np.concatenate([joint_expr, joint_shape], 2), tuple(rig.parents), count_e, len(shapes),
        bool(np.abs(motion[..., count_e:]).max(initial=0.0) > 0),
        np.where(np.repeat(hairy, number), HAIR, 0.0).astype(np.float32),
    )  # fmt: skip


def _spread(number: IntArray) -> FloatArray:
    """Barycentrics (Σ number, 3), well spread within each triangle: the R2 sequence (Roberts 2018) folded into it."""
    every = np.concatenate([np.arange(n) for n in number] or [np.zeros(0)])
    start = np.repeat(np.arange(len(number)) * 0.3819660, number)
    u = np.mod(0.5 + start + every * 0.7548776662, 1.0)
    v = np.mod(0.5 + start * 0.7 + every * 0.5698402910, 1.0)
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    return np.stack([1 - u - v, u, v], 1)


@njit(cache=True, nogil=True, fastmath=FAST)
def _rows(
    seen: Any, points: Any, slopes: Any, by_focal: Any, weights: Any, basis: Any, turn: Any, place: Any, axes: Any,
    below: Any, moved: Any, felt: Any, exprs: Any, shapes: Any, corrective: Any, out: Any,
) -> None:  # fmt: skip
    joints = len(turn)
    correctives = 9 * (joints - 1)
    first_shape = 18 + exprs
    own = np.zeros(3, np.float32)
    bent = np.zeros(correctives, np.float32)
    for n in range(len(seen)):
        i = seen[n]
        gx, gy, gz = slopes[n, 0], slopes[n, 1], slopes[n, 2]
        row, modes = out[n], basis[i]
        own[:] = 0.0
        for j in range(joints):
            w = weights[i, j]
            if w != 0.0:
                for a in range(3):
                    own[a] += w * (gx * turn[j, 0, a] + gy * turn[j, 1, a] + gz * turn[j, 2, a])
        hx, hy, hz = own[0], own[1], own[2]
        if corrective:
            for k in range(correctives):
                m = exprs + k
                bent[k] = hx * modes[0, m] + hy * modes[1, m] + hz * modes[2, m]
        for j in range(joints):
            share = np.float32(0.0)
            for k in range(joints):
                share += below[j, k] * weights[i, k]
            ax, ay, az = points[n, 0] - place[j, 0], points[n, 1] - place[j, 1], points[n, 2] - place[j, 2]
            tx, ty, tz = (
                ay * gz - az * gy,
                az * gx - ax * gz,
                ax * gy - ay * gx,
            )  # (arm × slope)·axis = slope·(axis × arm)
            start = 0 if j == 0 else 3 + 3 * j
            for k in range(3):
                value = share * (axes[j, 0, k] * tx + axes[j, 1, k] * ty + axes[j, 2, k] * tz)
                if corrective and j > 0:
                    for q in range(9):
                        value += bent[9 * (j - 1) + q] * felt[j - 1, q, k]
                row[start + k] = value
        row[3], row[4], row[5] = gx, gy, gz
        for m in range(exprs):
            row[18 + m] = hx * modes[0, m] + hy * modes[1, m] + hz * modes[2, m]
        skip = exprs + correctives
        for m in range(shapes):
            row[first_shape + m] = hx * modes[0, skip + m] + hy * modes[1, skip + m] + hz * modes[2, skip + m]
        for j in range(joints):
            w = weights[i, j]
            if w != 0.0:
                ux, uy, uz = w * gx, w * gy, w * gz
                for m in range(exprs + shapes):
                    row[18 + m] += ux * moved[j, 0, m] + uy * moved[j, 1, m] + uz * moved[j, 2, m]
        row[first_shape + shapes] = by_focal[n]
