"""The subject's own skin: a shape that ``bust``'s identity modes do not have, true labels, and colours.

Positions are ``bust``'s at rest, millimetres, x to the subject's left, y up, z forwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.labels import LABEL_INDEX
from avatarkit.synthetic.anatomy import outer_skin, rest, scalp, upper_lip
from avatarkit.synthetic.appearance import Appearance, rgb
from avatarkit.synthetic.materials import EYE, SKIN, SURFACE, Material, linear
from avatarkit.synthetic.parts import smoothstep, unit
from avatarkit.types import FloatArray, IntArray

_JAW_AZIMUTH = (0, 30, 50, 75, 90, 110, 140, 180)
_JAW_HEIGHT = (-84, -80, -74, -64, -56, -56, -68, -76)
GUM_ROWS = (0, 1, 7)


def sculpted(seed: int, strength: float) -> FloatArray:
    """(V, 3) metres: a smooth, slightly lopsided displacement of space around the head, still at the eyes.

    Sixty Gaussian bumps of 11 to 34 mm; about 3 mm large at strength 1.  It moves teeth and lips together.
    """
    bust = rest()
    rng = np.random.default_rng([seed, 77])
    skin = np.flatnonzero(bust.parts["skin"] & (bust.points[:, 0] >= 0) & (bust.points[:, 1] > -110))
    total = np.zeros_like(bust.points)
    for centre in bust.points[rng.choice(skin, 60, replace=False)]:
        size, push = rng.uniform(11.0, 34.0), rng.normal(0.0, 1.0, 3) * np.array([0.8, 0.7, 1.0])
        lopsided = rng.normal(0.0, 0.18, 3)
        for side in (1.0, -1.0):
            mirror = np.array([side, 1.0, 1.0])
            reach = np.exp(-((bust.points - centre * mirror) ** 2).sum(1) / (2 * size**2))
            total += reach[:, None] * (push * mirror + side * lopsided)
    eyes = np.stack([bust.points - np.array([s * 31.5, 29.8, 50.0]) for s in (1, -1)])
    total *= smoothstep(17.0, 34.0, np.linalg.norm(eyes, axis=2).min(0))[:, None]
    total *= smoothstep(-165.0, -110.0, bust.points[:, 1])[:, None]
    size = np.linalg.norm(total[bust.parts["skin"]], axis=1)
    return total * (2.2 * strength / max(float(np.sqrt((size**2).mean())), 1e-9)) * 1e-3


def face_labels(look: Appearance) -> IntArray:
    """(F,) the class of every triangle of ``bust``."""
    bust = rest()
    corner = bust.points[bust.faces].mean(1)
    left = bust.side[bust.faces].mean(1) > 0
    inside = {name: mask[bust.faces] for name, mask in bust.parts.items()}
    label = np.full(len(bust.faces), LABEL_INDEX["skin"])
    azimuth = np.degrees(np.arctan2(np.abs(corner[:, 0]), corner[:, 2] + 20.0))
    label[corner[:, 1] < np.interp(azimuth, _JAW_AZIMUTH, _JAW_HEIGHT)] = LABEL_INDEX["neck"]
    wing = np.interp(corner[:, 1], (-27, -24, -14, 0, 20, 38), (9, 14, 20, 16, 8, 7))
    nose = (np.abs(corner[:, 0]) < wing) & (corner[:, 1] > -25.5) & (corner[:, 1] < 37) & (corner[:, 2] > 55)
    label[nose] = LABEL_INDEX["nose"]
    if look.hair_style != "bald":
        hairy = scalp(bust.points)[bust.faces].mean(1) > 0.5
        label[hairy & (inside["skin"].all(1))] = LABEL_INDEX["hair"]
    for name, side in (("l_ear", left), ("r_ear", ~left)):
        label[inside["ear"].all(1) & side] = LABEL_INDEX[name]
    red = (inside["lips"] | inside["lip_border"]).all(1) & inside["lips"].any(1)
    upper = upper_lip()[bust.faces].mean(1) > 0.5
    label[red & upper] = LABEL_INDEX["u_lip"]
    label[red & ~upper] = LABEL_INDEX["l_lip"]
    for name in ("lining", "upper_teeth", "lower_teeth", "tongue"):
        label[inside[name].any(1)] = LABEL_INDEX["mouth"]
    for name, side in (("l_eye", left), ("r_eye", ~left)):
        label[inside["eyeball"].any(1) & side] = LABEL_INDEX[name]
    return label


def beard_density(points: FloatArray, style: str) -> FloatArray:
    """(N,) 0 to 1: where a beard of ``style`` grows.  points (N, 3) mm on the skin; lips are the caller's to leave out."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    front = smoothstep(-12.0, 6.0, z) * smoothstep(-97.0, -90.0, y)
    line = np.interp(x, (0, 14, 24, 30, 40, 55, 66, 73), (-57, -58, -50, -44, -38, -26, -6, 14))
    full = smoothstep(3.0, -4.0, y - line) * front
    if style in ("stubble", "full", "short"):
        return full
    if style == "goatee":
        return full * smoothstep(27.0, 21.0, x) * smoothstep(-90.0, -84.0, y)
    return np.zeros(len(points))


