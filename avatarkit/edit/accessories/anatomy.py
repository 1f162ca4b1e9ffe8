"""Where things are on one avatar's head, measured at rest: what accessories are built against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.edit.accessories.envelope import Column, Envelope, Splats
from avatarkit.edit.accessories.face_points import face_points
from avatarkit.edit.accessories.flesh import Flesh
from avatarkit.edit.accessories.relief import Relief
from avatarkit.edit.accessories.skin import Skin, Spread
from avatarkit.edit.accessories.vectors import SIDES
from avatarkit.errors import InputError
from avatarkit.gaussians.binding import gaussians_in_pose
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.skin_frames import rotation_matrices
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.labels import LABEL_INDEX
from avatarkit.render.sh import Y00
from avatarkit.types import BoolArray, FloatArray, IntArray

USUAL_EYES = 0.063  # metres between the eyes of the head that proportions are written for
DENSE = 0.0025  # metres between the points that stand for the skin
VISIBLE = 0.3  # least opacity of a Gaussian that counts
HIDDEN_REGIONS = ("mouth", "teeth", "tongue")  # the lining of the mouth and what is in it
NO_HAIR = ("background", "glasses", "earring", "necklace", "neck", "cloth")  # what a hat need not enclose
FLESH = ("skin", "nose", "l_brow", "r_brow", "u_lip", "l_lip", "neck")
ON_BODY = ("skin", "neck", "cloth", "necklace")
NECK = 0.45, 0.85  # distances between the eyes below the chin: where the neck's axis is measured
EAR_ROOT = 0.002  # metres further out than the root of an ear: no longer the head


@dataclass(frozen=True)
class Anatomy:
    """A head in its rest pose: its own shape and static offset, no expression, no rotation.  Metres; y up, z forward.

    pose: of one timestep, what local coordinates are counted in; joints (J, 3) at rest; skull_joint, torso_joint: indices of
    the joints that carry the skull and the shoulders; skin: the outer surface; spread: points all over it.
    points: the names of ``face_points.POINTS`` → (3,); ``anatomy["chin"]`` is short for ``anatomy.points["chin"]``.
    axes (3, 3): columns are the subject's left along the pupils, up, forward; unit: distance between the eyes' centres.
    width: of the head above the brows, without ears; centre (3,): of the skull at the height of the brows.
    front, left, right: how far skin reaches forwards and sideways (sideways without ears); envelope: how far the whole head
    reaches, hair included; column: neck and shoulders, clothes included; flesh: how far skin stands off the mesh.
    regions: name → (V,) bool of the head model.
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
    flesh: Flesh = field(repr=False)
    regions: Mapping[str, BoolArray] = field(repr=False)
    hair_colour: FloatArray | None = None

    def __getitem__(self, name: str) -> FloatArray:
        return self.points[name]

    @cached_property
    def earless(self) -> Skin:
        """The skin without the ears."""
        ears = np.any((self.regions["l_ear"] | self.regions["r_ear"])[self.skin.faces], axis=1)
        kept = np.isin(np.arange(len(ears)), self.skin.kept) & ~ears
        return Skin(self.skin.vertices, self.skin.faces, kept)

    @property
    def scale(self) -> float:
        """Size of the head against the one that proportions are written for."""
        return self.unit / USUAL_EYES

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
    skin = Skin(vertices, faces, ~hidden[faces].all(1))
    spread = skin.spread(DENSE)
    points = face_points(head, vertices, joints, skin, spread, Relief(spread.points, 2))
    on_ear = (regions["l_ear"] | regions["r_ear"])[faces[spread.triangles]].any(1)
    bare = spread.points[~on_ear & ~_on_ear(spread.points, points, "l") & ~_on_ear(spread.points, points, "r")]
    apart = points["l_eye"] - points["r_eye"]
    middle = 0.5 * (points["l_eye"][0] + points["r_eye"][0])
    brow = max(points["l_brow"][1], points["r_brow"][1])
    upper = bare[bare[:, 1] > brow]
    level = bare[np.abs(bare[:, 1] - brow) < 0.006]
    centre = np.array([middle, brow, 0.5 * (level[:, 2].min() + level[:, 2].max())])
    head_splats = body_splats = outer = None
    flesh = Flesh(skin, None)
    hair_colour = None
    if gaussians is not None and len(gaussians):
        splats, classes = visible_splats(gaussians, pose, head.faces)
        on_root = gaussians.binding.numpy() == -1 - head.joint_names.index("root")
        head_splats = _of(splats, ~on_root if classes is None else ~_among(classes, NO_HAIR))
        body_splats = _of(splats, on_root | True if classes is None else _among(classes, ON_BODY))
        flesh = Flesh(skin, _of(splats, ~on_root if classes is None else _among(classes, FLESH)))
        outer = Envelope(centre, bare, head_splats)
        hair_colour = _hair_colour(gaussians, splats, classes, outer)
    foremost = spread.points + flesh(spread.points)[:, None] * spread.normals
    unit = float(np.linalg.norm(apart))
    neck = np.array([_neck_centre(bare, middle, points["chin"][1] - down * unit) for down in NECK])
    return Anatomy(
        pose=pose, joints=joints, skull_joint=head.joint_names.index("neck"), torso_joint=head.joint_names.index("root"),
        skin=skin, spread=spread, points=points, axes=_axes(apart), unit=unit,
        width=float(upper[:, 0].max() - upper[:, 0].min()), centre=centre, front=Relief(foremost, 2),
        left=Relief(bare[bare[:, 0] > middle], 0, 1.0), right=Relief(bare[bare[:, 0] < middle], 0, -1.0),
        envelope=outer or Envelope(centre, bare, None),
        column=Column(neck, float(points["chin"][1]) - 0.08 * unit, bare, body_splats),
        flesh=flesh, regions=regions, hair_colour=hair_colour,
    )  # fmt: skip


