"""Light and materials of the synthetic subject: one shaded sample at a time.

Three distant lights (key, fill, rim) and a hemisphere of sky and ground.  Skin wraps light around the terminator, most in
red (a cheap stand-in for subsurface scattering: Green, GPU Gems 16); gloss is Blinn–Phong with Schlick's Fresnel term;
hair uses Kajiya and Kay's tangent model (SIGGRAPH 1989).  Textures are solid: noise of the rest position, so they stick to
the surface and need no unwrapping.  Shading is linear; the result is sRGB.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from avatarkit.labels import NUM_LABELS
from avatarkit.synthetic.materials import (
    ALBEDO,
    ATTRIBUTES,
    DETAIL,
    EYE,
    GLOSS,
    OCCLUSION,
    SKIN,
    STRAND,
    SUN,
    TANGENT,
    TEXTURE,
)  # fmt: skip
from avatarkit.types import ByteArray, Float32Array, IntArray

# Everything compiled that calls each other lives in this file: Numba's cache on disk notices changes of a file only.
_FLAGS = {"nopython": True, "nogil": True, "cache": True, "fastmath": {"contract", "nsz", "arcp"}}


@numba.jit(**_FLAGS)
def _hash(x: int, y: int, z: int) -> Any:
    """A repeatable random number in [0, 1) for a lattice point."""
    h = np.uint32(x * 374761393 + y * 668265263 + z * 2147483647 + 974711)
    h = np.uint32((h ^ (h >> np.uint32(13))) * np.uint32(1274126177))
    h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(2246822519))
    h ^= h >> np.uint32(15)
    return np.float32(h & np.uint32(0xFFFFFF)) * np.float32(1.0 / 16777216.0)


@numba.jit(**_FLAGS)
def noise(x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """Value noise in [0, 1] with unit cells, and its gradient."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = int(fx), int(fy), int(fz)
    tx, ty, tz = np.float32(x - fx), np.float32(y - fy), np.float32(z - fz)
    one, two, three, six = np.float32(1), np.float32(2), np.float32(3), np.float32(6)
    sx, sy, sz = tx * tx * (three - two * tx), ty * ty * (three - two * ty), tz * tz * (three - two * tz)
    dx, dy, dz = six * tx * (one - tx), six * ty * (one - ty), six * tz * (one - tz)
    a, b = _hash(i, j, k), _hash(i + 1, j, k)
    c, d = _hash(i, j + 1, k), _hash(i + 1, j + 1, k)
    e, f = _hash(i, j, k + 1), _hash(i + 1, j, k + 1)
    g, h = _hash(i, j + 1, k + 1), _hash(i + 1, j + 1, k + 1)
    ab, cd, ef, gh = a + sx * (b - a), c + sx * (d - c), e + sx * (f - e), g + sx * (h - g)
    abcd, efgh = ab + sy * (cd - ab), ef + sy * (gh - ef)
    slope_x = (
        (b - a) * (one - sy) * (one - sz) + (d - c) * sy * (one - sz) + (f - e) * (one - sy) * sz + (h - g) * sy * sz
    )
    slope_y = (cd - ab) * (one - sz) + (gh - ef) * sz
    return abcd + sz * (efgh - abcd), slope_x * dx, slope_y * dy, (efgh - abcd) * dz


@numba.jit(**_FLAGS)
def _spots(x: float, y: float, z: float) -> Any:
    """Soft round dots in [0, 1]: one cell in three has one, somewhere inside it."""
    best = np.float32(0.0)
    i0, j0, k0 = (
        int(np.floor(x - np.float32(0.5))),
        int(np.floor(y - np.float32(0.5))),
        int(np.floor(z - np.float32(0.5))),
    )
    for i in range(i0, i0 + 2):
        for j in range(j0, j0 + 2):
            for k in range(k0, k0 + 2):
                chance = _hash(i, j, k)
                if chance > np.float32(0.34):
                    continue
                dx = x - np.float32(i) - np.float32(0.25) - np.float32(0.5) * _hash(i + 91, j, k)
                dy = y - np.float32(j) - np.float32(0.25) - np.float32(0.5) * _hash(i, j + 91, k)
                dz = z - np.float32(k) - np.float32(0.25) - np.float32(0.5) * _hash(i, j, k + 91)
                size = np.float32(0.08) + np.float32(0.34) * chance
                dot = np.float32(1.0) - (dx * dx + dy * dy + dz * dz) / (size * size * np.float32(4.0))
                best = max(best, min(np.float32(1.0), dot * np.float32(2.0)))
    return best


