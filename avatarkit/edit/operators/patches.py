"""New Gaussians on triangles of the head: flat discs that cover them, in given colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatarkit.edit.ids import next_id
from avatarkit.edit.scene import Scene
from avatarkit.gaussians.frames import quat_from_matrix, triangle_frames
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX, NUM_LABELS

SPACING = 0.0032  # metres between the Gaussians of a patch
OVERLAP = 0.75
"""Standard deviation of a disc in units of the spacing: no gaps, and edges that are still edges."""
MOST = 24  # Gaussians on one triangle
THICKNESS = 0.0004  # metres
OPACITY = 0.985
CERTAIN = 6.0  # logit of the label that a patch has


def patches(
    scene: Scene,
    triangles: Tensor,
    colours: Tensor,
    labels: Tensor,
    lift: Tensor,
    grain: Tensor | None = None,
    first_id: int | None = None,
) -> Gaussians:
    """Gaussians that cover ``triangles`` (T,) of the head at rest, bound to them; ids from ``first_id`` on, by default the next free ones.

    By vertex of the mesh: colours (V, 3) sRGB; labels (V,) classes; lift (V,) metres over the surface.  grain (M, 3): deviations of which
    each Gaussian of hair takes one, so that a patch has the unevenness of what is around it.
    """
    faces, vertices = scene.head.faces.long(), scene.rest.vertices
    corners = vertices[faces[triangles]]
    area = 0.5 * torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    longest = (corners - corners.roll(1, 1)).norm(dim=2).amax(1)  # of a sliver, which needs more than its area says
    counts = torch.maximum(area / SPACING**2, longest / SPACING).ceil().clamp(1, MOST).long()
    own = torch.arange(len(triangles)).repeat_interleave(counts)
    weights = _spread_barycentrics(counts)
    spots = (corners[own] * weights[..., None]).sum(1)
    normals = triangle_frames(vertices, faces[triangles]).rotation[own][:, :, 1]
    at = faces[triangles[own]]
    height = (lift[at] * weights).sum(1)
    spots = spots + height[:, None] * normals
    apart = torch.maximum((area / counts).sqrt(), (longest / counts).clamp(max=SPACING))
    sigma = OVERLAP * apart[own] * (1.0 + height / 0.1)
    classes = labels[at].mode(1).values
    uneven = _grain(len(own), grain) * (classes == LABEL_INDEX["hair"])[:, None]
    seen = ((colours[at] * weights[..., None]).sum(1) + uneven).clamp(0.0, 1.0)
    made = on_triangles(scene, spots, normals, sigma, seen, triangles[own], classes)
    ids = (next_id(scene.avatar) if first_id is None else first_id) + torch.arange(len(made))
    return replace(made, ids=ids, parents=ids.clone())


def _grain(count: int, grain: Tensor | None) -> Tensor:
    if grain is None or not len(grain):
        return torch.zeros(count, 3)
    order = np.random.default_rng(count).integers(0, len(grain), count)
    return grain[torch.from_numpy(order)]


def on_triangles(
    scene: Scene, spots: Tensor, normals: Tensor, sigma: Tensor, colours: Tensor, triangles: Tensor, classes: Tensor
) -> Gaussians:
    """Flat discs at rest positions (N, 3) with ``normals`` (N, 3) and in-plane deviations ``sigma`` (N,), metres, bound to
    ``triangles`` (N,); classes (N,): their labels.  Ids are counted from 0."""
    gaussians = scene.avatar.gaussians
    probe = Gaussians.fresh(
        torch.zeros(len(spots), 3), torch.zeros(len(spots), 3), OPACITY, colours, triangles, gaussians.sh_degree
    )
    scales = torch.stack([sigma, torch.full_like(sigma, THICKNESS), sigma], 1)
    placed = scene.placed_at_rest(probe, spots, quat_from_matrix(_upright(normals)), scales)
    logits = torch.zeros(len(spots), NUM_LABELS)
    logits[torch.arange(len(spots)), classes] = CERTAIN
    return replace(placed, label_logits=logits)


def _upright(normals: Tensor) -> Tensor:
    """(N, 3, 3) rotations whose second column is the normal."""
    helper = torch.zeros_like(normals)
    helper.scatter_(1, normals.abs().argmin(1, keepdim=True), 1.0)
    first = torch.nn.functional.normalize(torch.linalg.cross(helper, normals), dim=1)
    return torch.stack([first, normals, torch.linalg.cross(first, normals)], -1)


def _spread_barycentrics(counts: Tensor) -> Tensor:
    """(Σ counts, 3): for each triangle ``count`` points, evenly in it (a golden-ratio sequence folded into the triangle)."""
    index = torch.cat([torch.arange(int(count)) for count in counts])
    number = counts.repeat_interleave(counts)
    u = torch.where(number == 1, torch.tensor(1.0 / 3.0), (0.5 + index * 0.7548776662466927) % 1.0)
    v = torch.where(number == 1, torch.tensor(1.0 / 3.0), (0.5 + index * 0.5698402909980532) % 1.0)
    fold = u + v > 1.0
    u, v = torch.where(fold, 1.0 - u, u), torch.where(fold, 1.0 - v, v)
    # a little inwards, so that discs at corners do not stand out over an edge
    points = torch.stack([1.0 - u - v, u, v], 1)
    inwards = torch.tensor(np.float32(0.12))
    return points * (1.0 - inwards) + inwards / 3.0