def rest_params(head: HeadModel, motion: HeadParams) -> HeadParams:
    """One timestep of ``motion``'s identity: its shape and static offset, everything else zero."""
    rest = HeadParams.zeros(1, head.num_shape, head.num_expr)
    return replace(rest, shape=motion.shape.detach(), static_offset=motion.static_offset)


def visible_splats(gaussians: Gaussians, pose: HeadPose, faces: Tensor) -> tuple[Splats, IntArray | None]:
    """Every Gaussian at rest, opacity 0 for those too faint to count, and its class (N,), or None where none is labelled."""
    with torch.no_grad():
        posed = gaussians_in_pose(gaussians, pose, faces, sh_degree=0)
        quats = torch.nn.functional.normalize(posed.quats, dim=1)
        opacities = posed.opacities.double().numpy()
        splats = Splats(
            posed.means.double().numpy(), posed.scales.double().numpy(), rotation_matrices(quats).double().numpy(),
            np.where(opacities > VISIBLE, opacities, 0.0),
        )  # fmt: skip
    logits = gaussians.label_logits
    return splats, (logits.argmax(1).numpy() if bool((logits != 0).any()) else None)


def _of(splats: Splats, kept: BoolArray) -> Splats:
    kept = kept & (splats.opacities > 0)
    return Splats(splats.points[kept], splats.scales[kept], splats.axes[kept], splats.opacities[kept])


def _among(classes: IntArray, names: tuple[str, ...]) -> BoolArray:
    """(N,) which of ``classes`` (N,) are one of the labels ``names``."""
    return np.isin(classes, [LABEL_INDEX[name] for name in names])


def _axes(apart: FloatArray) -> FloatArray:
    left = apart / np.linalg.norm(apart)
    up = np.array([0.0, 1.0, 0.0]) - left[1] * left
    up /= np.linalg.norm(up)
    return np.stack([left, up, np.cross(left, up)], 1)


def _neck_centre(bare: FloatArray, middle: float, height: float) -> FloatArray:
    """(3,) half way between throat and nape at one height."""
    level = bare[(np.abs(bare[:, 1] - height) < 0.006) & (np.abs(bare[:, 0] - middle) < 0.02)]
    return np.array([middle, height, 0.5 * (level[:, 2].min() + level[:, 2].max())])


def _on_ear(skin: FloatArray, points: Mapping[str, FloatArray], side: str) -> BoolArray:
    """(P,) which points (P, 3) of the skin belong to an ear though its region does not hold them: they stand off the head."""
    sign = SIDES[side]
    root, lobe, top = points[f"{side}_ear_root"], points[f"{side}_lobe"], points[f"{side}_ear_top"]
    tall = top[1] - lobe[1]
    beside = np.abs(skin[:, 2] - 0.5 * (lobe[2] + top[2])) < 0.5 * tall
    beside &= (skin[:, 1] > lobe[1] - 0.2 * tall) & (skin[:, 1] < top[1] + 0.05 * tall)
    return beside & (sign * skin[:, 0] > sign * root[0] + EAR_ROOT)


def _hair_colour(
    gaussians: Gaussians, splats: Splats, classes: IntArray | None, envelope: Envelope
) -> FloatArray | None:
    """Mean colour (3,) of the hair that shows from the front half, or of the brows where there is little of it.

    A mean by area and opacity, as a picture blends them: single Gaussians of a trained avatar stray far to both sides.
    """
    if classes is None:
        return None
    offset = splats.points - envelope.centre
    distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    outward = offset / distance[:, None]
    outermost = distance + splats.along(outward) > 0.97 * envelope.reach(outward)
    shows = (splats.opacities > 0) & (offset[:, 2] > 0) & outermost
    colours = 0.5 + Y00 * gaussians.sh[:, 0].detach().double().numpy()
    areas = splats.seen_area(outward)
    for own in (_among(classes, ("hair",)) & shows, _among(classes, ("l_brow", "r_brow"))):
        if own.sum() >= 50:
            return np.clip(np.average(colours[own], axis=0, weights=areas[own]), 0.0, 1.0)
    return None
