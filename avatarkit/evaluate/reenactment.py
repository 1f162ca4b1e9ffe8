"""How well an avatar carries a motion that is not its own: jitter, and drift of its identity.  Needs no pictures to compare with.

*Jitter* is the mean acceleration of points of the face in canonical space (the head's own turn and place taken out), metres per
second squared, beyond that of the motion that drives it, whose acceleration is scaled to the driven head's size.  A perfect transfer adds
none; what a map between head models or a tracker adds shows here.

*Identity drift* is what should not change with expression and does.  Shape: how far the skull, which no expression moves, is from
its mean after the best rigid fit, root mean square over its vertices and timesteps, metres.  Colour: root mean square change of
each Gaussian's colour from its own mean over time, weighted by opacity, seen by a camera that rides in front of the head; in
[0, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.binding import gaussians_in_pose
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.render.sh import sh_colours

SAMPLED = 64  # timesteps over which colours are compared
FRONT = 1.0  # metres between the head and the camera that rides before it
MOVED = 2e-3  # of the head's size: a vertex that some expression moves farther is not the skull's


@dataclass(frozen=True)
class Reenactment:
    """jitter, driver_jitter: mean acceleration, m/s²; excess_jitter: what the first has beyond the second, ≥ 0, None for both where
    nothing drives that has a face (named weights; an avatar's own motion); shape_drift: metres; colour_drift: in [0, 1];
    timesteps; fps."""

    jitter: float
    driver_jitter: float | None
    excess_jitter: float | None
    shape_drift: float
    colour_drift: float
    timesteps: int
    fps: float

    def row(self) -> dict[str, float | int | None]:
        return asdict(self)


def mean_acceleration(points: Tensor, fps: float) -> float:
    """points (T, N, 3), metres → mean over time and points of |p(t+1) − 2p(t) + p(t−1)| · fps², m/s²; 0 below three timesteps."""
    if len(points) < 3:
        return 0.0
    second = points[2:].double() - 2.0 * points[1:-1].double() + points[:-2].double()
    return float(second.norm(dim=-1).mean()) * fps * fps


def canonical_points(head: HeadModel, params: HeadParams) -> Tensor:
    """(T, L, 3): the face without the head's own turn and place: its landmarks where the model embeds them, else its vertices."""
    still = replace(
        params,
        rotation=torch.zeros_like(params.rotation),
        translation=torch.zeros_like(params.translation),
        neck_pose=torch.zeros_like(params.neck_pose),
    )
    with torch.no_grad():
        vertices = torch.cat([head.pose(still[t]).vertices for t in range(len(still))])
    return vertices if head.landmarks is None else head.landmarks.points(vertices, head.faces)


def excess_jitter(driven: Tensor, driver: Tensor, fps: float) -> tuple[float, float, float]:
    """Canonical points (T, N, 3) of both → the driven head's mean acceleration, the driver's in its size, and the excess.

    Size: the spread of the points about their mean, over all timesteps.
    """
    size = float(_spread(driven) / _spread(driver).clamp_min(1e-12))
    own, given = mean_acceleration(driven, fps), size * mean_acceleration(driver, fps)
    return own, given, max(0.0, own - given)


def shape_drift(points: Tensor) -> float:
    """(T, N, 3) points that should move as one body → root mean square distance from their mean shape, after rigid alignment, metres.

    The mean shape is that of the aligned points (generalised Procrustes without scale, one round: Gower 1975).
    """
    shapes = points.double() - points.double().mean(1, keepdim=True)
    aligned = torch.stack([_turned_onto(shape, shapes[0]) for shape in shapes])
    middle = aligned.mean(0)
    final = torch.stack([_turned_onto(shape, middle) for shape in shapes])
    return float((final - final.mean(0)).square().sum(-1).mean().sqrt())


def colour_drift(colours: Tensor, weights: Tensor) -> float:
    """(T, N, 3) colours over time, (N,) weights → weighted root mean square change from each one's own mean."""
    change = (colours.double() - colours.double().mean(0)).square().mean((0, 2))
    total = float(weights.double().sum())
    return float((change * weights.double()).sum() / total) ** 0.5 if total > 0 else 0.0


def measure(
    avatar: Avatar, head: HeadModel, motion: HeadParams, fps: float, driver: tuple[HeadModel, HeadParams] | None = None
) -> Reenactment:
    """``motion`` on ``avatar``; ``driver``: the head and the parameters that it was made from."""
    driven = canonical_points(head, motion)
    if driver is None or len(driver[1]) < 3:
        own, given, excess = mean_acceleration(driven, fps), None, None
    else:
        own, given, excess = excess_jitter(driven, canonical_points(*driver), fps)
    chosen = np.unique(np.linspace(0, len(motion) - 1, min(SAMPLED, len(motion))).round().astype(int)).tolist()
    rigid = skull(head)
    skulls, colours = [], []
    for timestep in chosen:
        with torch.no_grad():
            pose = avatar.posed(head, motion[timestep])
            skulls.append(pose.vertices[0, rigid])
            colours.append(_colours(avatar, head, pose))
    return Reenactment(
        own, given, excess, shape_drift(torch.stack(skulls)) if len(rigid) else 0.0,
        colour_drift(torch.stack(colours), torch.sigmoid(avatar.gaussians.opacity_logits)), len(motion), fps,
    )  # fmt: skip


def skull(head: HeadModel) -> Tensor:
    """Vertices (R,) that no single expression mode and no jaw moves, and the neck moves as one body: those of the skull."""
    size = float(_spread(head.template[None]))
    probes = HeadParams.zeros(head.num_expr + 2, head.num_shape, head.num_expr)
    probes.expr[1:-1] = torch.eye(head.num_expr)
    probes.jaw_pose[-1] = torch.tensor([0.3, 0.0, 0.0])
    eyes = [region for region in ("l_eye", "r_eye", "neck", "boundary", "mouth") if region in head.regions]
    with torch.no_grad():
        vertices = head.pose(probes).vertices
    moved = (vertices - vertices[0]).norm(dim=-1).amax(0)
    fixed = moved < MOVED * size
    for region in eyes:
        fixed &= head.regions[region] < 0.5
    turned = HeadParams.zeros(1, head.num_shape, head.num_expr)
    turned.neck_pose[0] = torch.tensor([0.2, 0.3, 0.1])
    with torch.no_grad():
        posed = head.pose(turned)
        joint = posed.joints[0, head.joint_names.index("neck")] if "neck" in head.joint_names else posed.joints[0, 0]
        rest = head.pose(probes[0]).joints[0, head.joint_names.index("neck")] if "neck" in head.joint_names else joint
    carried = (vertices[0] - rest[:3, 3]) @ joint[:3, :3].T + joint[:3, 3]
    fixed &= (posed.vertices[0] - carried).norm(dim=-1) < MOVED * size
    return torch.nonzero(fixed)[:, 0]


def _colours(avatar: Avatar, head: HeadModel, pose: HeadPose) -> Tensor:
    """(N, 3): the Gaussians' colours for a camera in front of the head, turning with it."""
    joint = pose.joints[0, head.joint_names.index("neck")] if "neck" in head.joint_names else pose.joints[0, 0]
    centre = joint[:3, 3] + FRONT * joint[:3, 2]
    gaussians = avatar.gaussians.detach()
    world = avatar.world_directions
    posed = gaussians_in_pose(gaussians, pose, head.faces, camera_centre=None if world else centre)
    if not world:
        return posed.colours
    return sh_colours(gaussians.sh, torch.nn.functional.normalize(posed.means - centre, dim=1), gaussians.sh_degree)


def _spread(points: Tensor) -> Tensor:
    return (points - points.mean(-2, keepdim=True)).square().sum(-1).mean().sqrt()


def _turned_onto(shape: Tensor, onto: Tensor) -> Tensor:
    """The rotation of centred points ``shape`` (N, 3) that brings them nearest to ``onto`` (Kabsch 1976)."""
    u, _, vt = torch.linalg.svd(shape.T @ onto)
    flip = torch.diag(torch.tensor([1.0, 1.0, float(torch.linalg.det(u @ vt).sign())], dtype=shape.dtype))
    return shape @ (u @ flip @ vt)
