"""Glasses, hats, earrings and necklaces: rigid pieces carried by joints.  Millimetres of ``bust`` inside this module."""

from __future__ import annotations

import numpy as np

from avatarkit.synthetic.appearance import Appearance, rgb
from avatarkit.synthetic.clothing import around, on_torso
from avatarkit.synthetic.hair import hat_plane
from avatarkit.synthetic.materials import SURFACE, Material, linear
from avatarkit.synthetic.parts import Part, ball, grid_faces, merge, tube, unit, vertex_normals
from avatarkit.types import FloatArray, IntArray

PLASTIC = Material(SURFACE, (0.08, 0.08, 0.08), 0.30, 60.0, two_sided=True)
METAL = Material(SURFACE, (0.05, 0.05, 0.05), 0.85, 45.0, two_sided=True)
PEARL = Material(SURFACE, (0.30, 0.28, 0.26), 0.45, 50.0)
LENS = Material(SURFACE, (0.0, 0.0, 0.0), 0.50, 300.0, two_sided=True)
FELT = Material(
    SURFACE, (0.20, 0.20, 0.20), 0.01, 8.0, mottle=0.10, mottle_scale=260.0, bump=0.05, bump_scale=900.0, two_sided=True
)
KNIT = Material(
    SURFACE, (0.25, 0.25, 0.25), 0.01, 8.0, mottle=0.12, mottle_scale=150.0, bump=0.05, two_sided=True, weave=0.10
)


def _piece(
    mesh: tuple[FloatArray, IntArray],
    colour: str,
    material: Material,
    label: str,
    *,
    neck: float = 1.0,
    opacity: float = 1.0,
) -> Part:
    points, faces = mesh
    return Part(
        points * 1e-3, faces, vertex_normals(points, faces), linear(rgb(colour)), material, label,
        neck=np.full(len(points), neck), opacity=opacity,
    )  # fmt: skip


def _mirrored(mesh: tuple[FloatArray, IntArray]) -> tuple[FloatArray, IntArray]:
    points, faces = mesh
    return points * np.array([-1.0, 1.0, 1.0]), faces[:, [0, 2, 1]]


# --- glasses -----------------------------------------------------------------------------------------------------------


def _rim(style: str, scale: float) -> FloatArray:
    """(40, 3) the left lens' outline."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    if style == "round":
        x, y = 21.5 * c, 20.5 * s
    else:
        power, width, height = (0.55, 25.0, 17.5) if style == "square" else (0.66, 27.0, 20.5)
        x, y = width * np.sign(c) * np.abs(c) ** power, height * np.sign(s) * np.abs(s) ** power
        y = y * (1 + 0.10 * x / width) - (2.0 if style == "sunglasses" else 0.0)
    x, y = 33.0 + x * scale, 29.0 + y * scale
    return np.stack([x, y, _bow(x, y)], 1)


def _bow(x: FloatArray, y: FloatArray) -> FloatArray:
    """Depth of the frame's front: wrapped around the face and leaning with the cheeks."""
    return 78.0 - 0.0026 * x**2 + 0.03 * (y - 29.0)


def glasses_parts(look: Appearance) -> list[Part]:
    """Frame, arms and lenses; the lenses of clear glasses let through what lies behind them."""
    if look.glasses == "none":
        return []
    thick = {"round": 1.35, "square": 1.9, "sunglasses": 2.0}[look.glasses]
    rim = _rim(look.glasses, look.glasses_scale)
    outer = rim[np.argmax(rim[:, 0])]
    inner = rim[np.argmin(rim[:, 0])]
    t = np.linspace(0, 1, 22)[:, None]
    knots = np.array(
        [
            outer,
            [outer[0] + 3.5, outer[1] + 5, outer[2] - 5],
            [73, 38, 36],
            [77.5, 40, 0],
            [78, 39.5, -18],
            [77, 24, -33],
            [76, 10, -37],
        ]
    )
    at = np.linspace(0, 1, len(knots))
    arm = np.stack([np.interp(t[:, 0], at, knots[:, k]) for k in range(3)], 1)
    for _ in range(2):
        arm[1:-1] = 0.25 * arm[:-2] + 0.5 * arm[1:-1] + 0.25 * arm[2:]
    span = np.linspace(-1, 1, 9)
    height = inner[1] + 6.5 + 4.0 * (1 - span**2)
    bridge = np.stack([inner[0] * span, height, 79.0 + 0 * span], 1)
    frame = merge([tube(rim, thick, sides=7, closed=True), tube(arm, thick * 0.85, sides=6)])
    frame = merge([frame, _mirrored(frame), tube(bridge, thick, sides=7)])
    parts = [_piece(frame, look.glasses_colour, PLASTIC, "glasses")]
    dark = look.glasses == "sunglasses"
    rings = [rim * s + rim.mean(0) * (1 - s) + np.array([0, 0, 2.2 * (1 - s**2)]) for s in (1.0, 0.8, 0.55, 0.3, 0.05)]
    lens = (np.concatenate(rings), grid_faces(5, len(rim), closed=True)[:, [0, 2, 1]])
    colour, opacity = (look.lens_colour, look.lens_opacity) if dark else ("#dfe8ee", 0.05)
    parts.append(_piece(merge([lens, _mirrored(lens)]), colour, LENS, "glasses", opacity=min(opacity, 0.98)))
    return parts


