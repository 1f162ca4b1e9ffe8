"""Binding: closed forms, finite differences, and the two bodies against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from avatarkit.errors import InputError
from avatarkit.gaussians.binding import Posed, pose_gaussians, pose_gaussians_torch, triangle_frames
from avatarkit.gaussians.frames import quat_from_matrix, quat_multiply
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.frames import with_frames
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams, Skinning

TRAINED = ("means", "quats", "log_scales", "opacity_logits", "sh")


def mesh(seed: int, vertices: int = 40, faces: int = 60) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    triangles = np.stack([random.choice(vertices, 3, replace=False) for _ in range(faces)])
    return torch.from_numpy(random.normal(size=(vertices, 3)) * 0.1).float(), torch.from_numpy(triangles)


def joint_matrices(rotvecs: Tensor, origins: Tensor) -> Tensor:
    """Differentiable rigid transforms by the matrix exponential."""
    zero = torch.zeros_like(rotvecs[:, 0])
    x, y, z = rotvecs.unbind(1)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    top = torch.cat([torch.linalg.matrix_exp(skew), origins[:, :, None]], 2)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0]).to(top).expand(len(top), 1, 4)
    return torch.cat([top, bottom], 1)


def some_gaussians(seed: int, count: int, faces: int, joints: int, degree: int) -> Gaussians:
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(random.normal(size=shape)).float()

    binding = torch.from_numpy(random.integers(-joints, faces, count)).int()
    ids = torch.arange(count)
    return Gaussians(
        normal(count, 3), normal(count, 4), normal(count, 3) - 1.0, normal(count), normal(count, (degree + 1) ** 2, 3) * 0.3,
        binding, torch.zeros(count, 19), ids, ids.clone(), torch.zeros(count, dtype=torch.int32),
    )  # fmt: skip


def cast(gaussians: Gaussians, dtype: torch.dtype) -> Gaussians:
    changed = {name: getattr(gaussians, name).detach().to(dtype).requires_grad_(True) for name in TRAINED}
    return replace(gaussians, **changed)


def weights_of(posed: Posed, seed: int) -> list[Tensor]:
    random = np.random.default_rng(seed)
    return [torch.from_numpy(random.normal(size=tuple(value.shape))).to(value) for value in posed]


def scene(degree: int, dtype: torch.dtype, seed: int = 0):
    vertices, faces = mesh(seed)
    gaussians = cast(some_gaussians(seed + 1, 500, len(faces), 5, degree), dtype)
    random = np.random.default_rng(seed + 2)
    rotvecs = torch.from_numpy(random.normal(size=(5, 3))).to(dtype).requires_grad_(True)
    origins = torch.from_numpy(random.normal(size=(5, 3)) * 0.1).to(dtype).requires_grad_(True)
    vertices = vertices.to(dtype).requires_grad_(True)
    centre = torch.tensor([0.1, 0.2, 1.0], dtype=dtype)
    return gaussians, vertices, faces, rotvecs, origins, centre


def skinning(dtype: torch.dtype, vertices: int = 40, joints: int = 5) -> Skinning:
    random = np.random.default_rng(7)
    neutral, weights = random.normal(size=(3, vertices)) * 0.1, random.dirichlet(np.full(joints, 0.5), vertices).T
    return Skinning(torch.from_numpy(neutral).float().to(dtype), torch.from_numpy(weights).float().to(dtype))


def run(degree: int, dtype: torch.dtype, active: int | None = None, seed: int = 0, skinned: bool = False):
    gaussians, vertices, faces, rotvecs, origins, centre = scene(degree, dtype, seed)
    skin = skinning(dtype) if skinned else None
    posed = pose_gaussians(
        gaussians, vertices, joint_matrices(rotvecs, origins), faces, camera_centre=centre, sh_degree=active, skin=skin
    )
    sum((value * weight).sum() for value, weight in zip(posed, weights_of(posed, 9), strict=True)).backward()
    leaves = {name: getattr(gaussians, name) for name in TRAINED}
    leaves |= {"vertices": vertices, "rotvecs": rotvecs, "origins": origins}
    return posed, {name: leaf.grad for name, leaf in leaves.items()}


@pytest.mark.parametrize("skinned", [False, True])
@pytest.mark.parametrize("degree, active", [(0, None), (1, None), (2, None), (3, None), (3, 1), (3, 0), (4, None)])
def test_cpu_body_equals_the_float64_reference(degree: int, active: int | None, skinned: bool) -> None:
    fast, fast_grads = run(degree, torch.float32, active, skinned=skinned)
    exact, exact_grads = run(degree, torch.float64, active, skinned=skinned)
    for name, value in fast._asdict().items():
        truth = getattr(exact, name)
        assert value.dtype == torch.float32
        if name == "quats":  # a rotation has two quaternions
            value = value * torch.sign((value * truth).sum(1, keepdim=True))
        torch.testing.assert_close(value.double(), truth, rtol=2e-5, atol=2e-6)
    for name, value in fast_grads.items():
        truth = exact_grads[name]
        error = (value.double() - truth).abs().max() / truth.abs().max()
        assert error < 3e-5, f"{name}: {error:.1e}"


@pytest.mark.parametrize("skinned", [False, True])
def test_gradients_match_finite_differences(skinned: bool) -> None:
    skin = skinning(torch.float64) if skinned else None
    gaussians, vertices, faces, rotvecs, origins, centre = scene(2, torch.float64, seed=4)
    gaussians = gaussians.select(torch.arange(12))
    names = list(TRAINED)

    def energy(*leaves: Tensor) -> Tensor:
        g = replace(gaussians, **dict(zip(names, leaves[:5], strict=True)))
        posed = pose_gaussians_torch(
            g, leaves[5], joint_matrices(leaves[6], leaves[7]), faces, camera_centre=centre, skin=skin
        )
        # q and −q are one rotation, and the formula that is picked may change sign: compare what a rasterizer sees
        outer = posed.quats[:, :, None] * posed.quats[:, None, :]
        parts = [posed.means, outer, posed.scales, posed.opacities, posed.colours]
        return sum((part * torch.linspace(0.5, 1.5, part.numel()).to(part).reshape(part.shape)).sum() for part in parts)

    leaves = [getattr(gaussians, name).detach().requires_grad_(True) for name in names]
    leaves += [value.detach().requires_grad_(True) for value in (vertices, rotvecs, origins)]
    assert torch.autograd.gradcheck(energy, leaves, eps=1e-7, atol=1e-4, rtol=1e-4)


def test_skin_frames_turn_with_the_joints_and_ride_on_the_centroid() -> None:
    """A rigid head motion moves bound Gaussians rigidly; an expression moves them by its triangle's centroid alone."""
    head = with_frames(load_head("bust"), "skin")
    params = HeadParams.zeros(3, head.num_shape, head.num_expr)
    params.rotation[1] = torch.tensor([0.1, 0.5, -0.2])
    params.translation[1] = torch.tensor([0.02, -0.01, 0.03])
    params.expr[2] = torch.linspace(0.0, 0.5, head.num_expr)
    pose = head.pose(params)
    gaussians = some_gaussians(3, 300, len(head.faces), 1, 0)
    gaussians.binding = gaussians.binding.clamp(min=0)
    posed = [pose_gaussians(gaussians, pose.vertices[t], pose.joints[t], head.faces, skin=pose.skin) for t in range(3)]
    turn = pose.joints[1, 0] @ torch.linalg.inv(pose.joints[0, 0])
    moved = posed[0].means @ turn[:3, :3].T + turn[:3, 3]
    torch.testing.assert_close(posed[1].means, moved, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(posed[1].scales, posed[0].scales)
    centroids = [pose.vertices[t][head.faces].mean(1)[gaussians.binding.long()] for t in (0, 2)]
    torch.testing.assert_close(posed[2].means - posed[0].means, centroids[1] - centroids[0], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(posed[2].quats, posed[0].quats)
    at_rest = pose_gaussians(gaussians, pose.vertices[0], pose.joints[0], head.faces)
    torch.testing.assert_close(posed[0].means, at_rest.means, atol=2e-6, rtol=1e-5)


def test_triangle_frame_is_the_published_one() -> None:
    vertices = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.5, 3.0, 0.0]], dtype=torch.float64)
    frames = triangle_frames(vertices, torch.tensor([[0, 1, 2]]))
    # a0 along the first edge, a1 the normal, a2 = −a1 × a0
    expected = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    torch.testing.assert_close(frames.rotation, expected)
    torch.testing.assert_close(frames.origin, vertices.mean(0, keepdim=True))
    torch.testing.assert_close(frames.size, torch.tensor([(2.0 + 3.0) / 2], dtype=torch.float64))