@numba.jit(**_FLAGS)
def _srgb(value: float) -> Any:
    """Linear light → sRGB, with a soft shoulder above 0.8 so that highlights do not clip hard."""
    if value > np.float32(0.8):
        value = np.float32(0.8) + np.float32(0.2) * (
            np.float32(1.0) - np.exp(-(value - np.float32(0.8)) * np.float32(5.0))
        )
    if value <= np.float32(0.0031308):
        return max(np.float32(0.0), np.float32(12.92) * value)
    return np.float32(1.055) * value ** np.float32(1.0 / 2.4) - np.float32(0.055)


@numba.jit(**_FLAGS)
def _eye_colour(values: Float32Array, material: Float32Array, albedo: Float32Array) -> float:
    """Pupil, iris with fibres and limbal ring, sclera with veins; returns how much of it is cornea (sharper gloss)."""
    x, y, z = values[TEXTURE], values[TEXTURE + 1], values[TEXTURE + 2]
    length = np.sqrt(x * x + y * y + z * z) + np.float32(1e-9)
    x, y, z = x / length, y / length, z / length
    theta = np.arctan2(np.sqrt(x * x + y * y), z)
    iris, pupil = material[14], material[15]
    angle = np.arctan2(y, x)
    fibre, _, _, _ = noise(
        np.float32(30.0) + np.cos(angle) * np.float32(9.0), np.sin(angle) * np.float32(9.0), theta * np.float32(9.0)
    )
    vein, _, _, _ = noise(x * np.float32(14.0), y * np.float32(22.0), z * np.float32(9.0))
    inside = min(np.float32(1.0), max(np.float32(0.0), (iris - theta) / np.float32(0.05)))  # soft limbus
    hole = min(np.float32(1.0), max(np.float32(0.0), (pupil - theta) / np.float32(0.03)))
    t = min(np.float32(1.0), max(np.float32(0.0), (theta - pupil) / (iris - pupil)))
    tone = (np.float32(0.50) + np.float32(0.75) * fibre) * (np.float32(1.25) - np.float32(0.35) * t)
    ring = max(np.float32(0.0), (t - np.float32(0.72)) / np.float32(0.28))
    tone *= np.float32(1.0) - np.float32(0.8) * ring * ring
    away = min(np.float32(1.0), max(np.float32(0.0), (theta - iris) / np.float32(0.6)))
    for c in range(3):
        white = material[16 + c]
        if c > 0:  # a little redder towards the corners, with veins
            white *= np.float32(1.0) - away * (np.float32(0.10) + np.float32(0.16) * vein * vein)
        ball = material[11 + c] * tone * (np.float32(1.0) - hole) + np.float32(0.004)
        albedo[c] = inside * ball + (np.float32(1.0) - inside) * white
    return inside


