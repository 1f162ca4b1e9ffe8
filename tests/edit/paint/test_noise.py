"""Textures over space: repeatable, independent of what else is asked, and the nearest points really the nearest."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from avatarkit.edit.paint.noise import POINTS, _scattered, _turn, cells, hashed, noise, octaves, resolved

PLACES = np.random.default_rng(5).uniform(-0.12, 0.12, (20000, 3)).astype(np.float32)


def test_a_point_has_one_value_whatever_else_is_asked() -> None:
    order = np.random.default_rng(1).permutation(len(PLACES))
    np.testing.assert_array_equal(noise(PLACES, 0.01, 7)[order], noise(PLACES[order], 0.01, 7))
    np.testing.assert_array_equal(cells(PLACES, 0.006, 7).number[order], cells(PLACES[order], 0.006, 7).number)
    assert cells(PLACES[:0], 0.006, 7).number.shape == (0,)


def test_noise_is_smooth_bounded_and_another_for_another_seed() -> None:
    values = noise(PLACES, 0.01, 7)
    assert np.abs(values).max() <= 1.0 and values.std() > 0.2 and abs(values.mean()) < 0.05
    near = noise(PLACES + np.float32(1e-5), 0.01, 7)
    assert np.abs(near - values).max() < 0.02  # a hundredth of the size of a bump
    assert abs(np.corrcoef(values, noise(PLACES, 0.01, 8))[0, 1]) < 0.1
    assert np.abs(octaves(PLACES, 0.02, 1, 4)).max() <= 1.0


def test_what_pixels_cannot_show_fades_out() -> None:
    assert resolved(0.002, 0.001) == 0.0 and resolved(0.003, 0.001) == 1.0 and resolved(0.001, 0.0) == 1.0
    coarse = octaves(PLACES, 0.02, 1, 4, pitch=0.01)
    assert not coarse.any()


def test_the_nearest_points_against_a_search_over_all_of_them() -> None:
    """All points of all cells in reach, searched by a tree."""
    size, seed = 0.02, 7
    found = cells(PLACES, size, seed)
    at = PLACES @ _turn(seed).T / size
    low, high = np.floor(at.min(0)).astype(int) - 3, np.floor(at.max(0)).astype(int) + 4
    home = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1).reshape(-1, 3)
    wrapped = home & (POINTS - 1)
    points = home + _scattered(seed, 0.8).T[(wrapped[:, 0] * POINTS + wrapped[:, 1]) * POINTS + wrapped[:, 2]]
    distance, _ = cKDTree(points).query(at, k=2)
    assert np.mean(np.abs(distance[:, 0] - found.nearest) < 1e-4) > 0.999
    assert np.mean(np.abs(distance[:, 1] - found.second) < 1e-4) > 0.98
    np.testing.assert_allclose(np.linalg.norm(found.offset, axis=1), size * found.nearest, atol=1e-6)


def test_strokes_are_longer_along_their_direction() -> None:
    found = cells(PLACES, 0.006, 3, stretch=3.0)
    assert found.along is not None
    along = np.abs((found.offset * found.along).sum(1))
    across = np.sqrt(np.maximum((found.offset**2).sum(1) - along**2, 0))
    np.testing.assert_allclose(np.linalg.norm(found.along, axis=1), 1.0, atol=1e-4)
    assert along.mean() > 1.3 * across.mean() / np.sqrt(2)


def test_hashes_are_even_and_repeat() -> None:
    values = hashed(np.arange(100000), 3)
    counts = np.histogram(values, 10, (0, 1))[0]
    assert counts.min() > 9500 and counts.max() < 10500
    np.testing.assert_array_equal(values[:10], hashed(np.arange(10), 3))
    assert abs(np.corrcoef(values, hashed(np.arange(100000), 4))[0, 1]) < 0.02