def test_triangle_frames_take_leading_batch_dimensions() -> None:
    vertices, faces = mesh(1)
    batch = torch.stack([vertices, vertices + 1.0, 2.0 * vertices]).reshape(3, 1, *vertices.shape)
    frames = triangle_frames(batch, faces)
    assert frames.rotation.shape == (3, 1, len(faces), 3, 3) and frames.size.shape == (3, 1, len(faces))
    one = triangle_frames(vertices, faces)
    torch.testing.assert_close(frames.rotation[0, 0], one.rotation)
    torch.testing.assert_close(frames.size[2, 0], 2.0 * one.size)


def test_a_posed_gaussian_by_hand() -> None:
    vertices = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.2, 1.0], [0.1, 0.0, 1.0]])
    gaussians = Gaussians.fresh(
        torch.tensor([[1.0, 2.0, 3.0], [0.01, 0.0, 0.0]]), torch.zeros(2, 3), 0.3, torch.tensor([[0.2, 0.4, 0.6]] * 2),
        torch.tensor([0, -2]),
    )  # fmt: skip
    joints = torch.eye(4).repeat(2, 1, 1)
    joints[1, :3, :3] = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    joints[1, :3, 3] = torch.tensor([5.0, 6.0, 7.0])
    posed = pose_gaussians(gaussians, vertices, joints, torch.tensor([[0, 1, 2]]))
    # a0 = +y; a0 × (x direction) = −z; a2 = −(−z × y) = z × y = −x; k = (0.2 + 0.1)/2
    k = 0.15
    centroid = vertices.mean(0)
    expected = centroid + k * (1.0 * torch.tensor([0.0, 1.0, 0.0]) + 2.0 * torch.tensor([0.0, 0.0, -1.0]))
    expected = expected + k * 3.0 * torch.tensor([-1.0, 0.0, 0.0])
    torch.testing.assert_close(posed.means[0], expected)
    torch.testing.assert_close(posed.means[1], torch.tensor([5.0, 6.01, 7.0]))
    torch.testing.assert_close(posed.scales, torch.tensor([[k] * 3, [1.0] * 3]))
    torch.testing.assert_close(posed.opacities, torch.tensor([0.3, 0.3]))
    torch.testing.assert_close(posed.colours, torch.tensor([[0.2, 0.4, 0.6]] * 2))