@numba.jit(**_FLAGS)
def shade_sample(
    values: Float32Array, eye: Float32Array, material: Float32Array, lighting: Float32Array, colour: Float32Array
) -> Any:
    """sRGB of one sample into ``colour`` (3,); ``values``: attributes, then world position.  Returns the highlight."""
    kind = int(material[0])
    nx, ny, nz = values[0], values[1], values[2]
    vx, vy, vz = eye[0] - values[ATTRIBUTES], eye[1] - values[ATTRIBUTES + 1], eye[2] - values[ATTRIBUTES + 2]
    length = np.float32(1.0) / (np.sqrt(vx * vx + vy * vy + vz * vz) + np.float32(1e-9))
    vx, vy, vz = vx * length, vy * length, vz * length
    tx, ty, tz = values[TEXTURE], values[TEXTURE + 1], values[TEXTURE + 2]
    r, g, b = values[ALBEDO], values[ALBEDO + 1], values[ALBEDO + 2]
    gloss, shininess = material[4] * values[GLOSS], material[5]

    if kind == EYE:
        cornea = _eye_colour(values, material, values[ALBEDO : ALBEDO + 3])
        r, g, b = values[ALBEDO], values[ALBEDO + 1], values[ALBEDO + 2]
        shininess = shininess * (np.float32(0.4) + np.float32(0.6) * cornea)
    elif kind == STRAND:
        tone, _, _, _ = noise(tx * np.float32(6.0), ty * np.float32(2.0), tz * np.float32(977.0))
        factor = np.float32(1.0) + material[6] * (tone - np.float32(0.5)) * np.float32(2.0)
        r, g, b = r * factor, g * factor, b * factor
    else:
        if material[6] > 0:
            s = material[7]
            low, _, _, _ = noise(tx * s, ty * s, tz * s)
            high, _, _, _ = noise(tx * s * np.float32(4.1), ty * s * np.float32(4.1), tz * s * np.float32(4.1))
            tone = material[6] * (
                np.float32(1.2) * (low - np.float32(0.5)) + np.float32(0.8) * (high - np.float32(0.5))
            )
            if kind == SKIN:  # blood varies more than melanin: green and blue move most
                r, g, b = (
                    r * (np.float32(1.0) + np.float32(0.45) * tone),
                    g * (np.float32(1.0) + tone),
                    b * (np.float32(1.0) + tone),
                )
            else:
                r, g, b = r * (np.float32(1.0) + tone), g * (np.float32(1.0) + tone), b * (np.float32(1.0) + tone)
        if kind == SKIN and values[DETAIL] > np.float32(0.01):  # freckles of two sizes
            spot = max(_spots(tx * np.float32(260.0), ty * np.float32(260.0), tz * np.float32(260.0)),
                       np.float32(0.7) * _spots(tx * np.float32(430.0) + np.float32(7.3), ty * np.float32(430.0), tz * np.float32(430.0)))  # fmt: skip
            spot *= values[DETAIL]
            r, g, b = (
                r * (np.float32(1.0) - np.float32(0.30) * spot),
                g * (np.float32(1.0) - np.float32(0.52) * spot),
                b * (np.float32(1.0) - np.float32(0.68) * spot),
            )
        if material[19] > 0:  # knitted or woven cloth: fine ribs
            rib = np.sin(tx * np.float32(1100.0)) * np.sin(ty * np.float32(1100.0) + tz * np.float32(700.0))
            factor = np.float32(1.0) + material[19] * rib
            r, g, b = r * factor, g * factor, b * factor
        if material[8] > 0:
            s = material[9]
            _, gx, gy, gz = noise(tx * s + np.float32(0.37), ty * s, tz * s)
            nx, ny, nz = nx - material[8] * gx, ny - material[8] * gy, nz - material[8] * gz

    length = np.float32(1.0) / (np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-9))
    nx, ny, nz = nx * length, ny * length, nz * length
    facing = nx * vx + ny * vy + nz * vz
    if facing < 0 and material[10] > 0:
        nx, ny, nz, facing = -nx, -ny, -nz, -facing

    ambient = values[OCCLUSION]
    up = np.float32(0.5) + np.float32(0.5) * ny
    out_r = (lighting[21] + (lighting[18] - lighting[21]) * up) * ambient * r
    out_g = (lighting[22] + (lighting[19] - lighting[22]) * up) * ambient * g
    out_b = (lighting[23] + (lighting[20] - lighting[23]) * up) * ambient * b
    shine = np.float32(0.0)
    ax, ay, az = values[TANGENT], values[TANGENT + 1], values[TANGENT + 2]
    if kind == STRAND:
        length = np.float32(1.0) / (np.sqrt(ax * ax + ay * ay + az * az) + np.float32(1e-9))
        ax, ay, az = ax * length, ay * length, az * length
    for light in range(3):
        o = 6 * light
        lx, ly, lz = lighting[o], lighting[o + 1], lighting[o + 2]
        open_to = values[SUN] if light == 0 else ambient
        n_l = nx * lx + ny * ly + nz * lz
        lamp_y = (
            np.float32(0.4) * ly if kind == EYE else ly
        )  # lower in the eye: the upper lid would hide the catch light
        hx, hy, hz = lx + vx, lamp_y + vy, lz + vz
        length = np.float32(1.0) / (np.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-9))
        hx, hy, hz = hx * length, hy * length, hz * length
        if kind == STRAND:
            along = ax * lx + ay * ly + az * lz
            kajiya = np.sqrt(max(np.float32(0.0), np.float32(1.0) - along * along))
            volume = max(np.float32(0.0), (n_l + np.float32(0.35)) / np.float32(1.35))
            lit = volume * (np.float32(0.55) + np.float32(0.45) * kajiya)
            lit_r = lit_g = lit_b = lit
            t_h = ax * hx + ay * hy + az * hz + np.float32(0.10) * (tz - np.float32(0.5))
            sine = np.sqrt(max(np.float32(0.0), np.float32(1.0) - t_h * t_h))
            strong = gloss * (sine**shininess) * volume
            wide = gloss * np.float32(2.2) * (sine ** (shininess * np.float32(0.25))) * volume
            out_r += lighting[o + 3] * open_to * (strong + wide * r)
            out_g += lighting[o + 4] * open_to * (strong + wide * g)
            out_b += lighting[o + 5] * open_to * (strong + wide * b)
        else:
            lit_r = max(np.float32(0.0), (n_l + material[1]) / (np.float32(1.0) + material[1]))
            lit_g = max(np.float32(0.0), (n_l + material[2]) / (np.float32(1.0) + material[2]))
            lit_b = max(np.float32(0.0), (n_l + material[3]) / (np.float32(1.0) + material[3]))
            if n_l > 0 and gloss > 0:
                n_h = max(np.float32(0.0), nx * hx + ny * hy + nz * hz)
                h_v = max(np.float32(0.0), hx * vx + hy * vy + hz * vz)
                fresnel = np.float32(0.25) + np.float32(0.75) * (np.float32(1.0) - h_v) ** 5
                # the catch light in an eye is a reflection of the lamp: lids and lashes hardly shade it
                glint = max(open_to, np.float32(0.6)) if kind == EYE else open_to
                high = gloss * fresnel * (n_h**shininess) * min(np.float32(1.0), n_l * np.float32(4.0)) * glint
                shine += high
                out_r += lighting[o + 3] * high * np.float32(4.0)
                out_g += lighting[o + 4] * high * np.float32(4.0)
                out_b += lighting[o + 5] * high * np.float32(4.0)
        out_r += lighting[o + 3] * open_to * lit_r * r
        out_g += lighting[o + 4] * open_to * lit_g * g
        out_b += lighting[o + 5] * open_to * lit_b * b
    colour[0], colour[1], colour[2] = _srgb(out_r), _srgb(out_g), _srgb(out_b)
    return shine


