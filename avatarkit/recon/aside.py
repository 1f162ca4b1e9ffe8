"""Views from where no camera stood: a head is opaque from there, too.

Temples, cheeks before the ears: one camera sees them at a slant or not at all, and what stands in the way of nothing that it sees is thinned
out until there are holes.  The head model knows where a head surely is.  So some steps also draw a view that is turned about the head
and ask of it that nothing shows through the mesh.  Which colour is there, and whether it is hair before the mesh, is for others to say: asked for the
mesh's colours, too, a capture whose other cameras are known lost 1.7 dB there, hair among it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import HeadModel, Rasterizer, Render
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.correctives import PoseWeights
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import Skinning
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.head_tuning import posed
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.track.sequence import Sequence
from avatarkit.types import FloatArray

COUNT = 120  # views that are made beforehand and taken in turn
YAW, PITCH = 45.0, 15.0  # degrees that they are turned at most
EDGE = 0.08  # of the mesh's width in the view: so near its outline nothing is sure
UNSURE = ("l_ear", "r_ear", "neck", "boundary", "mouth", "teeth")
"""Regions that may be elsewhere than the person's, or see-through."""


@dataclass(frozen=True)
class AsideView:
    """vertices (V, 3) and joints (J, 4, 4) of the head; cameras (one), of half the pictures' size; sure (1, 1, H, W): 1 where a head is, else 0;
    weights (K,): of the pose, None without correctives."""

    vertices: Tensor
    joints: Tensor
    cameras: Cameras
    sure: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Aside:
    """Views from aside, for every so many steps to take in turn."""

    views: list[AsideView]
    every: int

    def at(self, step: int) -> AsideView | None:
        """The view of ``step``; None where it has none."""
        if (step + 1) % self.every:
            return None
        return self.views[(step + 1) // self.every % len(self.views)]


def aside_views(
    sequence: Sequence, head: HeadModel, config: ReconConfig, device: str = "cpu", weigh: PoseWeights | None = None
) -> Aside:
    """``COUNT`` of them at the sequence's own parameters, which tuning does not change: a resumed run finds the same."""
    with torch.no_grad():
        pose = posed(head, sequence.params)
    faces, train = head.faces.numpy(), sequence.capture.indices("train")
    unsure = torch.stack([head.regions[name] for name in UNSURE if name in head.regions] or [torch.zeros(1)])
    sure = unsure.amax(0).expand(len(head.template)).numpy()[faces].max(1) < 0.5
    random = np.random.default_rng([config.seed, 31])
    made = []
    for _ in range(COUNT):
        frame = sequence.capture.frames[train[int(random.integers(len(train)))]]
        yaw, pitch = np.radians(random.uniform(-YAW, YAW)), np.radians(random.uniform(-PITCH, PITCH))
        vertices, joints = pose.vertices[frame.timestep].clone(), pose.joints[frame.timestep].clone()
        middle = vertices.double().mean(0).numpy()
        view = turned(sequence.viewmats[frame.camera].double().numpy(), middle, float(yaw), float(pitch))
        camera = sequence.capture.cameras[frame.camera]
        K = sequence.Ks[frame.camera][None].float()
        cameras = Cameras(torch.from_numpy(view).float()[None], K, camera.width, camera.height)
        cameras = cameras.resized(max(1, camera.width // 2), max(1, camera.height // 2))
        drawn = rasterize_mesh(vertices.numpy(), faces, view, cameras.Ks[0].numpy(), cameras.width, cameras.height)
        inside = drawn.triangle >= 0
        deep = ndimage.distance_transform_edt(inside) > max(1.0, EDGE * float(inside.any(0).sum()))
        counts = torch.from_numpy((deep & sure[np.maximum(drawn.triangle, 0)]).astype(np.float32))[None, None]
        weights = None if weigh is None else weigh(sequence.params[frame.timestep])[0].to(device)
        made.append(AsideView(vertices.to(device), joints.to(device), cameras.to(device), counts.to(device), weights))
    return Aside(made, config.aside_every)


def aside_loss(
    gaussians: Gaussians, view: AsideView, skin: Skinning | None, head: HeadModel, rasterizer: Rasterizer, *, antialiased: bool
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """How much shows through where a head surely is, mean over these pixels, in [0, 1]; and which Gaussians show, (N,) bool."""
    render = _near_side_drawn(gaussians, view, skin, head, rasterizer, antialiased)
    return ((1.0 - render.alpha) * view.sure).sum() / view.sure.sum().clamp(min=1.0), render.radii[0] > 0


def closing(
    gaussians: Gaussians, view: AsideView, skin: Skinning | None, head: HeadModel, rasterizer: Rasterizer, *, antialiased: bool
) -> Tensor:  # fmt: skip
    """(N,) Σ α·T of each Gaussian where a head surely is, in pixels of the pictures."""
    with torch.no_grad():
        sums = _near_side_drawn(gaussians, view, skin, head, rasterizer, antialiased, masks=view.sure).sums
    assert sums is not None
    return 4.0 * sums[0, 0]  # the view has half their size


def _near_side_drawn(
    gaussians: Gaussians, view: AsideView, skin: Skinning | None, head: HeadModel, rasterizer: Rasterizer, antialiased: bool,
    masks: Tensor | None = None,
) -> Render:  # fmt: skip
    """``view`` without what is bound to triangles that look away: the far side of a head closes no hole in the near one."""
    placed = pose_gaussians(
        gaussians, view.vertices, view.joints, head.faces, sh_degree=0, skin=skin, weights=view.weights
    )
    return rasterizer.render(
        placed.means, placed.quats, placed.scales, placed.opacities * near_side(gaussians.binding, view, head.faces),
        placed.colours[:, :1].detach(), view.cameras, masks=masks, antialiased=antialiased,
    )  # fmt: skip


def near_side(binding: Tensor, view: AsideView, faces: Tensor) -> Tensor:
    """(N,) 1 for free Gaussians and those bound to triangles that look towards the camera, else 0."""
    a, b, c = view.vertices[faces].unbind(1)
    sight = (a + b + c) / 3.0 - view.cameras.centres()[0]
    towards = (torch.linalg.cross(b - a, c - a) * sight).sum(1) < 0
    binding = binding.long()
    return torch.where(binding >= 0, towards[binding.clamp(min=0)], True).float()


def turned(view: FloatArray, centre: FloatArray, yaw: float, pitch: float) -> FloatArray:
    """``view`` (4, 4) world to camera, turned about ``centre`` (3,) world by radians about the camera's own y and x."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    middle = view[:3, :3] @ centre + view[:3, 3]
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = about, middle - about @ middle
    return np.asarray(turn @ view)
