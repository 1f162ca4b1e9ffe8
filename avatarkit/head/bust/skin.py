"""The skin: a grid over the cage surface with concentric rings around eye and mouth instead of grid cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust import cage as rows
from avatarkit.head.bust import eyes, lips
from avatarkit.head.bust.patches import HalfMesh, Ids
from avatarkit.head.bust.spline import CageSurface

Array = NDArray[np.float64]

# How many grid cells each span between two cage columns (rows) is cut into.
CELLS_ACROSS = (3, 4, 3, 4, 4, 3, 2, 2, 1, 2, 2, 2)
CELLS_DOWN = (0, 0, 2, 2, 2, 2, 2, 2, 4, 4, 3, 3, 3, 2, 4, 2, 4, 4, 3, 3, 2, 2, 2, 1, 2, 2, 2, 2, 1)
CAP_ROW = 2


def _samples(cells: tuple[int, ...], start: int = 0) -> Array:
    parts = [start + k + np.arange(n) / n for k, n in enumerate(cells[start:]) if n]
    return np.concatenate([*parts, [len(cells)]])


def _index(cells: tuple[int, ...], control: int, start: int = 0) -> int:
    return int(sum(cells[start:control]))


class SkinLayout:
    """Where the grid lines, the eye's and the mouth's holes are, in (u, v)."""

    def __init__(self) -> None:
        self.u = _samples(CELLS_ACROSS)
        self.v = _samples(CELLS_DOWN, CAP_ROW)
        across = [_index(CELLS_ACROSS, c) for c in range(rows.COLUMNS)]
        down = {r: _index(CELLS_DOWN, r, CAP_ROW) for r in range(CAP_ROW, 30)}
        self.column, self.row = across, down
        self.eye = (across[rows.INNER_ORBIT], across[rows.OUTER_ORBIT], down[rows.UPPER_ORBIT], down[rows.LOWER_ORBIT])
        self.mouth = (0, across[rows.PUPIL], down[rows.LIP_TOP], down[rows.LIP_BOTTOM])

    def eye_border(self) -> list[tuple[int, int]]:
        """(row, column) around the eye's hole: from the inner corner over the top to the outer corner and back below."""
        i0, i1, j0, j1 = self.eye
        middle = (j0 + j1) // 2
        walk = [(j, i0) for j in range(middle, j0, -1)]
        walk += [(j0, i) for i in range(i0, i1)]
        walk += [(j, i1) for j in range(j0, j1)]
        walk += [(j1, i) for i in range(i1, i0, -1)]
        walk += [(j, i0) for j in range(j1, middle, -1)]
        return walk

    def mouth_border(self) -> list[tuple[int, int]]:
        """(row, column) around the left half of the mouth's hole: top midline, corner, bottom midline."""
        _, i1, j0, j1 = self.mouth
        walk = [(j0, i) for i in range(i1)]
        walk += [(j, i1) for j in range(j0, j1)]
        return walk + [(j1, i) for i in range(i1, -1, -1)]


def _inside(hole: tuple[int, int, int, int], j: int, i: int, half: bool) -> bool:
    i0, i1, j0, j1 = hole
    return (i < i1 and (half or i > i0)) and j0 < j < j1


EYE_UPPER_STEPS = 16  # segments of each lid, corner to corner


def build_skin(mesh: HalfMesh, surface: CageSurface) -> None:
    """Add grid, cap, eyelids, lips and mouth lining to ``mesh``."""
    layout = SkinLayout()
    eye_walk, mouth_walk = layout.eye_border(), layout.mouth_border()
    eye_uv, mouth_uv, grid_uv = _relaxed(layout, surface, eye_walk, mouth_walk)
    grid = np.full((len(layout.v), len(layout.u)), -1, dtype=np.int64)
    for j in range(len(layout.v)):
        keep = [
            i
            for i in range(len(layout.u))
            if not (_inside(layout.eye, j, i, False) or _inside(layout.mouth, j, i, True))
        ]
        grid[j, keep] = mesh.add("skin", surface(grid_uv[j, keep]))
    for j in range(len(layout.v) - 1):
        for i in range(len(layout.u) - 1):
            if _cell_open(layout.eye, j, i) or _cell_open(layout.mouth, j, i):
                continue
            mesh.quad(grid[j, i], grid[j + 1, i], grid[j + 1, i + 1], grid[j, i + 1])
    mesh.grids["skin"] = grid
    _cap(mesh, surface, grid[0], layout.u)
    _eyelids(mesh, surface, np.array([grid[a] for a in eye_walk]), eye_uv)
    _mouth(mesh, surface, np.array([grid[a] for a in mouth_walk]), mouth_uv)


