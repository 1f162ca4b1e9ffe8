"""A head whose every Gaussian is known: one on each triangle of the bust, with a true label, a true colour and a true amount of light.

Hair lies 8 mm over the scalp with nothing below it, as in a reconstruction; glasses and an earring on each side ride on the skull.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from avatarkit.capture.capture import Frame
from avatarkit.edit.editing import OPERATORS
from avatarkit.edit.plan import Attributes, Operation, Region
from avatarkit.edit.region import locate
from avatarkit.edit.scene import SKULL, Place, Scene
from avatarkit.gaussians.avatar import Avatar, AvatarCamera
from avatarkit.gaussians.binding import Posed, pose_gaussians
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.frames import with_frames
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.labels import LABEL_INDEX, LABELS, NUM_LABELS
from avatarkit.losses.colour_difference import lab, linear_from_srgb, srgb_from_linear
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.render.sh import Y00
from avatarkit.synthetic.capture import camera_at

SIDE = 128
CAMERAS = ((0.0, 0.05), (0.8, 0.0), (-0.8, 0.0), (0.0, 0.45))
"""Azimuth and elevation, radians: in front, on the subject's left, on the right, in front and above."""
COLOURS = {
    "skin": "#c98f70", "nose": "#c98f70", "neck": "#c98f70", "l_ear": "#c98f70", "r_ear": "#c98f70", "hair": "#6b4226", "l_brow": "#3a2416",
    "r_brow": "#3a2416", "l_eye": "#eeeae6", "r_eye": "#eeeae6", "u_lip": "#b05058", "l_lip": "#b05058", "mouth": "#5a1c20",
    "cloth": "#3d6b7d", "glasses": "#2030a0", "earring": "#c8a030", "hat": "#a03030",
}  # fmt: skip
IRIS, TEETH, TONGUE, BEARD = "#4f7a4c", "#efe8da", "#b4474c", "#2e1c10"
LIFT = 0.008  # metres between scalp and hair
DROP = 0.030  # metres that earrings hang down
IRIS_RADIUS = 0.0055  # metres


@dataclass(frozen=True)
class Labelled:
    """scene: the avatar, ready to be edited; label (N,): true classes; light (N,): linear, the colour of each is its class's times it."""

    scene: Scene
    label: Tensor
    light: Tensor
    iris: Tensor
    beard: Tensor

    @property
    def avatar(self) -> Avatar:
        return self.scene.avatar

    def of(self, *names: str) -> Tensor:
        """(N,) bool: Gaussians of these classes."""
        return torch.isin(self.label, torch.tensor([LABEL_INDEX[name] for name in names]))

    @property
    def rest(self) -> Tensor:
        """(N, 3) where they lie at rest, metres."""
        return self.scene.rest.means

    def front(self, timestep: int = 0) -> Place:
        return self.scene.place(timestep, 0)


def rgb(colour: str) -> Tensor:
    return torch.tensor([int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)])


def seen(gaussians: Gaussians) -> Tensor:
    """(N, 3) sRGB from no side in particular."""
    return 0.5 + Y00 * gaussians.sh[:, 0]


def linear(gaussians: Gaussians) -> Tensor:
    return linear_from_srgb(seen(gaussians))


def lab_of(colour: str) -> Tensor:
    return lab(rgb(colour))


def posed(scene: Scene, timestep: int) -> Posed:
    """Where an avatar's Gaussians stand at a timestep of its motion."""
    pose = scene.head.pose(scene.avatar.motion[timestep])
    with torch.no_grad():
        return pose_gaussians(
            scene.avatar.gaussians, pose.vertices[0], pose.joints[0], scene.head.faces, skin=pose.skin
        )


def operation(
    kind: str, target: str, region: Region | None = None, strength: float = 1.0, **attributes: object
) -> Operation:
    return Operation(kind, target, region, Attributes(**attributes), strength=strength)  # type: ignore[arg-type]


def same_tensors(first: Avatar, second: Avatar) -> bool:
    """Whether two avatars are the same to the bit, by their Gaussians and their motion."""
    here, there = first.gaussians.tensors(), second.gaussians.tensors()
    equal = all(here[name].shape == there[name].shape and torch.equal(here[name], there[name]) for name in here)
    for name, value in vars(first.motion).items():
        other = getattr(second.motion, name)
        equal &= (value is None) == (other is None) and (value is None or torch.equal(value, other))
    return equal


