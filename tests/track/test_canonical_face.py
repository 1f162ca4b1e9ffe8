"""Landmarks added from a detector's average face: checked with a face cut out of the head itself."""

from __future__ import annotations

import numpy as np
import torch

from avatarkit.contracts import HeadModel, LandmarkEmbedding
from avatarkit.track.canonical_face import closest_barycentrics, extended_embedding, nearest_on_mesh, similarity
from avatarkit.track.landmark_rig import rotations


def test_points_left_out_are_found_again(bust: HeadModel) -> None:
    """The canonical face is bust's own, with an identity, turned, moved and in centimetres; every other landmark is hidden."""
    full = bust.landmarks
    assert full is not None
    shape = torch.zeros(bust.num_shape)
    shape[:4] = torch.tensor([0.5, -0.4, 0.3, 0.4])
    mesh = bust.template + (shape @ bust.rig.shape_basis).view(3, -1).T  # type: ignore[attr-defined]
    points = full.points(mesh, bust.faces).double().numpy()
    canonical = np.full((478, 3), np.nan)
    canonical[full.indices.numpy()] = 100 * points @ rotations(np.array([0.2, -0.3, 0.1])).T + 7.0
    keep = torch.arange(0, len(full.indices), 2)
    own = LandmarkEmbedding(full.indices[keep], full.faces[keep], full.barycentrics[keep])
    hidden = [int(i) for i in full.indices[1::2] if int(i) < 468]
    found = extended_embedding(bust, own, canonical, added=tuple(hidden))
    assert torch.equal(found.indices[: len(keep)], own.indices)
    assert sorted(found.indices[len(keep) :].tolist()) == sorted(hidden)
    where = {int(index): row for row, index in enumerate(full.indices)}
    rows = [where[int(index)] for index in found.indices[len(keep) :]]
    error = (found.points(bust.template, bust.faces)[len(keep) :] - full.points(bust.template, bust.faces)[rows]).norm(
        dim=1
    )
    assert float(error.median()) < 0.002 and float(error.quantile(0.9)) < 0.005


def test_too_few_shared_points_change_nothing(bust: HeadModel) -> None:
    assert bust.landmarks is not None
    assert extended_embedding(bust, bust.landmarks, np.full((478, 3), np.nan)) is bust.landmarks


def test_similarity_is_recovered() -> None:
    rng = np.random.default_rng(0)
    points, turn, shift = rng.normal(size=(30, 3)), rotations(np.array([0.4, 1.0, -2.0])), np.array([1.0, 2.0, 3.0])
    scale, found, moved = similarity(points, 2.5 * points @ turn.T + shift)
    assert abs(scale - 2.5) < 1e-9
    np.testing.assert_allclose(found, turn, atol=1e-9)
    np.testing.assert_allclose(moved, shift, atol=1e-9)


def test_nearest_points_against_dense_sampling() -> None:
    rng = np.random.default_rng(1)
    corners, points = rng.normal(size=(200, 3, 3)), rng.normal(size=(200, 3))
    bary = closest_barycentrics(points, corners)
    assert (bary > -1e-9).all() and np.allclose(bary.sum(1), 1)
    found = np.linalg.norm(np.einsum("ni,nia->na", bary, corners) - points, axis=1)
    grid = np.array([(i, j, 40 - i - j) for i in range(41) for j in range(41 - i)]) / 40
    sampled = np.linalg.norm(np.einsum("gi,nia->nga", grid, corners) - points[:, None], axis=-1).min(1)
    assert (found <= sampled + 1e-9).all() and (sampled - found).max() < 0.1


def test_nearest_on_a_mesh_lies_on_the_nearest_triangle() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    faces = np.array([[0, 1, 2], [1, 3, 2]])
    corners, bary = nearest_on_mesh(np.array([[0.9, 0.9, 0.3], [0.1, 0.1, -0.2]]), vertices, faces)
    np.testing.assert_allclose(
        np.einsum("ni,nia->na", bary, vertices[corners]), [[0.9, 0.9, 0], [0.1, 0.1, 0]], atol=1e-12
    )