def test_quaternions_agree_with_scipy() -> None:
    rotations = Rotation.random(200, rng=np.random.default_rng(3))
    half_turns = Rotation.from_rotvec(np.pi * np.eye(3))
    matrices = np.concatenate([rotations.as_matrix(), half_turns.as_matrix(), np.eye(3)[None]])
    quats = quat_from_matrix(torch.from_numpy(matrices))
    rebuilt = Rotation.from_quat(quats.numpy(), scalar_first=True).as_matrix()
    np.testing.assert_allclose(rebuilt, matrices, atol=1e-12)
    product = quat_multiply(quats[:100], quats[100:200]).numpy()
    np.testing.assert_allclose(
        Rotation.from_quat(product, scalar_first=True).as_matrix(), matrices[:100] @ matrices[100:200], atol=1e-12
    )


def test_moving_head_and_camera_together_changes_no_colour() -> None:
    gaussians, vertices, faces, rotvecs, origins, centre = scene(3, torch.float64)
    joints = joint_matrices(rotvecs, origins)
    motion = joint_matrices(torch.tensor([[0.4, -1.0, 0.3]]).double(), torch.tensor([[0.2, 0.1, -0.3]]).double())[0]

    def moved(points: Tensor) -> Tensor:
        return points @ motion[:3, :3].T + motion[:3, 3]

    before = pose_gaussians(gaussians, vertices, joints, faces, camera_centre=centre)
    after = pose_gaussians(gaussians, moved(vertices), motion @ joints, faces, camera_centre=moved(centre))
    torch.testing.assert_close(after.colours, before.colours)
    torch.testing.assert_close(after.means, moved(before.means))
    seen = pose_gaussians(gaussians, vertices, joints, faces, camera_centre=-centre)
    assert (seen.colours - before.colours).abs().max() > 0.1  # and they do depend on the view


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_triangles_give_finite_results_and_gradients(dtype: torch.dtype) -> None:
    point, a, b = torch.zeros(3), torch.tensor([0.1, 0.0, 0.0]), torch.tensor([0.2, 0.0, 0.0])
    vertices = torch.stack(
        [point, point, point, point, a, b, point, a, a + 1e-9, point, a, a + torch.tensor([0, 1e-4, 0])]
    )
    vertices = vertices.to(dtype).requires_grad_(True)
    faces = torch.arange(12).reshape(4, 3)
    gaussians = cast(some_gaussians(0, 40, 4, 0, 2), dtype)
    centre = torch.zeros(3, dtype=dtype)
    posed = pose_gaussians(gaussians, vertices, torch.zeros(0, 4, 4, dtype=dtype), faces, camera_centre=centre)
    sum(value.sum() for value in posed).backward()
    assert all(torch.isfinite(value).all() for value in posed)
    assert all(torch.isfinite(getattr(gaussians, name).grad).all() for name in TRAINED)
    assert torch.isfinite(vertices.grad).all()
    assert (posed.scales > 0).all()


