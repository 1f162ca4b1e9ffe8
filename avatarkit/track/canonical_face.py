"""More landmarks for a head: a detector's own average face is fitted to it, and its points become points on the mesh.

An embedding often has the inner face only (FLAME's published one: brows, eyes, nose, lips: 105 of MediaPipe's 478 points), which
leaves pitch, chin and the outline loose.  A detector that knows the average face behind its points (MediaPipe carries one in
its model file) lets us add the rest: fit position, scale and identity of the head to that face, embedding points first, then all
points to the nearest surface (non-rigid ICP, Amberg et al. 2007, with identity modes as the deformation), and take the nearest
surface points as the embedding.
"""

from __future__ import annotations

import numpy as np
import torch

from avatarkit.contracts import HeadModel, LandmarkEmbedding
from avatarkit.track.landmark_rig import require_rig
from avatarkit.types import BoolArray, FloatArray, IntArray

# Beside the inner face: outline, chin, cheeks, forehead, nostrils (MediaPipe numbers).
ADDED = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
    172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
    18, 200, 199, 175, 83, 313, 32, 262, 171, 396, 50, 280, 205, 425, 187, 411, 207, 427, 117, 346, 101, 330, 36, 266,
    8, 9, 151, 108, 337, 69, 299, 1, 19, 94, 64, 294, 49, 279, 48, 278,
)  # fmt: skip
ROUNDS = 30
KNOWN_WEIGHT = 4.0  # a point of the head's own embedding beside a nearest-surface one
ROBUST_GAP = 0.01  # metres, where a nearest-surface point stops pulling
SHAPE_WEIGHT = 4.0  # of the identity prior, in squared millimetres of misfit


def extended_embedding(
    head: HeadModel, own: LandmarkEmbedding, canonical: FloatArray, *, added: tuple[int, ...] = ADDED
) -> LandmarkEmbedding:
    """``own`` and the landmarks ``added`` that it lacks.

    canonical (478, 3): the detector's average face, any position, orientation and scale, NaN where it has no point.
    """
    mesh = torch.as_tensor(head.faces)
    known = np.asarray(own.indices)
    usable: BoolArray = np.asarray(np.isfinite(canonical).all(axis=1))
    own_rows = usable[known]
    extra = np.array([index for index in range(len(canonical)) if usable[index] and index not in set(known.tolist())])
    if own_rows.sum() < 20 or not len(extra):
        return own
    face = front_faces(head)
    shape = np.zeros(head.num_shape)
    basis = shape_basis(head)
    template = head.template.double().numpy()
    for round_ in range(ROUNDS):
        vertices = template + (basis @ shape).reshape(-1, 3)
        on_mesh = own.points(torch.from_numpy(vertices), mesh).numpy()[own_rows]
        if round_ == 0:
            scale, turn, shift = similarity(canonical[known[own_rows]], on_mesh)
        cloud = scale * canonical @ turn.T + shift
        triangles, bary = nearest_on_mesh(cloud[extra], vertices, face)
        corners = np.concatenate([mesh.numpy()[np.asarray(own.faces)[own_rows]], triangles])
        weights = np.concatenate([np.asarray(own.barycentrics, np.float64)[own_rows], bary])
        target = np.concatenate([cloud[known[own_rows]], cloud[extra]])
        near = np.einsum("li,lia->la", weights, vertices[corners])
        count = int(own_rows.sum())
        gap = np.linalg.norm(near[count:] - cloud[extra], axis=1)
        trust = np.concatenate([np.full(count, KNOWN_WEIGHT), 1.0 / (1.0 + (gap / ROBUST_GAP) ** 2)])
        moved = np.einsum("li,liam->lam", weights, basis.reshape(-1, 3, head.num_shape)[corners])
        rows = (moved * np.sqrt(trust)[:, None, None]).reshape(-1, head.num_shape) * 1e3
        misfit = ((target - near) * np.sqrt(trust)[:, None]).reshape(-1) * 1e3
        normal = rows.T @ rows + SHAPE_WEIGHT * np.eye(head.num_shape)
        shape = shape + 0.7 * np.linalg.solve(normal, rows.T @ misfit - SHAPE_WEIGHT * shape)
        scale, turn, shift = similarity(np.concatenate([canonical[known[own_rows]], canonical[extra]]), near, trust)
    vertices = template + (basis @ shape).reshape(-1, 3)
    wanted = np.array([index for index in added if usable[index] and index not in set(known.tolist())])
    triangles, bary = nearest_on_mesh((scale * canonical @ turn.T + shift)[wanted], vertices, face)
    numbers = {tuple(corner): number for number, corner in enumerate(mesh.numpy().tolist())}
    faces = torch.tensor([numbers[tuple(corner)] for corner in triangles.tolist()])
    return LandmarkEmbedding(
        torch.cat([own.indices.long(), torch.from_numpy(wanted).long()]),
        torch.cat([own.faces.long(), faces]),
        torch.cat([own.barycentrics.float(), torch.from_numpy(bary).float()]),
    )


