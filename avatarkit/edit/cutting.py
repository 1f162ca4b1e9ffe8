"""Gaussians that lie across the border of a region are cut there, so that each side can have a colour of its own.

A long Gaussian across the parting of the hair belongs to both halves: whatever colour it takes, one half shows it beyond the middle.  But a
Gaussian is a mixture of narrower ones along any direction n.  With σ² = nᵀΣn and the regression m = Σn/σ² of position on n,

    N(x; μ, Σ) = ∫ N(x; μ + σ·t·m, Σ − (1 − s²)·σ²·mmᵀ) · N(t; 0, 1 − s²) dt,

so that pieces at a spacing of δ in t weigh (δ/s)·N(t; 0, 1 − s²) of the whole.  What they share out is optical depth, −ln(1 − α): each takes
its weight of what the whole has where it lies, α(t) = α·exp(−t²/2(1 − s²)), so that the pile of them lets through what the whole did, and ends
where it did.  (Shares of the depth at the whole's middle are those of a wider Gaussian: −ln(1 − α) falls off faster than α.)
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from avatarkit.edit.ids import next_id
from avatarkit.edit.membership import PRESENT, membership
from avatarkit.edit.plan import Operation
from avatarkit.edit.region import border, direction
from avatarkit.edit.scene import Scene
from avatarkit.edit.walls import walled
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.frames import quat_from_matrix
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.skin_frames import rotation_matrices

KINDS = ("recolour", "restyle", "delete")
"""Operations that treat the two sides of a border differently.  What is moved or grown keeps its Gaussians: space is bent smoothly there."""
ACROSS = 2.0  # sigmas within which a Gaussian reaches over the border
FINE = 0.0012  # metres: sigma of the pieces across the border
FINEST = 0.2  # the same, at least so much of the whole's
SPACING = 1.2  # pieces' sigmas from one to the next
FAR = 2.6  # sigmas of what is spread out, where the row of pieces ends
FAINT = 1.0 / 255.0  # alpha below which a piece does not show
WALL_GAP = 0.001  # metres from the border, in the half that stays


def cut(scene: Scene, operation: Operation) -> Scene:
    """The scene with what belongs to the operation's target cut at its region's border; the same scene where there is none.

    What it looks like stays (nearly) as it is.  Raises InputError where the target or the anchor does not show.
    """
    if operation.region is None or operation.kind not in KINDS:
        return scene
    plane = border(scene, operation.region)
    if plane is None:
        return scene
    member = membership(scene, operation.target) > PRESENT
    avatar = cut_avatar(scene, member, *plane)
    if operation.target == "hair" and plane[0] == 0:
        avatar = walled(scene, avatar, member, plane[1] - direction(operation.region)[1] * WALL_GAP)
    return scene.with_avatar(avatar)


def cut_avatar(scene: Scene, member: Tensor, axis: int, at: float) -> Avatar:
    """The scene's avatar with its ``member`` Gaussians (N,) bool that reach over the plane where coordinate ``axis`` at rest is ``at``
    metres in pieces; the others keep their bits and their order, pieces come last and have the whole's id for a parent."""
    gaussians, rest = scene.avatar.gaussians.detach(), scene.rest
    rotation = rotation_matrices(torch.nn.functional.normalize(rest.quats, dim=1))
    covariance = (rotation * rest.scales.square()[:, None, :]) @ rotation.mT
    sigma = covariance[:, axis, axis].sqrt()
    share = (FINE / sigma).clamp(min=FINEST)
    across = member & ((rest.means[:, axis] - at).abs() < ACROSS * sigma) & (share < 1.0)
    rows = torch.nonzero(across)[:, 0]
    if not len(rows):
        return scene.avatar
    source, t, weight, bell = _pieces(share[rows])
    source = rows[source]
    slope = covariance[source][:, :, axis] / sigma[source][:, None].square()  # m
    spread = ((1.0 - share.square()) * sigma.square())[source]
    means = rest.means[source] + (sigma[source] * t)[:, None] * slope
    along = slope[:, :, None] * slope[:, None, :]  # of a whole's covariance, σ² of this; the rest lies across
    alpha = gaussians.opacity_logits[source].sigmoid().clamp(max=1.0 - 1e-6)
    beside = covariance[source] - sigma[source].square()[:, None, None] * along
    narrow = beside * _slimmer(alpha)[:, None, None] + (sigma[source].square() - spread)[:, None, None] * along
    values, vectors = torch.linalg.eigh(narrow.double())
    vectors = vectors * torch.linalg.det(vectors).sign()[:, None, None]  # rotations, no mirrors
    scales = values.clamp(min=1e-12).sqrt().float()
    children = gaussians.select(source)
    alpha = -torch.expm1(torch.log1p(-alpha * bell) * weight)
    children = replace(children, parents=gaussians.ids[source].clone(), opacity_logits=torch.logit(alpha, eps=1e-6))
    children = scene.placed_at_rest(children, means, quat_from_matrix(vectors.float()), scales)
    shown = alpha > FAINT
    children = children.select(shown)
    first = next_id(scene.avatar)
    children.ids = torch.arange(first, first + len(children))
    return replace(scene.avatar, gaussians=Gaussians.cat([gaussians.select(~across), children]))


def _slimmer(alpha: Tensor) -> Tensor:
    """(K,) by what the covariance across the row of pieces shrinks for wholes of opacity ``alpha`` (K,): several opaque pieces one behind the other
    are opaque farther out than one.

    Seen from across, a pile is about two pieces deep, (1 − βg)² = 1 − α/2 with β = 1 − √(1 − α) where it is half as opaque as the whole's
    middle, and the whole is so at g = ½.  Half of the way there, in logarithms, keeps outlines from across and from along the row.
    """
    piece = 1.0 - (1.0 - alpha).sqrt()
    g = (1.0 - (1.0 - 0.5 * alpha).sqrt()) / piece.clamp(min=1e-6)
    return (math.log(2.0) / -torch.log(g.clamp(1e-3, 0.5))).sqrt()


def _pieces(share: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For wholes whose pieces have ``share`` (M,) < 1 of their sigma: which whole each piece is of (K,), where it lies on it, sigmas (K,),
    its weight in a pile of its like (K,), and how far the whole has fallen off there, of its peak (K,)."""
    spread = (1.0 - share.square()).sqrt()
    step = SPACING * share
    reach = torch.ceil(FAR * spread / step).long()
    source = torch.repeat_interleave(torch.arange(len(share)), 2 * reach + 1)
    begin = torch.cumsum(2 * reach + 1, 0) - (2 * reach + 1)
    number = torch.arange(len(source)) - begin[source] - reach[source]
    t = number * step[source]
    bell = torch.exp(-0.5 * (t / spread[source]).square())
    return source, t, SPACING / math.sqrt(2.0 * math.pi) / spread[source], bell