def test_a_gaussian_at_the_camera_is_finite() -> None:
    gaussians = cast(some_gaussians(0, 3, 1, 0, 3), torch.float32)
    vertices = mesh(0)[0][:3].requires_grad_(True)
    faces = torch.tensor([[0, 1, 2]])
    here = pose_gaussians(gaussians, vertices, torch.zeros(0, 4, 4), faces).means[0].detach()
    posed = pose_gaussians(gaussians, vertices, torch.zeros(0, 4, 4), faces, camera_centre=here)
    posed.colours.sum().backward()
    assert torch.isfinite(posed.colours).all()
    assert torch.isfinite(gaussians.means.grad).all() and torch.isfinite(vertices.grad).all()


def test_same_bits_for_any_number_of_threads() -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            results.append(run(2, torch.float32))
    finally:
        torch.set_num_threads(before)
    for posed, grads in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(posed, results[0][0], strict=True))
        assert all(torch.equal(grads[name], results[0][1][name]) for name in grads)


def test_gradients_that_nobody_wants_are_skipped() -> None:
    gaussians, vertices, faces, rotvecs, origins, centre = scene(1, torch.float32)
    joints = joint_matrices(rotvecs, origins).detach()
    posed = pose_gaussians(gaussians, vertices.detach(), joints, faces, camera_centre=centre)
    posed.means.sum().backward()
    assert vertices.grad is None and rotvecs.grad is None
    assert gaussians.means.grad is not None


def test_a_changed_binding_is_noticed() -> None:
    gaussians, vertices, faces, rotvecs, origins, _ = scene(0, torch.float32)
    joints = joint_matrices(rotvecs, origins)
    pose_gaussians(gaussians, vertices, joints, faces)
    with torch.no_grad():
        gaussians.binding.copy_(torch.roll(gaussians.binding, 1))
    after = pose_gaussians(gaussians, vertices, joints, faces)
    exact = pose_gaussians_torch(gaussians, vertices, joints, faces)
    torch.testing.assert_close(after.means, exact.means)


def test_no_gaussians() -> None:
    gaussians, vertices, faces, rotvecs, origins, _ = scene(0, torch.float32)
    none = gaussians.select(torch.zeros(0, dtype=torch.long))
    posed = pose_gaussians(none, vertices, joint_matrices(rotvecs, origins), faces)
    assert posed.means.shape == (0, 3) and posed.opacities.shape == (0,)
    posed.means.sum().backward()
    assert vertices.grad is not None and not vertices.grad.any()


@pytest.mark.parametrize("binding, words", [(60, "60 triangles"), (-6, "5 joints")])
def test_a_binding_outside_the_head_is_refused(binding: int, words: str) -> None:
    gaussians, vertices, faces, rotvecs, origins, _ = scene(0, torch.float32)
    gaussians.binding = gaussians.binding.clone()
    gaussians.binding[7] = binding
    with pytest.raises(InputError, match=words):
        pose_gaussians(gaussians, vertices, joint_matrices(rotvecs, origins), faces)


def test_wrong_shapes_and_degrees_are_named() -> None:
    gaussians, vertices, faces, rotvecs, origins, _ = scene(1, torch.float32)
    joints = joint_matrices(rotvecs, origins)
    with pytest.raises(InputError, match="store degree 1"):
        pose_gaussians(gaussians, vertices, joints, faces, sh_degree=2)
    with pytest.raises(InputError, match="'joints'"):
        pose_gaussians(gaussians, vertices, joints[:, :3], faces)
    with pytest.raises(InputError, match="'quats'"):
        pose_gaussians(replace(gaussians, quats=gaussians.quats[:, :3]), vertices, joints, faces)
