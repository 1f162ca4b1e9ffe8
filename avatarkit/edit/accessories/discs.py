"""Surfaces as thin discs: what every accessory is made of before it has a colour.

A disc is a Gaussian that is flat along the surface's normal.  Discs lie at the centres of the cells of a surface, as wide as
``COVER`` of a cell, so that neighbours close the surface and its edge lies where the last cells end.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from avatarkit.edit.accessories.vectors import unit
from avatarkit.types import BoolArray, FloatArray, IntArray

COVER = 0.64  # standard deviation of a disc, in cells: at opacity 0.96 the least dense place still hides 95 %
THIN = 0.0002  # metres, across a disc


@dataclass(frozen=True)
class Discs:
    """N discs at rest, metres.

    points (N, 3); normals, tangents (N, 3) unit; scales (N, 3): standard deviations along the tangent, across it and along the
    normal; surface (N, 2): how far along and across its surface a disc lies, for patterns; shadow (N,): share of the light that
    gets there; opacity (N,): relative to the material's.
    """

    points: FloatArray
    normals: FloatArray
    tangents: FloatArray
    scales: FloatArray
    surface: FloatArray
    shadow: FloatArray
    opacity: FloatArray

    def __len__(self) -> int:
        return len(self.points)

    def areas(self) -> FloatArray:
        """(N,) m², up to a factor."""
        return self.scales[:, 0] * self.scales[:, 1]

    def select(self, kept: BoolArray | IntArray) -> Discs:
        return Discs(**{f.name: getattr(self, f.name)[kept] for f in fields(self)})

    def mirrored(self, middle: float) -> Discs:
        """The same on the other side of the plane x = ``middle``."""
        flip = np.array([-1.0, 1.0, 1.0])
        points = self.points * flip + np.array([2 * middle, 0.0, 0.0])
        return replace(self, points=points, normals=self.normals * flip, tangents=self.tangents * flip)

    def turned(self, rotation: FloatArray, origin: FloatArray) -> Discs:
        """Built in a frame: its axes are the columns of ``rotation`` (3, 3), its origin (3,)."""
        turned = {name: getattr(self, name) @ rotation.T for name in ("normals", "tangents")}
        return replace(self, points=self.points @ rotation.T + origin, **turned)


def discs(
    points: FloatArray,
    normals: FloatArray,
    tangents: FloatArray,
    scales: FloatArray,
    surface: FloatArray | None = None,
    shadow: FloatArray | float = 1.0,
    opacity: FloatArray | float = 1.0,
) -> Discs:
    """Discs with tangents made perpendicular to the normals; what is left out is one, or zero for ``surface``."""
    normals = unit(normals)
    tangents = tangents - (tangents * normals).sum(1, keepdims=True) * normals
    short = np.linalg.norm(tangents, axis=1) < 1e-9
    spare = np.where(np.abs(normals[:, 1:2]) < 0.9, np.array([[0.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 0.0]]))
    tangents = np.where(short[:, None], np.cross(normals, spare), tangents)
    count = len(points)
    return Discs(
        points, normals, unit(tangents), np.maximum(scales, 1e-5), np.zeros((count, 2)) if surface is None else surface,
        np.broadcast_to(np.asarray(shadow, dtype=float), (count,)).copy(),
        np.broadcast_to(np.asarray(opacity, dtype=float), (count,)).copy(),
    )  # fmt: skip


def together(parts: list[Discs]) -> Discs:
    return Discs(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Discs)})


def facing(own: Discs, towards: FloatArray) -> Discs:
    """``own`` with normals turned to the side of ``towards`` (3,), and tangents as they were."""
    side = np.sign(own.normals @ towards)[:, None]
    return replace(own, normals=own.normals * np.where(side == 0, 1.0, side))


def grid_discs(
    corners: FloatArray,
    *,
    closed: bool = False,
    outward: FloatArray | None = None,
    thin: float = THIN,
    shadow: FloatArray | float = 1.0,
    cover: float = COVER,
) -> Discs:
    """One disc for each cell of a grid of ``corners`` (R, C, 3); ``closed``: the last column joins the first.

    The tangent runs along the rows (the second index).  outward (3,): a point that normals point away from; else they are
    column direction × row direction.  shadow: by row of cells (R − 1,), by cell (R − 1, C′), or one.  cover: standard deviation
    across the rows, in cells; less than ``COVER`` keeps rows of different colour apart.
    """
    if closed:
        corners = np.concatenate([corners, corners[:, :1]], 1)
    a, b, c, d = corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]
    centres = (a + b + c + d) / 4
    along, across = (b + d - a - c) / 2, (c + d - a - b) / 2
    normals = unit(np.cross(across, along))
    if outward is not None:
        side = np.sign(((centres - outward) * normals).sum(-1, keepdims=True))
        normals = normals * np.where(side == 0, 1.0, side)
    tangents = unit(along)
    straight = across - (across * tangents).sum(-1, keepdims=True) * tangents
    lengths = np.linalg.norm(along, axis=-1), np.linalg.norm(straight, axis=-1)
    scales = np.stack([COVER * lengths[0], cover * lengths[1], np.full(lengths[0].shape, thin)], -1)
    u = np.cumsum(lengths[0], 1) - lengths[0] / 2
    v = np.cumsum(np.linalg.norm(across, axis=-1), 0)
    shade = np.asarray(shadow, dtype=float)
    shade = np.broadcast_to(shade[:, None] if shade.ndim == 1 else shade, lengths[0].shape)
    return discs(
        centres.reshape(-1, 3), normals.reshape(-1, 3), tangents.reshape(-1, 3), scales.reshape(-1, 3),
        np.stack([u, v], -1).reshape(-1, 2), shade.reshape(-1),
    )  # fmt: skip


def tube_discs(
    path: FloatArray,
    profile: FloatArray,
    *,
    closed: bool = False,
    up: FloatArray | None = None,
    sizes: FloatArray | float = 1.0,
    thin: float = THIN,
) -> Discs:
    """The skin of a tube along ``path`` (P, 3).

    profile (M, 2): its cross-section, a closed convex outline, metres: first axis along ``up`` (3,) or (P, 3), as far as that
    is perpendicular to the path, second across; sizes: factor of the profile at each point of the path.
    """
    directions = np.gradient(path, axis=0) if not closed else np.roll(path, -1, 0) - np.roll(path, 1, 0)
    directions = unit(directions)
    first = np.array([0.0, 1.0, 0.0]) if up is None else up
    first = np.broadcast_to(first, path.shape)
    first = unit(first - (first * directions).sum(1, keepdims=True) * directions)
    second = np.cross(directions, first)
    scaled = np.asarray(sizes, dtype=float) * np.ones(len(path))
    ring = profile[None, :, :1] * first[:, None] + profile[None, :, 1:] * second[:, None]
    corners = path[:, None] + scaled[:, None, None] * ring
    # Rows run around the profile and columns along the path, so that the tangent of a disc lies along the tube.
    grid = np.swapaxes(corners, 0, 1)
    grid = np.concatenate([grid, grid[:1]])
    if closed:
        grid = np.concatenate([grid, grid[:, :1]], 1)
    made = grid_discs(grid, thin=thin)
    # Normals away from the path.
    line = np.concatenate([path, path[:1]]) if closed else path
    centres = np.tile((line[:-1] + line[1:]) / 2, (len(profile), 1))
    side = np.sign(((made.points - centres) * made.normals).sum(1, keepdims=True))
    return replace(made, normals=made.normals * np.where(side == 0, 1.0, side))


def round_profile(radius: float, sides: int) -> FloatArray:
    """(sides, 2) a circle; its polygon's area is the circle's."""
    turn = (np.arange(sides) + 0.5) * 2 * np.pi / sides
    grown = radius * np.sqrt(2 * np.pi / (sides * np.sin(2 * np.pi / sides)))
    return grown * np.stack([np.cos(turn), np.sin(turn)], 1)


def boxy_profile(tall: float, wide: float, sides: int = 8, power: float = 0.55) -> FloatArray:
    """(sides, 2) a rounded box, ``tall`` along the first axis."""
    turn = (np.arange(sides) + 0.5) * 2 * np.pi / sides
    c, s = np.cos(turn), np.sin(turn)
    box = np.stack([np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power], 1)
    return box / np.abs(box).max(0) * np.array([tall, wide]) / 2


def ball_discs(centre: FloatArray, radii: FloatArray | float, count: int, axes: FloatArray | None = None) -> Discs:
    """An ellipsoid of ``count`` discs around ``centre`` (3,); radii (3,) metres along the columns of ``axes`` (3, 3)."""
    index = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    sphere = np.stack([np.sin(polar) * np.cos(turn), np.cos(polar), np.sin(polar) * np.sin(turn)], 1)
    radius = np.broadcast_to(np.asarray(radii, dtype=float), (3,))
    frame = np.eye(3) if axes is None else axes
    points = (sphere * radius) @ frame.T + centre
    normals = unit(sphere / radius) @ frame.T
    spacing = np.sqrt(4 * np.pi / count) * radius.mean()
    scales = np.tile([COVER * spacing, COVER * spacing, max(THIN, 0.06 * radius.min())], (count, 1))
    return discs(points, normals, np.cross(normals, frame[:, 1] + 0 * normals), scales, np.stack([turn, polar], 1))


def plate_discs(outline: FloatArray, thickness: float, bulge: float, rings: int = 4) -> Discs:
    """A plate in the xy-plane with domed faces: outline (P, 2) metres, star-shaped about the origin; thickness along z.

    bulge: how much further than its edge the middle stands out, metres.
    """
    steps = np.linspace(0.0, 1.0, rings + 1)
    edge = np.concatenate([outline, np.zeros((len(outline), 1))], 1)
    height = 0.5 * thickness + bulge * (1 - steps**2)
    faces = []
    for side in (1.0, -1.0):
        layers = steps[:, None, None] * edge[None] + side * height[:, None, None] * np.array([0.0, 0.0, 1.0])
        faces.append(facing(grid_discs(layers, closed=True), np.array([0.0, 0.0, side])))
    rise = np.array([0.0, 0.0, 0.5 * thickness])
    wall = np.stack([edge + rise, edge - rise])
    return together([*faces, grid_discs(wall, closed=True, outward=np.zeros(3))])