def moustache_density(points: FloatArray) -> FloatArray:
    """(N,) 0 to 1: between nose and upper lip."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    top = np.interp(x, (0, 3, 12, 22, 30), (-28.5, -27.0, -28.0, -34.0, -42.0))
    return smoothstep(1.5, -1.5, y - top) * smoothstep(-56.0, -48.0, y) * smoothstep(32.0, 27.0, x) * (z > 45)


@dataclass(frozen=True)
class Complexion:
    """Per vertex of ``bust``: albedo (V, 3) linear; gloss, freckles, occlusion (V,), the last −1 where it is measured;
    material (F,) into ``materials``; texture (V, 3)."""

    albedo: FloatArray
    gloss: FloatArray
    freckles: FloatArray
    occlusion: FloatArray
    texture: FloatArray
    material: IntArray
    materials: tuple[Material, ...]


def _spot(points: FloatArray, x: float, y: float, z: float, size: float) -> FloatArray:
    """A soft round spot on both sides."""
    away = points * np.array([1.0, 1.0, 1.0])
    away = np.stack([np.abs(away[:, 0]) - x, away[:, 1] - y, away[:, 2] - z], 1)
    return np.exp(-(away**2).sum(1) / (2 * size**2))


def _mix(colour: FloatArray, other: FloatArray, share: FloatArray) -> FloatArray:
    return colour * (1 - share[:, None]) + other * share[:, None]


def complexion(look: Appearance) -> Complexion:
    """Colours and materials of ``bust`` for ``look``."""
    bust = rest()
    p, parts = bust.points, bust.parts
    skin = linear(rgb(look.skin))
    colour = np.tile(skin, (len(p), 1)).astype(float)
    flush = np.array([1.03, 0.66, 0.62])  # blood: less green and blue
    red = look.blush * (
        0.75 * _spot(p, 44, -8, 52, 17) + 0.55 * _spot(p, 0, -12, 90, 10) + 0.30 * _spot(p, 0, -74, 72, 13)
    )
    red += 0.40 * parts["ear"] + 0.15 * _spot(p, 0, 5, 75, 14)
    colour = colour * (1 - np.clip(red, 0, 1)[:, None] * (1 - flush))
    colour *= 1 - 0.10 * _spot(p, 28, 14, 57, 8)[:, None] * np.array([0.5, 1.0, 0.8])  # under the eyes
    lid = _spot(p, 31.5, 39, 60, 7.5) * (p[:, 1] > 33)
    colour = _mix(colour, linear(rgb(look.eyeshadow_colour)), 0.85 * look.eyeshadow * np.clip(1.5 * lid, 0, 1))
    rim = bust.grids["eye"][6:9].ravel()
    near_lashes = np.zeros(len(p))
    near_lashes[rim], near_lashes[bust.mirror[rim]] = 1.0, 1.0
    colour *= 1 - near_lashes[:, None] * np.array([0.12, 0.28, 0.28])
    brow = brow_density(p) * np.isin(np.arange(len(p)), outer_skin().used)
    colour = _mix(colour, linear(rgb(look.brows)), 0.25 * brow)
    shadow = np.zeros(len(p))
    if look.beard != "none":
        shadow = np.maximum(shadow, beard_density(p, look.beard) * {"stubble": 0.42, "short": 0.5}.get(look.beard, 0.6))
    if look.moustache != "none":
        shadow = np.maximum(shadow, 0.5 * moustache_density(p))
    shadow *= parts["skin"] | parts["lip_border"]
    colour = _mix(colour, 0.25 * skin + 0.75 * linear(rgb(look.beard_colour)), shadow)
    if look.hair_style != "bald":
        cover = scalp(p) * parts["skin"] * (0.90 if look.hair_style == "buzz" else 0.95)
        colour = _mix(colour, 0.62 * linear(rgb(look.hair_colour)), cover)
    lips = linear(rgb(look.lips))
    colour[parts["lips"]] = lips
    colour[parts["lip_border"]] = 0.45 * colour[parts["lip_border"]] + 0.55 * lips
    inner = bust.grids["mouth"][7:9].ravel()
    colour[inner] *= 0.7
    colour[bust.mirror[inner]] = colour[inner]
    colour[parts["lining"]] = linear((0.50, 0.20, 0.20))
    colour[parts["tongue"]] = linear(rgb(look.tongue))
    for name in ("upper_teeth", "lower_teeth"):
        colour[parts[name]] = linear(rgb(look.teeth))
        gum = bust.grids[name][list(GUM_ROWS)].ravel()
        colour[gum] = colour[bust.mirror[gum]] = linear((0.70, 0.38, 0.38))

    gloss = np.ones(len(p)) + 0.5 * _spot(p, 0, 75, 70, 22) + 0.9 * _spot(p, 0, -10, 92, 9)
    gloss[parts["lips"]] = 3.0
    freckles = look.freckles * np.clip(
        _spot(p, 36, 2, 58, 20) + 0.9 * _spot(p, 0, 5, 78, 14) + 0.25 * (p[:, 2] > 20), 0, 1
    )
    freckles *= parts["skin"]
    occlusion = np.full(len(p), -1.0)
    for name in ("upper_teeth", "lower_teeth"):  # the mouth is closed where occlusion is measured
        occlusion[parts[name]] = 0.12 + 0.62 * smoothstep(30.0, 70.0, p[parts[name], 2])
    occlusion[parts["lining"]] = 0.04 + 0.55 * smoothstep(50.0, 74.0, p[parts["lining"], 2]) ** 2
    occlusion[parts["tongue"]] = 0.10 + 0.45 * smoothstep(25.0, 66.0, p[parts["tongue"], 2])

    texture = p * 1e-3
    for side in (1.0, -1.0):
        ball = parts["eyeball"] & (p[:, 0] * side > 0)
        texture[ball] = unit(p[ball] - np.array([side * 31.5, 29.8, 45.0]))
    inside = {name: mask[bust.faces].any(1) for name, mask in parts.items()}
    material = np.zeros(len(bust.faces), np.int64)
    material[inside["lips"]] = 1
    material[inside["lining"] | inside["tongue"]] = 2
    material[inside["upper_teeth"] | inside["lower_teeth"]] = 3
    material[inside["eyeball"]] = 4
    materials = (
        Material(SKIN, (0.42, 0.22, 0.16), 0.085, 16.0, mottle=0.16, mottle_scale=230.0, bump=0.085, bump_scale=1000.0),
        Material(SKIN, (0.35, 0.18, 0.14), 0.06, 26.0, mottle=0.12, mottle_scale=500.0, bump=0.10, bump_scale=800.0),
        Material(SKIN, (0.30, 0.15, 0.12), 0.20, 40.0),
        Material(SURFACE, (0.25, 0.22, 0.20), 0.25, 60.0),
        Material(
            EYE, (0.25, 0.22, 0.22), 1.3, 260.0, iris=tuple(linear(rgb(look.iris))), iris_size=0.475,  # type: ignore[arg-type]
            pupil_size=0.175 * look.pupil_size, sclera=tuple(linear(rgb(look.sclera))),  # type: ignore[arg-type]
        ),
    )  # fmt: skip
    return Complexion(colour, gloss, freckles, occlusion, texture, material, materials)


def brow_density(points: FloatArray, thickness: float = 1.0) -> FloatArray:
    """(N,) 0 to 1: an arch over each eye.  points (N, 3) mm."""
    x = np.abs(points[:, 0])
    t = (x - 12.0) / 42.0
    middle = 46.5 + 6.5 * np.sin(np.clip(t, 0, 1) ** 1.25 * np.pi * 0.86) - 3.0 * np.clip(t, 0, 1) ** 3
    half = 2.8 * thickness * (1 - 0.62 * np.clip(t, 0, 1) ** 1.6)
    inside = smoothstep(1.15, 0.75, np.abs(points[:, 1] - middle) / half)
    return inside * smoothstep(-0.04, 0.05, t) * smoothstep(1.04, 0.94, t) * (points[:, 2] > 20)