@numba.jit(**_FLAGS)
def _sample(
    f: int,
    px: float,
    py: float,
    screen: Float32Array,
    nearness: Float32Array,
    vertices: Float32Array,
    faces: IntArray,
    attributes: Float32Array,
    values: Float32Array,
) -> float:
    """Attributes and world position of triangle ``f`` at a sample, perspective-correct, into ``values``; returns z."""
    i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
    x2, y2 = screen[k, 0], screen[k, 1]
    area = (screen[j, 0] - screen[i, 0]) * (y2 - screen[i, 1]) - (x2 - screen[i, 0]) * (screen[j, 1] - screen[i, 1])
    w0 = ((screen[j, 1] - y2) * (px - x2) + (x2 - screen[j, 0]) * (py - y2)) / area
    w1 = ((y2 - screen[i, 1]) * (px - x2) + (screen[i, 0] - x2) * (py - y2)) / area
    w2 = (np.float32(1.0) - w0 - w1) * nearness[k]
    w0, w1 = w0 * nearness[i], w1 * nearness[j]
    z = np.float32(1.0) / (w0 + w1 + w2)
    w0, w1, w2 = w0 * z, w1 * z, w2 * z
    count = attributes.shape[1]
    for a in range(count):
        values[a] = w0 * attributes[i, a] + w1 * attributes[j, a] + w2 * attributes[k, a]
    for a in range(3):
        values[count + a] = w0 * vertices[i, a] + w1 * vertices[j, a] + w2 * vertices[k, a]
    return z


