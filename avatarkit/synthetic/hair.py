"""Hair: ribbons grown from the scalp along a style's flow, kept outside head and shoulders.

Roots are drawn on the scalp (above a hairline written down by azimuth); each strand marches in steps, turning towards the
style's direction, and is pushed out wherever it comes nearer to the skin than its own layer.  Coordinates are ``bust``'s,
in millimetres inside this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from avatarkit.synthetic.anatomy import outer_skin, scalp
from avatarkit.synthetic.appearance import Appearance, rgb
from avatarkit.synthetic.materials import STRAND, Material, linear
from avatarkit.synthetic.parts import Part, Skin, ribbons, smoothstep, unit
from avatarkit.types import FloatArray

HAT_FRONT, HAT_SLOPE = 77.0, 0.17  # the plane of a hat's edge: y = front + slope · (z − 70)

Flow = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Style:
    """How one hairstyle grows.

    strands; length (mm) of a root at (N, 3); floor: strands end at this height (mm); flow(p, root, normal, t): direction;
    stiff: how slowly a strand turns to it; lift: distance (mm) of the outermost layer from the skin; width (mm) of a
    ribbon; curl: radius (mm) and wavelength (mm) of the helix; wave: size (mm) of slow random bends.
    """

    strands: int
    length: Callable[[FloatArray], FloatArray]
    flow: Flow
    floor: float = -400.0
    stiff: float = 0.55
    lift: tuple[float, float] = (2.0, 14.0)
    width: float = 3.0
    curl: tuple[float, float] = (0.0, 30.0)
    wave: float = 2.0
    knots: int = 10
    step: float = 6.0


def _side(points: FloatArray, part: float) -> FloatArray:
    """−1 or 1: on which side of the parting (x = ``part`` mm) a strand falls; soft at the line."""
    return np.tanh((points[:, 0] - part) / 6.0)


def _down(count: int) -> FloatArray:
    return np.tile(np.array([0.0, -1.0, 0.0]), (count, 1))


def _falling(part: float, back: float, drape: bool = False) -> Flow:
    """From the parting over the sides, past the face, then down."""

    def flow(p: FloatArray, root: FloatArray, normal: FloatArray, t: FloatArray) -> FloatArray:
        side = _side(root, part)
        top = smoothstep(60.0, 120.0, p[:, 1])
        front = smoothstep(5.0, 45.0, p[:, 2])
        wide = smoothstep(84.0, 66.0, np.abs(p[:, 0]))  # still in front of the face
        direction = _down(len(p))
        direction[:, 0] += side * (1.5 * top + 2.2 * front * wide)
        direction[:, 2] += -back * front * (0.7 + 1.4 * smoothstep(30.0, 80.0, p[:, 1]) * wide) - 0.25 * top * (
            root[:, 2] < 10
        )
        inward = smoothstep(-30.0, -80.0, p[:, 1])
        direction[:, 0] -= 0.25 * inward * np.sign(p[:, 0])
        if drape:  # long hair stays off the shoulders: in front of them or behind
            low = smoothstep(-70.0, -110.0, p[:, 1])
            direction[:, 0] -= low * np.sign(p[:, 0]) * np.clip((np.abs(p[:, 0]) - 58.0) / 16.0, -0.2, 1.5)
            direction[:, 2] += low * np.where(root[:, 2] > -12.0, 0.75, -0.55)
        return unit(direction)

    return flow


def _swept(part: float, quiff: float) -> Flow:
    """Short hair: the top swept across and forwards with some height, the sides down and back."""

    def flow(p: FloatArray, root: FloatArray, normal: FloatArray, t: FloatArray) -> FloatArray:
        top = smoothstep(70.0, 110.0, root[:, 1])[:, None]
        beyond = smoothstep(-15.0, -52.0, p[:, 0])
        across = np.stack([-0.75 * (1 - beyond), 0.05 - 0.9 * beyond, 0.55 - 0.5 * beyond], 1)
        across[:, 2] -= 1.3 * smoothstep(25.0, 55.0, root[:, 2])  # the front goes back over the forehead's edge
        sides = np.stack([np.zeros(len(p)), np.full(len(p), -0.8), np.full(len(p), -0.55)], 1)
        lift = (quiff * top[:, 0] * (1 - t) ** 1.5 + 0.12)[:, None]
        direction = top * across + (1 - top) * sides
        direction -= 0.8 * (direction * normal).sum(1, keepdims=True) * normal
        return unit(direction + lift * normal)

    return flow


def _towards(anchor: tuple[float, float, float]) -> Flow:
    """Combed tight to a knot at ``anchor``."""

    def flow(p: FloatArray, root: FloatArray, normal: FloatArray, t: FloatArray) -> FloatArray:
        direction = unit(np.array(anchor) - p)
        direction -= 0.9 * (direction * normal).sum(1, keepdims=True) * normal
        return unit(direction)

    return flow


def _out(p: FloatArray, root: FloatArray, normal: FloatArray, t: FloatArray) -> FloatArray:
    return unit(normal + 0.35 * _down(len(p)) + 0.2 * np.array([0.0, 0.0, -1.0]))


def _curly(p: FloatArray, root: FloatArray, normal: FloatArray, t: FloatArray) -> FloatArray:
    direction = normal * (1.1 - 0.7 * t)[:, None] + 0.95 * _down(len(p)) * t[:, None]
    direction[:, 2] -= 0.45 * smoothstep(10.0, 50.0, root[:, 2])
    return unit(direction)


KNOT = (0.0, 92.0, -128.0)


def _constant(value: float) -> Callable[[FloatArray], FloatArray]:
    return lambda roots: np.full(len(roots), value)


def _crop(roots: FloatArray) -> FloatArray:
    return 13.0 + 30.0 * smoothstep(55.0, 110.0, roots[:, 1]) + 6.0 * smoothstep(20.0, 60.0, roots[:, 2])


def _ringlets(roots: FloatArray) -> FloatArray:
    return 40.0 + 16.0 * smoothstep(90.0, 20.0, roots[:, 1]) - 12.0 * smoothstep(20.0, 60.0, roots[:, 2])


STYLES: dict[str, Style] = {
    "short": Style(3600, _crop, _swept(28.0, 0.75), lift=(1.5, 13.0), width=3.2, knots=7, step=3.5, wave=1.6),
    "bob": Style(3000, _constant(300.0), _falling(12.0, 0.55), floor=-72.0, lift=(2.0, 19.0), width=3.6, knots=12, wave=3.0),
    "long": Style(3000, _constant(430.0), _falling(0.0, 0.62, True), floor=-172.0, lift=(2.0, 20.0), width=4.0, knots=15, wave=6.0),
    "curly": Style(2600, _ringlets, _curly, floor=-70.0, lift=(3.0, 9.0), width=4.4, curl=(5.0, 21.0), knots=16, wave=3.0, step=3.0),
    "bun": Style(2600, _constant(320.0), _towards(KNOT), lift=(1.5, 6.0), width=3.4, knots=12, wave=0.8, stiff=0.3),
    "buzz": Style(4200, _constant(5.0), _out, lift=(0.6, 4.0), width=1.3, knots=3, step=1.6, wave=0.2),
}  # fmt: skip


def grow(style: Style, skin: Skin, roots: FloatArray, normals: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(S, knots, 3) millimetres: the strands of ``style`` from ``roots`` (S, 3)."""
    count = len(roots)
    length = style.length(roots) * rng.uniform(0.85, 1.08, count)
    floor = style.floor + rng.normal(0.0, 4.0, count) if style.floor > -300 else np.full(count, -1000.0)
    layer = style.lift[0] + (style.lift[1] - style.lift[0]) * rng.random(count) ** 0.8
    steps = int(np.ceil(length.max() / style.step))
    start = style.flow(roots, roots, normals, np.zeros(count))
    heading = unit(0.8 * normals + 0.7 * start + 0.2 * rng.normal(size=(count, 3)))
    p, travelled, alive = roots + 0.3 * normals, np.zeros(count), np.ones(count, bool)
    path, at = [roots - 1.0 * normals, p.copy()], [np.zeros(count), np.full(count, 1.0)]
    phase = rng.uniform(0, 2 * np.pi, (count, 3))
    clump = np.floor(roots / 26.0) @ np.array([12.9, 78.2, 37.7])  # neighbours bend alike
    for _ in range(steps):
        _, normal = skin.distance(p)
        t = np.clip(travelled / length, 0, 1)
        wanted = style.flow(p, roots, normal, t)
        bend = np.sin(travelled[:, None] * 0.045 + clump[:, None] + np.array([0.0, 2.0, 4.0]) + 0.5 * np.sin(phase))
        heading = unit(style.stiff * heading + (1 - style.stiff) * wanted + 0.02 * style.wave * bend)
        # a strand that has risen above its layer falls back to it
        p = p + np.where(alive, style.step, 0.0)[:, None] * heading
        distance, normal = skin.distance(p)
        need = np.minimum(layer, 1.0 + travelled * 0.45 + 1.0)
        shoulder = 5.0 * smoothstep(-130.0, -150.0, p[:, 1])  # clothes
        short_of = need + shoulder - distance
        p = p + np.where(alive & (short_of > 0), np.clip(short_of, 0, style.step * 1.5), 0.0)[:, None] * normal
        if style.knots >= 10 and style.curl[0] == 0:
            above = distance - need - 3.0
            p -= np.where(alive & (above > 0) & (p[:, 1] > -60), 0.25 * above, 0.0)[:, None] * normal
        heading = np.where(alive[:, None], unit(p - path[-1]), heading)
        travelled = travelled + np.where(alive, style.step, 0.0)
        alive = alive & (travelled < length) & (p[:, 1] > floor)
        if style is STYLES["bun"]:
            alive &= np.linalg.norm(p - np.array(KNOT), axis=1) > 24.0
        path.append(p.copy())
        at.append(1.0 + travelled)
        if not alive.any():
            break
    lines = _resampled(np.stack(path, 1), np.stack(at, 1), style.knots)
    radius, wavelength = style.curl
    if radius > 0:
        distance = np.linalg.norm(np.diff(lines, axis=1, prepend=lines[:, :1]), axis=2).cumsum(1)
        angle = distance * (2 * np.pi / wavelength) + phase[:, :1] * 1.0
        size = radius * smoothstep(0.0, 25.0, distance) * rng.uniform(0.6, 1.2, (count, 1))
        along = unit(np.gradient(lines, axis=1))
        a = unit(np.cross(along, np.array([0.3, 0.9, 0.2])))
        b = np.cross(along, a)
        lines = lines + size[..., None] * (np.cos(angle)[..., None] * a + np.sin(angle)[..., None] * b)
    return lines


