"""Skinning against a plain float64 loop, finite differences, and the price of its matrix products."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.errors import InputError
from avatarkit.head.parameters import HeadParams
from avatarkit.head.skinning import (
    Rig,
    blend_vertices,
    blend_vertices_torch,
    joint_transforms,
    joint_transforms_torch,
    linear_blend_skinning,
    make_rig,
    pose_rig,
    rotation_matrices,
)

from .conftest import PARENTS, random_params, random_rig_arrays


def rotation(rotvec: np.ndarray) -> np.ndarray:
    """exp of the skew matrix by its power series: nothing shared with Rodrigues' formula."""
    x, y, z = rotvec
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result, term = np.eye(3), np.eye(3)
    for order in range(1, 60):
        term = term @ skew / order
        result = result + term
    return result


def naive_pose(arrays: dict[str, np.ndarray], params: HeadParams) -> tuple[np.ndarray, np.ndarray]:
    """Vertex by vertex, joint by joint, in float64."""
    p = {
        f.name: None if (v := getattr(params, f.name)) is None else v.detach().double().numpy() for f in fields(params)
    }
    vertices, joints = [], []
    for t in range(len(params)):
        rest = arrays["template"] + arrays["shapedirs"] @ p["shape"] + arrays["exprdirs"] @ p["expr"][t]
        for offset in (p["static_offset"], None if p["dynamic_offset"] is None else p["dynamic_offset"][t]):
            rest = rest if offset is None else rest + offset
        joint = arrays["J_regressor"] @ rest
        angles = [p["rotation"][t], p["neck_pose"][t], p["jaw_pose"][t], p["eyes_pose"][t][:3], p["eyes_pose"][t][3:]]
        local = [rotation(a) for a in angles]
        posed = rest + arrays["posedirs"] @ np.concatenate([(r - np.eye(3)).ravel() for r in local[1:]])
        world = []
        for j, parent in enumerate(PARENTS):
            about = np.eye(4)  # rotate about the joint's own rest place, then whatever the parent does
            about[:3, :3], about[:3, 3] = local[j], joint[j] - local[j] @ joint[j]
            world.append(about if parent < 0 else world[parent] @ about)
        out = np.zeros_like(posed)
        for v in range(len(posed)):
            for j in range(5):
                out[v] += arrays["weights"][v, j] * (world[j] @ np.append(posed[v], 1))[:3]
        vertices.append(out + p["translation"][t])
        frames = np.stack(world)
        frames[:, :3, 3] += np.einsum("jab,jb->ja", frames[:, :3, :3], joint) + p["translation"][t]
        joints.append(frames)
    return np.stack(vertices), np.stack(joints)


def as_tensors(arrays: dict[str, np.ndarray], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value).to(dtype) for name, value in arrays.items()}


def rig_of(arrays: dict[str, np.ndarray], dtype: torch.dtype) -> Rig:
    return make_rig(**as_tensors(arrays, dtype), parents=PARENTS)


@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_matches_plain_float64_skinning(dtype: torch.dtype, tolerance: float, offsets: bool) -> None:
    arrays = random_rig_arrays(70, 6, 7)
    params = random_params(4, 6, 7, 70 if offsets else None, angle=1.0)
    vertices, joints = naive_pose(arrays, params)
    pose = linear_blend_skinning(**as_tensors(arrays, dtype), parents=PARENTS, params=params.map(lambda v: v.to(dtype)))
    assert np.abs(pose.vertices.numpy() - vertices).max() < tolerance
    assert np.abs(pose.joints.numpy() - joints).max() < tolerance


def test_at_rest_nothing_moves_and_joints_are_translations() -> None:
    arrays = random_rig_arrays(50, 3, 3)
    pose = pose_rig(rig_of(arrays, torch.float32), HeadParams.zeros(2, 3, 3))
    assert torch.allclose(pose.vertices[1], torch.from_numpy(arrays["template"]).float(), atol=1e-6)
    assert torch.allclose(pose.joints[:, :, :3, :3], torch.eye(3).expand(2, 5, 3, 3))
    expected = torch.from_numpy(arrays["J_regressor"] @ arrays["template"]).float()
    assert torch.allclose(pose.joints[0, :, :3, 3], expected, atol=1e-6)


def test_gradients_by_finite_differences_float64() -> None:
    """Every parameter, offsets included, at zero rotation too (the series branch)."""
    arrays = random_rig_arrays(12, 3, 4)
    rig = rig_of(arrays, torch.float64)
    params = random_params(2, 3, 4, 12)
    params.jaw_pose[0] = 0
    names = [f.name for f in fields(params)]
    values = [getattr(params, name).requires_grad_() for name in names]

    def run(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pose = pose_rig(rig, HeadParams(**dict(zip(names, tensors, strict=True))))
        return pose.vertices, pose.joints

    assert torch.autograd.gradcheck(run, tuple(values), eps=1e-6, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.01, 0.5, 2.5])
