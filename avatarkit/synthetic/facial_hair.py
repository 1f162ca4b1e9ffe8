"""Brows, lashes, beards and moustaches: short ribbons rooted on triangles of the face, so that they move with it."""

from __future__ import annotations

import numpy as np

from avatarkit.head.bust.skin import MARGIN_RING
from avatarkit.synthetic import face
from avatarkit.synthetic.anatomy import outer_skin, rest
from avatarkit.synthetic.appearance import Appearance, rgb
from avatarkit.synthetic.materials import STRAND, Material, linear
from avatarkit.synthetic.parts import Part, Skin, ribbons, unit
from avatarkit.types import FloatArray, IntArray

_HAIRS = Material(STRAND, gloss=0.02, shininess=40.0, mottle=0.25, two_sided=True)
_LASHES = Material(STRAND, gloss=0.0, shininess=40.0, two_sided=True)


def _part(
    lines: FloatArray, widths: FloatArray, outward: FloatArray, roots: IntArray, bary: FloatArray, colour: FloatArray,
    label: str, rng: np.random.Generator, material: Material = _HAIRS,
) -> Part:  # fmt: skip
    chance = rng.random(len(lines))
    points, faces, normals, tangents, texture = ribbons(lines, widths, outward, chance)
    each = lines.shape[1] * 2
    tone = np.repeat(0.75 + 0.5 * chance, each)[:, None]
    return Part(
        points * 1e-3, faces, normals, colour * tone, material, label, texture, tangents,
        root_face=np.repeat(roots, each), root_bary=np.repeat(bary, each, 0),
    )  # fmt: skip


def _strands(
    skin: Skin, density: FloatArray, count: int, length: FloatArray | float, combed: FloatArray, lift: float, droop: float,
    rng: np.random.Generator, knots: int = 4, stray: float = 0.22,
) -> tuple[FloatArray, FloatArray, IntArray, FloatArray]:  # fmt: skip
    """Short hairs (count, knots, 3) mm: roots by ``density``, leaning along ``combed`` (V, 3)."""
    points, normals, pick, bary = skin.sample(count, density, rng)
    lean = (bary[..., None] * combed[skin.faces[pick]]).sum(1) + stray * rng.normal(size=(count, 3))
    lean = unit(lean - normals * (lean * normals).sum(1, keepdims=True))
    reach = np.broadcast_to(length, (count,)) * rng.uniform(0.7, 1.25, count)
    t = np.linspace(0, 1, knots)[None, :, None]
    flat = lean[:, None] * t + normals[:, None] * (lift * t * (1 - 0.35 * t)) + np.array([0.0, -droop, 0.0]) * t**2
    return points[:, None] + flat * reach[:, None, None] + 0.15 * normals[:, None], normals, pick, bary


def brow_parts(look: Appearance, rng: np.random.Generator) -> list[Part]:
    """Both brows, one part each: the subject's left one is ``l_brow``."""
    skin, parts = outer_skin(), []
    density = face.brow_density(skin.points, look.brow_thickness)
    side = np.sign(skin.points[:, 0])
    t = np.clip((np.abs(skin.points[:, 0]) - 12.0) / 42.0, 0, 1)
    combed = np.stack([side * (0.35 + t), 0.9 * (1 - t) ** 1.5 - 0.35 * t, -0.2 * t], 1)
    for label, which in (("l_brow", 1), ("r_brow", -1)):
        lines, normals, pick, bary = _strands(
            skin, density * (side == which), int(340 * look.brow_thickness), 5.2, combed, 0.14, 0.0, rng, stray=0.12
        )
        widths = np.linspace(0.5, 0.18, lines.shape[1])[None] * np.ones((len(lines), 1))
        outward = np.repeat(normals[:, None], lines.shape[1], 1)
        roots = np.asarray(_face_ids(skin))[pick]
        parts.append(_part(lines, widths, outward, roots, bary, linear(rgb(look.brows)), label, rng))
    return parts


def _face_ids(skin: Skin) -> IntArray:
    """The index in ``bust``'s faces of each face of the outer skin."""
    bust = rest()
    outer = bust.parts["skin"] | bust.parts["eyelid"] | bust.parts["lip_border"] | bust.parts["lips"]
    return np.flatnonzero(outer[bust.faces].all(1))


