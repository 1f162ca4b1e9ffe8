"""Where things are on one avatar's head, measured at rest: what accessories are built against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.edit.accessories.envelope import Column, Envelope, Splats
from avatarkit.edit.accessories.face_points import face_points
from avatarkit.edit.accessories.relief import Relief
from avatarkit.edit.accessories.skin import Skin, Spread
from avatarkit.errors import InputError
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.skin_frames import rotation_matrices
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.labels import LABEL_INDEX
from avatarkit.render.sh import Y00
from avatarkit.types import FloatArray

DENSE = 0.0025  # metres between the points that stand for the skin
VISIBLE = 0.3  # least opacity of a Gaussian that counts
HIDDEN_REGIONS = ("mouth", "teeth", "tongue")  # the lining of the mouth and what is in it
NO_HAIR = ("background", "glasses", "earring", "necklace", "neck", "cloth")  # what a hat need not enclose
ON_BODY = ("skin", "neck", "cloth", "necklace")
EAR_ROOT = 0.002  # metres further out than the root of an ear: no longer the head
PROUD = 0.006  # metres that reconstructed skin may stand off the mesh


@dataclass(frozen=True)
class Anatomy:
    """A head in its rest pose: its own shape and static offset, no expression, no rotation.  Metres; y up, z forward.

    pose: of one timestep, what local coordinates are counted in; joints (J, 3) at rest; skull_joint, torso_joint: indices of the
    joints that carry the skull and the shoulders; skin: the outer surface; spread: points all over it; points: the names of
    ``face_points.POINTS`` → (3,); ``anatomy["chin"]`` is short for ``anatomy.points["chin"]``.
    axes (3, 3): columns are the subject's left along the pupils, up, forward; unit: distance between the eyes' centres; width:
    of the head above the brows, without ears; centre (3,): of the skull at the height of the brows.
    front, left, right: how far skin reaches forwards and sideways (sideways without ears); envelope: how far the whole head
    reaches, hair included; column: neck and shoulders, clothes included.
    hair_colour (3,): sRGB, the avatar's own, of its hair or else its brows; None where no label says.
    """

    pose: HeadPose
    joints: FloatArray
    skull_joint: int
    torso_joint: int
    skin: Skin = field(repr=False)
    spread: Spread = field(repr=False)
    points: Mapping[str, FloatArray]
    axes: FloatArray
    unit: float
    width: float
    centre: FloatArray
    front: Relief = field(repr=False)
    left: Relief = field(repr=False)
    right: Relief = field(repr=False)
    envelope: Envelope = field(repr=False)
    column: Column = field(repr=False)
    regions: Mapping[str, FloatArray] = field(repr=False)
    hair_colour: FloatArray | None = None

    def __getitem__(self, name: str) -> FloatArray:
        return self.points[name]

    @property
    def brow_height(self) -> float:
        """Height of the brows' upper edge."""
        return float(max(self["l_brow"][1], self["r_brow"][1]))

    @property
    def middle(self) -> float:
        """x of the plane between the eyes."""
        return float(0.5 * (self["l_eye"][0] + self["r_eye"][0]))


def measure(head: HeadModel, motion: HeadParams, gaussians: Gaussians | None = None) -> Anatomy:
    """The anatomy of the head of ``motion`` (any number of timesteps), with the hair and clothes of ``gaussians``.

    Raises InputError for a head model without the joints or regions that places are found by.
    """
    for name in ("root", "neck"):
        if name not in head.joint_names:
            raise InputError(f"head model '{head.name}': accessories need a joint '{name}'; it has none of that name")
    pose = head.pose(rest_params(head, motion))
    vertices = pose.vertices[0].detach().double().numpy()
    joints = pose.joints[0, :, :3, 3].detach().double().numpy()
    faces = head.faces.numpy()
    regions = {name: weights.numpy() > 0.5 for name, weights in head.regions.items()}
    hidden = np.zeros(len(vertices), bool)
    for name in HIDDEN_REGIONS:
        hidden |= regions.get(name, False)
    ears = regions["l_ear"] | regions["r_ear"] if "l_ear" in regions else np.zeros(len(vertices), bool)
    skin = Skin(vertices, faces, ~hidden[faces].all(1))
    spread = skin.spread(DENSE)
    on_ear = ears[faces[spread.triangles]].any(1)
    bare = spread.points[~on_ear]
    points = face_points(head, vertices, joints, skin, spread, Relief(spread.points, 2))
    apart = points["l_eye"] - points["r_eye"]
    middle = 0.5 * (points["l_eye"][0] + points["r_eye"][0])
    brow = max(points["l_brow"][1], points["r_brow"][1])
    upper = bare[bare[:, 1] > brow]
    level = bare[np.abs(bare[:, 1] - brow) < 0.006]
    centre = np.array([middle, brow, 0.5 * (level[:, 2].min() + level[:, 2].max())])
    head_splats = body_splats = outer = None
    foremost = spread.points
    hair_colour = None
    if gaussians is not None and len(gaussians):
        splats, classes = visible_splats(gaussians, pose, head.faces)
        labelled = classes is not None
        on_root = gaussians.binding.numpy() == -1 - head.joint_names.index("root")
        head_splats = _of(splats, ~np.isin(classes, _indices(NO_HAIR)) if labelled else ~on_root)
        body_splats = _of(splats, np.isin(classes, _indices(ON_BODY)) if labelled else np.ones(len(on_root), bool))
        foremost = _with_proud_skin(spread, skin, splats, classes)
        outer = Envelope(centre, bare, head_splats)
        hair_colour = _hair_colour(gaussians, splats, classes, outer)
    neck = bare[np.abs(bare[:, 1] - (points["chin"][1] - 0.35 * np.linalg.norm(apart))) < 0.006]
    axis = np.array([middle, 0.0, 0.5 * (neck[:, 2].min() + neck[:, 2].max())])
    return Anatomy(
        pose=pose, joints=joints, skull_joint=head.joint_names.index("neck"), torso_joint=head.joint_names.index("root"),
        skin=skin, spread=spread, points=points, axes=_axes(apart), unit=float(np.linalg.norm(apart)),
        width=float(upper[:, 0].max() - upper[:, 0].min()), centre=centre, front=Relief(foremost, 2),
        left=Relief(_without_ear(bare, points, "l", middle), 0, 1.0),
        right=Relief(_without_ear(bare, points, "r", middle), 0, -1.0),
        envelope=outer or Envelope(centre, bare, None),
        column=Column(axis, float(points["chin"][1]) - 0.08 * float(np.linalg.norm(apart)), bare, body_splats),
        regions=regions, hair_colour=hair_colour,
    )  # fmt: skip


