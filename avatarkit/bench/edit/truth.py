"""What the edited subject really looks like: drawn again with the edit's appearance and motion, at held-out times and cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.bench.edit.subjects import CAMERAS, TIMESTEPS, Sitter
from avatarkit.edit.scene import Place, Scene
from avatarkit.gaussians.avatar import Avatar
from avatarkit.labels import LABEL_INDEX
from avatarkit.losses.colour_difference import ciede2000, lab
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import split_of
from avatarkit.synthetic.mesh_renderer import View
from avatarkit.synthetic.subject import SubjectParams, bust, subject

VIEWS = 8
"""Held-out pictures that every edit is scored in: half of a camera that was never trained on, half at timesteps that were not."""

Change = Callable[[SubjectParams], SubjectParams]


@dataclass(frozen=True)
class Shot:
    """One held-out picture, four ways.  truth_before, truth_after, before, after: (H, W, 3) sRGB; labels as true (H, W); alpha (H, W) of
    the edited avatar; depth (H, W) of it, metres; masks (H, W) bool: where the true subject is; surface (H, W): the true camera z of the
    edited subject, metres, 0 where it is not; half (H, W) bool: where the edit is meant to be, None for everywhere."""

    place: Place
    truth_before: Tensor
    truth_after: Tensor
    labels_before: Tensor
    labels_after: Tensor
    mask_before: Tensor
    mask_after: Tensor
    before: Tensor
    after: Tensor
    alpha: Tensor
    depth: Tensor
    params: SubjectParams
    surface: Tensor | None = None
    half: Tensor | None = None

    def labelled(self, *names: str, after: bool = False) -> Tensor:
        """(H, W) bool: where the true subject shows one of these classes."""
        wanted = torch.tensor([LABEL_INDEX[name] for name in names])
        return torch.isin(self.labels_after if after else self.labels_before, wanted)

    @cached_property
    def changed(self) -> Tensor:
        """(H, W) CIEDE2000 between the avatar before and after."""
        return ciede2000(lab(self.before), lab(self.after))

    @cached_property
    def truly_changed(self) -> Tensor:
        """(H, W) CIEDE2000 between the subject before and after."""
        return ciede2000(lab(self.truth_before), lab(self.truth_after))


def held_out(count: int = VIEWS) -> list[tuple[int, int]]:
    """(timestep, camera) of held-out pictures: the validation camera at training timesteps, other cameras at test timesteps."""
    splits: dict[str, list[tuple[int, int]]] = {"val": [], "test": []}
    for step in range(TIMESTEPS):
        for camera in range(CAMERAS):
            split = split_of(step, camera, TIMESTEPS, CAMERAS)
            if split in splits and (split == "val" or camera in (1, 2, 4, 5, 6)):
                splits[split].append((step, camera))
    picked = []
    for rows, share in ((splits["val"], count // 2), (splits["test"], count - count // 2)):
        picked += [rows[i] for i in np.linspace(0, len(rows) - 1, share).round().astype(int)]
    return picked


def shots(
    who: Sitter, edited: Avatar, change: dict[str, Any], *, motion: Change | None = None, count: int = VIEWS, half: float = 0.0
) -> list[Shot]:  # fmt: skip
    """Held-out pictures of an edit.  change: fields of the appearance; motion: what the edit does to each moment; half: +1 or −1
    where only the subject's left or right half is edited, divided by the plane between its ears."""
    after_look = replace(who.look, **change)
    after_scene = who.scene.with_avatar(edited)
    made = []
    for step, camera in held_out(count):
        first = _drawn(who.look, step, camera, who)
        moved = who.poses[step] if motion is None else motion(who.poses[step])
        second = first if after_look == who.look and motion is None else _draw(after_look, moved, who.cameras[camera])
        place = who.scene.place(step, camera)
        shot = _shot(who.scene, after_scene, place, first, second, moved)
        made.append(halved(who, shot, torch.from_numpy(first.depth), half) if half else shot)
    return made


def halved(who: Sitter, shot: Shot, earlier: Tensor, half: float) -> Shot:
    """The edit's truth on one half of the head; the other half is as it was.  earlier (H, W): the true camera z before the edit."""
    found = landmarks(who, shot.params)
    assert shot.surface is not None
    sides = []
    for depth in (shot.surface, earlier):
        known = depth > 0
        side = torch.zeros_like(known)
        points = unproject(known, depth, shot.place)
        side[known] = (points - found["centre"]) @ found["left"] * half > 0
        sides.append(side)
    part = sides[0] | ((shot.surface <= 0) & sides[1])
    return replace(
        shot, truth_after=torch.where(part[..., None], shot.truth_after, shot.truth_before),
        labels_after=torch.where(part, shot.labels_after, shot.labels_before),
        mask_after=torch.where(part, shot.mask_after, shot.mask_before), half=part,
    )  # fmt: skip