@numba.jit(**_FLAGS)
def resolve(
    samples: int,
    ids: IntArray,
    glass_ids: IntArray,
    screen: Float32Array,
    nearness: Float32Array,
    vertices: Float32Array,
    faces: IntArray,
    attributes: Float32Array,
    material: IntArray,
    label: ByteArray,
    opacity: Float32Array,
    materials: Float32Array,
    lighting: Float32Array,
    eye: Float32Array,
    background: Float32Array,
    rgb: Float32Array,
    mask: Float32Array,
    labels: ByteArray,
    depth: Float32Array,
) -> None:
    """Shade each triangle of a pixel once, in the middle of the samples it covers, and average by samples."""
    height, width = mask.shape
    count = attributes.shape[1]
    values = np.zeros(count + 3, np.float32)
    colour = np.zeros(3, np.float32)
    glass = np.zeros(3, np.float32)
    front = np.zeros((samples * samples, 2), np.int32)  # the different (triangle, glass) pairs of a pixel,
    where = np.zeros((samples * samples, 3), np.float32)  # the sum of their samples' positions, and how many those are
    votes = np.zeros(NUM_LABELS, np.int32)
    depths = np.zeros(NUM_LABELS, np.float32)
    share = np.float32(1.0) / np.float32(samples * samples)
    for row in range(height):
        for column in range(width):
            votes[:] = 0
            depths[:] = 0.0
            covered = np.float32(0.0)
            red = green = blue = np.float32(0.0)
            found = 0
            for sy in range(samples):
                y = row * samples + sy
                for sx in range(samples):
                    x = column * samples + sx
                    f, g = ids[y, x], glass_ids[y, x]
                    k = 0
                    while k < found and (front[k, 0] != f or front[k, 1] != g):
                        k += 1
                    if k == found:
                        front[k, 0], front[k, 1] = f, g
                        where[k, 0] = where[k, 1] = where[k, 2] = np.float32(0.0)
                        found += 1
                    where[k, 0] += np.float32(x)
                    where[k, 1] += np.float32(y)
                    where[k, 2] += np.float32(1.0)
            for k in range(found):
                f, g, amount = front[k, 0], front[k, 1], where[k, 2]
                px, py = where[k, 0] / amount + np.float32(0.5), where[k, 1] / amount + np.float32(0.5)
                solid = np.float32(0.0)
                colour[0], colour[1], colour[2] = background[0], background[1], background[2]
                name, z = 0, np.float32(0.0)
                if f >= 0:
                    z = _sample(f, px, py, screen, nearness, vertices, faces, attributes, values)
                    shade_sample(values, eye, materials[material[f]], lighting, colour)
                    solid, name = np.float32(1.0), label[f]
                if g >= 0:
                    glass_z = _sample(g, px, py, screen, nearness, vertices, faces, attributes, values)
                    shine = shade_sample(values, eye, materials[material[g]], lighting, glass)
                    a = min(np.float32(1.0), opacity[g] + shine)
                    for c in range(3):
                        colour[c] = a * glass[c] + (np.float32(1.0) - a) * colour[c]
                    solid = a + (np.float32(1.0) - a) * solid
                    if f < 0 or opacity[g] >= np.float32(0.5):
                        name, z = label[g], glass_z
                red += amount * colour[0]
                green += amount * colour[1]
                blue += amount * colour[2]
                covered += amount * solid
                if f >= 0 or g >= 0:
                    votes[name] += int(amount)
                    depths[name] += amount * z
            rgb[row, column, 0] = red * share
            rgb[row, column, 1] = green * share
            rgb[row, column, 2] = blue * share
            covered *= share
            mask[row, column] = covered
            best = 0
            for name in range(1, NUM_LABELS):
                if votes[name] > votes[best]:
                    best = name
            if best > 0 and covered >= np.float32(0.5):
                labels[row, column] = best
                depth[row, column] = depths[best] / np.float32(votes[best])
