"""Where pixels lie on the head: against a sphere, whose every point, normal and area is known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from avatarkit.cameras import intrinsics, look_at
from avatarkit.edit.paint.surface import REACH, Surface, anchored_surface, flat_surface, unrolled
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.types import Float32Array, IntArray

RADIUS, SIDE, FOCAL, AWAY = 0.09, 160, 320.0, 0.6
WHOLE = (slice(0, SIDE), slice(0, SIDE))


def seen(azimuth: float, *, inside_out: bool = False) -> tuple[Float32Array, IntArray]:
    """rest (H, W, 3) and triangle (H, W) of a sphere about the origin; inside out: only what lies far behind its middle is there."""
    ball = trimesh.creation.icosphere(5, RADIUS)
    faces = np.asarray(ball.faces)
    eye = (AWAY * np.sin(azimuth), 0.0, AWAY * np.cos(azimuth))
    if inside_out:
        faces = faces[ball.triangles_center @ np.array(eye) < -0.05 * AWAY]
    drawn = rasterize_mesh(
        ball.vertices, faces, look_at(eye, (0.0, 0.0, 0.0)), intrinsics(FOCAL, FOCAL, SIDE / 2, SIDE / 2), SIDE, SIDE
    )
    corners = ball.vertices[faces[np.maximum(drawn.triangle, 0)]]
    rest = (corners * drawn.barycentrics[..., None]).sum(-2) * (drawn.triangle >= 0)[..., None]
    return rest.astype(np.float32), drawn.triangle


def sphere(azimuth: float = 0.0) -> Surface:
    made = anchored_surface(*seen(azimuth), WHOLE)
    assert made is not None
    return made


@pytest.mark.parametrize("azimuth", [0.0, 0.9])
def test_pitch_area_and_normals_of_a_sphere(azimuth: float) -> None:
    surface = sphere(azimuth)
    assert surface.pitch == pytest.approx((AWAY - RADIUS) / FOCAL, rel=0.12)
    towards = np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
    for angle in (0.4, 0.8, 1.1):  # caps of the sphere, by the angle from the axis to the camera
        cap = surface.shows & (surface.points @ towards > RADIUS * np.cos(angle))
        assert surface.area[cap].sum() == pytest.approx(2 * np.pi * RADIUS**2 * (1 - np.cos(angle)), rel=0.03)
    middle = surface.facing > 0.5
    cosine = (surface.normals * surface.points / RADIUS).sum(-1)[middle]
    assert np.median(cosine) > 0.998 and cosine.min() > 0.97


def test_beyond_the_mesh_points_go_on_and_trust_falls() -> None:
    surface = sphere()
    gap = np.linalg.norm(np.diff(surface.points, axis=1), axis=-1)
    assert gap[:, 40:120].max() < 0.05  # no jumps across the silhouette but the sphere's own slope
    assert surface.trust[surface.shows].min() == 1.0
    edge = int(np.flatnonzero(surface.shows[SIDE // 2]).max())
    away = np.arange(1, SIDE - edge)
    np.testing.assert_allclose(
        surface.trust[SIDE // 2, edge + 1 :], np.exp(-((away * surface.pitch / REACH) ** 2)), atol=0.05
    )


def test_a_box_is_cut_from_the_same_surface() -> None:
    rest, triangle = seen(0.4)
    whole = anchored_surface(rest, triangle, WHOLE)
    box = (slice(60, 90), slice(50, 100))
    part = anchored_surface(rest, triangle, box)
    assert whole is not None and part is not None
    np.testing.assert_array_equal(part.points, whole.points[box])
    np.testing.assert_array_equal(part.crossed, whole.crossed[box])


def test_the_inside_of_a_head_is_no_surface() -> None:
    assert anchored_surface(*seen(0.0, inside_out=True), WHOLE) is None


def test_without_a_head_there_is_none_and_the_picture_is_flat() -> None:
    nothing = np.full((SIDE, SIDE), -1)
    assert anchored_surface(np.zeros((SIDE, SIDE, 3), np.float32), nothing, WHOLE) is None
    flat = flat_surface(SIDE, 2 * SIDE, (slice(0, SIDE), slice(0, 2 * SIDE)))
    assert not flat.anchored and flat.area.sum() == pytest.approx(2 * 0.42**2, rel=1e-4)
    np.testing.assert_allclose(flat.points.mean((0, 1)), 0.0, atol=1e-6)
    np.testing.assert_allclose(flat.normals[0, 0], [0, 0, 1])


def test_the_unrolled_head_keeps_angles() -> None:
    """On the capsule itself both directions are stretched alike: squares stay squares."""
    for y in (-0.05, 0.02, 0.09, 0.11):
        bend = max(y - 0.05, 0.0)
        out = np.sqrt(0.085**2 - bend**2)
        point = np.array([0.6 * out, y, -0.03 + 0.8 * out])
        around = np.array([0.8, 0.0, -0.6])
        up = np.cross(around, -np.array([0.6 * out, bend, 0.8 * out]) / 0.085)
        step = 1e-4
        moved = [
            np.linalg.norm(unrolled((point + step * d)[None]) - unrolled(point[None])) / step for d in (around, up)
        ]
        assert moved[0] == pytest.approx(moved[1], rel=0.03)
