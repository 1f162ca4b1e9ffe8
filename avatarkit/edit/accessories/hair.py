"""A head of hair for a bald one: locks that are combed from the forehead back and to the sides, and hang from there."""

from __future__ import annotations

import numpy as np

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import COVER, discs
from avatarkit.edit.accessories.materials import material
from avatarkit.edit.accessories.painting import Piece
from avatarkit.edit.accessories.strands import curled, locks, strewn, thinned
from avatarkit.edit.accessories.vectors import smooth_step, unit
from avatarkit.edit.accessories.wishes import Wish
from avatarkit.errors import InputError
from avatarkit.types import FloatArray

# Metres of a lock, metres that the outermost stand off the skull.
FORMS = {
    "": (0.070, 0.013), "short": (0.026, 0.008), "full": (0.110, 0.022), "straight": (0.075, 0.012), "wavy": (0.085, 0.017),
    "curly": (0.075, 0.026),
}  # fmt: skip
CURLS = {"wavy": 0.0030, "curly": 0.0052}
SPACING = 0.0026  # metres between the places where a lock may grow
PIECES, COATS, STEP = 5600, 1300, 0.013  # Gaussians of locks and of the layer under them; metres of a piece
UNDER = 0.70  # brightness of that layer
HAIRLINE = 0.45  # of the scalp's mask, which is soft at its edge


def hair(wish: Wish, anatomy: Anatomy, seed: int) -> list[Piece]:
    """The pieces at rest, in the world."""
    random = np.random.default_rng([seed, 7])
    form = wish.form if wish.form in FORMS else ""
    long, volume = FORMS[form]
    scale = anatomy.scale
    long *= wish.factor("length", "height") * scale
    volume *= wish.factor("thickness", "width", "depth") * scale
    skin = anatomy.skin
    if "scalp" not in anatomy.regions:
        raise InputError("hair: this head model has no region 'scalp' to grow it on")
    mask = anatomy.regions["scalp"].astype(float)
    spread = skin.spread(SPACING, np.intersect1d(skin.kept, np.flatnonzero(mask[skin.faces].any(1))))
    grows = smooth_step(
        HAIRLINE - 0.2, HAIRLINE + 0.2, (mask[skin.faces[spread.triangles]] * spread.barycentrics).sum(1)
    )
    growing = np.flatnonzero(grows > 0.05)
    coat = thinned(growing, grows, COATS, random)
    spacing = np.sqrt(len(growing) * SPACING**2 / max(1, len(coat)))
    flow = _combed(spread.points[coat], spread.normals[coat], anatomy)
    under = discs(
        spread.points[coat] + 0.0012 * spread.normals[coat], spread.normals[coat], flow,
        np.tile([1.5 * COVER * spacing, 1.2 * COVER * spacing, 0.0006], (len(coat), 1)), None, 1.0, grows[coat] ** 0.7,
    )  # fmt: skip
    pieces = int(np.clip(np.ceil(long / STEP), 2, 12))
    roots = thinned(growing, grows, PIECES // pieces, random)
    lengths = long * random.uniform(0.72, 1.08, len(roots))
    layer = random.random(len(roots)) ** 0.7
    paths = _laid(
        spread.points[roots], spread.normals[roots], lengths, 0.0012 + volume * layer, pieces, anatomy, random
    )
    if form in CURLS:
        paths = curled(paths, CURLS[form] * scale, random)
    faced = skin.nearest(paths[:, 1:].reshape(-1, 3)).normals.reshape(len(roots), pieces, 3)
    thick = np.full(len(roots), 0.0011 * np.sqrt(wish.only("thickness")))
    made = locks(paths, faced, thick, root_shade=0.85)
    colours = strewn(wish.colour, len(roots), pieces, random)
    return [
        Piece(under, UNDER * wish.colour, material("undercoat")),
        Piece(made, colours, wish.material),
    ]


def _combed(points: FloatArray, normals: FloatArray, anatomy: Anatomy) -> FloatArray:
    """(N, 3) unit, along the skin: up and back from the forehead, to the sides from the parting, down elsewhere."""
    side = points[:, 0] - anatomy.middle
    parting = (
        smooth_step(-0.5, 0.2, normals[:, 2] + 0.4 * normals[:, 1])
        * np.sign(side)
        * smooth_step(0.0, 0.004, np.abs(side))
        * np.exp(-((side / (0.45 * anatomy.width)) ** 2))
    )
    front = smooth_step(0.15, 0.65, normals[:, 2])
    way = np.stack([0.9 * parting, -1.0 + 1.35 * front, -0.45 - 0.75 * front], 1)
    return unit(way - (way * normals).sum(1, keepdims=True) * normals)


def _laid(
    roots: FloatArray,
    normals: FloatArray,
    lengths: FloatArray,
    height: FloatArray,
    pieces: int,
    anatomy: Anatomy,
    random: np.random.Generator,
) -> FloatArray:
    """(S, pieces + 1, 3) locks that follow the head at ``height`` (S,) metres, and fall free below its widest part."""
    skin = anatomy.earless  # hair goes behind the ears, not over them
    step = lengths / pieces
    sway = 0.16 * random.standard_normal((len(roots), 3))
    low = 0.5 * (anatomy["l_lobe"][1] + anatomy["r_lobe"][1])
    path = [roots]
    at, normal = roots, normals
    for piece in range(pieces):
        share = (piece + 1) / pieces
        falling = smooth_step(low + 0.03, low - 0.03, at[:, 1])[:, None]
        way = (1 - falling) * (_combed(at, normal, anatomy) + sway) + falling * np.array([0.0, -1.0, 0.0])
        if piece == 0:
            way = way + 0.8 * normal
        at = at + step[:, None] * unit(way)
        near = skin.nearest(at)
        normal = near.normals
        wanted = height * min(1.0, 0.45 + 1.1 * share) + anatomy.flesh(near.points)
        lift = wanted - near.heights
        # Held at its height while it lies on the head; only kept out of the skin once it hangs.
        lift = np.where(falling[:, 0] > 0.5, np.maximum(np.maximum(0.003, 0.5 * wanted) - near.heights, 0.0), lift)
        at = at + np.clip(lift, -0.6 * step, 0.02)[:, None] * normal
        path.append(at)
    return np.stack(path, 1)
