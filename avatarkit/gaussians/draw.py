"""Draw Gaussians on a posed head: binding, then the rasterizer."""

from __future__ import annotations

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Rasterizer, Render
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.binding import gaussians_in_pose
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadPose
from avatarkit.labels import LABEL_COLOURS
from avatarkit.render.sh import sh_colours


def draw(
    gaussians: Gaussians,
    pose: HeadPose,
    faces: Tensor,
    cameras: Cameras,
    rasterizer: Rasterizer,
    *,
    background: Tensor,
    sh_degree: int | None = None,
    antialiased: bool = False,
    world_directions: bool = False,
) -> Render:
    """Colour pictures of one timestep: ``pose`` holds one, ``cameras`` may hold several when SH degree is 0.

    Features of the result are (B, 3, H, W) over ``background`` (3,); values may leave [0, 1] and are clipped by the caller.
    ``world_directions``: spherical harmonics are along world directions (``Avatar.world_directions``).
    """
    centre = cameras.centres()[0].detach()
    posed = gaussians_in_pose(
        gaussians,
        pose,
        faces,
        camera_centre=None if world_directions else centre,
        sh_degree=0 if world_directions else sh_degree,
    )
    if world_directions:
        degree = gaussians.sh_degree if sh_degree is None else sh_degree
        directions = torch.nn.functional.normalize(posed.means - centre, dim=1)
        posed = posed._replace(colours=sh_colours(gaussians.sh, directions, degree))
    return rasterizer.render(
        posed.means, posed.quats, posed.scales, posed.opacities, posed.colours, cameras,
        background=background, antialiased=antialiased,
    )  # fmt: skip


def picture(
    avatar: Avatar,
    pose: HeadPose,
    faces: Tensor,
    camera: Cameras,
    rasterizer: Rasterizer,
    background: Tensor | None = None,
) -> Tensor:
    """(3, H, W) in [0, 1] of one timestep and camera, over the avatar's own background unless another (3,) is given."""
    over = avatar.background if background is None else background
    with torch.no_grad():
        drawn = draw(
            avatar.gaussians, pose, faces, camera, rasterizer,
            background=over, antialiased=avatar.antialiased, world_directions=avatar.world_directions,
        )  # fmt: skip
    return drawn.features[0].clamp(0.0, 1.0)


def label_picture(avatar: Avatar, pose: HeadPose, faces: Tensor, camera: Cameras, rasterizer: Rasterizer) -> Tensor:
    """(3, H, W): the label field in flat colours, blended like colour; background black."""
    gaussians = avatar.gaussians
    palette = torch.tensor(LABEL_COLOURS, dtype=torch.float32) / 255.0
    colours = palette[gaussians.label_logits.argmax(1)]
    with torch.no_grad():
        posed = gaussians_in_pose(gaussians, pose, faces, sh_degree=0)
        drawn = rasterizer.render(
            posed.means, posed.quats, posed.scales, posed.opacities, colours, camera, antialiased=avatar.antialiased
        )
    return drawn.features[0].clamp(0.0, 1.0)
