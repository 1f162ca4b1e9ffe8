"""Linear blend skinning: head parameters → posed vertices and joints.

The model is FLAME's (Li et al., "Learning a model of facial shape and expression from 4D scans", SIGGRAPH Asia 2017,
section 3; skinning after SMPL, Loper et al. 2015):

    rest    = template + shapedirs·shape + exprdirs·expr + static_offset + dynamic_offset
    joints  = J_regressor · rest                                  (pose correctives do not move joints)
    posed   = rest + posedirs · vec(R_j − I, j = 1 …)             (the root's rotation has no corrective)
    vertex  = Σ_j weight_j · G_j · [posed, 1] + translation

where G_j chains the rotations of the joint's ancestors, each about its own rest location; the global rotation is joint 0's.
Both offsets come before the joint regression, as VHAP has it, so that files of its tracker pose to the same mesh.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import torch
from torch import Tensor

from avatarkit.bodies import compiled
from avatarkit.errors import InputError
from avatarkit.head.parameters import HeadParams, HeadPose, Skinning

# Tensors that were seen, and the version that each had: torch counts the writes in place.
Seen = list[tuple["weakref.ref[Tensor]", int]]


@dataclass(frozen=True)
class Rig:
    """The constant tensors of a skinned head, laid out for matrix products.  Make one with ``make_rig``.

    template (V, 3); shape_basis (S, 3·V) and motion_basis (E + 9·(J − 1), 3·V; expression modes, then pose correctives)
    planar: all x, all y, all z; joint_regressor (J, V); joint_expr (E, J·3): how expression moves joints; weights (J, V);
    parents (J,).  Metres; one dtype, one device.
    """

    template: Tensor
    shape_basis: Tensor
    motion_basis: Tensor
    joint_regressor: Tensor
    joint_expr: Tensor
    weights: Tensor
    parents: tuple[int, ...]
    _neutral: dict[str, tuple[Seen, Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def num_expr(self) -> int:
        return int(self.joint_expr.shape[0])

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Rig:
        """The same rig on another device or in another dtype."""
        return Rig(
            self.template.to(device=device, dtype=dtype),
            self.shape_basis.to(device=device, dtype=dtype),
            self.motion_basis.to(device=device, dtype=dtype),
            self.joint_regressor.to(device=device, dtype=dtype),
            self.joint_expr.to(device=device, dtype=dtype),
            self.weights.to(device=device, dtype=dtype),
            self.parents,
        )


def make_rig(
    template: Tensor,
    shapedirs: Tensor,
    exprdirs: Tensor,
    posedirs: Tensor,
    J_regressor: Tensor,
    weights: Tensor,
    parents: tuple[int, ...],
) -> Rig:
    """Arrange a head's arrays for skinning.

    template (V, 3); shapedirs (V, 3, S); exprdirs (V, 3, E); posedirs (V, 3, 9·(J − 1)); J_regressor (J, V);
    weights (V, J), rows sum to one; parents (J,), −1 for the root, each parent before its children.
    Raises InputError when the shapes do not fit together.
    """
    vertices, joints = template.shape[0], len(parents)
    expected = {
        "template": (template, (vertices, 3)),
        "shapedirs": (shapedirs, (vertices, 3, shapedirs.shape[-1])),
        "exprdirs": (exprdirs, (vertices, 3, exprdirs.shape[-1])),
        "posedirs": (posedirs, (vertices, 3, 9 * (joints - 1))),
        "J_regressor": (J_regressor, (joints, vertices)),
        "weights": (weights, (vertices, joints)),
    }
    for name, (value, shape) in expected.items():
        if tuple(value.shape) != shape:
            raise InputError(f"head model: '{name}' has shape {tuple(value.shape)}; expected {shape}")
    if parents[0] != -1 or any(not 0 <= parent < joint for joint, parent in enumerate(parents) if joint):
        raise InputError(
            f"head model: parents {list(parents)} are no tree with the root first and parents before children"
        )
    moved = torch.einsum("jv,vce->ejc", J_regressor.double(), exprdirs.double())  # to the bit for any number of threads
    return Rig(
        template.contiguous(),
        shapedirs.permute(2, 1, 0).reshape(-1, 3 * vertices).contiguous(),
        torch.cat([exprdirs, posedirs], -1).permute(2, 1, 0).reshape(-1, 3 * vertices).contiguous(),
        J_regressor.contiguous(),
        moved.to(exprdirs.dtype).reshape(exprdirs.shape[-1], joints * 3).contiguous(),
        weights.T.contiguous(),
        tuple(int(parent) for parent in parents),
    )


def linear_blend_skinning(
    template: Tensor,
    shapedirs: Tensor,
    exprdirs: Tensor,
    posedirs: Tensor,
    J_regressor: Tensor,
    weights: Tensor,
    parents: tuple[int, ...],
    params: HeadParams,
) -> HeadPose:
    """Pose a head given as plain arrays (shapes: ``make_rig``).  For repeated calls make the rig once and use ``pose_rig``."""
    return pose_rig(make_rig(template, shapedirs, exprdirs, posedirs, J_regressor, weights, parents), params)


def pose_rig(rig: Rig, params: HeadParams) -> HeadPose:
    """T timesteps of ``params`` → vertices (T, V, 3) and joints (T, J, 4, 4), world, metres.

    Differentiable in every parameter, offsets included.  Raises InputError when the counts of modes or vertices differ
    from the rig's.
    """
    check_counts(rig, params)
    steps, joints = len(params), len(rig.parents)
    neutral, neutral_joints = neutral_head(rig, params)
    rest_joints = torch.addmm(neutral_joints.view(1, -1), params.expr, rig.joint_expr).view(steps, joints, 3)
    if params.dynamic_offset is not None:
        rest_joints = rest_joints + rig.joint_regressor @ params.dynamic_offset
    rotvecs = torch.cat([params.rotation, params.neck_pose, params.jaw_pose, params.eyes_pose], 1).view(
        steps, joints, 3
    )
    corrective, transforms, affine = joint_transforms(rotvecs, rest_joints, params.translation, rig.parents)
    motion = torch.cat([params.expr, corrective], 1)
    planar = torch.addmm(neutral.view(1, -1), motion, rig.motion_basis).view(steps, 3, -1)
    if params.dynamic_offset is not None:
        planar = planar + params.dynamic_offset.transpose(1, 2)
    fixed = (
        neutral.detach() if neutral.requires_grad else neutral
    )  # the same tensor again, so that others can keep what follows
    return HeadPose(blend_vertices(planar, affine, rig.weights), transforms, Skinning(fixed, rig.weights))


def neutral_head(rig: Rig, params: HeadParams) -> tuple[Tensor, Tensor]:
    """(3, V) planar and (J, 3): template + shape + static offset and its joints.

    Kept while the same shape and static offset come again and neither is being optimised: a training step that only fits
    expression and pose then pays nothing for 300 identity modes.
    """
    sources: list[Tensor] = [value for value in (params.shape, params.static_offset) if value is not None]
    fixed = not any(value.requires_grad for value in sources)
    kept = rig._neutral.get("last")
    if fixed and kept is not None and _same(kept[0], sources):
        return kept[1], kept[2]
    neutral = rig.template.T + (params.shape @ rig.shape_basis).view(3, -1)
    if params.static_offset is not None:
        neutral = neutral + params.static_offset.T
    neutral = neutral.contiguous()
    joints = rig.joint_regressor @ neutral.T
    if fixed:
        rig._neutral["last"] = ([(weakref.ref(value), value._version) for value in sources], neutral, joints)
    return neutral, joints


def _same(seen: Seen, sources: list[Tensor]) -> bool:
    """Whether these are the very tensors that were seen, not written to since.  (``==`` on references compares values.)"""
    return len(seen) == len(sources) and all(
        value._version == version and reference() is value
        for (reference, version), value in zip(seen, sources, strict=True)
    )


def rotation_matrices(rotvecs: Tensor) -> Tensor:
    """Axis-angle (…, 3), radians → rotation matrices (…, 3, 3), by Rodrigues' formula; smooth at zero.

    R = I + (sin θ/θ) K + ((1 − cos θ)/θ²) K², with K² = r rᵀ − θ² I; both factors by their series below θ = 0.1, where the
    quotients lose digits and have no derivative at 0 (truncation below 1e-11 of 1 in value).
    """
    square = (rotvecs * rotvecs).sum(-1)
    small = square < 1e-2
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    half = torch.sin(0.5 * angle)
    a = torch.where(small, 1 - square / 6 * (1 - square / 20 * (1 - square / 42)), torch.sin(angle) / angle)
    b = torch.where(small, 0.5 - square / 24 * (1 - square / 30 * (1 - square / 56)), 2 * half * half / safe)
    x, y, z = (a[..., None] * rotvecs).unbind(-1)
    none = torch.zeros_like(x)
    skew = torch.stack([none, -z, y, z, none, -x, -y, x, none], -1).view(*rotvecs.shape, 3)
    outer = b[..., None, None] * rotvecs[..., :, None] * rotvecs[..., None, :]
    diagonal = (1 - b * square)[..., None, None] * torch.eye(3, dtype=rotvecs.dtype, device=rotvecs.device)
    return diagonal + skew + outer


def joint_transforms(
    rotvecs: Tensor, rest_joints: Tensor, translation: Tensor, parents: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward kinematics of T timesteps.

    rotvecs (T, J, 3) axis-angle of each joint in its parent's frame; rest_joints (T, J, 3) and translation (T, 3) metres
    → vec(R_j − I, j = 1 …) (T, 9·(J − 1)), joint frame → world (T, J, 4, 4), rest position → world (T, J, 3, 4).
    """
    if compiled(rotvecs):
        from avatarkit.head.kinematics_cpu import JointKinematics

        return JointKinematics.apply(rotvecs, rest_joints, translation, parents)
    return joint_transforms_torch(rotvecs, rest_joints, translation, parents)


