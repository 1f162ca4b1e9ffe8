"""What is measured on the edited avatar itself and not in its pictures: how many things were added, and how still they stay on the head.

The frames that added things are held against are the true subject's: its skull, its torso, its skin at every moment.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.scores import Score
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.bench.edit.truth import head_width, project
from avatarkit.edit.scene import SKULL
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.binding import gaussians_in_pose
from avatarkit.losses.colour_difference import ciede2000, lab
from avatarkit.synthetic.subject import subject

TOUCHING, GAP = 2.0, 0.0005
"""Two Gaussians touch within so many of their largest sigmas, and half a millimetre."""
GRAIN = 0.05  # of the largest piece: a smaller one is an ornament of it
DRIFT = 0.01  # of the head's width: the most that a thing may move on the head
MOMENTS = 8
FRONT = 3  # the camera in which flicker is looked for


def new_rows(who: Sitter, edited: Avatar) -> Tensor:
    """(N,) bool: Gaussians of things that the edit added."""
    old = set(who.avatar.meta.get("groups", {}).values()) | {0}
    return ~torch.isin(edited.gaussians.groups, torch.tensor(sorted(old), dtype=edited.gaussians.groups.dtype))


def number(case: Case, who: Sitter, edited: Avatar) -> Score:
    """The added things, counted as pieces that do not touch, are as many as was asked."""
    rows = new_rows(who, edited)
    if not bool(rows.any()):
        return Score(False, {"count": 0.0}, "nothing was added")
    rest = who.scene.with_avatar(edited).rest
    found = pieces(rest.means[rows], rest.scales[rows])
    asked = case.args["count"]
    return Score(found == asked, {"count": float(found)}, "" if found == asked else f"{found} of them, not {asked}")


def pieces(means: Tensor, scales: Tensor) -> int:
    """How many pieces Gaussians (N, 3) with sigmas (N, 3), metres, make."""
    reach = TOUCHING * scales.amax(1)
    pairs = cKDTree(means.numpy()).query_pairs(2.0 * float(reach.max()) + GAP, output_type="ndarray")
    gaps = (means[pairs[:, 0]] - means[pairs[:, 1]]).norm(dim=1)
    touching = pairs[(gaps <= reach[pairs[:, 0]] + reach[pairs[:, 1]] + GAP).numpy()]
    links = coo_matrix((np.ones(len(touching)), (touching[:, 0], touching[:, 1])), shape=(len(means), len(means)))
    counts = np.bincount(connected_components(links, directed=False)[1])
    return int((counts >= GRAIN * counts.max()).sum())


def stillness(who: Sitter, edited: Avatar) -> dict[str, float]:
    """Of what was added.  drift: the farthest that it moves on what carries it, mean over its Gaussians, head widths; flicker: CIEDE2000
    from one moment to the next of the colour that a camera sees at the same Gaussians, median.  Empty where nothing was added."""
    rows = new_rows(who, edited)
    if not bool(rows.any()):
        return {}
    scene = who.scene.with_avatar(edited)
    kinds = set(edited.meta.get("group_kinds", {}).values())
    steps = np.unique(np.linspace(0, len(who.poses) - 1, MOMENTS).round().astype(int)).tolist()
    places, colours, shown = [], [], []
    anchor: Tensor | None = None
    for step in steps:
        pose = scene.pose(step)
        posed = gaussians_in_pose(edited.gaussians, pose, scene.head.faces, sh_degree=0)
        points = posed.means[rows]
        true = subject(who.look).pose_head(who.poses[step])
        vertices = true.vertices[0]
        joint = true.joints[0, 0 if "necklace" in kinds else SKULL]
        if anchor is None and kinds & {"beard", "moustache", "nose_ring"}:
            anchor = torch.from_numpy(cKDTree(vertices.numpy()).query(points.numpy())[1])
        origin = vertices[anchor] if anchor is not None else joint[:3, 3]
        places.append((points - origin) @ joint[:3, :3])
        place = scene.place(step, FRONT)
        at = project(points, place).floor().long()
        picture = scene.picture(place)
        inside = ((at >= 0) & (at < torch.tensor([picture.shape[2], picture.shape[1]]))).all(1)
        depth = scene.depth(place)[0]
        x, y = at[:, 0].clamp(0, picture.shape[2] - 1), at[:, 1].clamp(0, picture.shape[1] - 1)
        view = place.cameras.viewmats[0]
        z = (points @ view[:3, :3].T + view[:3, 3])[:, 2]
        shown.append(inside & ((depth[y, x] - z).abs() < 0.005))
        colours.append(lab(picture[:, y, x].T))
    drift = max(float((place - places[0]).norm(dim=1).mean()) for place in places) / head_width(who)
    gaps = [
        ciede2000(colours[i], colours[i + 1])[shown[i] & shown[i + 1]] for i in range(len(steps) - 1)
        if bool((shown[i] & shown[i + 1]).any())
    ]  # fmt: skip
    return {"drift": drift, **({"flicker": float(torch.cat(gaps).median())} if gaps else {})}


SOLID: dict[str, Callable[[Case, Sitter, Avatar], Score]] = {"number": number}
"""Probes that look at the avatar itself."""