def _across_face(lines: FloatArray) -> NDArray[np.bool_]:
    """(S,) whether a strand falls over eyes, nose or mouth."""
    x, y, z = np.abs(lines[..., 0]), lines[..., 1], lines[..., 2]
    over: NDArray[np.bool_] = (x < np.interp(y, (-70, 40, 88), (54, 60, 22))) & (y < 88) & (y > -85) & (z > 15)
    return np.asarray(over.any(1))


def _resampled(path: FloatArray, at: FloatArray, knots: int) -> FloatArray:
    """Each strand at ``knots`` even distances along it; a strand that stopped keeps its last point."""
    out = np.empty((len(path), knots, 3))
    for k in range(knots):
        wanted = at[:, -1] * k / (knots - 1)
        after = np.clip((at < wanted[:, None]).sum(1), 1, at.shape[1] - 1)
        row = np.arange(len(path))
        low, high = at[row, after - 1], at[row, after]
        share = np.where(high > low, (wanted - low) / np.maximum(high - low, 1e-9), 1.0)[:, None]
        out[:, k] = path[row, after - 1] * (1 - share) + path[row, after] * share
    return out


def under_hat(points: FloatArray, skin: Skin, room: float = 5.0) -> FloatArray:
    """Press what a hat covers to within ``room`` mm of the skin.  points (..., 3) mm."""
    flat = points.reshape(-1, 3)
    covered = smoothstep(-14.0, 4.0, flat[:, 1] - hat_plane(flat[:, 2]))
    where = covered > 0
    distance, normal = skin.distance(flat[where])
    excess = np.maximum(distance - room, 0.0) * covered[where]
    pressed = flat.copy()
    pressed[where] -= excess[:, None] * normal
    return pressed.reshape(points.shape)


