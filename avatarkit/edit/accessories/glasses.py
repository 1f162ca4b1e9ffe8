"""Glasses and sunglasses: rims, bridge, lenses, arms to the ears.

Built in the eyes' frame: origin between the eyes, x to the subject's left along the pupils, y up, z forward; metres.
Proportions are millimetres of a head whose eyes are 63 mm apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.discs import (
    Discs,
    ball_discs,
    boxy_profile,
    discs,
    round_profile,
    together,
    tube_discs,
)
from avatarkit.edit.accessories.materials import METALS, material
from avatarkit.edit.accessories.outlines import LENSES, lens
from avatarkit.edit.accessories.painting import Piece
from avatarkit.edit.accessories.vectors import SIDES, resampled, rounded, unit
from avatarkit.edit.accessories.wishes import Wish
from avatarkit.types import BoolArray, FloatArray

RIM_POINTS, ARM_POINTS = 48, 27
WRAP = 2.0  # 1/m: how much the front bends around the face: depth = −WRAP·x²
TILT = 0.11  # the top of the front leans forward
FROM_EYE = 0.0135  # metres from the front of the eye to the lens
NOSE_GAP = 0.0170  # least distance between the lenses
CLEAR = 0.0016  # metres that a frame keeps off the skin
FURTHEST = 0.014  # metres that a front is moved forward at most, to clear brows, cheeks and nose
HINGE = 0.45  # of the lens' half height, where the arms begin
HOOK = 0.036  # metres of an arm behind the ear
PADS = np.array([0.86, 0.82, 0.78])  # sRGB
# Of lenses: opacity of a disc, sRGB colour, metres between discs.
CLEAR_LENS = 0.030, np.array([0.90, 0.95, 1.0]), 0.0060
DARK_LENS = 0.62, np.array([0.075, 0.078, 0.085]), 0.0036


@dataclass(frozen=True)
class _Front:
    """centre (3,) of the left lens; half (2,): half width and height; outline (P, 2) of half 1; forward: added to the depth."""

    centre: FloatArray
    half: FloatArray
    outline: FloatArray
    forward: float

    def at(self, flat: FloatArray) -> FloatArray:
        """(…, 3) on the front's curved face of points (…, 2) in it."""
        x, y = flat[..., 0], flat[..., 1]
        depth = self.centre[2] + self.forward - WRAP * (x**2 - self.centre[0] ** 2) + TILT * (y - self.centre[1])
        return np.stack([x, y, depth], -1)

    def rim(self, grown: float = 0.0) -> FloatArray:
        """(P, 3) the left lens' edge, ``grown`` metres wider."""
        return self.at(self.centre[:2] + self.outline * (self.half + grown))


def glasses(wish: Wish, anatomy: Anatomy) -> list[Piece]:
    """The pieces at rest, in the world."""
    scale = anatomy.scale
    dark = wish.target == "sunglasses"
    wire = wish.material.name in METALS
    thick = scale * wish.only("thickness") * wish.factor() ** 0.5
    wide = (0.00115 if wire else 0.0031) * thick * (1.12 if dark else 1.0)
    deep = (0.00115 if wire else 0.0034) * thick * wish.only("depth")
    profile = round_profile(wide, 6) if wire else boxy_profile(wide, deep)
    eyes = 0.5 * (anatomy["l_eye"] + anatomy["r_eye"])
    front = _fitted(_front(wish, anatomy, scale, dark), anatomy, eyes, 0.5 * max(wide, deep))
    rim = front.rim()
    outward = unit(rim - front.at(front.centre[:2]))
    up = np.array([0.0, 1.0, 0.0])
    bridge = tube_discs(_bridge(front, anatomy, eyes, wide), profile, up=up)
    arm = _arm(front, anatomy, eyes, wide)
    slim = boxy_profile(0.0017 * thick, 0.0017 * thick, 6) if wire else boxy_profile(0.0042 * thick, 0.0020 * thick, 6)
    tapering = np.interp(np.linspace(0, 1, len(arm)), [0, 0.15, 0.75, 1], [1.15, 1.0, 0.85, 0.9])
    left = together([tube_discs(rim, profile, closed=True, up=outward), tube_discs(arm, slim, up=up, sizes=tapering)])
    both = together([left, left.mirrored(0.0), bridge])
    pieces = [Piece(both.turned(anatomy.axes, eyes), wish.colour, wish.material)]
    if wire:
        pad = _pad(front, anatomy, eyes)
        pads = together([pad, pad.mirrored(0.0)]).turned(anatomy.axes, eyes)
        pieces.append(Piece(pads, PADS, material("glass")))
    pane, tint = _pane(front, deep, dark)
    panes = together([pane, pane.mirrored(0.0)]).turned(anatomy.axes, eyes)
    pieces.append(Piece(panes, np.concatenate([tint, tint]), material("lens")))
    return pieces