def test_compiled_gradients_match_float64(angle: float) -> None:
    """The float32 CPU body against torch's derivatives of the float64 one."""
    arrays = random_rig_arrays(1500, 5, 6)
    results = []
    for dtype in (torch.float32, torch.float64):
        params = random_params(3, 5, 6, 1500, angle=angle).map(lambda v, d=dtype: v.to(d).requires_grad_())
        pose = pose_rig(rig_of(arrays, dtype), params)
        generator = torch.Generator().manual_seed(1)
        weights = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in (pose.vertices, pose.joints)]
        loss = (pose.vertices * weights[0].to(dtype)).sum() + (pose.joints * weights[1].to(dtype)).sum()
        loss.backward()
        results.append([getattr(params, f.name).grad.double() for f in fields(params)])
    for fast, exact in zip(*results, strict=True):
        assert (fast - exact).abs().max() < 2e-5 * exact.abs().max()


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.sampled_from([1.0, 1e-2, 1e-5, 0.0, 0.0577]))
@settings(max_examples=80, deadline=None)
def test_rotation_matrices_match_the_exponential(vector: list[float], scale: float) -> None:
    rotvec = scale * np.array(vector)
    exact = rotation(rotvec)
    assert np.abs(rotation_matrices(torch.from_numpy(rotvec)).numpy() - exact).max() < 1e-10
    stacked = torch.zeros(1, 5, 3)
    stacked[0, 2] = torch.from_numpy(rotvec)
    corrective, _, _ = joint_transforms(stacked, torch.zeros(1, 5, 3), torch.zeros(1, 3), PARENTS)
    assert np.abs(corrective.view(4, 3, 3)[1].numpy() + np.eye(3) - exact).max() < 1e-5


def test_compiled_and_torch_bodies_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    rotvecs, rest, translation = (torch.randn(6, *shape, generator=generator) for shape in ((5, 3), (5, 3), (3,)))
    for fast, plain in zip(
        joint_transforms(rotvecs, rest, translation, PARENTS),
        joint_transforms_torch(rotvecs, rest, translation, PARENTS),
        strict=True,
    ):
        assert torch.allclose(fast, plain, atol=1e-5)
    planar, affine = torch.randn(6, 3, 777, generator=generator), torch.randn(6, 5, 3, 4, generator=generator)
    weights = torch.rand(5, 777, generator=generator)
    assert torch.allclose(
        blend_vertices(planar, affine, weights), blend_vertices_torch(planar, affine, weights), atol=1e-5
    )


def test_neutral_head_is_kept_only_while_it_is_the_same() -> None:
    arrays = random_rig_arrays(40, 3, 3)
    rig = rig_of(arrays, torch.float32)
    params = HeadParams.zeros(1, 3, 3)
    first = pose_rig(rig, params).vertices
    params.shape[0] = 2.0  # in place: same tensor object, new version
    second = pose_rig(rig, params).vertices
    assert not torch.allclose(first, second)
    third = pose_rig(rig, replace(params, static_offset=torch.full((40, 3), 0.5))).vertices
    assert torch.allclose(third, second + 0.5, atol=1e-5)
    assert torch.equal(pose_rig(rig, params).vertices, second)
    other = pose_rig(rig, HeadParams.zeros(1, 3, 3)).vertices  # another tensor of the same shape
    assert torch.equal(other, first)


def test_not_finite_parameters_show() -> None:
    params = HeadParams.zeros(2, 3, 3)
    params.jaw_pose[1, 0] = math.nan
    vertices = pose_rig(rig_of(random_rig_arrays(40, 3, 3), torch.float32), params).vertices
    assert torch.isfinite(vertices[0]).all()
    assert not torch.isfinite(vertices[1]).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"expr": torch.zeros(1, 9)}, "'expr' has 9 values; this head model has 4 modes"),
        ({"shape": torch.zeros(2)}, "'shape' has 2 values; this head model has 3 modes"),
        ({"static_offset": torch.zeros(7, 3)}, "'static_offset' has 7 vertices; this head model has 40"),
    ],
)
def test_wrong_counts_are_one_line(change: dict[str, torch.Tensor], words: str) -> None:
    rig = rig_of(random_rig_arrays(40, 3, 4), torch.float32)
    with pytest.raises(InputError, match=words):
        pose_rig(rig, replace(HeadParams.zeros(1, 3, 4), **change))


def test_wrong_arrays_are_one_line() -> None:
    tensors = as_tensors(random_rig_arrays(40, 3, 4), torch.float32)
    with pytest.raises(InputError, match="'weights' has shape"):
        make_rig(**{**tensors, "weights": tensors["weights"][:, :4]}, parents=PARENTS)
    with pytest.raises(InputError, match="parents"):
        make_rig(**tensors, parents=(-1, 2, 1, 1, 1))


def test_sixteen_frames_cost_at_most_twice_their_matrix_products() -> None:
    """5023 vertices, 51 expression modes, 36 correctives; medians of interleaved runs, the best of a few rounds."""
    steps, vertices, modes = 16, 5023, 51
    rig = rig_of(random_rig_arrays(vertices, 10, modes), torch.float32)
    params = random_params(steps, 10, modes).map(lambda v: v.float())
    params = replace(params, expr=params.expr.requires_grad_(), jaw_pose=params.jaw_pose.requires_grad_())
    generator = torch.Generator().manual_seed(0)
    coefficients, gradient, shifts, moments = (
        torch.randn(*shape, generator=generator)
        for shape in ((steps, modes + 36), (steps, 3 * vertices), (steps, 12, 5), (steps, 12, vertices))
    )
    upstream = torch.randn(steps, vertices, 3, generator=generator)

    def skin() -> None:
        pose_rig(rig, params).vertices.backward(upstream)

    def products() -> None:  # modes → positions, weights → transforms, and the two products of their derivatives
        _ = (coefficients @ rig.motion_basis, shifts @ rig.weights)
        _ = (gradient @ rig.motion_basis.T, moments @ rig.weights.T)

    def clock(run: object) -> float:
        start = time.perf_counter()
        run()  # type: ignore[operator]
        return time.perf_counter() - start

    skin(), products()
    ratios = []
    for _ in range(6):
        pairs = [(clock(skin), clock(products)) for _ in range(15)]
        ratios.append(statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs))
        if ratios[-1] <= 2:
            break
    assert min(ratios) <= 2, ratios
