"""The head made of something else: stone, metal, wood, clay.

The material's colour follows the light on the head: the picture's own shading, with differences of paint (dark hair, red lips)
mostly taken out, and a lamp above that lights the neutral head.  Veins, grain and rings are textures in space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatarkit.edit.paint.brief import Brief
from avatarkit.edit.paint.canvas import Canvas, smoothed
from avatarkit.edit.paint.noise import noise, octaves, resolved
from avatarkit.edit.paint.oklab import lab_of, mix, ramp, smoothstep
from avatarkit.types import Float32Array

LAMP = np.array([0.18, 0.62, 0.70], np.float32)
LAYERS = np.array([[0.45, -0.62, 0.20], [0.28, 0.35, 0.12], [0.30, 0.10, 0.75]], np.float32)
"""Space pressed together along the layers in which veins of marble run."""
MIDDLE = 0.62  # lightness that counts as even light
Texture = Callable[[Canvas, Float32Array, int], tuple[Float32Array, Float32Array]]
"""canvas, relief (N,) and seed → how much darker or lighter (N,), and the share of the second colour (N,)."""


@dataclass(frozen=True)
class Material:
    """ramp: colours by light in [0, 1]; second: the colour of veins, patina or grain; paint: share of the picture's own
    differences between large parts that stays; detail: of its small ones; lamp: how much the lamp does; gloss: strength of
    mirrored light; texture."""

    ramp: tuple[tuple[float, str], ...]
    second: str
    paint: float
    detail: float
    lamp: float
    gloss: float
    texture: Texture


def made_of(canvas: Canvas, material: Material, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab.  The brief's colour: "" leaves the material its own; otherwise its middle takes that hue."""
    relief, shine = _light(canvas, material)
    change, second = material.texture(canvas, relief, brief.seed)
    light = np.clip(relief + change * canvas.trust, 0.0, 1.0)
    made = ramp(material.ramp, light)
    if brief.colour:
        wanted = lab_of(brief.colour)
        own = ramp(material.ramp, np.array([0.55], np.float32))[0]
        made[:, 0] = np.clip(made[:, 0] + (wanted[0] - own[0]), 0.02, 0.98)
        made[:, 1:] = wanted[1:] * (np.clip(made[:, :1] / max(float(wanted[0]), 0.05), 0.0, 1.15))
    veins = ramp(((0.0, "#000000"), (0.55, material.second), (1.0, "#ffffff")), 0.5 * light + 0.275)
    made = mix(made, veins, np.clip(second * canvas.trust, 0.0, 1.0))
    made = mix(made, np.array([[0.985, 0.0, 0.012]], np.float32), np.clip(material.gloss * shine, 0.0, 0.9))
    return canvas.spread(made)


def _light(canvas: Canvas, material: Material) -> tuple[Float32Array, Float32Array]:
    """(N,) light in about [0, 1], and (N,) mirrored light in [0, 1], both of the neutral head and the picture together."""
    even = smoothed(canvas, 0.008, 0.16)[..., 0]
    large = even[canvas.inside]
    small = canvas.lab[..., 0][canvas.inside] - large
    normals = canvas.surface.normals[canvas.inside]
    lamp = LAMP / np.linalg.norm(LAMP)
    lit = 0.60 + 0.40 * (normals @ lamp)  # wrapped around, as in a bright room
    relief = 0.5 + material.paint * (large - MIDDLE) + material.detail * small
    if canvas.surface.anchored:
        relief = relief + material.lamp * (lit**1.3 - 0.65)
    half = lamp + np.array([0.0, 0.0, 1.0], np.float32)
    mirrored = np.maximum(normals @ (half / np.linalg.norm(half)), 0.0) ** 28 if canvas.surface.anchored else 0.0
    glints = smoothstep(0.03, 0.12, small) * smoothstep(0.35, 0.7, large)
    return relief.astype(np.float32), np.clip(0.75 * mirrored + 0.6 * glints, 0.0, 1.0).astype(np.float32)


def _marble(canvas: Canvas, relief: Float32Array, seed: int) -> tuple[Float32Array, Float32Array]:
    points = canvas.points
    bent = points + 0.012 * np.stack([noise(points, 0.045, seed + k) for k in range(3)], 1)
    layered = bent @ LAYERS.T  # veins run along layers of the rock
    broad = 1.0 - np.abs(octaves(layered, 0.055, seed + 5, 2, canvas.pitch))
    fine = 1.0 - np.abs(noise(layered, 0.030, seed + 9) + 0.25 * noise(points, 0.008, seed + 10))
    strength = smoothstep(-0.55, 0.45, noise(points, 0.05, seed + 11))
    veins = (
        0.30 * smoothstep(0.80, 1.0, broad) ** 2
        + 0.40 * smoothstep(0.965, 1.0, broad)
        + 0.32 * smoothstep(0.965, 1.0, fine)
    )
    clouds = 0.045 * noise(points, 0.04, seed + 13)
    return clouds.astype(np.float32), (strength * veins).astype(np.float32)


def _bronze(canvas: Canvas, relief: Float32Array, seed: int) -> tuple[Float32Array, Float32Array]:
    patina = 0.8 * octaves(canvas.points, 0.026, seed, 4, canvas.pitch) + 1.6 * (0.36 - relief)
    cast = 0.03 * octaves(canvas.points, 0.006, seed + 7, 2, canvas.pitch)
    return cast, 0.62 * smoothstep(0.12, 0.75, patina)


