"""Camera conventions against points whose pixels are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from avatarkit.cameras import Cameras, intrinsics, look_at, opengl_to_viewmat, orbit, viewmat_to_opengl


def project(view: np.ndarray, K: np.ndarray, point: list[float]) -> np.ndarray:
    camera = view[:3, :3] @ point + view[:3, 3]
    return (K @ camera)[:2] / camera[2]


def test_opengl_camera_at_one_metre_sees_x_right_and_y_up() -> None:
    c2w = np.eye(4)
    c2w[2, 3] = 1.0  # OpenGL: looks along −z from (0, 0, 1)
    view, K = opengl_to_viewmat(c2w), intrinsics(100, 100, 50, 40)
    assert project(view, K, [0, 0, 0]) == pytest.approx([50, 40])
    assert project(view, K, [0.1, 0, 0]) == pytest.approx([60, 40])
    assert project(view, K, [0, 0.1, 0]) == pytest.approx([50, 30])
    np.testing.assert_allclose(viewmat_to_opengl(view), c2w, atol=1e-15)


def test_orbit_azimuth_is_to_the_subjects_left() -> None:
    view = orbit(math.radians(90), 0.0, 2.0, np.array([0.0, 1.0, 0.0]))
    centre = -view[:3, :3].T @ view[:3, 3]
    assert centre == pytest.approx([2.0, 1.0, 0.0])
    assert view[:3, :3] @ [0, 1, 0] == pytest.approx([0, -1, 0])


def test_look_at_is_rigid_and_right_handed() -> None:
    view = look_at(np.array([0.3, 0.5, 1.2]), np.array([0.0, 0.1, 0.0]))
    np.testing.assert_allclose(view[:3, :3] @ view[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view[:3, :3]) == pytest.approx(1.0)


def test_resizing_keeps_where_points_are() -> None:
    view = torch.from_numpy(look_at(np.array([0.0, 0.0, 1.0]), np.zeros(3))).float()[None]
    cameras = Cameras(view, torch.from_numpy(intrinsics(200, 200, 51, 47)).float()[None], 100, 90)
    half = cameras.resized(50, 45)
    point = [0.05, -0.02, 0.0]
    full = project(view[0].numpy(), cameras.Ks[0].numpy(), point)
    assert project(view[0].numpy(), half.Ks[0].numpy(), point) == pytest.approx(full / 2, rel=1e-5)


def test_indexing_and_centres() -> None:
    views = torch.stack([torch.from_numpy(orbit(a, 0.1, 1.5, np.zeros(3))).float() for a in (0.0, 0.5, 1.0)])
    cameras = Cameras(views, torch.eye(3).repeat(3, 1, 1), 8, 8)
    assert len(cameras) == 3
    assert torch.equal(cameras[-1].viewmats, views[2:])
    assert torch.equal(cameras[1].viewmats, views[1:2])
    torch.testing.assert_close(cameras.centres().norm(dim=1), torch.full((3,), 1.5))