# --- hats --------------------------------------------------------------------------------------------------------------


def _dome(scale: float, out: FloatArray, rows: int, lift: float = 0.0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(rows, N, 3) the skull's surface from crown to hat line, ``out`` (rows,) mm above it; with (N,) u and side."""
    ring = around()
    u, side = ring[:, 0], ring[:, 1]
    fine = np.linspace(1.2, 12.0, 200)
    height = on_torso(u[None], side[None], fine[:, None], 0.0)
    above = height[..., 1] - hat_plane(height[..., 2]) - lift
    edge = np.array([np.interp(0.0, -above[:, k], fine) for k in range(len(u))])
    share = np.linspace(0.03, 1, rows)[:, None]
    points = on_torso(
        np.tile(u, (rows, 1)), side[None], share * edge, np.broadcast_to(out[:, None] * scale, (rows, len(u)))
    )
    centre = np.array([0.0, 60.0, -25.0])
    return centre + (points - centre) * (0.5 + 0.5 * scale), u, side


def hat_parts(look: Appearance) -> list[Part]:
    """A felt hat with a brim, a cap with a visor, a beanie with a fold, or a headband."""
    if look.hat == "none":
        return []
    colour, trim, scale = look.hat_colour, look.hat_trim, look.hat_scale
    if look.hat == "headband":
        return [_piece(_band(scale, -4.0, 20.0, (19.0, 21.0)), colour, KNIT, "hat")]
    rows = 22
    t = np.linspace(0, 1, rows)
    if look.hat == "beanie":
        out = 10.0 + 11.0 * (1 - t) ** 2
        dome, u, _ = _dome(scale, out, rows)
        shell = (dome.reshape(-1, 3), grid_faces(rows, len(u), closed=True))
        return [_piece(shell, colour, KNIT, "hat"), _piece(_band(scale, -8.0, 30.0, (11.5, 14.5)), trim, KNIT, "hat")]
    if look.hat == "cap":
        dome, u, side = _dome(scale, 12.0 + 5.0 * (1 - t), rows)
        shell = (dome.reshape(-1, 3), grid_faces(rows, len(u), closed=True))
        return [
            _piece(shell, colour, FELT, "hat"),
            _piece(_visor(dome[-1], u, side), trim, FELT, "hat"),
            _piece(ball(dome[0].mean(0) + np.array([0, 0.5, 0]), 5.0), trim, FELT, "hat"),
        ]
    dome, u, side = _dome(scale, 13.0 + 9.0 * (1 - t) ** 1.2, rows)
    crown = dome.copy()
    rise = 1 - t[:, None] ** 2
    crown[..., 1] += 16.0 * rise  # a crown taller than the head, dented along the middle
    crown[..., 1] -= 15.0 * np.exp(-((crown[..., 0] / 15.0) ** 2)) * np.clip(1 - 2.2 * t[:, None], 0, 1)
    shell = (crown.reshape(-1, 3), grid_faces(rows, len(u), closed=True))
    away = unit((dome[-1] - np.array([0, 0, -26.0])) * np.array([1.0, 0.0, 1.0]))
    reach = np.array([0.0, 14.0, 30.0, 46.0, 46.0, 44.0])
    drop = np.array([0.0, -1.0, -1.0, 0.5, -1.5, -2.0])
    curl = 9.0 * np.abs(away[:, 0]) ** 3
    brim = np.stack([
        dome[-1] + r * away + np.array([0, 1.0, 0]) * (d + curl[:, None] * (r / 46.0) ** 2) for r, d in zip(reach, drop, strict=True)
    ])  # fmt: skip
    return [
        _piece(shell, colour, FELT, "hat"),
        _piece((brim.reshape(-1, 3), grid_faces(len(reach), len(u), closed=True)), colour, FELT, "hat"),
        _piece(_band(scale, 2.0, 20.0, (15.0, 15.5)), trim, FELT, "hat"),
    ]


def _band(scale: float, low: float, width: float, out: tuple[float, float]) -> tuple[FloatArray, IntArray]:
    """A band around the head from ``low`` mm above the hat line, ``width`` mm high."""
    rows = []
    for share, extra in ((0.0, -5.0), (0.0, 0.0), (0.25, 0.6), (0.5, 0.9), (0.75, 0.6), (1.0, 0.0), (1.0, -5.0)):
        ring, u, _ = _dome(
            scale, np.full(3, out[0] + (out[1] - out[0]) * np.sin(np.pi * share) + extra), 3, low + width * share
        )
        rows.append(ring[-1])
    return np.stack(rows).reshape(-1, 3), grid_faces(len(rows), len(u), closed=True)[:, [0, 2, 1]]


def _visor(edge: FloatArray, u: FloatArray, side: FloatArray) -> tuple[FloatArray, IntArray]:
    keep = np.flatnonzero(u < 5.2)
    keep = keep[np.argsort(u[keep] * side[keep])]
    foot = edge[keep]
    x = u[keep] * side[keep] / 5.2
    reach = 62.0 * np.sqrt(np.clip(1 - np.abs(x) ** 2.6, 0, 1))
    rows = []
    for share, down in ((-0.04, 0.5), (0.3, 1.0), (0.65, 0.0), (1.0, -3.0), (1.0, -5.0), (0.6, -2.5), (0.0, -2.0)):
        out = np.stack(
            [
                0.10 * reach * x * share,
                down - 0.40 * reach * max(share, 0) - 5.0 * np.abs(x) ** 2 * max(share, 0),
                reach * share,
            ],
            1,
        )
        rows.append(foot + out)
    return np.stack(rows).reshape(-1, 3), grid_faces(len(rows), len(keep))[:, [0, 2, 1]]


# --- jewellery ---------------------------------------------------------------------------------------------------------

LOBE = (75.5, -20.0, -10.5)


def earring_parts(look: Appearance) -> list[Part]:
    """On the lobes of one ear or both."""
    if look.earrings == "none":
        return []
    lobe, size = np.array(LOBE), look.earring_scale
    if look.earrings == "stud":
        mesh = ball(lobe + np.array([1.5, 1.5, 2.0]), 3.6 * size)
    elif look.earrings == "hoop":
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        radius = 12.5 * size
        ring = (
            lobe
            + np.array([1.5, -radius + 2.5, 0.5])
            + radius * np.stack([0.12 * np.sin(angle), np.cos(angle), np.sin(angle)], 1)
        )
        mesh = tube(ring, 1.35 * size**0.5, sides=7, closed=True)
    else:
        line = lobe + np.array([1.5, 1.0, 1.5]) + np.linspace(0, 1, 6)[:, None] * np.array([0.5, -13.0 * size, 0.0])
        drop = ball(line[-1] - np.array([0, 5.0 * size, 0]), 5.0 * size)
        drop[0][:, 1] = line[-1, 1] - 5.0 * size + (drop[0][:, 1] - line[-1, 1] + 5.0 * size) * 1.35
        mesh = merge([ball(line[0], 2.8 * size), tube(line, 0.7, sides=6), drop])
    sides = {"both": (mesh, _mirrored(mesh)), "left": (mesh,), "right": (_mirrored(mesh),)}[look.earring_side]
    return [_piece(merge(list(sides)), look.earring_colour, METAL, "earring")]


def necklace_parts(look: Appearance) -> list[Part]:
    """Beads on a curve that lies on the chest, above the shirt."""
    if look.necklace == "none":
        return []
    ring = around()
    u = ring[:, 0]
    low = 2.1 if look.necklace == "chain" else 1.0
    v = np.interp(u, (0.0, 2.0, 5.0, 8.0, 12.0), (24.5 + low, 24.35 + low * 0.72, 24.4 + 0.25 * low, 24.4, 24.2))
    out = 3.0 if look.shirt in ("none", "v_neck") else 8.5
    if look.necklace == "pearls":
        out += 1.5
    line = on_torso(u, ring[:, 1], v, out)
    closed = np.vstack([line, line[:1]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    radius = 1.5 if look.necklace == "chain" else 4.2
    count = int(length[-1] / (radius * 2.05))
    at = np.linspace(0, length[-1], count, endpoint=False)
    centres = np.stack([np.interp(at, length, closed[:, k]) for k in range(3)], 1)
    beads = [ball(c, radius, rings=5, sides=7) for c in centres]
    if look.necklace == "chain":
        beads.append(ball(line[0] + np.array([0, -7.5, 2.5]), 5.5, rings=9, sides=14))
    return [
        _piece(merge(beads), look.necklace_colour, PEARL if look.necklace == "pearls" else METAL, "necklace", neck=0.0)
    ]


def accessory_parts(look: Appearance) -> list[Part]:
    """Everything worn."""
    return [*glasses_parts(look), *hat_parts(look), *earring_parts(look), *necklace_parts(look)]