def _gold(canvas: Canvas, relief: Float32Array, seed: int) -> tuple[Float32Array, Float32Array]:
    hammered = 0.035 * noise(canvas.points, 0.007, seed)
    normals = canvas.surface.normals[canvas.inside]
    room = 0.10 * np.sin(7.0 * normals[:, 1] + 2.5 * normals[:, 0]) if canvas.surface.anchored else 0.0
    return (hammered + room).astype(np.float32), np.zeros(len(relief), np.float32)


def _stone(canvas: Canvas, relief: Float32Array, seed: int) -> tuple[Float32Array, Float32Array]:
    coarse = octaves(canvas.points, 0.02, seed, 3, canvas.pitch)
    grains = noise(canvas.points, 0.0021, seed + 5) * resolved(0.0021, canvas.pitch)
    pits = smoothstep(0.55, 0.8, noise(canvas.points, 0.0045, seed + 6))
    return 0.07 * coarse + 0.06 * grains - 0.10 * pits, 0.25 * smoothstep(0.1, 0.7, coarse)


def _wood(canvas: Canvas, relief: Float32Array, seed: int) -> tuple[Float32Array, Float32Array]:
    points = canvas.points
    bent = points + 0.010 * np.stack([octaves(points, 0.09, seed + k, 2) for k in range(3)], 1)
    axis = np.array([0.14, 0.98, 0.12], np.float32) / np.float32(np.linalg.norm([0.14, 0.98, 0.12]))
    away = bent - np.array([0.035, 0.0, -0.16], np.float32)
    out = np.linalg.norm(away - (away @ axis)[:, None] * axis, axis=1)
    at = out / 0.0085
    at = at + 0.35 * np.sin(1.7 * at)  # years are not alike
    ring = at - np.floor(at)
    late = smoothstep(0.35, 0.95, ring) * smoothstep(1.0, 0.97, ring)
    fibres = points * np.array([1.0, 0.07, 1.0], np.float32)
    grain = octaves(fibres, 0.0030, seed + 9, 2, canvas.pitch)
    return (0.07 * grain - 0.05 * late).astype(np.float32), (0.30 + 0.22 * noise(points, 0.05, seed + 12)) * late


def _clay(canvas: Canvas, relief: Float32Array, seed: int) -> tuple[Float32Array, Float32Array]:
    pressed = 0.035 * octaves(canvas.points, 0.014, seed, 2, canvas.pitch)
    along = canvas.points @ np.array([0.3, 0.8, 0.5], np.float32)
    prints = 0.012 * np.sin(900.0 * np.pi * along + 170.0 * pressed) * resolved(0.0022, canvas.pitch)
    return (pressed + prints).astype(np.float32), np.zeros(len(relief), np.float32)


def _brushed(canvas: Canvas, relief: Float32Array, seed: int) -> tuple[Float32Array, Float32Array]:
    normals = canvas.surface.normals[canvas.inside]
    room = 0.14 * np.sin(6.0 * normals[:, 1] + 3.0 * normals[:, 0]) if canvas.surface.anchored else 0.0
    return (room + 0.02 * noise(canvas.points, 0.004, seed)).astype(np.float32), np.zeros(len(relief), np.float32)


MATERIALS: dict[str, Material] = {
    "marble": Material(((0.0, "#5c5856"), (0.32, "#b3aea9"), (0.58, "#e2dfd9"), (1.0, "#fbfaf6")), "#5f6068", 0.22, 1.25, 0.72, 0.25, _marble),
    "bronze": Material(((0.0, "#120a05"), (0.3, "#3d2411"), (0.55, "#7d5024"), (0.78, "#c08a45"), (1.0, "#f5dba0")), "#4f8573", 0.22, 1.5, 0.95, 0.45, _bronze),
    "gold": Material(((0.0, "#2e1503"), (0.3, "#7a4406"), (0.52, "#c8880f"), (0.74, "#f2c23a"), (1.0, "#fff6c9")), "#7a4406", 0.22, 1.6, 1.0, 0.7, _gold),
    "stone": Material(((0.0, "#2c2b29"), (0.4, "#6f6c67"), (0.6, "#94918a"), (1.0, "#d3cfc6")), "#7f7a5e", 0.20, 1.1, 0.65, 0.0, _stone),
    "wood": Material(((0.0, "#2a1408"), (0.4, "#7c4a22"), (0.6, "#a86c36"), (1.0, "#e2b67c")), "#5a2f12", 0.20, 1.1, 0.60, 0.08, _wood),
    "clay": Material(((0.0, "#3d1c10"), (0.4, "#93492c"), (0.6, "#b9643f"), (1.0, "#e6a580")), "#93492c", 0.20, 1.1, 0.72, 0.04, _clay),
    "silver": Material(((0.0, "#14161a"), (0.35, "#5d6269"), (0.58, "#a2a7ad"), (0.8, "#dfe3e6"), (1.0, "#ffffff")), "#5d6269", 0.22, 1.6, 1.0, 0.65, _brushed),
    "copper": Material(((0.0, "#200a04"), (0.3, "#67280f"), (0.55, "#b35a2d"), (0.78, "#e39a68"), (1.0, "#ffe3c4")), "#4e9a86", 0.22, 1.5, 0.95, 0.5, _bronze),
}  # fmt: skip
"""By name; ``bronze`` … of ``vocabulary.STYLES`` and ``MATERIALS``."""
ALIKE = {"steel": "silver", "metal": "silver", "ceramic": "marble", "brass": "gold"}
"""Materials that are painted like another; a colour makes the difference."""