@lru_cache(maxsize=4)
def labelled(beard: bool = False, worn: bool = True, frames: str = "skin") -> Labelled:
    """Made once for all tests; nothing changes it in place."""
    head = with_frames(load_head("bust"), frames)
    vertices, faces = head.template, head.faces
    corners = vertices[faces]
    centres = corners.mean(1)
    kind = _face_labels(head.regions, vertices, faces)
    colours = torch.stack([rgb(COLOURS.get(name, COLOURS["skin"])) for name in LABELS])[kind]
    teeth, tongue = (_majority(head.regions[name], faces) for name in ("teeth", "tongue"))
    colours[teeth], colours[tongue] = rgb(TEETH), rgb(TONGUE)
    iris = torch.zeros(len(faces), dtype=torch.bool)
    for name in ("l_eye", "r_eye"):
        ball = vertices[head.regions[name] > 0.5]
        middle = 0.5 * (ball.amin(0) + ball.amax(0))
        iris |= (
            (kind == LABEL_INDEX[name])
            & ((centres[:, :2] - middle[:2]).norm(dim=1) < IRIS_RADIUS)
            & (centres[:, 2] > middle[2])
        )
    colours[iris] = rgb(IRIS)
    jaw = _majority(head.regions["jaw"], faces) & (kind == LABEL_INDEX["skin"]) & (centres[:, 2] > 0.03)
    if beard:
        colours[jaw] = rgb(BEARD)
    light = 0.7 + 0.25 * torch.sin(38.0 * centres[:, 0] + 1.0) * torch.cos(31.0 * centres[:, 1])
    hair = kind == LABEL_INDEX["hair"]
    spread = torch.where(hair, 0.75, 0.55)
    blank = Gaussians.fresh(
        torch.zeros(len(faces), 3), torch.stack([spread, torch.full_like(spread, 0.05), spread], 1).log(), 0.97,
        srgb_from_linear(linear_from_srgb(colours) * light[:, None]), torch.arange(len(faces)), 1,
    )  # fmt: skip
    motion = _motion(head)
    viewmats, Ks = zip(*((c.viewmat, c.K) for c in (camera_at(a, e, SIDE, SIDE) for a, e in CAMERAS)), strict=True)
    avatar = Avatar(
        blank, head.reference, motion, tuple(f"{t:03d}" for t in range(len(motion))),
        tuple(Frame(t, c, "test" if t == 3 else "train", f"{t}_{c}") for t in range(len(motion)) for c in range(len(CAMERAS))),
        tuple(AvatarCamera(str(c), SIDE, SIDE) for c in range(len(CAMERAS))),
        torch.from_numpy(np.stack(viewmats)).float(), torch.from_numpy(np.stack(Ks)).float(),
    )  # fmt: skip
    scene = Scene(avatar, head, CpuRasterizer(), SIDE)
    size = scene.frames_at_rest(blank.binding)[2]
    means = blank.means.clone()
    means[:, 1] = torch.where(hair, LIFT / size, torch.zeros_like(size))
    parts, labels, lights = [replace(blank, means=means)], [kind], [light]
    if worn:
        for name, points in (
            ("glasses", _glasses(vertices, head.regions)),
            ("earring", _earrings(vertices, head.regions)),
        ):
            amount = 0.6 + 0.3 * torch.sin(400.0 * points[:, 1])
            tint = srgb_from_linear(linear_from_srgb(rgb(COLOURS[name])) * amount[:, None])
            own = Gaussians.fresh(
                torch.zeros_like(points),
                torch.zeros_like(points),
                0.98,
                tint,
                torch.full((len(points),), -1 - SKULL),
                1,
            )
            parts.append(scene.placed_at_rest(own, points, own.quats, torch.full_like(points, 0.0016)))
            labels.append(torch.full((len(points),), LABEL_INDEX[name]))
            lights.append(amount)
    gaussians, label = Gaussians.cat(parts), torch.cat(labels)
    ids = torch.arange(len(gaussians))
    logits = torch.nn.functional.one_hot(label, NUM_LABELS).float() * 8.0
    sh = gaussians.sh.clone()
    sh[:, 1:] = 0.03 * torch.randn(sh[:, 1:].shape, generator=torch.Generator().manual_seed(1))
    made = replace(gaussians, ids=ids, parents=ids.clone(), label_logits=logits, sh=sh)
    extra = torch.zeros(len(made) - len(faces), dtype=torch.bool)
    return Labelled(
        Scene(replace(avatar, gaussians=made), head, CpuRasterizer(), SIDE), label, torch.cat(lights),
        torch.cat([iris, extra]), torch.cat([jaw & torch.tensor(beard), extra]),
    )  # fmt: skip