def _front(wish: Wish, anatomy: Anatomy, scale: float, dark: bool) -> _Front:
    form = wish.form if wish.form in LENSES else ""
    half = np.array(LENSES[form]) * 1e-3 * scale
    if dark and form == "":
        half = half * np.array([1.10, 1.08])
    eyes, gap, wider = 0.5 * anatomy.unit, 0.5 * NOSE_GAP * scale, wish.factor("width", "length")
    inner = max(gap, eyes - half[0])  # where a lens begins
    # A greater front is so many times wider as a whole, and its gap over the nose stays; of a smaller one the lenses shrink.
    wide = 0.5 * (wider * (inner + 2 * half[0]) - inner) if wider > 1 else wider * half[0]
    half = np.array([wide, half[1] * wish.factor("height")])
    inner = max(gap, eyes - half[0])
    pupil = 0.5 * (anatomy["l_pupil"] + anatomy["r_pupil"]) - 0.5 * (anatomy["l_eye"] + anatomy["r_eye"])
    low = -0.0020 * scale - 0.35 * max(0.0, half[1] - 0.021 * scale)
    depth = float(pupil[2]) + FROM_EYE * scale * wish.only("depth")
    return _Front(np.array([inner + half[0], low, depth]), half, lens(form, RIM_POINTS), 0.0)


def _fitted(front: _Front, anatomy: Anatomy, eyes: FloatArray, thick: float) -> _Front:
    """``front`` moved forward until its rims keep off the skin, as far as ``FURTHEST``."""
    forward = 0.0
    for _ in range(6):
        moved = _Front(front.centre, front.half, front.outline, forward)
        rim = moved.rim()
        points = np.concatenate([rim, rim * np.array([-1.0, 1.0, 1.0])]) @ anatomy.axes.T + eyes
        near = anatomy.skin.nearest(points)
        lacking = CLEAR + thick - float((near.heights - anatomy.flesh(near.points)).min())
        if lacking <= 1e-4 or forward >= FURTHEST:
            break
        forward = min(FURTHEST, forward + lacking)
    return _Front(front.centre, front.half, front.outline, forward)


def _bridge(front: _Front, anatomy: Anatomy, eyes: FloatArray, wide: float) -> FloatArray:
    """(P, 3) an arch from rim to rim over the nose."""
    rim = front.rim()
    towards_nose = np.flatnonzero(rim[:, 0] < front.centre[0] - 0.45 * front.half[0])
    target = front.centre[1] + 0.32 * front.half[1]
    foot = rim[towards_nose[np.abs(rim[towards_nose, 1] - target).argmin()]]
    span = np.linspace(-1.0, 1.0, 11)
    arch = 1 - span**2
    x, y = foot[0] * span, foot[1] + (0.0025 + 0.12 * foot[0]) * arch
    local = np.stack([x, y, foot[2] + 0.0035 * arch], 1)
    world = local @ anatomy.axes.T + eyes
    needed = anatomy.front(world[:, 0], world[:, 1]) + CLEAR + 0.5 * wide - world[:, 2]
    return local + np.array([0.0, 0.0, 1.0]) * max(0.0, float((needed * arch**0.3).max())) * arch[:, None] ** 0.5


def _arm(front: _Front, anatomy: Anatomy, eyes: FloatArray, wide: float) -> FloatArray:
    """(P, 3) the left arm: from the front's outer edge over the ear's root and down behind it; both ears' mean."""
    rim = front.rim(0.4 * wide)
    outer = np.flatnonzero(rim[:, 0] > front.centre[0] + 0.4 * front.half[0])
    begin = rim[outer[np.abs(rim[outer, 1] - front.centre[1] - HINGE * front.half[1]).argmin()]]
    roots = [
        (anatomy[f"{side}_ear_root"] - eyes) @ anatomy.axes * np.array([sign, 1, 1]) for side, sign in SIDES.items()
    ]
    root = np.mean(roots, axis=0)
    hinge, bent = begin + np.array([0.0035, 0.0, -0.004]), 0.5 * (begin + root) + np.array([0.003, 0.0015, 0.0])
    hook = root + HOOK * np.array([[0.0, -0.35, -0.55], [-0.08, -0.95, -0.85]])
    path = rounded(resampled(np.array([begin, hinge, bent, root, *hook]), ARM_POINTS), 3)
    world = path @ anatomy.axes.T + eyes
    left, right = (reach(world[:, 2], world[:, 1]) - eyes[0] for reach in (anatomy.left, anatomy.right))
    outside = np.maximum(left, -right) + CLEAR + 0.0012
    late = np.clip((begin[2] - 0.012 - path[:, 2]) / 0.02, 0.0, 1.0)  # near the front it is clear of the face anyway
    pushed = np.maximum(path[:, 0], path[:, 0] + late * (outside - path[:, 0]))
    for _ in range(2):
        pushed[1:-1] = np.maximum(pushed[1:-1], 0.25 * pushed[:-2] + 0.5 * pushed[1:-1] + 0.25 * pushed[2:])
    return np.concatenate([pushed[:, None], path[:, 1:]], 1)


