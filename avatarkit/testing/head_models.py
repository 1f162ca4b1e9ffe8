"""Checks of a head model: topology, rest pose, rigid motion, gradients by finite differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from avatarkit.head.parameters import HeadParams
from avatarkit.testing.conformance import Check, Skipped, require

GRADIENT = 2e-2  # of the derivative: float32 differences are no better


def _zeros(part: Any, steps: int = 1) -> HeadParams:
    return HeadParams.zeros(steps, part.num_shape, part.num_expr)


def _random(part: Any, steps: int, seed: int = 0) -> HeadParams:
    random = torch.Generator().manual_seed(seed)
    zero = _zeros(part, steps)
    sizes = {
        "shape": 0.3, "expr": 0.3, "rotation": 0.3, "translation": 0.2, "neck_pose": 0.1, "jaw_pose": 0.1, "eyes_pose": 0.1,
    }  # fmt: skip
    values = {name: size * torch.randn(getattr(zero, name).shape, generator=random) for name, size in sizes.items()}
    return replace(zero, **values)


def the_topology_is_whole(part: Any) -> str:
    """Faces, joints, names, regions and landmarks fit the vertices."""
    count, faces = len(part.template), part.faces
    require(
        part.template.shape == (count, 3) and part.template.dtype == torch.float32, "template: expected (V, 3) float32"
    )
    require(faces.ndim == 2 and faces.shape[1] == 3 and faces.dtype == torch.int64, "faces: expected (F, 3) int64")
    require(int(faces.min()) >= 0 and int(faces.max()) < count, f"faces name vertices outside 0 … {count - 1}")
    require(bool((faces.sort(1).values.diff(dim=1) > 0).all()), "a face names a vertex twice")
    require(len(part.expr_names) == part.num_expr, f"{len(part.expr_names)} expr_names for {part.num_expr} modes")
    require(len(part.joint_names) == len(part.parents), "joint_names and parents differ in length")
    require(part.parents[0] == -1, "the first joint must be the root, with parent -1")
    require(all(0 <= p < j for j, p in enumerate(part.parents) if j), "a joint's parent must come before it")
    for name, weights in part.regions.items():
        require(weights.shape == (count,), f"region '{name}': expected ({count},)")
        require(float(weights.min()) >= 0 and float(weights.max()) <= 1, f"region '{name}': weights outside [0, 1]")
    if part.landmarks is not None:
        points = part.landmarks.points(part.template, faces)
        require(bool(points.isfinite().all()), "landmarks: not finite")
        require(
            torch.allclose(part.landmarks.barycentrics.sum(1), torch.ones(len(points)), atol=1e-4), "barycentrics ≠ 1"
        )
    return f"{count} vertices, {len(faces)} faces, {len(part.parents)} joints, {len(part.regions)} regions"


def the_reference_names_the_model(part: Any) -> str:
    """What an avatar file stores to find it again."""
    expected = {"name": part.name, "vertices": len(part.template), "shape": part.num_shape, "expr": part.num_expr}
    for key, value in expected.items():
        require(
            part.reference.get(key) == value, f"reference['{key}'] is {part.reference.get(key)!r}; expected {value!r}"
        )
    require(isinstance(part.reference.get("sha256"), str), "reference['sha256'] is missing")
    return part.name


def at_rest_it_is_the_template(part: Any) -> str:
    """With zero parameters: the template, and joints without rotation."""
    pose = part.pose(_zeros(part, 2))
    require(pose.vertices.shape == (2, len(part.template), 3), f"vertices: shape {tuple(pose.vertices.shape)}")
    require(pose.joints.shape == (2, len(part.parents), 4, 4), f"joints: shape {tuple(pose.joints.shape)}")
    error = float((pose.vertices - part.template).detach().abs().max())
    require(error < 1e-5, f"vertices are {error:.2g} m off the template")
    require(
        torch.allclose(pose.joints[..., :3, :3], torch.eye(3).expand(2, len(part.parents), 3, 3), atol=1e-5),
        "joints turn",
    )
    return f"within {error:.1e} m"


def triangles_look_outwards(part: Any) -> str:
    """Corners are counterclockwise from outside: what they enclose with the head's middle has a positive volume."""
    corners = (part.template - part.template.mean(0)).detach().double()[part.faces.long()]
    volumes = torch.linalg.det(corners)
    require(float(volumes.sum()) > 0, "triangles look inwards; reverse the order of their corners")
    return f"{float((volumes > 0).double().mean()):.0%} look away from the middle"


