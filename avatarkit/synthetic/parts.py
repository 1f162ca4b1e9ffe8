"""Parts: pieces of mesh that ride on the head, and how they ride.

A part's vertices are designed on ``bust`` at rest.  *Carried* parts (hair, hats, glasses, shirts) move with joints by
linear blend skinning; *rooted* parts (brows, lashes, beards) sit on triangles of the face and turn with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from avatarkit.labels import LABEL_INDEX
from avatarkit.synthetic.materials import Material
from avatarkit.types import FloatArray, IntArray

ROOT, NECK = 0, 1  # joints of ``bust``


@dataclass
class Part:
    """One piece of mesh at rest.  points, normals, tangents (N, 3) metres; faces (F, 3); albedo (N, 3) linear;
    texture (N, 3) (see ``materials``); label: name of its class.

    neck (N,) share of the neck joint (the rest goes to the root) for a carried part; root_face (N,) and root_bary (N, 3)
    for a rooted one.  casts: whether it darkens what lies below it (accessories do not: an edit that adds one changes
    nothing else).
    """

    points: FloatArray
    faces: IntArray
    normals: FloatArray
    albedo: FloatArray
    material: Material
    label: str
    texture: FloatArray | None = None
    tangents: FloatArray | None = None
    neck: FloatArray | None = None
    root_face: IntArray | None = None
    root_bary: FloatArray | None = None
    opacity: float = 1.0
    gloss: float = 1.0
    casts: bool = False
    labels: IntArray = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.points)
        self.labels = np.full(len(self.faces), LABEL_INDEX[self.label])
        self.texture = self.points if self.texture is None else self.texture
        self.tangents = np.zeros((count, 3)) if self.tangents is None else self.tangents
        self.albedo = np.broadcast_to(self.albedo, (count, 3))
        if self.root_face is None and self.neck is None:
            self.neck = np.ones(count)


def smoothstep(low: float, high: float, value: FloatArray) -> FloatArray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def unit(vectors: FloatArray) -> FloatArray:
    """(..., 3) vectors of length one; zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def vertex_normals(points: FloatArray, faces: IntArray) -> FloatArray:
    """(V, 3) area-weighted."""
    corners = points[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [sum(np.bincount(faces[:, k], normal[:, axis], len(points)) for k in range(3)) for axis in range(3)], 1
    )
    return unit(total)


def grid_faces(rows: int, columns: int, *, closed: bool = False, offset: int = 0) -> IntArray:
    """Two triangles per cell of a (rows, columns) grid of vertices; ``closed`` joins the last column to the first."""
    ids = np.arange(rows * columns).reshape(rows, columns) + offset
    if closed:
        ids = np.concatenate([ids, ids[:, :1]], 1)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, 1:].ravel(), ids[1:, :-1].ravel()
    return np.concatenate([np.stack([a, d, c], 1), np.stack([a, c, b], 1)])


def tube(
    curve: FloatArray, radius: float | FloatArray, *, sides: int = 8, closed: bool = False
) -> tuple[FloatArray, IntArray]:
    """A round tube along ``curve`` (N, 3): vertices and faces."""
    ahead: FloatArray = np.roll(curve, -1, 0) - np.roll(curve, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = curve[1] - curve[0], curve[-1] - curve[-2]
    ahead = unit(ahead)
    side = np.cross(ahead, np.array([0.0, 1.0, 0.0]))
    weak = np.linalg.norm(side, axis=1) < 0.2
    side[weak] = np.cross(ahead[weak], np.array([0.0, 0.0, 1.0]))
    for k in range(1, len(side)):  # carry the frame along, so that the tube does not twist
        previous = side[k - 1] - ahead[k] * (side[k - 1] @ ahead[k])
        side[k] = previous if np.linalg.norm(previous) > 1e-6 else side[k]
    side = unit(side)
    up = np.cross(side, ahead)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    around = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    size = np.broadcast_to(np.asarray(radius, float), (len(curve),))[:, None, None]
    points = (curve[:, None] + size * around).reshape(-1, 3)
    faces = grid_faces(len(curve), sides, closed=True)
    if closed:
        last, first = np.arange(sides) + (len(curve) - 1) * sides, np.arange(sides)
        a, b, c, d = last, np.roll(last, -1), np.roll(first, -1), first
        faces = np.concatenate([faces, np.stack([a, d, c], 1), np.stack([a, c, b], 1)])
    return points, faces


def ball(centre: FloatArray, radius: float, *, rings: int = 7, sides: int = 10) -> tuple[FloatArray, IntArray]:
    """A sphere: vertices and faces."""
    polar = np.linspace(0, np.pi, rings)[:, None]
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None]
    points = np.stack([np.sin(polar) * np.cos(angle), np.cos(polar) + 0 * angle, np.sin(polar) * np.sin(angle)], -1)
    return np.asarray(centre) + radius * points.reshape(-1, 3), grid_faces(rings, sides, closed=True)[:, [0, 2, 1]]