def _cell_open(hole: tuple[int, int, int, int], j: int, i: int) -> bool:
    i0, i1, j0, j1 = hole
    return i0 <= i < i1 and j0 <= j < j1


# Distance of each ring outside the lids from the margin, as a share of the way to the hole's border.
EYE_OUTER_RINGS = 3
MOUTH_OUTER_RINGS = 2


def crease_xy(eye: eyes.EyeShape, s: Array, upper: Array) -> Array:
    """(..., 2) front view of the crease above the upper lid and the soft edge below the lower one."""
    x = np.where(s < 0, s * eye.inner, s * eye.outer)
    margin = np.where(upper, eyes.lid_line(eye, s, True), eyes.lid_line(eye, s, False))
    away = np.where(upper, 2.7, -4.2) * (1 - 0.75 * np.abs(s) ** 3)
    grow = 1 + 0.11 * np.abs(s) ** 4
    return np.stack([eye.centre[0] + x * grow - 1.2 * (s < -0.9), eye.centre[1] + eye.rise * s / 2 + margin + away], -1)


def eye_chain() -> tuple[Array, Array]:
    """s and upper flag of the 32 directions around the eye, inner corner first, over the top."""
    s = eyes.lid_positions(EYE_UPPER_STEPS + 1)
    around = np.concatenate([s, s[-2:0:-1]])
    upper = np.concatenate([np.ones(EYE_UPPER_STEPS + 1, bool), np.zeros(EYE_UPPER_STEPS - 1, bool)])
    return around, upper


def mouth_chain() -> tuple[Array, Array]:
    """t = x / corner and upper flag of the 37 directions, top midline first."""
    even = np.linspace(0, 1, 19)
    half = 0.45 * np.sin(even * np.pi / 2) + 0.55 * even  # closer together towards the corner
    t = np.concatenate([half, half[-2::-1]])
    upper = np.concatenate([np.ones(19, bool), np.zeros(18, bool)])
    return t, upper


def _relaxed(
    layout: SkinLayout, surface: CageSurface, eye_walk: list[tuple[int, int]], mouth_walk: list[tuple[int, int]]
) -> tuple[Array, Array, Array]:
    """uv of the eye's rings (R, 32, 2), the mouth's rings (R, 37, 2) and the grid, evened out by Laplacian smoothing.

    Fixed are the innermost rings (crease, border of the red) and the grid a few cells away from the holes.
    """
    s, upper = eye_chain()
    eye_inner = surface.locate(
        crease_xy(eyes.EYE, s, upper), np.stack([4 + 0.9 * s, 9 - 0.3 * np.where(upper, 1, -1)], -1)
    )
    t, above = mouth_chain()
    border = np.where(above[:, None], lips.upper_border(lips.MOUTH, t), lips.lower_border(lips.MOUTH, t))
    mouth_inner = surface.locate(border, np.stack([3.4 * t, 17 - 0.4 * np.where(above, 1, -1)], -1))
    grid = np.stack(np.meshgrid(layout.u, layout.v), -1)
    eye_border = np.array([grid[a] for a in eye_walk])
    mouth_border = np.array([grid[a] for a in mouth_walk])
    eye = _between(eye_border, eye_inner, EYE_OUTER_RINGS)
    mouth = _between(mouth_border, mouth_inner, MOUTH_OUTER_RINGS)
    free_grid = np.zeros(grid.shape[:2], bool)
    for (i0, i1, j0, j1), reach in ((layout.eye, 2), (layout.mouth, 2)):
        free_grid[j0 - reach : j1 + reach + 1, max(i0 - reach, 1) : i1 + reach + 1] = True
        if i0 == 0:
            free_grid[j0 - reach : j1 + reach + 1, 0] = True
    rows_of = {a: k for k, a in enumerate(eye_walk)}
    for _ in range(30):
        grid, eye, mouth = _relax_once(layout, grid, eye, mouth, free_grid, eye_walk, mouth_walk, rows_of)
    return eye, mouth, grid


def _between(outer: Array, inner: Array, rings: int) -> Array:
    """(rings + 2, N, 2): border, ``rings`` rings, inner contour."""
    share = np.linspace(0, 1, rings + 2)[:, None, None]
    return outer[None] * (1 - share) + inner[None] * share


