"""What things are made of: how a material shines, which colour it brings, what pattern it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.edit.accessories.discs import Discs
from avatarkit.edit.accessories.light import Finish
from avatarkit.errors import unknown_name
from avatarkit.types import FloatArray

WAVES = 12  # cosines that a smooth noise is made of


@dataclass(frozen=True)
class Material:
    """A word of ``vocabulary.MATERIALS``.

    colour: "#rrggbb" that it has by itself, "" where it comes in any; finish: what it does with light; pattern: see
    ``patterned``; depth: of the pattern, a share of brightness; opacity: of a surface; knitted, coiled: ribs, rings of plaited
    straw; pile: metres, length of fibres that stand off.
    """

    name: str
    colour: str = ""
    finish: Finish = Finish()
    pattern: str = "mottled"
    depth: float = 0.05
    opacity: float = 0.96
    knitted: bool = False
    coiled: bool = False
    pile: float = 0.0


METALS = ("gold", "silver", "copper", "bronze", "steel", "metal")
STONES = ("diamond", "gemstone")
JEWELS = ("pearl", *STONES)
_TABLE = (
    Material("gold", "#e0b030", Finish(0.9, 0.10, 16.0), "plain"),
    Material("silver", "#c9ccd0", Finish(0.9, 0.12, 18.0), "plain"),
    Material("copper", "#c0693c", Finish(0.85, 0.10, 15.0), "plain"),
    Material("bronze", "#8c5a2b", Finish(0.8, 0.08, 11.0), "mottled", 0.05),
    Material("steel", "#8a8f96", Finish(0.85, 0.10, 14.0), "brushed", 0.06),
    Material("metal", "#9a9da2", Finish(0.85, 0.10, 14.0), "plain"),
    Material("pearl", "#f0ead6", Finish(0.15, 0.30, 14.0), "nacre", 0.05),
    Material("diamond", "#e8f4fb", Finish(0.35, 0.55, 40.0), "faceted", 0.40, opacity=0.9),
    Material("gemstone", "#a3123f", Finish(0.30, 0.50, 34.0), "faceted", 0.45, opacity=0.93),
    Material("plastic", "", Finish(0.0, 0.22, 26.0), "plain"),
    Material("wood", "#8a5f3a", Finish(0.0, 0.08, 10.0), "grain", 0.30),
    Material("leather", "#5b3a26", Finish(0.0, 0.12, 9.0), "mottled", 0.12),
    Material("wool", "", Finish(sheen=0.20), "fuzzy", 0.05, knitted=True),
    Material("felt", "", Finish(sheen=0.15), "mottled", 0.05),
    Material("denim", "#4a6488", Finish(), "denim", 0.09),
    Material("cotton", "", Finish(), "woven", 0.06),
    Material("silk", "", Finish(0.25, 0.16, 6.0, 0.10), "plain", 0.02),
    Material("velvet", "", Finish(sheen=0.85), "mottled", 0.07),
    Material("straw", "#d9b878", Finish(0.0, 0.06, 10.0), "plaited", 0.10, coiled=True),
    Material("fur", "#7a5a3e", Finish(sheen=0.25), "fuzzy", 0.22, pile=0.016),
    Material("glass", "#d3e6ec", Finish(0.25, 0.60, 45.0), "plain", 0.0, opacity=0.42),
    Material("stone", "#8b877f", Finish(), "speckled", 0.22),
    Material("ceramic", "#efece4", Finish(0.0, 0.35, 40.0), "plain"),
    Material("rubber", "#2b2b2e", Finish(0.0, 0.10, 7.0), "plain"),
    # Of no word of the vocabulary: what parts of things are made of.
    Material("ribbon", "", Finish(0.0, 0.04, 6.0), "plain"),
    Material("lens", "", Finish(0.0, 0.10, 22.0), "plain"),
    Material("undercoat", "", Finish(0.0, 0.0, 8.0, 0.10), "mottled", 0.05),
    Material("hair", "", Finish(0.0, 0.025, 8.0, 0.10), "strands", 0.10, opacity=0.93),
)
MATERIALS = {material.name: material for material in _TABLE}


def material(name: str) -> Material:
    """The material called ``name``.  Raises InputError for others."""
    if name not in MATERIALS:
        raise unknown_name("material", name, MATERIALS)
    return MATERIALS[name]


def patterned(kind: Material, colour: FloatArray, discs: Discs, random: np.random.Generator) -> FloatArray:
    """sRGB (N, 3) in [0, 1]: ``colour`` (3,) or (N, 3) with the pattern of ``kind``; its mean stays."""
    count = len(discs)
    if not count or kind.pattern == "plain":
        return np.broadcast_to(colour, (count, 3)).astype(float)
    grains: FloatArray = random.standard_normal(count)
    waves = grains
    u, v = discs.surface.T
    if kind.pattern == "mottled":
        waves = 0.6 * noise(discs.points, 0.012, random) + 0.4 * grains
    elif kind.pattern == "brushed":
        waves = noise(discs.points * np.array([1.0, 6.0, 1.0]), 0.02, random)
    elif kind.pattern in ("fuzzy", "strands"):
        waves = 0.8 * grains + 0.4 * noise(discs.points, 0.02, random)
    elif kind.pattern == "woven":
        waves = 0.7 * grains + 0.5 * np.sign(np.sin(u / 0.0016 * np.pi) * np.sin(v / 0.0016 * np.pi))
    elif kind.pattern == "denim":
        waves = grains + 0.6 * np.sin((u + v) / 0.0035 * np.pi)
    elif kind.pattern == "grain":
        waves = np.sin(noise(discs.points * np.array([1.0, 0.25, 1.0]), 0.05, random) * 5 + v / 0.004) + 0.2 * grains
    elif kind.pattern == "plaited":
        waves = 0.5 * grains + 0.7 * np.sign(np.sin(u / 0.005 * np.pi + np.pi * np.round(v / 0.004)))
    elif kind.pattern == "speckled":
        waves = grains + 1.6 * (random.random(count) < 0.12) * np.sign(random.standard_normal(count))
    elif kind.pattern == "faceted":
        waves = _facets(discs, random)
    elif kind.pattern == "nacre":
        return _nacre(colour, discs, kind.depth)
    factors = 1 + kind.depth * np.clip(waves - waves.mean(), -2.0, 2.0)
    return np.clip(colour * factors[:, None], 0.0, 1.0)


def noise(points: FloatArray, length: float, random: np.random.Generator) -> FloatArray:
    """(N,) smooth noise of unit variance over ``points`` (N, 3): cosines with wavelengths about ``length`` metres."""
    waves = random.standard_normal((WAVES, 3))
    waves *= 2 * np.pi / length * (0.5 + random.random(WAVES))[:, None] / np.linalg.norm(waves, axis=1)[:, None]
    phases = 2 * np.pi * random.random(WAVES)
    return np.cos(points @ waves.T + phases).sum(1) * np.sqrt(2 / WAVES)


def _facets(discs: Discs, random: np.random.Generator) -> FloatArray:
    """Brightness by facet: normals that round to the same of some directions flash together."""
    directions = random.standard_normal((26, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return random.uniform(-1.3, 1.3, 26)[(discs.normals @ directions.T).argmax(1)]


def _nacre(colour: FloatArray, discs: Discs, depth: float) -> FloatArray:
    """A mother-of-pearl cast: rosy below, greenish above."""
    up = discs.normals[:, 1:2]
    cast = np.where(up > 0, np.array([-0.4, 0.3, 0.1]), np.array([0.8, -0.5, -0.1])) * np.abs(up) * depth
    return np.clip(colour * (1 + cast - cast.mean(0)), 0.0, 1.0)
