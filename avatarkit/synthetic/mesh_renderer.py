"""A software mesh renderer: z-buffer, supersampling, labels, depth.  It shares no code with the Gaussian rasterizer.

Pictures of the synthetic subject are the truth that reconstructions and edits are judged by, so nothing here comes from
what is judged.  Triangles are drawn into a supersampled z-buffer (Pineda's edge functions); each triangle that shows
in a pixel is shaded there once (``avatarkit.synthetic.shading``), with perspective-correct barycentrics, and blended in sRGB
by the samples it covers, so that silhouettes have soft edges.  All kernels are serial and release the GIL: frames are made in parallel by threads.

Conventions: OpenCV cameras, world-to-camera, pixel centres at +0.5, metres (docs/conventions.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from avatarkit.errors import InputError
from avatarkit.labels import NUM_LABELS
from avatarkit.synthetic.materials import ATTRIBUTES, Lighting, Material
from avatarkit.synthetic.shading import resolve
from avatarkit.types import ByteArray, Float32Array, FloatArray, IntArray

EDGE = np.float32(-1e-6)  # barycentric; below 0, so that no sample on a shared edge falls between two triangles
NEAR = 0.01  # metres; a triangle with a corner nearer than this is not drawn

_FLAGS = {"nopython": True, "nogil": True, "cache": True, "fastmath": {"contract", "nsz", "arcp"}}


@dataclass(frozen=True)
class Camera:
    """One pinhole camera.  viewmat (4, 4) world to camera; K (3, 3) pixels; float64.  No skew."""

    viewmat: FloatArray
    K: FloatArray
    width: int
    height: int

    @property
    def centre(self) -> FloatArray:
        """(3,) in the world."""
        return -self.viewmat[:3, :3].T @ self.viewmat[:3, 3]


@dataclass(frozen=True)
class Surface:
    """Triangles ready to draw.

    vertices (V, 3) float32 world; faces (F, 3) int32; attributes (V, ATTRIBUTES) float32 (``materials``' order);
    material (F,) int32 into ``materials``; label (F,) uint8, ``avatarkit.labels``; opacity (F,) float32, below 1 for
    glass: the nearest such layer is blended over what lies behind it, and gives the label where it is 0.5 or more.
    """

    vertices: Float32Array
    faces: IntArray
    attributes: Float32Array
    material: IntArray
    label: ByteArray
    opacity: Float32Array
    materials: tuple[Material, ...]

    def __post_init__(self) -> None:
        faces, points = len(self.faces), len(self.vertices)
        if self.attributes.shape != (points, ATTRIBUTES):
            raise InputError(f"attributes have shape {self.attributes.shape}; expected ({points}, {ATTRIBUTES})")
        for name in ("material", "label", "opacity"):
            if getattr(self, name).shape != (faces,):
                raise InputError(f"'{name}' has shape {getattr(self, name).shape}; expected ({faces},)")
        if faces and (int(self.faces.min()) < 0 or int(self.faces.max()) >= points):
            raise InputError(f"faces name vertices outside 0..{points - 1}")
        if faces and int(self.label.max()) >= NUM_LABELS:
            raise InputError(f"a label of {int(self.label.max())}; expected 0..{NUM_LABELS - 1}")


@dataclass(frozen=True)
class View:
    """What a camera sees.

    rgb (H, W, 3) uint8, composited over the background; mask (H, W) uint8, 255 × the covered fraction; labels (H, W)
    uint8: the commonest label where at least half of the pixel is covered, else 0; depth (H, W) float32: the mean camera z
    (metres) of the samples that carry the pixel's label, 0 where the label is 0.
    """

    rgb: ByteArray
    mask: ByteArray
    labels: ByteArray
    depth: Float32Array


@numba.jit(**_FLAGS)
def _span(slope: float, start: float, first: float, last: float) -> tuple[Any, Any]:
    """The part of the columns [first, last] where slope·(x + ½) + start ≥ 0, with a little to spare: the test proper follows."""
    spare = np.float32(0.51)
    if slope > np.float32(1e-12):
        return max(first, -start / slope - np.float32(0.5) - spare), last
    if slope < np.float32(-1e-12):
        return first, min(last, -start / slope - np.float32(0.5) + spare)
    return first, last


@numba.jit(**_FLAGS)
def _draw(
    screen: Float32Array,
    nearness: Float32Array,
    faces: IntArray,
    chosen: ByteArray,
    limit: Float32Array,
    buffer: Float32Array,
    ids: IntArray,
) -> None:
    """Draw the chosen triangles.  ``nearness`` is linear on the screen and larger when nearer (1/z, or −z without
    perspective); a sample must be nearer than both ``buffer`` and ``limit`` to be drawn."""
    height, width = buffer.shape
    for f in range(faces.shape[0]):
        if chosen[f] == 0:
            continue
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        x0, y0, x1, y1, x2, y2 = screen[i, 0], screen[i, 1], screen[j, 0], screen[j, 1], screen[k, 0], screen[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if not abs(area) > np.float32(1e-9):  # also leaves out NaN
            continue
        low_x = max(0, int(np.ceil(min(x0, min(x1, x2)) - np.float32(0.5))))
        high_x = min(width - 1, int(np.floor(max(x0, max(x1, x2)) - np.float32(0.5))))
        low_y = max(0, int(np.ceil(min(y0, min(y1, y2)) - np.float32(0.5))))
        high_y = min(height - 1, int(np.floor(max(y0, max(y1, y2)) - np.float32(0.5))))
        if low_x > high_x or low_y > high_y:
            continue
        inverse = np.float32(1.0) / area
        a0, b0 = (y1 - y2) * inverse, (x2 - x1) * inverse
        a1, b1 = (y2 - y0) * inverse, (x0 - x2) * inverse
        n0, n1, n2 = nearness[i], nearness[j], nearness[k]
        for y in range(low_y, high_y + 1):
            py = np.float32(y) + np.float32(0.5)
            c0, c1 = b0 * (py - y2) - a0 * x2, b1 * (py - y2) - a1 * x2  # w = a·px + c along the row
            first, last = _span(a0, c0, np.float32(low_x), np.float32(high_x))
            first, last = _span(a1, c1, first, last)
            first, last = _span(-a0 - a1, np.float32(1.0) - c0 - c1, first, last)
            for x in range(int(np.ceil(first)), int(np.floor(last)) + 1):
                px = np.float32(x) + np.float32(0.5)
                w0 = a0 * (px - x2) + b0 * (py - y2)
                w1 = a1 * (px - x2) + b1 * (py - y2)
                w2 = np.float32(1.0) - w0 - w1
                if min(w0, min(w1, w2)) < EDGE:
                    continue
                near = w0 * n0 + w1 * n1 + w2 * n2
                if near > buffer[y, x] and near > limit[y, x]:
                    buffer[y, x] = near
                    ids[y, x] = f


def render_surface(
    surface: Surface,
    camera: Camera,
    lighting: Lighting,
    *,
    samples: int = 3,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> View:
    """Draw ``surface`` with ``samples`` × ``samples`` samples a pixel over ``background`` (sRGB, 0 to 1)."""
    points = surface.vertices.astype(np.float64) @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
    z = points[:, 2]
    safe = np.where(z > NEAR, z, 1.0)
    screen = np.stack([camera.K[0, 0] * points[:, 0] / safe + camera.K[0, 2],
                       camera.K[1, 1] * points[:, 1] / safe + camera.K[1, 2]], 1)  # fmt: skip
    screen = (screen * samples).astype(np.float32)
    nearness = (1.0 / safe).astype(np.float32)
    visible = (z > NEAR)[surface.faces].all(1)
    solid = surface.opacity >= 1.0
    shape = (camera.height * samples, camera.width * samples)
    nothing = np.zeros(shape, np.float32)
    buffer, ids = np.zeros(shape, np.float32), np.full(shape, -1, np.int32)
    _draw(screen, nearness, surface.faces, (visible & solid).astype(np.uint8), nothing, buffer, ids)
    glass_ids = np.full(shape, -1, np.int32)
    if not solid.all():
        _draw(screen, nearness, surface.faces, (visible & ~solid).astype(np.uint8), buffer, nothing, glass_ids)
    rgb = np.zeros((camera.height, camera.width, 3), np.float32)
    mask, depth = np.zeros(rgb.shape[:2], np.float32), np.zeros(rgb.shape[:2], np.float32)
    labels = np.zeros(rgb.shape[:2], np.uint8)
    resolve(
        samples, ids, glass_ids, screen, nearness, surface.vertices, surface.faces, surface.attributes, surface.material,
        surface.label, surface.opacity, np.stack([m.row() for m in surface.materials]), lighting.row(),
        camera.centre.astype(np.float32), np.asarray(background, np.float32), rgb, mask, labels, depth,
    )  # fmt: skip
    return View(to_bytes(rgb), to_bytes(mask), labels, depth)


def to_bytes(values: FloatArray) -> ByteArray:
    """[0, 1] → uint8, rounded."""
    return (np.clip(values, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class ShadowMap:
    """How far a distant light reaches: ``buffer`` (size, size) seen along ``basis`` (3, 3: right, up, to the light)."""

    basis: FloatArray
    low: FloatArray
    scale: float
    far: float
    buffer: Float32Array

    def visibility(self, points: FloatArray, bias: float = 0.003) -> FloatArray:
        """(P,) 0 to 1: how much of the light reaches ``points`` (P, 3); the four nearest texels are blended.  bias in metres."""
        seen = np.zeros(len(points), np.float32)
        _look_up(
            np.ascontiguousarray(points, np.float64),
            self.basis,
            self.low,
            self.scale,
            self.far - bias,
            self.buffer,
            seen,
        )
        return seen


def shadow_map(vertices: FloatArray, faces: IntArray, direction: FloatArray, *, size: int = 256) -> ShadowMap:
    """The shadow that triangles cast away from a distant light in ``direction`` (3,)."""
    direction = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    helper = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    basis = np.stack([right, np.cross(direction, right), direction])
    seen = np.asarray(vertices, np.float64) @ basis.T
    low, high = seen[:, :2].min(0), seen[:, :2].max(0)
    scale = (size - 4) / float((high - low).max())
    far = float(seen[:, 2].min()) - 1.0
    screen = ((seen[:, :2] - low) * scale + 2.0).astype(np.float32)
    buffer, ids = np.zeros((size, size), np.float32), np.full((size, size), -1, np.int32)
    near = (seen[:, 2] - far).astype(np.float32)
    _draw(screen, near, faces, np.ones(len(faces), np.uint8), np.zeros_like(buffer), buffer, ids)
    return ShadowMap(basis, low, scale, far, buffer)


@numba.jit(**_FLAGS)
def _look_up(
    points: FloatArray,
    basis: FloatArray,
    low: FloatArray,
    scale: float,
    far: float,
    buffer: Float32Array,
    seen: Float32Array,
) -> None:
    size = buffer.shape[0]
    for p in range(points.shape[0]):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        u = (basis[0, 0] * x + basis[0, 1] * y + basis[0, 2] * z - low[0]) * scale + 1.5
        v = (basis[1, 0] * x + basis[1, 1] * y + basis[1, 2] * z - low[1]) * scale + 1.5
        depth = basis[2, 0] * x + basis[2, 1] * y + basis[2, 2] * z - far
        i = min(max(int(np.floor(u)), 0), size - 2)
        j = min(max(int(np.floor(v)), 0), size - 2)
        du, dv = min(max(u - i, 0.0), 1.0), min(max(v - j, 0.0), 1.0)
        total = 0.0
        if depth >= buffer[j, i]:
            total += (1.0 - du) * (1.0 - dv)
        if depth >= buffer[j, i + 1]:
            total += du * (1.0 - dv)
        if depth >= buffer[j + 1, i]:
            total += (1.0 - du) * dv
        if depth >= buffer[j + 1, i + 1]:
            total += du * dv
        seen[p] = total