def _relax_once(
    layout: SkinLayout, grid: Array, eye: Array, mouth: Array, free: NDArray[np.bool_],
    eye_walk: list[tuple[int, int]], mouth_walk: list[tuple[int, int]], rows_of: dict[tuple[int, int], int],
) -> tuple[Array, Array, Array]:  # fmt: skip
    total = np.zeros_like(grid)
    count = np.zeros(grid.shape[:2])
    known = np.ones(grid.shape[:2], bool)
    for j in range(layout.eye[2] + 1, layout.eye[3]):
        known[j, layout.eye[0] + 1 : layout.eye[1]] = False
    known[layout.mouth[2] + 1 : layout.mouth[3], : layout.mouth[1]] = False
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        neighbour, present = np.roll(grid, step, axis), np.roll(known, step, axis)
        total += np.where(present[..., None], neighbour, 0)
        count += present
    for k, a in enumerate(eye_walk):
        total[a] += eye[1, k]
        count[a] += 1
    for k, a in enumerate(mouth_walk):
        total[a] += mouth[1, k]
        count[a] += 1
    mean = total / np.maximum(count, 1)[..., None]
    moved = np.where((free & known)[..., None], 0.5 * grid + 0.5 * mean, grid)
    moved[:, 0, 0] = 0.0
    eye, mouth = eye.copy(), mouth.copy()
    ring_mean = (np.roll(eye, 1, 1) + np.roll(eye, -1, 1))[1:-1] / 4 + (eye[:-2] + eye[2:]) / 4
    eye[1:-1] = 0.5 * eye[1:-1] + 0.5 * ring_mean
    reflect = np.concatenate([mouth[:, 1:2] * [-1, 1], mouth, mouth[:, -2:-1] * [-1, 1]], 1)
    ring_mean = (reflect[:, :-2] + reflect[:, 2:])[1:-1] / 4 + (mouth[:-2] + mouth[2:]) / 4
    mouth[1:-1] = 0.5 * mouth[1:-1] + 0.5 * ring_mean
    mouth[:, [0, -1], 0] = 0.0
    eye[0] = np.array([moved[a] for a in eye_walk])
    mouth[0] = np.array([moved[a] for a in mouth_walk])
    return moved, eye, mouth


def _cap(mesh: HalfMesh, surface: CageSurface, rim: Ids, u: Array) -> None:
    """Close the crown with a square grid squeezed into the rim's disc, so that no pole gathers thin triangles."""
    n = len(rim) // 2  # cells along a side of the square; the half has n / 2 columns
    half = n // 2
    ids = np.full((n + 1, half + 1), -1, dtype=np.int64)
    # the rim walks from the front's middle along the front side, the left side and the back side
    walk = [(0, i) for i in range(half)] + [(j, half) for j in range(n)] + [(n, i) for i in range(half, -1, -1)]
    for vertex, (j, i) in zip(rim, walk, strict=True):
        ids[j, i] = vertex
    angle_of = {a: u[k] for k, a in enumerate(walk)}
    for j in range(1, n):
        x = np.arange(half) / half
        y = 1 - 2 * j / n
        radius = np.maximum(np.abs(x), abs(y))
        uv = []
        for i in range(half):
            r = radius[i]
            if r == 0:
                uv.append([0.0, 0.0])
                continue
            sx, sy = x[i] / r, y / r  # on the square's border
            uv.append([_along(angle_of, sx * half, (1 - sy) / 2 * n), CAP_ROW * r])
        ids[j, :half] = mesh.add("skin", surface(np.array(uv)))
    for j in range(n):
        for i in range(half):
            mesh.quad(ids[j, i], ids[j, i + 1], ids[j + 1, i + 1], ids[j + 1, i])
    mesh.grids["cap"] = ids


def _along(angle_of: dict[tuple[int, int], float], i: float, j: float) -> float:
    i0, j0 = int(np.floor(i + 1e-9)), int(np.floor(j + 1e-9))
    f = max(i - i0, j - j0)
    if f < 1e-6:
        return float(angle_of[(j0, i0)])
    after = (j0, i0 + 1) if i - i0 > j - j0 else (j0 + 1, i0)
    return float(angle_of[(j0, i0)] * (1 - f) + angle_of[after] * f)


