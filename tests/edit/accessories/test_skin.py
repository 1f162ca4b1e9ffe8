"""Nearest points on a mesh, against spheres and against searching all triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.edit.accessories.skin import Skin, closest_barycentrics
from avatarkit.types import FloatArray

RADIUS = 0.1
coordinate = st.floats(-1.0, 1.0)


def sphere() -> Skin:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    faces = np.asarray(mesh.faces)
    return Skin(np.asarray(mesh.vertices), faces, np.ones(len(faces), bool))


def test_points_around_a_sphere() -> None:
    random = np.random.default_rng(0)
    ways = random.normal(size=(500, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    heights = random.uniform(-0.04, 0.06, 500)
    near = sphere().nearest(ways * (RADIUS + heights)[:, None])
    assert np.abs(near.heights - heights).max() < 3e-4
    assert np.abs(near.points - RADIUS * ways).max() < 2e-3  # along the facets it matters less
    assert (near.normals * ways).sum(1).min() > 0.999


@settings(max_examples=80, deadline=None)
@given(st.lists(coordinate, min_size=12, max_size=12))
def test_the_nearest_point_of_a_triangle_is_nearer_than_any_other(values: list[float]) -> None:
    point, corners = np.array(values[:3]), np.array(values[3:]).reshape(3, 3)
    weights = closest_barycentrics(point, corners)
    assert np.isclose(weights.sum(), 1.0, atol=1e-6) and weights.min() > -1e-6
    found = float(np.linalg.norm(weights @ corners - point))
    a, b = (grid.ravel() for grid in np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41)))
    inside = a + b <= 1
    others = np.stack([1 - a - b, a, b], 1)[inside] @ corners
    assert found <= np.linalg.norm(others - point, axis=1).min() + 1e-6


def test_on_a_head_no_triangle_is_nearer(subject_of: Any) -> None:
    skin: Skin = subject_of("bust").anatomy.skin
    random = np.random.default_rng(1)
    start = skin.spread(0.01)
    chosen = random.choice(len(start.points), 40, replace=False)
    points = start.points[chosen] + random.normal(size=(40, 3)) * 0.004
    near = skin.nearest(points)
    corners = skin.vertices[skin.faces[skin.kept]]
    for point, found in zip(points, near.heights, strict=True):
        weights = closest_barycentrics(point, corners)
        best = np.linalg.norm((weights[:, :, None] * corners).sum(1) - point, axis=1).min()
        assert abs(found) <= best + 3e-4


def test_points_are_spread_evenly_and_on_the_surface() -> None:
    skin = sphere()
    spread = skin.spread(0.004)
    assert np.abs(np.linalg.norm(spread.points, axis=1) - RADIUS).max() < 6e-4
    area: FloatArray = np.array(4 * np.pi * RADIUS**2)
    assert 0.6 < len(spread.points) * 0.004**2 / area < 1.8
    half = (spread.points[:, 0] > 0).mean()
    assert 0.47 < half < 0.53