def shape_basis(head: HeadModel) -> FloatArray:
    """(V·3, S) float64: how identity moves the head at rest."""
    rig = require_rig(head)
    planar = rig.shape_basis.double().numpy().reshape(head.num_shape, 3, -1)
    return planar.transpose(2, 1, 0).reshape(-1, head.num_shape)


def front_faces(head: HeadModel) -> IntArray:
    """Triangles of the outer skin that look forwards or sideways: no eyeballs, no mouth interior, no back of the head."""
    vertices, faces = head.template.double().numpy(), head.faces.numpy()
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    keep = normal[:, 2] > -0.3
    weights = require_rig(head).weights
    for name in ("l_eye", "r_eye"):
        if name in head.joint_names:
            ball = weights[head.joint_names.index(name)].numpy() > 0.5
            keep &= ~ball[faces].any(1)
    for name in ("teeth", "mouth_interior", "inner_mouth", "ears", "l_ear", "r_ear", "left_ear", "right_ear"):
        if name in head.regions:
            keep &= ~(head.regions[name].numpy() > 0.5)[faces].any(1)
    return np.asarray(faces[keep])


def similarity(
    source: FloatArray, target: FloatArray, weights: FloatArray | None = None
) -> tuple[float, FloatArray, FloatArray]:
    """Scale, rotation (3, 3) and shift (3,) with target ≈ scale·R·source + shift, (N, 3) each (Umeyama 1991)."""
    share = np.ones(len(source)) if weights is None else weights
    share = share / share.sum()
    a, b = source - share @ source, target - share @ target
    u, values, vt = np.linalg.svd(b.T @ (a * share[:, None]))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ flip @ vt
    scale = float((values * np.diag(flip)).sum() / (share @ (a**2).sum(1)))
    return scale, turn, share @ target - scale * turn @ (share @ source)


def nearest_on_mesh(points: FloatArray, vertices: FloatArray, faces: IntArray) -> tuple[IntArray, FloatArray]:
    """The nearest surface point of each of ``points`` (N, 3): its triangle's corners (N, 3) and barycentrics (N, 3).

    Looks at the 24 triangles with the nearest centroids, which is exact for a mesh whose triangles are alike.
    """
    from scipy.spatial import cKDTree

    corners = vertices[faces]
    _, candidates = cKDTree(corners.mean(1)).query(points, k=min(24, len(faces)))
    bary = closest_barycentrics(points[:, None], corners[candidates])
    distance = np.linalg.norm(np.einsum("nki,nkia->nka", bary, corners[candidates]) - points[:, None], axis=-1)
    best = distance.argmin(1)
    every = np.arange(len(points))
    return faces[candidates[every, best]], bary[every, best]


def closest_barycentrics(points: FloatArray, corners: FloatArray) -> FloatArray:
    """Barycentrics (…, 3) of the point of a triangle (…, 3, 3) nearest to ``points`` (…, 3): inside, or on an edge."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-20)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack([1 - v - w, v, w], -1)
    choices = [inside]
    for start, end, slot in ((a, b, (0, 1)), (b, c, (1, 2)), (a, c, (0, 2))):
        edge = end - start
        along = np.clip(((points - start) * edge).sum(-1) / np.maximum((edge * edge).sum(-1), 1e-20), 0.0, 1.0)
        on_edge = np.zeros_like(inside)
        on_edge[..., slot[0]], on_edge[..., slot[1]] = 1 - along, along
        choices.append(on_edge)
    stacked = np.stack(choices, -2)  # (…, 4, 3)
    distance = np.linalg.norm(stacked @ corners - points[..., None, :], axis=-1)
    distance[..., 0] = np.where((inside < 0).any(-1), np.inf, distance[..., 0])
    best = distance.argmin(-1)
    return np.take_along_axis(stacked, best[..., None, None], -2)[..., 0, :]