def merge(pieces: list[tuple[FloatArray, IntArray]]) -> tuple[FloatArray, IntArray]:
    """Several (vertices, faces) as one."""
    starts = np.cumsum([0] + [len(points) for points, _ in pieces[:-1]])
    return np.concatenate([p for p, _ in pieces]), np.concatenate(
        [f + s for (_, f), s in zip(pieces, starts, strict=True)]
    )


def ribbons(
    lines: FloatArray, widths: FloatArray, outward: FloatArray, chance: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray, FloatArray, FloatArray]:
    """Flat ribbons along ``lines`` (S, K, 3), ``widths`` (S, K) wide, facing ``outward`` (S, K, 3).

    Returns points (S·K·2, 3), faces, normals (rounded across, so that a ribbon catches light like a wisp), tangents and
    texture (along, across, ``chance`` (S,)).
    """
    strands, knots = lines.shape[:2]
    along = np.gradient(lines, axis=1)
    along = unit(along)
    side = unit(np.cross(along, outward))
    points = np.stack([lines - side * widths[..., None] / 2, lines + side * widths[..., None] / 2], 2)
    normals = unit(np.stack([outward - 0.45 * side, outward + 0.45 * side], 2))
    tangents = np.repeat(along[:, :, None], 2, 2)
    texture = np.zeros((strands, knots, 2, 3))
    texture[..., 0] = np.linspace(0, 1, knots)[None, :, None]
    texture[..., 1] = np.array([0.0, 1.0])
    texture[..., 2] = chance[:, None, None]
    one = grid_faces(knots, 2)
    faces = (one[None] + (np.arange(strands) * knots * 2)[:, None, None]).reshape(-1, 3)
    flat = [a.reshape(-1, 3) for a in (points, normals, tangents, texture)]
    return flat[0], faces, flat[1], flat[2], flat[3]


class Skin:
    """A surface at rest that parts are grown on: nearest points, signed distance, sampling."""

    def __init__(self, points: FloatArray, faces: IntArray) -> None:
        self.points, self.faces = points, faces
        self.used = np.unique(faces)
        self.normals = vertex_normals(points, faces)
        self.tree = cKDTree(points[self.used])

    def distance(self, where: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Signed distance (metres, positive outside) and outward direction at (N, 3) points, from the 4 nearest vertices."""
        away, index = self.tree.query(where, k=4)
        weight = 1.0 / (away + 1e-4) ** 2
        weight /= weight.sum(1, keepdims=True)
        near = self.used[index]
        normal = unit((weight[..., None] * self.normals[near]).sum(1))
        foot = (weight[..., None] * self.points[near]).sum(1)
        return ((where - foot) * normal).sum(1), normal

    def sample(
        self, count: int, density: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, IntArray, FloatArray]:
        """``count`` random points where the vertex ``density`` (V,) is high: points, normals, faces and barycentrics."""
        corners = self.points[self.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        weight = area * density[self.faces].mean(1)
        steps = np.cumsum(weight / weight.sum())
        # stratified along the faces' order: even coverage with few strands
        pick = np.minimum(np.searchsorted(steps, (np.arange(count) + rng.random(count)) / count), len(steps) - 1)
        a, b = rng.random(count), rng.random(count)
        flip = a + b > 1
        a[flip], b[flip] = 1 - a[flip], 1 - b[flip]
        bary = np.stack([1 - a - b, a, b], 1)
        points = (bary[..., None] * corners[pick]).sum(1)
        normals = unit((bary[..., None] * self.normals[self.faces[pick]]).sum(1))
        return points, normals, pick, bary
