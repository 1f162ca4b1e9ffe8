"""What the subject is made of and lit by: materials, lights, and the attributes of a vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.types import Float32Array

# Columns of a vertex's attributes.  TEXTURE is the rest position (metres) on surfaces, the direction from the eyeball's
# centre on eyes, and (along, across, random) on strands.
NORMAL, TANGENT, ALBEDO, TEXTURE, OCCLUSION, SUN, GLOSS, DETAIL = 0, 3, 6, 9, 12, 13, 14, 15
ATTRIBUTES = 16

SURFACE, SKIN, EYE, STRAND = 0, 1, 2, 3  # kinds of material

_MATERIAL_FLOATS = 24
_LIGHT_FLOATS = 26


@dataclass(frozen=True)
class Material:
    """How a surface answers light.

    wrap: how far light reaches past the terminator, per channel, 0 to 1; gloss: strength of the highlight; shininess:
    its exponent; mottle: relative amplitude of colour noise; mottle_scale: its cells per metre; bump: slope of the bumps;
    bump_scale: cells per metre; two_sided: the normal turns to the viewer; iris, pupil, sclera, limbus: linear colours
    and sizes (radians) of an eye.
    """

    kind: int = SURFACE
    wrap: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gloss: float = 0.04
    shininess: float = 30.0
    mottle: float = 0.0
    mottle_scale: float = 200.0
    bump: float = 0.0
    bump_scale: float = 900.0
    two_sided: bool = False
    iris: tuple[float, float, float] = (0.1, 0.2, 0.3)
    iris_size: float = 0.5
    pupil_size: float = 0.2
    sclera: tuple[float, float, float] = (0.75, 0.72, 0.7)
    weave: float = 0.0

    def row(self) -> Float32Array:
        """The floats that the kernels read."""
        row = np.zeros(_MATERIAL_FLOATS, np.float32)
        row[0] = self.kind
        row[1:4] = self.wrap
        row[4:6] = self.gloss, self.shininess
        row[6:10] = self.mottle, self.mottle_scale, self.bump, self.bump_scale
        row[10] = self.two_sided
        row[11:14] = self.iris
        row[14:16] = self.iris_size, self.pupil_size
        row[16:19] = self.sclera
        row[19] = self.weave
        return row


@dataclass(frozen=True)
class Lighting:
    """Directions point from the subject to the light (world); colours are linear, 1 = a white surface comes out white."""

    key: tuple[float, float, float] = (0.45, 0.55, 0.75)
    key_colour: tuple[float, float, float] = (0.66, 0.62, 0.57)
    fill: tuple[float, float, float] = (-0.75, 0.10, 0.65)
    fill_colour: tuple[float, float, float] = (0.20, 0.22, 0.26)
    rim: tuple[float, float, float] = (-0.55, 0.50, -0.75)
    rim_colour: tuple[float, float, float] = (0.34, 0.36, 0.40)
    sky: tuple[float, float, float] = (0.40, 0.41, 0.43)
    ground: tuple[float, float, float] = (0.22, 0.20, 0.18)

    def row(self) -> Float32Array:
        """The floats that the kernels read."""
        row = np.zeros(_LIGHT_FLOATS, np.float32)
        pairs = ((self.key, self.key_colour), (self.fill, self.fill_colour), (self.rim, self.rim_colour))
        for index, (direction, colour) in enumerate(pairs):
            row[6 * index : 6 * index + 3] = np.asarray(direction) / np.linalg.norm(direction)
            row[6 * index + 3 : 6 * index + 6] = colour
        row[18:21], row[21:24] = self.sky, self.ground
        return row


def linear(colour: tuple[float, float, float]) -> Float32Array:
    """sRGB in [0, 1] → linear light, (3,) float32 (IEC 61966-2-1)."""
    value = np.asarray(colour, np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