def _pad(front: _Front, anatomy: Anatomy, eyes: FloatArray) -> Discs:
    """The left nose pad of a wire frame."""
    at = front.at(np.array([front.centre[0] - front.half[0], front.centre[1] + 0.05 * front.half[1]]))
    near = anatomy.skin.nearest((at @ anatomy.axes.T + eyes)[None] + np.array([[-0.004, 0.0, -0.004]]))
    spot = (near.points[0] + (0.0018 + anatomy.flesh(near.points)[0]) * near.normals[0] - eyes) @ anatomy.axes
    normal = near.normals[0] @ anatomy.axes
    across = unit(np.cross([0.0, 1.0, 0.0], normal))
    axes = np.stack([across, np.cross(normal, across), normal], 1)
    return ball_discs(spot, np.array([0.0016, 0.0032, 0.0008]), 12, axes)


def _pane(front: _Front, deep: float, dark: bool) -> tuple[Discs, FloatArray]:
    """The left lens and its colour by disc: faint discs when clear, dense ones when dark, and a streak of sheen."""
    opacity, tint, spacing = DARK_LENS if dark else CLEAR_LENS
    steps = [np.arange(-np.ceil(half / spacing), np.ceil(half / spacing) + 1) * spacing for half in front.half]
    flat = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 2) / front.half
    flat = flat[_within(flat, 0.97 * front.outline)]
    domed = front.at(front.centre[:2] + flat * front.half)
    domed[:, 2] += 0.10 * deep + 0.0020 * np.clip(1 - (flat**2).sum(1), 0.0, 1.0)
    normals = unit(np.concatenate([flat * np.array([0.30, 0.24]), np.ones((len(flat), 1))], 1))
    size = np.array([0.7 * spacing, 0.7 * spacing, 0.0002])
    made = discs(
        domed, normals, np.tile([[1.0, 0.0, 0.0]], (len(flat), 1)), np.tile(size, (len(flat), 1)), None, 1.0, opacity
    )
    shade = tint * (1 - (0.30 if dark else 0.0) * flat[:, 1:])
    streaks = []
    for place, share in ((-0.30, 1.0), (0.02, 0.45)):
        t = np.linspace(-0.62, 0.62, 7)
        spots = front.at(front.centre[:2] + np.stack([place + 0.42 * t, 0.95 * t], 1) * front.half)
        size = np.array([0.20 * front.half[1], 0.055 * front.half[0] * share, 0.0001])
        along = np.tile([[0.42 * front.half[0], 0.95 * front.half[1], 0.0]], (7, 1))
        fading = (0.11 if dark else 0.16) * share * (1 - (t / 0.75) ** 2)
        spots[:, 2] += 0.0032
        streaks.append(
            discs(spots, np.tile([[0.0, 0.25, 1.0]], (7, 1)), along, np.tile(size, (7, 1)), None, 1.0, fading)
        )
    sheen = together(streaks)
    return together([made, sheen]), np.clip(np.concatenate([shade, np.ones((len(sheen), 3))]), 0.0, 1.0)


def _within(points: FloatArray, outline: FloatArray) -> BoolArray:
    """(N,) which of ``points`` (N, 2) an outline (P, 2), star-shaped about the origin, encloses."""
    turn = np.arctan2(outline[:, 1], outline[:, 0])
    order = np.argsort(turn)
    radius = np.interp(
        np.arctan2(points[:, 1], points[:, 0]), turn[order], np.linalg.norm(outline, axis=1)[order], period=2 * np.pi
    )
    return np.linalg.norm(points, axis=1) < radius
