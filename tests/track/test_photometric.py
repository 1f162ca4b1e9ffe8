"""Direct alignment against films whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatarkit.bench.tracking import score
from avatarkit.cameras import intrinsics, orbit
from avatarkit.capture.capture import Capture
from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.head.parameters import HeadParams
from avatarkit.registry import registry
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.testing.conformance import check
from avatarkit.track.appearance import fit_appearance, harmonics_of
from avatarkit.track.image_pyramid import sampled, scaled_images
from avatarkit.track.photometric_options import PhotometricConfig
from avatarkit.track.photometric_tracking import PhotometricTracker
from avatarkit.track.sequence import Sequence
from avatarkit.track.surface_points import surface_points

from .conftest import make_capture as noise_capture

STEPS, SIDE, FOCAL = 10, 224, 560.0


def drawn(
    head: HeadModel,
    steps: int,
    azimuths: tuple[float, ...],
    offsets: torch.Tensor | None = None,
    elevation: float = 0.05,
) -> Sequence:
    """A head with mottled skin, moving as a talking one does, drawn at twice the size by the mesh renderer and halved.

    offsets (T, V, 3): what its vertices do besides."""
    rng = np.random.default_rng(5)
    rest = head.template.double().numpy()
    waves = rng.normal(size=(24, 3)) * rng.uniform(60, 500, (24, 1))
    skin = 0.5 + 0.06 * np.sin(rest @ waves.T + rng.uniform(0, 6, 24)).sum(1)
    colour = np.clip(skin[:, None] * [1.0, 0.8, 0.7], 0.05, 0.95)
    t = np.arange(steps) / 6.0
    expr = np.zeros((steps, head.num_expr))
    for name, rate in (("jawOpen", 5.0), ("mouthSmileLeft", 3.0), ("browInnerUp", 2.0)):
        expr[:, head.expr_names.index(name)] = 0.4 * np.clip(np.sin(rate * t), 0, 1)
    neck = np.stack([0.10 * np.sin(2 * t), 0.25 * np.sin(1.7 * t + 0.4), 0.06 * np.sin(2.3 * t)], 1)
    place = np.stack([0.01 * np.sin(1.5 * t), 0.005 * np.cos(t), 0.01 * np.sin(t)], 1)
    params = replace(
        HeadParams.zeros(steps, head.num_shape, head.num_expr), expr=torch.tensor(expr, dtype=torch.float32),
        neck_pose=torch.tensor(neck, dtype=torch.float32), translation=torch.tensor(place, dtype=torch.float32),
        shape=torch.tensor(0.5 * rng.normal(size=head.num_shape), dtype=torch.float32), dynamic_offset=offsets,
    )  # fmt: skip
    K = intrinsics(FOCAL, FOCAL, SIDE / 2 + 3, SIDE / 2 - 4)
    views = [orbit(azimuth, elevation, 0.9, np.array([0.0, 0.01, 0.0])) for azimuth in azimuths]
    vertices, faces = head.pose(params).vertices.numpy(), head.faces.numpy()
    large = np.diag([2.0, 2.0, 1.0]) @ K
    images = []
    for step in range(steps):
        for view in views:
            seen = rasterize_mesh(vertices[step], faces, view, large, 2 * SIDE, 2 * SIDE)
            shown = (colour[faces[np.maximum(seen.triangle, 0)]] * seen.barycentrics[..., None]).sum(2)
            shown = np.where(seen.triangle[..., None] >= 0, shown, 0.7)
            images.append((255 * shown.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3)) + 0.5).astype(np.uint8))
    capture = noise_capture(steps, len(views), SIDE)
    cameras = tuple(replace(c, K=K, viewmat=v) for c, v in zip(capture.cameras, views, strict=True))
    frames = tuple(replace(frame, time=frame.timestep / 6.0) for frame in capture.frames)
    capture = replace(capture, cameras=cameras, frames=frames, image=lambda i: images[i])
    tensors = (torch.tensor(np.stack(each), dtype=torch.float32) for each in (views, [K] * len(views)))
    return Sequence(capture, params, *tensors, head.reference)


@pytest.fixture(scope="module")
def film(bust: HeadModel) -> Sequence:
    return drawn(bust, STEPS, (0.1,))


def disturbed(true: Sequence, seed: int = 0) -> Sequence:
    """Parameters as a poor landmark tracker leaves them: turned by two degrees, moved by 3 mm, each frame its own way."""
    rng = np.random.default_rng(seed)
    p = true.params

    def away(value: torch.Tensor, size: float) -> torch.Tensor:
        return value + torch.tensor(rng.normal(0, size, value.shape), dtype=torch.float32)

    moved = replace(
        p, rotation=away(p.rotation, 0.02), translation=away(p.translation, 0.003),
        expr=(p.expr + torch.tensor(rng.normal(0, 0.08, p.expr.shape), dtype=torch.float32)).clip(0, 1),
    )  # fmt: skip
    return replace(true, params=moved)


def errors(found: Sequence, true: Sequence, head: HeadModel) -> tuple[float, float, float]:
    result = score(found, true, (head, head), [None] * len(true.Ks))
    return tuple(result[name]["mean"] for name in ("rotation_deg", "vertices_mm", "landmarks_px"))  # type: ignore[return-value]


def tracker() -> PhotometricTracker:
    return PhotometricTracker(PhotometricConfig(points=1500))


def test_one_camera_finds_the_head_again(film: Sequence, bust: HeadModel) -> None:
    start = disturbed(film)
    found = tracker().track(film.capture, bust, Run(), start)
    before, after = errors(start, film, bust), errors(found, film, bust)
    assert before[0] > 1.0 and before[2] > 0.8
    assert after[0] < 0.5 * before[0] and after[1] < 0.6 * before[1] and after[2] < 0.5 * before[2], (before, after)
    assert (found.params.expr >= -1e-6).all() and (found.params.expr <= 1 + 1e-6).all()


def test_a_picture_of_nobody_does_not_mislead_its_neighbours(film: Sequence, bust: HeadModel) -> None:
    capture: Capture = film.capture
    lost = next(i for i, frame in enumerate(capture.frames) if frame.timestep == 4)
    grey = np.full((SIDE, SIDE, 3), 90, np.uint8)
    hidden = replace(capture, image=lambda i: grey if i == lost else capture.image(i))
    start = disturbed(film)
    found = tracker().track(hidden, bust, Run(), replace(start, capture=hidden))
    before, after = errors(start, film, bust), errors(found, film, bust)
    assert after[0] < 0.6 * before[0] and after[2] < 0.6 * before[2], (before, after)


def test_several_cameras_work_together(bust: HeadModel) -> None:
    true = drawn(bust, 5, (-0.5, 0.5))
    start = disturbed(true, seed=1)
    found = tracker().track(true.capture, bust, Run(), start)
    before, after = errors(start, true, bust), errors(found, true, bust)
    assert torch.equal(found.viewmats, true.viewmats)
    assert after[0] < 0.6 * before[0] and after[1] < 0.7 * before[1], (before, after)


def test_rows_are_the_derivatives_of_what_points_do(bust: HeadModel) -> None:
    points = surface_points(bust, 60)
    rng = np.random.default_rng(0)
    width = 18 + bust.num_expr
    frame = np.r_[rng.normal(0, 0.1, 18), rng.uniform(0.1, 0.5, bust.num_expr)]
    frame[9:12] = 0.0  # the jaw's own row blends rotations and is approximate
    shape = rng.normal(size=bust.num_shape) * 0.5

    def posed(at: np.ndarray, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        row = torch.tensor(at[None], dtype=torch.float32)
        parts = (row[:, 18:], row[:, :3], row[:, 3:6], row[:, 6:9], row[:, 9:12], row[:, 12:18])
        pose = bust.pose(HeadParams(torch.tensor(identity, dtype=torch.float32), *parts))
        return pose.vertices[0].numpy(), pose.joints[0].double().numpy()

    vertices, joints = posed(frame, shape)
    where, _ = points.positions(vertices)
    slopes = rng.normal(size=where.shape).astype(np.float32)
    every = np.arange(len(points))
    rows = points.rows(frame, joints, every, where, slopes, np.zeros(len(points), np.float32))
    for column in [*range(9), *range(12, 18), 18, 40, width, width + 5]:
        step = np.zeros(width + bust.num_shape)
        step[column] = 2e-3
        ends = [posed(frame + s * step[:width], shape + s * step[width:])[0] for s in (1, -1)]
        moved = points.positions(ends[0])[0] - points.positions(ends[1])[0]
        slope = (moved.astype(np.float64) / 4e-3 * slopes).sum(1)
        np.testing.assert_allclose(rows[:, column], slope, atol=1e-3 * max(1.0, np.abs(slope).max()))


def test_slopes_are_those_of_the_picture() -> None:
    y, x = np.mgrid[:40, :60] + 0.5
    plane = (20 + 2.0 * x + 1.0 * y).astype(np.uint8)
    at = np.array([[20.3, 15.7], [40.0, 30.2], [-3.0, 5.0]])
    values, slopes = sampled(plane, at, 1)
    np.testing.assert_allclose(values[:2] * 255, 20 + 2 * at[:2, 0] + at[:2, 1], atol=1.0)
    np.testing.assert_allclose(slopes[:2] * 255, [[2, 1]] * 2, atol=0.3)
    assert np.isnan(values[2])


def test_smaller_pictures_keep_their_places() -> None:
    capture = noise_capture(steps=1, size=64)
    ramp = np.repeat((np.arange(64)[None, :, None] * 3).astype(np.uint8), 64, 0).repeat(3, 2)
    capture = replace(capture, image=lambda i: ramp)
    for blur in (0.8, 3.0):
        scaled = scaled_images(capture, blur)
        values, _ = sampled(scaled.images[0], np.array([[32.0, 32.0]]), scaled.factor)
        assert abs(values[0] * 255 - 31.5 * 3) < 1.0
    assert scaled.factor == 2


def test_albedo_and_light_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    albedo = rng.uniform(0.2, 0.6, 400).astype(np.float32)
    normals = rng.normal(size=(30, 400, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    light = np.array([1.0, 0.2, 0.1, -0.15, 0, 0, 0, 0, 0], np.float32)
    exposure = 1 + 0.1 * np.sin(np.arange(30.0))
    exposure /= exposure.mean()
    values = (harmonics_of(normals) @ light) * albedo * exposure[:, None].astype(np.float32)
    values[3, :40] = 0.9  # a highlight passes
    look = fit_appearance(values, np.ones_like(values), normals, np.zeros(30, int), None, rounds=4)
    np.testing.assert_allclose(look.exposure, exposure, atol=0.02)
    assert np.corrcoef(look.albedo, albedo)[0, 1] > 0.995
    np.testing.assert_allclose(look.light[0, 1:4] / look.light[0, 0], light[1:4], atol=0.04)


def test_it_is_provided_and_keeps_the_contract() -> None:
    assert "photometric" in [provider.name for provider in registry().providers("tracker")]

    class Nobody:
        def track(self, capture, head, run, initial=None):  # type: ignore[no-untyped-def]
            raise InputError("no face was found in any frame")

    part = PhotometricTracker()
    part._first = Nobody()
    assert all(result.ok for result in check(part, "tracker"))
    with pytest.raises(InputError, match="cannot start from itself"):
        PhotometricTracker(PhotometricConfig(landmarks="photometric")).locate([])