def hat_plane(z: FloatArray) -> FloatArray:
    """Height (mm) of a hat's edge at depth ``z`` (mm)."""
    return HAT_FRONT + HAT_SLOPE * (z - 70.0)


def _colours(look: Appearance, chance: FloatArray, lines: FloatArray) -> FloatArray:
    """(S, K, 3) linear: darker at the roots, highlights in some wisps, every wisp a little different."""
    base, light = linear(rgb(look.hair_colour)), linear(rgb(look.highlight_colour))
    along = np.linspace(0, 1, lines.shape[1])[None, :, None]
    streak = look.hair_highlights * smoothstep(0.55, 0.95, chance)[:, None, None] * smoothstep(0.05, 0.6, along)
    tone = (0.78 + 0.44 * ((chance * 7.31) % 1.0))[:, None, None] * (0.72 + 0.40 * smoothstep(0.0, 0.5, along))
    return (base * (1 - streak) + light * streak) * tone


HAIR = Material(STRAND, gloss=0.075, shininess=70.0, mottle=0.28, two_sided=True)


def presses(look: Appearance) -> bool:
    """Whether a hat presses the hair down."""
    return look.hat not in ("none", "headband")


@lru_cache(maxsize=16)
def _combed(name: str, pressed: bool, seed: int) -> tuple[FloatArray, FloatArray]:
    """Strands (S, K, 3) mm of a style, and which way they face."""
    style, skin, rng = STYLES[name], outer_skin(), np.random.default_rng([seed, 1])
    roots, normals, _, _ = skin.sample(style.strands, scalp(skin.points), rng)
    lines = grow(style, skin, roots, normals, rng)
    lines = lines[~_across_face(lines)]
    if name == "bun":
        lines = np.concatenate([lines, _knot(lines.shape[1], rng)])
    if pressed:
        lines = under_hat(lines, skin)
    flat = lines.reshape(-1, 3)
    _, outward = skin.distance(flat)
    centre = np.array([0.0, 45.0, -25.0])
    body = unit((flat - centre) * np.array([1.0, 0.75, 1.0]))  # the hair's overall shape, so that light models it
    return lines, unit(outward + 0.9 * body).reshape(lines.shape)


