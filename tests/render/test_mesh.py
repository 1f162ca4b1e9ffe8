"""The z-buffer against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.cameras import intrinsics, look_at
from avatarkit.render.mesh import rasterize_mesh

K = intrinsics(100, 100, 32, 24)


def test_a_slanted_triangle_has_the_planes_depth_and_true_barycentrics() -> None:
    vertices = np.array([[-0.2, -0.2, 1.0], [0.3, -0.1, 2.0], [0.0, 0.3, 1.5]])
    drawn = rasterize_mesh(vertices, np.array([[0, 1, 2]]), np.eye(4), K, 64, 48)
    rows, columns = np.nonzero(drawn.triangle == 0)
    assert len(rows) > 100
    points = (drawn.barycentrics[rows, columns][:, :, None] * vertices).sum(1)
    np.testing.assert_allclose(drawn.barycentrics[rows, columns].sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(points[:, 2], drawn.depth[rows, columns], rtol=1e-5)
    pixels = (points @ K.T)[:, :2] / points[:, 2:]
    np.testing.assert_allclose(pixels, np.stack([columns + 0.5, rows + 0.5], 1), atol=1e-4)
    assert (drawn.depth[drawn.triangle < 0] == 0).all()


def test_the_nearer_triangle_wins_whatever_the_order() -> None:
    near = np.array([[-1, -1, 1], [1, -1, 1], [0, 1, 1]], float)
    far = near * [2, 2, 2]
    for stack, front in ((np.concatenate([near, far]), 0), (np.concatenate([far, near]), 1)):
        drawn = rasterize_mesh(stack, np.array([[0, 1, 2], [3, 4, 5]]), np.eye(4), K, 64, 48)
        assert drawn.triangle[24, 32] == front
        assert drawn.depth[24, 32] == pytest.approx(1.0)


def test_neighbours_leave_no_gap_and_cover_the_area() -> None:
    side = np.linspace(-0.2, 0.2, 9)
    x, y = np.meshgrid(side, side)
    vertices = np.stack([x.ravel(), y.ravel(), np.ones(81)], 1)
    quads = np.array([[r * 9 + c, r * 9 + c + 1, r * 9 + c + 9, r * 9 + c + 10] for r in range(8) for c in range(8)])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [1, 3, 2]]])
    drawn = rasterize_mesh(vertices, faces, np.eye(4), K, 64, 48)
    inside = drawn.triangle[4:44, 12:52]
    assert (inside >= 0).all()
    assert (drawn.triangle >= 0).sum() == 40 * 40


def test_behind_the_camera_and_degenerate_draw_nothing() -> None:
    vertices = np.array([[0, 0, -1], [1, 0, 1], [0, 1, 1], [np.nan, 0, 1], [0, 0, 1]], float)
    drawn = rasterize_mesh(
        vertices, np.array([[0, 1, 2], [1, 1, 2], [3, 1, 2]]), look_at(np.zeros(3), np.array([0.0, 0, 1])), K, 64, 48
    )
    assert (drawn.triangle < 0).all()