def joint_transforms_torch(
    rotvecs: Tensor, rest_joints: Tensor, translation: Tensor, parents: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """``joint_transforms`` in plain torch: any device, any dtype."""
    rotations = rotation_matrices(rotvecs)
    turns = [rotations[:, 0]]
    places = [rest_joints[:, 0] + translation]
    for joint, parent in enumerate(parents[1:], start=1):
        bone = rest_joints[:, joint] - rest_joints[:, parent]
        turns.append(turns[parent] @ rotations[:, joint])
        places.append(places[parent] + (turns[parent] @ bone[..., None])[..., 0])
    turn, place = torch.stack(turns, 1), torch.stack(places, 1)[..., None]
    upper = torch.cat([turn, place], -1)
    last = torch.zeros_like(upper[:, :, :1])
    last[..., 3] = 1
    affine = torch.cat([turn, place - turn @ rest_joints[..., None]], -1)
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    corrective = (rotations[:, 1:] - identity).flatten(1)
    return corrective, torch.cat([upper, last], 2), affine


def blend_vertices(planar: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
    """Σ_j weights[j, v]·(transforms_j · [position_v, 1]).

    planar (T, 3, V) positions; transforms (T, J, 3, 4); weights (J, V), constant → (T, V, 3).
    """
    if compiled(planar) and len(weights) == 5:
        from avatarkit.head.skinning_cpu import BlendVertices  # numba: only where it is needed

        return BlendVertices.apply(planar, transforms, weights)
    return blend_vertices_torch(planar, transforms, weights)


def blend_vertices_torch(planar: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
    """``blend_vertices`` in plain torch: any device, any dtype."""
    steps, joints = transforms.shape[:2]
    blended = (transforms.view(steps, joints, 12).transpose(1, 2) @ weights).view(steps, 3, 4, -1)
    placed = (blended[:, :, :3] * planar[:, None]).sum(2) + blended[:, :, 3]
    return placed.transpose(1, 2)


def check_counts(rig: Rig, params: HeadParams) -> None:
    """Raise InputError in words when ``params`` do not belong to ``rig``."""
    wanted = {"shape": rig.shape_basis.shape[0], "expr": rig.num_expr}
    for name, count in wanted.items():
        found = getattr(params, name).shape[-1]
        if found != count:
            raise InputError(f"head parameter '{name}' has {found} values; this head model has {count} modes")
    for name in ("static_offset", "dynamic_offset"):
        value = getattr(params, name)
        if value is not None and value.shape[-2:] != rig.template.shape:
            raise InputError(
                f"head parameter '{name}' has {value.shape[-2]} vertices; this head model has {rig.template.shape[0]}"
            )
