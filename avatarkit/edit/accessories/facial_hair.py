"""Beards and moustaches: where hair grows on a face, and the locks that grow there.  They move with the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import COVER, Discs, discs, together
from avatarkit.edit.accessories.materials import material
from avatarkit.edit.accessories.painting import Piece
from avatarkit.edit.accessories.strands import curled, grown, locks, off_skin, strewn, thinned
from avatarkit.edit.accessories.vectors import SIDES, resampled, rounded, smooth_step, unit
from avatarkit.edit.accessories.wishes import Wish
from avatarkit.types import FloatArray, IntArray

SPACING = 0.0012  # metres between the places where a lock may grow
OFF_LIPS = (0.0014, 0.0036)  # metres from the red of the lips: none, all
LOCKS, COATS = 3250, 740  # Gaussians: of locks, and of the layer under them
# Of a beard: metres of its longest locks, standard deviation across a lock, pieces of a lock.
FORMS: dict[str, tuple[float, float, int]] = {
    "": (0.013, 0.00055, 2), "full": (0.017, 0.00060, 2), "short": (0.0055, 0.00045, 1), "stubble": (0.0016, 0.00022, 1),
    "goatee": (0.015, 0.00055, 2),
}  # fmt: skip
# A handlebar's line, from beside the philtrum out and up: distances between the eyes from the middle of the mouth.
GUIDE = np.array([[0.22, 0.10], [0.36, 0.05], [0.50, 0.02], [0.62, 0.06], [0.70, 0.15], [0.70, 0.25], [0.63, 0.30]])
TUFT = 46  # locks in it
CURLS = {"curly": 0.0018, "wavy": 0.0012}  # metres, radius of a curl
STUBBLE_COAT, COAT = 0.22, 0.88  # opacity of the layer under the locks
UNDER = 0.80  # its brightness, of theirs
LYING = 0.008  # metres from where hair grows within which a piece of a lock lies on that skin; beyond, it hangs from its root


@dataclass(frozen=True)
class _Places:
    """P places on the lower face: points, normals (P, 3), triangles (P,); across, up (P,): from the middle of the mouth, in
    distances between the eyes, across without its sign; turn (P,): degrees from the front around the head; lips (P,): metres
    from the red; edge (P,): how far up the red reaches that far across, 0 beyond the corners."""

    points: FloatArray
    normals: FloatArray
    triangles: IntArray
    across: FloatArray
    up: FloatArray
    turn: FloatArray
    lips: FloatArray
    edge: FloatArray


@dataclass(frozen=True)
class _Growth:
    """What grows at P places: density (P,); lengths (P,) metres; flow (P, 3): unit, along the skin; thin: standard deviation
    across a lock, metres; pieces of a lock; bulk: how far it stands off; stubble: too short to lie."""

    density: FloatArray
    lengths: FloatArray
    flow: FloatArray
    thin: float
    pieces: int
    bulk: float
    stubble: bool


def beards(wish: Wish, anatomy: Anatomy, seed: int) -> tuple[list[Piece], IntArray]:
    """The pieces at rest in the world, and the triangle (N,) that carries each disc."""
    random = np.random.default_rng([seed, 3])
    places = _places(anatomy)
    form = wish.form if wish.form in FORMS else ""
    longest, thin, pieces = FORMS[form]
    long = longest * wish.factor("length", "height") * anatomy.scale
    bulk = wish.only("thickness", "depth", "width")
    if form != "stubble" and (long > 0.02 or wish.form in CURLS):
        pieces = 3
    density = _goatee(places, anatomy) if form == "goatee" else _beard(places, anatomy)
    over_lip = _moustache(places, anatomy, 1.0)
    density = np.maximum(density, 1.6 * over_lip)
    chin = smooth_step(0.75, 0.15, places.across) * smooth_step(-0.15, -0.45, places.up)
    lengths = long * (0.58 + 0.42 * chin) * (0.35 + 0.65 * np.minimum(density, 1.0))
    lengths = np.where(1.6 * over_lip > density - 1e-9, np.minimum(lengths, 0.009), lengths)
    flow = _downwards(places, anatomy)
    growth = _Growth(density, lengths, flow, thin * bulk**0.5, pieces, bulk, form == "stubble")
    return _grow(wish, anatomy, places, growth, random)


def moustaches(wish: Wish, anatomy: Anatomy, seed: int) -> tuple[list[Piece], IntArray]:
    """The pieces at rest in the world, and the triangle (N,) that carries each disc."""
    random = np.random.default_rng([seed, 5])
    places = _places(anatomy)
    bulk, wide = wish.factor("thickness", "height", "depth"), wish.factor("width", "length")
    slim = {"short": 0.62, "line": 0.40, "dot": 0.75, "stubble": 0.8}.get(wish.form, 1.0)
    density = _moustache(places, anatomy, bulk * slim, wide * (0.86 if wish.form == "curly" else 1.0))
    if wish.form in ("dot", "square"):  # a toothbrush
        density *= smooth_step(0.30, 0.24, places.across)
    stubble = wish.form == "stubble"
    long = (0.0016 if stubble else 0.0095) * bulk**0.5 * slim**0.5 * wish.only("length") ** 0.5 * anatomy.scale
    lengths = long * (0.55 + 0.45 * np.minimum(density, 1.0)) * (1.25 if wish.form == "full" else 1.0)
    sides = np.sign(places.points[:, 0] - anatomy.middle)
    outwards = np.stack([sides * (0.35 + 1.6 * np.clip(places.across / 0.4, 0, 1)), -0.70 + 0 * sides, 0 * sides], 1)
    flow = _along(outwards, places.normals)
    growth = _Growth(density, lengths, flow, 0.00055 * bulk**0.5, 2, bulk, stubble)
    made, owners = _grow(wish, anatomy, places, growth, random)
    if wish.form in ("curly", "wavy"):
        tips, under = _handlebars(wish, anatomy, bulk, random)
        made.append(Piece(tips, wish.colour, wish.material))
        owners = np.concatenate([owners, under])
    return made, owners


def _places(anatomy: Anatomy) -> _Places:
    skin, regions = anatomy.skin, anatomy.regions
    lips = regions["u_lip"] | regions["l_lip"] | regions.get("mouth", regions["u_lip"])
    corners = skin.vertices[skin.faces].mean(1)
    low, high = anatomy["chin"][1] - 0.75 * anatomy.unit, anatomy["l_ear_root"][1]
    no_ear = ~(regions["l_ear"] | regions["r_ear"])[skin.faces].any(1)
    kept = np.intersect1d(
        skin.kept, np.flatnonzero((corners[:, 1] > low) & (corners[:, 1] < high) & no_ear & ~lips[skin.faces].any(1))
    )
    spread = skin.spread(SPACING, kept)
    mouth = 0.5 * (anatomy["l_mouth"] + anatomy["r_mouth"])
    axis = 0.5 * (anatomy["l_lobe"][2] + anatomy["r_lobe"][2])
    offset = spread.points - mouth
    turn = np.degrees(np.arctan2(np.abs(spread.points[:, 0] - anatomy.middle), spread.points[:, 2] - axis))
    raised = spread.points + anatomy.flesh(spread.points)[:, None] * spread.normals
    red = anatomy.spread.points[lips[skin.faces[anatomy.spread.triangles]].any(1)]
    gaps = np.asarray(cKDTree(red).query(spread.points)[0])
    across = np.abs(spread.points[:, 0] - anatomy.middle) / anatomy.unit
    columns = np.linspace(0.0, 0.5, 21)
    column = np.digitize(np.abs(red[:, 0] - anatomy.middle) / anatomy.unit, columns) - 1
    tops = [red[column == k, 1].max() if (column == k).any() else mouth[1] for k in range(len(columns))]
    edge = np.interp(across, columns + 0.0125, (np.array(tops) - mouth[1]) / anatomy.unit)
    return _Places(raised, spread.normals, spread.triangles, across, offset[:, 1] / anatomy.unit, turn, gaps, edge)


def _beard(places: _Places, anatomy: Anatomy) -> FloatArray:
    """(P,) how densely hair grows: cheeks below a line from the sideburns to the mouth, jaw, chin and a little under it."""
    unit_, mouth = anatomy.unit, 0.5 * (anatomy["l_mouth"][1] + anatomy["r_mouth"][1])
    lobe = (0.5 * (anatomy["l_lobe"][1] + anatomy["r_lobe"][1]) - mouth) / unit_
    root = (0.5 * (anatomy["l_ear_root"][1] + anatomy["r_ear_root"][1]) - mouth) / unit_
    under_lip = (anatomy["lip_bottom"][1] - mouth) / unit_
    angles = np.array([0, 8, 16, 22, 34, 48, 62, 74, 84, 95])
    upper = np.interp(places.turn, angles, [
        under_lip - 0.10, under_lip - 0.06, -0.02, 0.10, 0.12, 0.16, 0.6 * lobe + 0.08, lobe + 0.10, 0.5 * (lobe + root), root,
    ])  # fmt: skip
    # Along the jaw, from the chin to a little below the ear, as it is seen from the side.
    ear = 0.5 * (anatomy["l_lobe"] + anatomy["r_lobe"])
    corner = ear[1:] + np.array([-0.62, 0.10]) * unit_
    jaw = np.interp(places.points[:, 2], [corner[1], anatomy["chin"][2]], [corner[0], anatomy["chin"][1]])
    dense = smooth_step(0.05, -0.07, places.up - upper)
    dense *= smooth_step(-0.20, -0.10, (places.points[:, 1] - jaw) / unit_) * smooth_step(95.0, 86.0, places.turn)
    # A bare patch on either side of the tuft under the lip.
    bare = smooth_step(0.10, 0.16, places.across) * smooth_step(0.42, 0.34, places.across)
    bare *= smooth_step(under_lip - 0.16, under_lip - 0.04, places.up)
    return dense * (1 - 0.8 * bare) * smooth_step(*OFF_LIPS, places.lips)


def _goatee(places: _Places, anatomy: Anatomy) -> FloatArray:
    """(P,) the chin, and a strip beside the mouth up to the moustache."""
    beard = _beard(places, anatomy)
    chin = smooth_step(0.52, 0.42, places.across) * smooth_step(0.0, -0.12, places.up)
    corner = 0.5 * np.abs(anatomy["l_mouth"][0] - anatomy["r_mouth"][0]) / anatomy.unit
    strip = smooth_step(0.13, 0.07, np.abs(places.across - corner - 0.07)) * smooth_step(0.12, 0.04, places.up)
    strip *= smooth_step(-0.75, -0.55, places.up) * smooth_step(*OFF_LIPS, places.lips) * (places.turn < 60)
    return np.maximum(beard * chin, strip)


def _moustache(places: _Places, anatomy: Anatomy, bulk: float, wide: float = 1.0) -> FloatArray:
    """(P,) between nose and upper lip, out to the corners of the mouth."""
    mouth = 0.5 * (anatomy["l_mouth"] + anatomy["r_mouth"])
    corner = 0.5 * np.abs(anatomy["l_mouth"][0] - anatomy["r_mouth"][0]) / anatomy.unit
    base = (anatomy["septum"][1] - mouth[1]) / anatomy.unit
    end = (corner + 0.10) * wide
    share = places.across / end
    # The upper edge falls from below the nose to the corners; a slimmer one keeps to the lip.
    lower = places.edge + np.interp(share, [0.0, 0.7, 1.0], [0.03, 0.03, -0.05])
    tall = np.interp(share, [0.0, 0.35, 0.7, 1.0], [base - 0.02, base - 0.03, 0.60 * base, 0.10]) - lower
    upper = np.minimum(lower + tall * min(bulk, 1.4), base - 0.01)
    soft = 0.03 * min(1.0, bulk)
    dense = smooth_step(soft, -soft, places.up - upper) * smooth_step(-0.04, 0.0, places.up - lower)
    dense *= smooth_step(1.04, 0.92, share) * smooth_step(*OFF_LIPS, places.lips)
    return dense * (places.turn < 60)


def _downwards(places: _Places, anatomy: Anatomy) -> FloatArray:
    """(P, 3) how a beard lies: down and forward on the cheeks, out and down from the lip, forward under the chin."""
    sides = np.sign(places.points[:, 0] - anatomy.middle)
    over_lip = (places.up > -0.05) & (places.across < 0.55)
    flow = np.stack([np.where(over_lip, 0.9 * sides, 0.0), np.full(len(sides), -1.0), np.where(over_lip, 0.0, 0.35)], 1)
    return _along(flow, places.normals)


def _along(flow: FloatArray, normals: FloatArray) -> FloatArray:
    return unit(flow - (flow * normals).sum(1, keepdims=True) * normals)


def _grow(
    wish: Wish, anatomy: Anatomy, places: _Places, growth: _Growth, random: np.random.Generator
) -> tuple[list[Piece], IntArray]:
    """A soft layer on the skin and locks over it, and the triangle under each disc."""
    weights = np.clip(growth.density, 0.0, 1.0)
    growing = np.flatnonzero(weights > 0.05)
    coat = thinned(growing, weights, COATS, random)
    spacing = COVER * np.sqrt(len(growing) * SPACING**2 / max(1, len(coat)))
    under = discs(
        places.points[coat] + 0.0004 * places.normals[coat], places.normals[coat], growth.flow[coat],
        np.tile([1.2 * spacing, 0.9 * spacing, 0.0003], (len(coat), 1)), None, 1.0,
        (STUBBLE_COAT if growth.stubble else COAT) * weights[coat] ** 0.8,
    )  # fmt: skip
    own = thinned(growing, growth.density, LOCKS // growth.pieces, random)
    points, normals, flow = places.points[own], places.normals[own], growth.flow[own]
    inwards = 0.7 * np.clip((anatomy.middle - points[:, :1]) / anatomy.unit, -0.6, 0.6) * np.array([1.0, 0.0, 0.0])
    hang = unit(0.5 * flow + np.array([0.0, -1.0, 0.0]) + 0.35 * growth.bulk * normals + inwards)
    flat = smooth_step(20.0, 60.0, places.turn[own])  # on the cheeks it lies down
    paths = grown(
        points, normals, flow + (0.5 if growth.stubble else 0.3) * random.standard_normal((len(own), 3)),
        growth.lengths[own] * random.uniform(0.75, 1.15, len(own)), growth.pieces,
        lift=(0.8 - 0.5 * flat) * growth.bulk, hang=hang,
    )  # fmt: skip
    if wish.form in CURLS:
        paths = curled(paths, CURLS[wish.form], random)
    paths = off_skin(paths, anatomy, np.linspace(0.0006, 0.0008 if growth.stubble else 0.0020, growth.pieces + 1))
    hair = locks(paths, normals, np.full(len(own), growth.thin), root_shade=0.75)
    colours = strewn(wish.colour, len(own), growth.pieces, random)
    carried = _beneath(hair.points, np.repeat(own, growth.pieces), growing, places)
    owners = np.concatenate([places.triangles[coat], places.triangles[carried]])
    shade = wish.colour if growth.stubble else UNDER * wish.colour
    return [Piece(under, shade, material("undercoat")), Piece(hair, colours, wish.material)], owners


def _beneath(points: FloatArray, roots: IntArray, growing: IntArray, places: _Places) -> IntArray:
    """(N,) the place whose skin carries each piece of a lock: of those where hair is ``growing``, the nearest on its root's side of the mouth.

    Skin stretches under hair that lies on it, so that pieces of a lock go with what is below each of them; on the root's triangle alone
    tips of a moustache slide over a smile by a third of their length.  points (N, 3); roots (N,) places that they grow from.
    """
    found = roots.copy()
    for above in (True, False):
        here = growing[(places.up[growing] > 0) == above]
        own = np.flatnonzero((places.up[roots] > 0) == above)
        if len(here) and len(own):
            gaps, nearest = cKDTree(places.points[here]).query(points[own])
            lying = np.asarray(gaps) < LYING
            found[own[lying]] = here[np.asarray(nearest)[lying]]
    return found


def _handlebars(wish: Wish, anatomy: Anatomy, bulk: float, random: np.random.Generator) -> tuple[Discs, IntArray]:
    """Two tufts that run out along the lip and curl up at their ends, and the triangle under each piece."""
    wide = anatomy.unit * wish.only("width", "length") ** 0.5
    guide = GUIDE if wish.form == "curly" else GUIDE[:5]
    guide = rounded(resampled(guide, 13), 1)
    mouth = 0.5 * (anatomy["l_mouth"] + anatomy["r_mouth"])
    made, owners = [], []
    for side in SIDES.values():
        x, y = anatomy.middle + side * guide[:, 0] * wide, mouth[1] + guide[:, 1] * wide
        depth = anatomy.front(x, y) + np.interp(guide[:, 0], [0.2, 0.7], [0.003, 0.006])
        line = np.stack([x, y, np.maximum(depth, depth.max() - 0.022)], 1)
        turn, radius = 2 * np.pi * random.random(TUFT), 0.0034 * bulk * np.sqrt(random.random(TUFT))
        ring = np.stack([0 * turn, np.cos(turn) * radius, np.sin(turn) * radius], 1)
        paths = line[None] + ring[:, None] * np.linspace(1.0, 0.16, len(line))[None, :, None]
        normals = unit(ring + np.array([0.0005 * side, 0.0005, 0.002]))
        made.append(locks(paths, normals, np.full(TUFT, 0.0007), root_shade=0.9))
        held = anatomy.skin.nearest(line[:1] + np.array([[0.12 * wide * side, 0.0, 0.0]])).triangles[0]
        owners.append(np.full(len(made[-1]), held))
    return together(made), np.concatenate(owners)