def _majority(weights: Tensor, faces: Tensor) -> Tensor:
    return (weights[faces] > 0.5).sum(1) >= 2


def _face_labels(regions: dict[str, Tensor], vertices: Tensor, faces: Tensor) -> Tensor:
    kind = torch.full((len(faces),), LABEL_INDEX["skin"])
    height = vertices[faces].mean(1)[:, 1]
    kind[height < -0.10] = LABEL_INDEX["neck"]
    kind[height < -0.15] = LABEL_INDEX["cloth"]
    for region, name in (("scalp", "hair"), ("nose", "nose"), ("l_ear", "l_ear"), ("r_ear", "r_ear"), ("l_brow", "l_brow"), ("r_brow", "r_brow"),
                         ("mouth", "mouth"), ("teeth", "mouth"), ("tongue", "mouth"), ("u_lip", "u_lip"), ("l_lip", "l_lip"), ("l_eye", "l_eye"),
                         ("r_eye", "r_eye")):  # fmt: skip
        kind[_majority(regions[region], faces)] = LABEL_INDEX[name]
    return kind


def _motion(head: object) -> HeadParams:
    """Neutral, smiling and turned, mouth open, eyes shut."""
    names = list(head.expr_names)  # type: ignore[attr-defined]
    motion = HeadParams.zeros(4, head.num_shape, head.num_expr)  # type: ignore[attr-defined]
    for step, name, weight in ((1, "mouthSmileLeft", 0.8), (1, "mouthSmileRight", 0.8), (2, "jawOpen", 0.7), (3, "eyeBlinkLeft", 1.0),
                               (3, "eyeBlinkRight", 1.0), (3, "browInnerUp", 0.6)):  # fmt: skip
        motion.expr[step, names.index(name)] = weight
    motion.neck_pose[1] = torch.tensor([0.05, 0.30, 0.0])
    motion.rotation[2] = torch.tensor([0.0, -0.2, 0.05])
    motion.translation[2] = torch.tensor([0.01, -0.005, 0.0])
    return motion


def _glasses(vertices: Tensor, regions: dict[str, Tensor]) -> Tensor:
    """(G, 3): a ring around each eye, 15 mm before it, and a bridge."""
    points = []
    for name in ("l_eye", "r_eye"):
        ball = vertices[regions[name] > 0.5]
        middle = 0.5 * (ball.amin(0) + ball.amax(0)) + torch.tensor([0.0, 0.0, 0.030])
        angles = torch.arange(80) * (2.0 * torch.pi / 80)
        points.append(middle + 0.022 * torch.stack([angles.cos(), angles.sin(), torch.zeros(80)], 1))
    across = torch.linspace(-0.009, 0.009, 12)
    points.append(torch.stack([across, torch.full((12,), float(points[0][:, 1].mean())), torch.full((12,), 0.090)], 1))
    return torch.cat(points)


def _earrings(vertices: Tensor, regions: dict[str, Tensor]) -> Tensor:
    """(E, 3): from each lobe ``DROP`` straight down, 30 to a side."""
    points = []
    for name in ("l_ear", "r_ear"):
        ear = vertices[regions[name] > 0.5]
        lobe = ear[ear[:, 1].argmin()]
        side = torch.sign(lobe[0])
        down = torch.linspace(0.0, DROP, 30)
        points.append(lobe + torch.stack([(0.002 + 0.0 * down) * side, -down, torch.zeros(30)], 1))
    return torch.cat(points)


def carried_out(scene: Scene, asked: Operation) -> Scene:
    """The scene after an operator did what was asked."""
    return scene.with_avatar(OPERATORS[asked.kind](scene, asked, locate(scene, asked)))


def added(scene: Scene, target: str, region: Region | None = None, **attributes: object) -> Scene:
    """The scene with an accessory of the library."""
    return carried_out(scene, operation("add", target, region, **attributes))


def group(scene: Scene, name: str) -> Tensor:
    """(N,) bool: the Gaussians of a named group."""
    return scene.avatar.gaussians.groups == scene.avatar.meta["groups"][name]