def lash_parts(look: Appearance, rng: np.random.Generator) -> list[Part]:
    """Upper and lower lashes, rooted on the lids' margins."""
    bust = rest()
    ring = bust.grids["eye"][MARGIN_RING]
    before = bust.grids["eye"][MARGIN_RING - 1]
    count = len(ring)
    home = {tuple(sorted(f)): k for k, f in enumerate(bust.faces.tolist())}
    lines, outs, roots, bary, sizes = [], [], [], [], []
    for k in range(count):
        following = (k + 1) % count
        candidates = [
            (a, b, c)
            for a, b, c in ((ring[k], ring[following], before[k]), (ring[k], ring[following], before[following]))
            if tuple(sorted((int(a), int(b), int(c)))) in home
        ]
        if not candidates:
            continue
        a, b, c = candidates[0]
        upper = 0 < k < count // 2
        for _ in range(7 if upper else 3):
            share = rng.random()
            for mirrored in (False, True):
                ids = [int(bust.mirror[i]) if mirrored else int(i) for i in (a, b)]
                triangle = [int(bust.mirror[i]) if mirrored else int(i) for i in (a, b, c)]
                key = tuple(sorted(triangle))
                if key not in home:
                    continue
                face_id = home[key]
                root = bust.points[ids[0]] * (1 - share) + bust.points[ids[1]] * share
                weight = [0.0, 0.0, 0.0]
                for vertex, amount in zip(ids, (1 - share, share), strict=True):
                    weight[bust.faces[face_id].tolist().index(vertex)] = amount
                mirror_x = -1.0 if mirrored else 1.0
                centre = np.array([mirror_x * 31.5, 30.0, 45.0])
                out = unit(root - centre)
                fan = mirror_x * (root[0] * mirror_x - 31.0) / 14.0
                lift = 1.0 if upper else -0.7
                length = (6.8 if upper else 3.2) * rng.uniform(0.7, 1.15) * (0.75 + 0.25 * mirror_x * fan)
                way = unit(np.array([0.55 * fan + 0.07 * rng.normal(), 0.10 * lift, 1.0]))
                t = np.linspace(0, 1, 5)[:, None]
                curve = root + length * (way * t + np.array([0.0, 0.75 * lift, -0.15]) * t**2) + 0.1 * out
                lines.append(curve)
                outs.append(np.tile(unit(np.array([0.0, 0.7 * lift, 0.7])), (5, 1)))
                roots.append(face_id)
                bary.append(weight)
                sizes.append(0.46 if upper else 0.26)
    widths = np.array(sizes)[:, None] * np.linspace(1.0, 0.3, 5)[None]
    return [
        _part(np.array(lines), widths, np.array(outs), np.array(roots), np.array(bary), linear(rgb(look.lashes)), "skin", rng,
              _LASHES)
    ]  # fmt: skip


_BEARD = {"stubble": (2400, 2.0, 0.6), "short": (3600, 6.5, 0.8), "goatee": (1500, 9.0, 0.8), "full": (4200, 17.0, 1.2)}


def beard_parts(look: Appearance, rng: np.random.Generator) -> list[Part]:
    """Beard and moustache; their label is skin, as in CelebAMask-HQ."""
    skin, parts = outer_skin(), []
    bust = rest()
    bare = np.zeros(len(bust.points))
    bare[bust.parts["skin"] | bust.parts["lip_border"]] = 1.0
    colour = linear(rgb(look.beard_colour))
    ids = _face_ids(skin)
    side = np.sign(skin.points[:, 0])
    if look.beard != "none":
        count, length, width = _BEARD[look.beard]
        density = face.beard_density(skin.points, look.beard) * bare
        combed = np.stack([-0.10 * side, -np.ones(len(side)), 0.25 * np.ones(len(side))], 1)
        lines, normals, pick, bary = _strands(skin, density, count, length, combed, 0.45, 0.15, rng, 5)
        # longest at the chin, short towards the cheeks
        chin = np.exp(-((lines[:, :1, 0] / 34.0) ** 2)) * (0.35 + 0.65 * (lines[:, :1, 1] < -58))
        scale = (0.40 + 0.60 * chin)[..., None] if look.beard != "stubble" else 1.0
        lines = lines[:, :1] + (lines - lines[:, :1]) * scale
        widths = width * np.linspace(1.0, 0.35, lines.shape[1])[None] * np.ones((len(lines), 1))
        outward = np.repeat(normals[:, None], lines.shape[1], 1)
        parts.append(_part(lines, widths, outward, ids[pick], bary, colour, "skin", rng))
    if look.moustache != "none":
        density = face.moustache_density(skin.points) * bare
        combed = np.stack([0.9 * side, -0.65 * np.ones(len(side)), 0.1 * np.ones(len(side))], 1)
        lines, normals, pick, bary = _strands(skin, density, 1000, 8.0, combed, 0.42, 0.12, rng)
        widths = 0.85 * np.linspace(1.0, 0.35, lines.shape[1])[None] * np.ones((len(lines), 1))
        outward = np.repeat(normals[:, None], lines.shape[1], 1)
        parts.append(_part(lines, widths, outward, ids[pick], bary, colour, "skin", rng))
    return parts