# Rings of the lids from the lid's skin over the margin to deep inside: (turn away from the opening in degrees, radius − lid
# radius in mm, share by which the corners' points dive into the ball, which closes the gap beside it).
LID_RINGS = (
    (13.0, 0.15, 0.0), (4.0, 0.1, 0.0), (0.0, -0.35, 0.0), (0.0, -1.1, 0.0), (14.0, -1.15, 0.2), (42.0, -1.1, 0.45), (75.0, -0.4, 0.7),
)  # fmt: skip
CREASE_TURN, FOLD_TURN = 22.0, 30.0
CREASE_RING = EYE_OUTER_RINGS + 1
MARGIN_RING = CREASE_RING + 3  # the outer edge of the lid's margin


def lid_points(eye: eyes.EyeShape, ring: int, height: Array, turn: Array) -> Array:
    """(32, 3) ring ``ring`` of LID_RINGS for margins at ``height``, turned by ``turn`` radians away from the opening."""
    s, upper = eye_chain()
    _, lift, dive = LID_RINGS[ring]
    points = eyes.lid_turned(eye, s, height, np.where(upper, 1.0, -1.0) * turn, eye.lid + lift)
    corner = np.clip((np.abs(s) - 0.7) / 0.3, 0, 1)[:, None]
    middle = np.array(eye.centre)
    return points + dive * corner * (middle + np.array([0.0, 0.0, 2.0]) - points)


def _eyelids(mesh: HalfMesh, surface: CageSurface, border: Ids, uv: Array) -> None:
    eye = eyes.EYE
    s, upper = eye_chain()
    sign = np.where(upper, 1.0, -1.0)
    corner = 1 - np.abs(s) ** 6
    height = margin_height(eye)
    rings = [border]
    outer = surface(uv)
    fold = np.where(upper, 1.0, -0.2) * corner
    for k in range(1, EYE_OUTER_RINGS + 2):
        points = outer[k].copy()
        if k == CREASE_RING:  # the crease sinks towards the lid
            target = eyes.lid_turned(eye, s, height, sign * np.radians(CREASE_TURN) * corner, eye.lid)
            follow = np.where(upper, 0.7, 0.45)
            points[:, 2] = (1 - follow) * points[:, 2] + follow * (target[:, 2] - 0.3 * upper)
        elif k == EYE_OUTER_RINGS:  # and the skin above it folds over
            target = eyes.lid_turned(eye, s, height, sign * np.radians(FOLD_TURN) * corner, eye.lid)
            points[:, 2] = 0.7 * points[:, 2] + 0.3 * (target[:, 2] + 1.0) + 0.9 * fold
            points[:, 1] -= 1.0 * fold
        rings.append(mesh.add("eyelid", points))
    for ring, (turn, _, _) in enumerate(LID_RINGS):
        rings.append(mesh.add("eyelid", lid_points(eye, ring, height, np.radians(turn) * corner)))
    ids = np.stack(rings)
    mesh.rings(ids, closed=True, flip=True)
    mesh.grids["eye"] = ids


def margin_height(eye: eyes.EyeShape, closed: float = 0.0) -> Array:
    """(32,) height of the lid margins around the eye."""
    s, upper = eye_chain()
    return np.where(upper, eyes.lid_line(eye, s, True, closed), eyes.lid_line(eye, s, False, closed))


# Shares of the way across the red at which its rings lie; 1 is the line where the lips touch.
RED = (0.2, 0.45, 0.72, 0.9)


def _mouth(mesh: HalfMesh, surface: CageSurface, border: Ids, uv: Array) -> None:
    m = lips.MOUTH
    t, upper = mouth_chain()
    rings = [border]
    on_skin = surface(uv)
    for k in range(1, MOUTH_OUTER_RINGS + 2):
        rings.append(mesh.add("lip_border" if k == MOUTH_OUTER_RINGS + 1 else "skin", on_skin[k]))
    edge = on_skin[-1]

    touch = np.where(upper[:, None], lips.line(m, t, True), lips.line(m, t, False))
    for share in RED:
        above, below = (lips.red(m, edge, touch, share, side, t) for side in (True, False))
        rings.append(mesh.add("lips", np.where(upper[:, None], above, below)))
    rings.append(mesh.add("lips", touch))
    lining = np.where(upper[None, :, None], lips.inside(m, t, True), lips.inside(m, t, False))
    for ring in lining:
        rings.append(mesh.add("lining", ring))
    ids = np.stack(rings)
    mesh.rings(ids, flip=True)
    count = ids.shape[1]
    back = ids[-1]
    for k in range(count // 2):  # zip the back wall: upper half against lower half
        mesh.quad(back[k], back[count - 1 - k], back[count - 2 - k], back[k + 1])
    mesh.grids["mouth"] = ids