def _shot(before: Scene, after: Scene, place: Place, first: View, second: View, params: SubjectParams) -> Shot:
    nothing = torch.zeros(len(after.avatar.gaussians), 1)
    _, alpha, _ = after.field(nothing, place)
    return Shot(
        place, _picture(first.rgb), _picture(second.rgb), torch.from_numpy(first.labels.astype(np.int64)),
        torch.from_numpy(second.labels.astype(np.int64)), torch.from_numpy(first.mask > 127), torch.from_numpy(second.mask > 127),
        before.picture(place).permute(1, 2, 0), after.picture(place).permute(1, 2, 0), alpha[0], after.depth(place)[0], params,
        torch.from_numpy(second.depth),
    )  # fmt: skip


def _picture(rgb: np.ndarray) -> Tensor:
    return torch.from_numpy(rgb.astype(np.float32) / 255.0)


_DRAWN: dict[tuple[str, int, int, int], View] = {}


def _drawn(look: Appearance, step: int, camera: int, who: Sitter) -> View:
    """The subject as it is: kept, since every edit of a sitter needs it."""
    key = (who.name, who.avatar.meta.get("config", {}).get("seed", 0), step, camera)
    if key not in _DRAWN:
        _DRAWN[key] = _draw(look, who.poses[step], who.cameras[camera])
    return _DRAWN[key]


def _draw(look: Appearance, params: SubjectParams, camera: Any) -> View:
    return subject(look).view(params, camera, samples=2)


def expression_added(weights: dict[str, float]) -> Change:
    """Weights of ARKit names added to every moment, clamped to [0, 1]: what an expression edit asks of the true subject."""
    names = bust().expr_names

    def change(params: SubjectParams) -> SubjectParams:
        expr = params.expr.copy()
        for name, weight in weights.items():
            at = names.index(name)
            expr[at] = np.clip(expr[at] + weight, 0.0, 1.0)
        return replace(params, expr=expr)

    return change


def landmarks(who: Sitter, params: SubjectParams) -> dict[str, Tensor]:
    """Points of the true head in the world (3,), metres: eyes, ears' lobes, nose tip, mouth, chin, top, and the head's axes."""
    true = subject(who.look)
    pose = true.pose_head(params)
    vertices, regions = pose.vertices[0], true.head.regions
    found = {
        name: vertices[regions[name] > 0.5].mean(0) for name in ("l_eye", "r_eye", "l_ear", "r_ear", "nose", "neck")
    }
    found["mouth"] = 0.5 * (vertices[regions["u_lip"] > 0.5].mean(0) + vertices[regions["l_lip"] > 0.5].mean(0))
    found["l_brow"], found["r_brow"] = (vertices[regions[name] > 0.5].mean(0) for name in ("l_brow", "r_brow"))
    joint = pose.joints[0, 1]
    found["left"], found["up"], found["forward"] = joint[:3, 0], joint[:3, 1], joint[:3, 2]
    found["centre"] = 0.5 * (found["l_ear"] + found["r_ear"])
    top = vertices[((vertices - found["centre"]) @ found["up"]).argmax()]
    jaw = vertices[regions["jaw"] > 0.5]
    found["chin"] = jaw[(jaw @ found["up"]).argmin()]
    found["top"] = top
    return found


def head_width(who: Sitter) -> float:
    """Metres between the ears of the true subject."""
    found = landmarks(who, who.poses[0])
    return float((found["l_ear"] - found["r_ear"]).norm())


def project(points: Tensor, place: Place) -> Tensor:
    """(N, 3) world → (N, 2) pixels."""
    view, K = place.cameras.viewmats[0], place.cameras.Ks[0]
    local = points @ view[:3, :3].T + view[:3, 3]
    return (local @ K.T)[:, :2] / local[:, 2:].clamp(min=1e-6)


def unproject(mask: Tensor, depth: Tensor, place: Place) -> Tensor:
    """(M, 3) world points of the pixels of ``mask`` (H, W) at ``depth`` (H, W)."""
    rows, columns = torch.nonzero(mask & (depth > 0), as_tuple=True)
    z = depth[rows, columns]
    K, view = place.cameras.Ks[0], place.cameras.viewmats[0]
    x = (columns + 0.5 - K[0, 2]) / K[0, 0] * z
    y = (rows + 0.5 - K[1, 2]) / K[1, 1] * z
    local = torch.stack([x, y, z], 1)
    return (local - view[:3, 3]) @ view[:3, :3]
