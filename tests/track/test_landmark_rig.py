"""The reduced rig against the head model itself, and its Jacobian against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.head.parameters import HeadParams
from avatarkit.track.landmark_rig import POSE, landmark_rig, left_jacobian, require_rig, rotation_vectors, rotations


@pytest.fixture(scope="module")
def drawn(bust: HeadModel) -> tuple:
    rig = landmark_rig(bust, bust.landmarks)
    rng = np.random.default_rng(0)
    frames = rng.normal(0, 0.3, (3, POSE + rig.num_expr))
    return rig, frames, rng.normal(size=rig.num_shape), rng.normal(0, 0.002, (rig.num_landmarks, 3))


def test_points_are_those_of_the_head_model(bust: HeadModel, drawn: tuple) -> None:
    rig, frames, shape, _ = drawn
    x = torch.tensor(frames, dtype=torch.float32)
    params = HeadParams(
        torch.tensor(shape, dtype=torch.float32), x[:, 18:], x[:, :3], x[:, 3:6], x[:, 6:9], x[:, 9:12], x[:, 12:18]
    )
    expected = bust.landmarks.points(bust.pose(params).vertices, bust.faces).numpy()
    found, _ = rig.points(frames, shape, np.zeros((rig.num_landmarks, 3)), np.eye(3))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_jacobian_against_central_differences(drawn: tuple) -> None:
    rig, frames, shape, offsets = drawn
    reference = rotations(np.array([0.3, -0.8, 0.2]))
    _, posed = rig.points(frames, shape, offsets, reference)
    by_frame, by_shape = rig.jacobian(frames, posed, reference, shared=True)
    by_offset = rig.offset_jacobian(posed)
    step = 1e-6

    def difference(change) -> np.ndarray:
        ahead, behind = (rig.points(*change(sign * step), reference)[0] for sign in (1, -1))
        return (ahead - behind) / (2 * step)

    for column in [*range(POSE), POSE, POSE + 7, POSE + rig.num_expr - 1]:
        unit = np.eye(frames.shape[1])[column]
        wanted = difference(lambda h, unit=unit: (frames + h * unit, shape, offsets))
        np.testing.assert_allclose(by_frame[..., column], wanted, atol=1e-6)
    for mode in range(0, rig.num_shape, 5):
        unit = np.eye(rig.num_shape)[mode]
        wanted = difference(lambda h, unit=unit: (frames, shape + h * unit, offsets))
        np.testing.assert_allclose(by_shape[..., mode], wanted, atol=1e-6)
    for axis in range(3):
        unit = np.eye(3)[axis]
        wanted = difference(lambda h, unit=unit: (frames, shape, offsets + h * unit))
        np.testing.assert_allclose(by_offset[..., axis], wanted, atol=1e-6)


def test_rotations_and_their_left_jacobian() -> None:
    rng = np.random.default_rng(2)
    vectors = np.concatenate([rng.normal(size=(20, 3)), 1e-9 * rng.normal(size=(3, 3)), np.zeros((1, 3))])
    matrices = rotations(vectors)
    np.testing.assert_allclose(matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(3), (24, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(rotations(rotation_vectors(matrices)), matrices, atol=1e-9)
    small = 1e-6 * rng.normal(size=(24, 3))
    moved = rotations(np.einsum("tab,tb->ta", left_jacobian(vectors), small)) @ matrices
    np.testing.assert_allclose(rotations(vectors + small), moved, atol=1e-10)


def test_a_head_without_a_rig_is_refused_in_words() -> None:
    class Other:
        name = "other"

    with pytest.raises(InputError, match="other"):
        require_rig(Other())  # type: ignore[arg-type]
