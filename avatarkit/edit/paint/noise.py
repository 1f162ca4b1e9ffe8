"""Random textures over space: the same point always has the same value, whichever picture shows it.

Points are on the neutral head in metres, so a texture stays where it is on the skin.  Nothing depends on how many points are
asked for, nor on their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from avatarkit.types import Float32Array, FloatArray, IntArray

SIDE = 64  # cells after which smooth noise repeats; turned axes keep that from showing
POINTS = 32  # cells after which scattered points repeat
AXES = tuple((i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1))
CHUNK = 1 << 14  # places at once: what is worked on stays in the cache
LIMIT = 1 << 19  # cells from the origin to either side that have a number of their own


def noise(points: FloatArray, size: float, seed: int) -> Float32Array:
    """(N, 3) → (N,) in [−1, 1], smooth, with bumps about ``size`` metres apart (value noise, quintic fade)."""
    at = (points @ _turn(seed).T) / size
    whole = np.floor(at)
    part = (at - whole).astype(np.float32)
    faded = part * part * part * (part * (part * 6.0 - 15.0) + 10.0)
    coordinates = (whole % SIDE).astype(np.float32) + faded
    table = _values(seed)
    return map_coordinates(table, coordinates.T, np.float32, order=1, mode="grid-wrap", prefilter=False)


def octaves(points: FloatArray, size: float, seed: int, count: int, pitch: float = 0.0) -> Float32Array:
    """Noise of ``count`` sizes, each half the last, in [−1, 1].

    pitch: metres between pixels; sizes that pixels cannot show fade out.
    """
    total, weight, share = np.zeros(len(points), np.float32), 0.0, 1.0
    for octave in range(count):
        small = size / 2**octave
        shown = share * resolved(small, pitch)
        if shown > 0:
            total += shown * noise(points, small, seed + 101 * octave)
        weight += share
        share *= 0.5
    return total / np.float32(weight)


def resolved(size: float, pitch: float) -> float:
    """How much of a texture with that distance between its bumps pixels show: 0 at two pixels, 1 from three on."""
    return float(np.clip(size / pitch - 2.0, 0.0, 1.0)) if pitch > 0 else 1.0


@dataclass(frozen=True)
class Cells:
    """The scattered points that are nearest to N places, one in each cell of a grid (Worley, SIGGRAPH 1996).

    nearest, second: (N,) distances to the two nearest, in cells; number: (N,) int64, which point is the nearest;
    offset: (N, 3) from that point, metres; along: (N, 3) its direction, unit, where points have directions, else None.
    """

    nearest: Float32Array
    second: Float32Array
    number: IntArray
    offset: Float32Array
    along: Float32Array | None = None

    def random(self, seed: int) -> Float32Array:
        """(N,) in [0, 1): one number for each point."""
        return hashed(self.number, seed)


def hashed(number: IntArray, seed: int) -> Float32Array:
    """(N,) integers → (N,) in [0, 1): the same for the same number and seed (splitmix64's finish, Steele et al. 2014)."""
    mixed = number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed * 0xD1B54A32D192ED03 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def cells(points: FloatArray, size: float, seed: int, *, jitter: float = 0.8, stretch: float = 1.0) -> Cells:
    """The nearest of points scattered ``size`` metres apart.

    stretch: above 1, distance counts that much less along a direction that every point has; directions change slowly
    over space, so cells are like brush strokes.
    """
    turn = _turn(seed)
    table = _scattered(seed, jitter)
    ways = _directions(seed) if stretch > 1.0 else None
    made = [
        _nearest(((points[first : first + CHUNK] @ turn.T) / size).astype(np.float32), table, ways, stretch)
        for first in range(0, max(len(points), 1), CHUNK)
    ]
    nearest, second, cell = (np.concatenate([part[k] for part in made]) for k in range(3))
    flat = _flat(cell)
    away = ((points @ turn.T) / size - cell - table.T[flat]) @ turn * size
    wide = cell.astype(np.int64) + LIMIT
    number = (wide[:, 0] * (2 * LIMIT) + wide[:, 1]) * (2 * LIMIT) + wide[:, 2]
    along = None if ways is None else (ways.T[flat] @ turn).astype(np.float32)
    return Cells(
        np.sqrt(np.maximum(nearest, 0)), np.sqrt(np.maximum(second, 0)), number, away.astype(np.float32), along
    )


def _nearest(
    at: Float32Array, table: Float32Array, ways: Float32Array | None, stretch: float
) -> tuple[Float32Array, Float32Array, IntArray]:
    """Squared distances to the nearest and second of the points around (N, 3) places in cells, and the nearest's cell (N, 3)."""
    home = np.floor(at).astype(np.int32)
    part = at - home
    best = np.full(len(at), np.inf, np.float32)
    second = np.full(len(at), np.inf, np.float32)
    chosen = np.zeros(len(at), np.int8)
    rows = [[((home[:, k] + step) & (POINTS - 1)) * POINTS ** (2 - k) for step in (-1, 0, 1)] for k in range(3)]
    parts = [[part[:, k] - np.float32(step) for step in (-1, 0, 1)] for k in range(3)]
    for index, axis in enumerate(AXES):
        i, j, k = (step + 1 for step in axis)
        flat = rows[0][i] + rows[1][j] + rows[2][k]
        x, y, z = parts[0][i] - table[0][flat], parts[1][j] - table[1][flat], parts[2][k] - table[2][flat]
        distance = x * x + y * y + z * z
        if ways is not None:
            aligned = x * ways[0][flat] + y * ways[1][flat] + z * ways[2][flat]
            distance -= aligned * aligned * np.float32(1.0 - 1.0 / stretch**2)
        np.minimum(second, np.maximum(best, distance), out=second)
        chosen[distance < best] = index
        np.minimum(best, distance, out=best)
    return best, second, home + np.array(AXES, np.int32)[chosen]


def _flat(cell: IntArray) -> IntArray:
    low = cell & (POINTS - 1)
    return (low[:, 0] * POINTS + low[:, 1]) * POINTS + low[:, 2]


@lru_cache(maxsize=64)
def _values(seed: int) -> Float32Array:
    return np.random.default_rng([abs(seed), 11]).uniform(-1.0, 1.0, (SIDE, SIDE, SIDE)).astype(np.float32)


@lru_cache(maxsize=16)
def _scattered(seed: int, jitter: float) -> Float32Array:
    """(3, cells): where in its cell each point lies."""
    random = np.random.default_rng([abs(seed), 12]).uniform(-0.5, 0.5, (POINTS**3, 3))
    return np.ascontiguousarray((0.5 + jitter * random).T, np.float32)


@lru_cache(maxsize=16)
def _directions(seed: int) -> Float32Array:
    """(3, cells): unit directions that turn over about eight cells."""
    random = np.random.default_rng([abs(seed), 13]).normal(size=(POINTS, POINTS, POINTS, 3))
    slow = gaussian_filter(random, (4, 4, 4, 0), mode="wrap").reshape(-1, 3)
    return np.ascontiguousarray((slow / np.linalg.norm(slow, axis=1, keepdims=True)).T, np.float32)


@lru_cache(maxsize=128)
def _turn(seed: int) -> Float32Array:
    """A rotation, so that no grid lies along the axes of the head."""
    random = np.random.default_rng([abs(seed), 14]).normal(size=(3, 3))
    turned, _ = np.linalg.qr(random)
    return turned.astype(np.float32)