def rest_params(head: HeadModel, motion: HeadParams) -> HeadParams:
    """One timestep of ``motion``'s identity: its shape and static offset, everything else zero."""
    rest = HeadParams.zeros(1, head.num_shape, head.num_expr)
    return replace(rest, shape=motion.shape.detach(), static_offset=motion.static_offset)


def visible_splats(gaussians: Gaussians, pose: HeadPose, faces: Tensor) -> tuple[Splats, FloatArray | None]:
    """Every Gaussian at rest, opacity 0 for those too faint to count, and its class (N,), or None where none is labelled."""
    with torch.no_grad():
        posed = pose_gaussians(gaussians, pose.vertices[0], pose.joints[0], faces, sh_degree=0, skin=pose.skin)
        quats = torch.nn.functional.normalize(posed.quats, dim=1)
        opacities = posed.opacities.double().numpy()
        splats = Splats(
            posed.means.double().numpy(), posed.scales.double().numpy(), rotation_matrices(quats).double().numpy(),
            np.where(opacities > VISIBLE, opacities, 0.0),
        )  # fmt: skip
    logits = gaussians.label_logits
    return splats, (logits.argmax(1).numpy() if bool((logits != 0).any()) else None)


def _of(splats: Splats, kept: FloatArray) -> Splats:
    kept = kept & (splats.opacities > 0)
    return Splats(splats.points[kept], splats.scales[kept], splats.axes[kept], splats.opacities[kept])


def _indices(names: tuple[str, ...]) -> list[int]:
    return [LABEL_INDEX[name] for name in names]


def _axes(apart: FloatArray) -> FloatArray:
    left = apart / np.linalg.norm(apart)
    up = np.array([0.0, 1.0, 0.0]) - left[1] * left
    up /= np.linalg.norm(up)
    return np.stack([left, up, np.cross(left, up)], 1)


def _without_ear(bare: FloatArray, points: Mapping[str, FloatArray], side: str, middle: float) -> FloatArray:
    """The points of one side of the head, less what is left of the ear where its region does not hold all of it."""
    sign = 1.0 if side == "l" else -1.0
    root, lobe, top = points[f"{side}_ear_root"], points[f"{side}_lobe"], points[f"{side}_ear_top"]
    tall = top[1] - lobe[1]
    beside = np.abs(bare[:, 2] - 0.5 * (lobe[2] + top[2])) < 0.5 * tall
    beside &= (bare[:, 1] > lobe[1] - 0.2 * tall) & (bare[:, 1] < top[1] + 0.05 * tall)
    stands_off = sign * bare[:, 0] > sign * root[0] + EAR_ROOT
    return bare[(sign * (bare[:, 0] - middle) > 0) & ~(beside & stands_off)]


def _with_proud_skin(spread: Spread, skin: Skin, splats: Splats, classes: FloatArray | None) -> FloatArray:
    """The points of the skin, and those of reconstructed skin that stand a little off it: nose and brows, mostly."""
    kept = splats.opacities > 0.5
    if classes is not None:
        kept &= np.isin(classes, _indices(("skin", "nose", "l_brow", "r_brow")))
    own = splats.points[kept]
    if not len(own):
        return spread.points
    heights = skin.nearest(own).heights
    near = (heights > 0) & (heights < PROUD)
    return np.concatenate([spread.points, own[near]])


def _hair_colour(
    gaussians: Gaussians, splats: Splats, classes: FloatArray | None, envelope: Envelope
) -> FloatArray | None:
    """Mean colour (3,) of the hair that shows from the front half, or of the brows where there is little of it.

    A mean by area and opacity, as a picture blends them: single Gaussians of a trained avatar stray far to both sides.
    """
    if classes is None:
        return None
    offset = splats.points - envelope.centre
    distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    shows = (splats.opacities > 0) & (offset[:, 2] > 0) & (distance > 0.97 * envelope.reach(offset / distance[:, None]))
    colours = 0.5 + Y00 * gaussians.sh[:, 0].detach().double().numpy()
    areas = splats.seen_area(offset / distance[:, None])
    for own in (np.isin(classes, _indices(("hair",))) & shows, np.isin(classes, _indices(("l_brow", "r_brow")))):
        if own.sum() >= 50:
            return np.clip(np.average(colours[own], axis=0, weights=areas[own]), 0.0, 1.0)
    return None