def hair_parts(look: Appearance, rng: np.random.Generator) -> list[Part]:
    """The hair of ``look``; nothing for "bald"."""
    if look.hair_style == "bald":
        return []
    lines, outward = _combed(look.hair_style, presses(look), look.identity)
    style = STYLES[look.hair_style]
    chance = rng.random(len(lines))
    along = np.linspace(0, 1, lines.shape[1])[None]
    taper = (smoothstep(1.02, 0.55, along) * 0.8 + 0.2) * (0.30 + 0.70 * smoothstep(0.0, 0.22, along))
    widths = style.width * rng.uniform(0.7, 1.3, (len(lines), 1)) * taper
    points, faces, normals, tangents, texture = ribbons(lines, widths, outward, chance)
    albedo = np.repeat(_colours(look, chance, lines)[:, :, None], 2, 2).reshape(-1, 3)
    neck = smoothstep(-160.0, -70.0, points[:, 1])
    return [
        Part(points * 1e-3, faces, normals, albedo, HAIR, "hair", texture, tangents, neck, casts=True),
    ]


def _knot(knots: int, rng: np.random.Generator, count: int = 420) -> FloatArray:
    """(count, knots, 3) mm: wisps wound around a ball, for a bun."""
    lines = np.empty((count, knots, 3))
    axis = unit(np.array([0.0, 0.45, -1.0]))
    first = unit(np.cross(axis, np.array([1.0, 0.0, 0.0])))
    second = np.cross(axis, first)
    turn = np.linspace(0, 1, knots)
    for k in range(count):
        start, tilt = rng.uniform(0, 2 * np.pi), np.arcsin(rng.uniform(-0.75, 1.0))
        angle = start + 1.9 * turn
        lean = tilt + 0.35 * np.sin(angle * 1.0 + start)
        radius = 31.0 * rng.uniform(0.93, 1.04)
        ring = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
        lines[k] = (
            np.array(KNOT) + 4.0 * axis + radius * (np.cos(lean)[:, None] * ring + 0.8 * np.sin(lean)[:, None] * axis)
        )
    return lines