def joints_are_rigid(part: Any) -> str:
    joints = part.pose(_random(part, 3)).joints
    rotation = joints[..., :3, :3]
    error = float((rotation.transpose(-1, -2) @ rotation - torch.eye(3)).detach().abs().max())
    require(error < 1e-4, f"a joint's rotation is {error:.2g} off orthonormal")
    require(bool((torch.linalg.det(rotation) > 0).all()), "a joint's transform mirrors")
    require(
        torch.equal(joints[..., 3, :], torch.tensor([0.0, 0, 0, 1]).expand_as(joints[..., 3, :])), "last row ≠ 0 0 0 1"
    )
    return f"within {error:.1e}"


def translation_and_rotation_move_it_rigidly(part: Any) -> str:
    """Global pose changes no distance within the head, and translation adds."""
    still = replace(_random(part, 1), rotation=torch.zeros(1, 3), translation=torch.zeros(1, 3))
    shift = torch.tensor([[0.1, -0.2, 0.3]])
    turned = replace(still, rotation=torch.tensor([[0.2, 0.7, -0.4]]), translation=shift)
    first, moved = part.pose(still).vertices[0].detach().double(), part.pose(turned).vertices[0].detach().double()
    pick = torch.linspace(0, len(first) - 1, 200).long()
    error = float((torch.cdist(first[pick], first[pick]) - torch.cdist(moved[pick], moved[pick])).abs().max())
    require(error < 1e-4, f"distances change by {error:.2g} m under a rotation")
    shifted = part.pose(replace(still, translation=shift)).vertices[0].detach().double() - first
    require(torch.allclose(shifted, shift.double().expand_as(shifted), atol=1e-5), "translation does not add")
    return f"within {error:.1e} m"


def timesteps_are_independent(part: Any) -> str:
    """A batch is its timesteps one by one."""
    params = _random(part, 3)
    together = part.pose(params).vertices
    error = max(float((part.pose(params[t]).vertices[0] - together[t]).detach().abs().max()) for t in range(3))
    require(error < 1e-5, f"a timestep alone differs by {error:.2g} m from itself in a batch")
    return f"within {error:.1e} m"


def gradients_are_right(part: Any) -> str:
    """Of a smooth function of vertices and joints, by every parameter, against central differences along a random line."""
    base, random = _random(part, 2, seed=3), torch.Generator().manual_seed(4)
    weights = torch.randn(len(part.template), 3, generator=random) / len(part.template) ** 0.5
    joint_weights = torch.randn(len(part.parents), 4, 4, generator=random)

    def value(params: HeadParams) -> Tensor:
        pose = part.pose(params)
        return (pose.vertices * weights).double().sum() + (pose.joints * joint_weights).double().sum()

    names = ("shape", "expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
    worst = 0.0
    for name in names:
        leaf = getattr(base, name).clone().requires_grad_()
        (gradient,) = torch.autograd.grad(value(replace(base, **{name: leaf})), leaf, allow_unused=True)
        require(gradient is not None, f"no gradient by {name}")
        direction = torch.randn(leaf.shape, generator=random)
        direction = direction / direction.norm()
        step = 1e-2
        ends = [value(replace(base, **{name: leaf.detach() + sign * step * direction})) for sign in (1, -1)]
        numeric, analytic = float((ends[0] - ends[1]) / (2 * step)), float((gradient * direction).sum())
        error = abs(numeric - analytic) / max(abs(numeric), float(gradient.norm()), 1e-3)
        require(error < GRADIENT, f"gradient by {name}: {analytic:.5g}, by differences {numeric:.5g}")
        worst = max(worst, error)
    return f"within {worst:.1%} of central differences by {len(names)} parameters"


def expressions_move_the_face(part: Any) -> str:
    """Every expression mode moves something, and nothing by more than a head."""
    if part.num_expr == 0:
        raise Skipped("no expression modes")
    moved = part.pose(replace(_zeros(part, part.num_expr), expr=torch.eye(part.num_expr))).vertices - part.template
    size = moved.detach().norm(dim=-1).amax(1)
    require(bool((size > 1e-6).all()), f"expression mode {int(size.argmin())} moves nothing")
    require(
        bool((size < 0.3).all()), f"expression mode {int(size.argmax())} moves a vertex by {float(size.max()):.2g} m"
    )
    return f"{part.num_expr} modes, up to {1e3 * float(size.max()):.0f} mm"


CHECKS: tuple[Check, ...] = (
    the_topology_is_whole,
    the_reference_names_the_model,
    at_rest_it_is_the_template,
    triangles_look_outwards,
    joints_are_rigid,
    translation_and_rotation_move_it_rigidly,
    timesteps_are_independent,
    gradients_are_right,
    expressions_move_the_face,
)
