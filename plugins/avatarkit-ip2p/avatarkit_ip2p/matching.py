"""Which tokens of two views show the same point of the head.

Triangle and barycentrics name a point whatever the expression, and its place on the neutral head says how far two points are apart.
A token stands for the point at its centre, not for the mean over its square, which at an outline would lie in the air.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatarkit.contracts import Correspondences
from avatarkit_ip2p.framing import Frame

ROWS = 1024  # tokens that are compared with all others at once


@dataclass(frozen=True)
class TokenPoints:
    """Of N tokens of a view: where they lie on the neutral head (N, 3) metres, which way the skin looks there (N, 3), unit or 0
    where that is not known, and whether they show the head at all (N,)."""

    points: Tensor
    normals: Tensor
    shown: Tensor


@dataclass(frozen=True)
class Match:
    """For each of N tokens of one view, index (N,) int64 of another view's token that shows the same point, and weight (N,) in
    [0, 1]: 1 at the very same point, falling to 0 at ``reach``; 0 where there is none."""

    index: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Match:
        return Match(self.index.to(device), self.weight.to(device))


def token_points(
    correspondences: Correspondences, frame: Frame, down: int, across: int, reach: float
) -> list[TokenPoints]:
    """One for each view, its tokens down × across in row-major order."""
    rows, columns = frame.centres(down, across)
    inside = (rows >= 0)[:, None] & (columns >= 0)[None]
    row, column = rows.clamp(min=0)[:, None], columns.clamp(min=0)[None]
    found = []
    for triangle, rest in zip(correspondences.triangle.cpu(), correspondences.rest.float().cpu(), strict=True):
        shown = (triangle >= 0)[row, column] & inside
        normals = _normals(rest, triangle >= 0, reach)
        found.append(
            TokenPoints(rest[row, column].reshape(-1, 3), normals[row, column].reshape(-1, 3), shown.reshape(-1))
        )
    return found


def match(one: TokenPoints, other: TokenPoints, reach: float) -> Match:
    """For each token of ``one`` the nearest of ``other`` nearer than ``reach`` (metres) whose skin does not look the other way.

    The second condition keeps apart what touches on the neutral head and is not the same: the lips, the two sides of an ear.
    """
    index = torch.zeros(len(one.points), dtype=torch.int64)
    weight = torch.zeros(len(one.points))
    mine, theirs = torch.nonzero(one.shown)[:, 0], torch.nonzero(other.shown)[:, 0]
    if len(theirs) == 0:
        return Match(index, weight)
    for some in mine.split(ROWS):
        # not by products: what float32 leaves of them is as large as the distances that are looked for
        apart = torch.cdist(one.points[some], other.points[theirs], compute_mode="donot_use_mm_for_euclid_dist")
        apart[one.normals[some] @ other.normals[theirs].T < 0.0] = torch.inf
        nearest = apart.min(1)
        index[some] = theirs[nearest.indices]
        weight[some] = (1.0 - (nearest.values / reach) ** 2).clamp(min=0.0)
    return Match(index, weight)


def _normals(rest: Tensor, shown: Tensor, reach: float) -> Tensor:
    """(H, W, 3) from differences between neighbouring pixels that lie on one surface: shown, and nearer than ``reach``.

    Which of the two ways they point does not matter: seen from outside it is the same for every view.
    """
    across = _slope(rest, shown, reach)
    down = _slope(rest.transpose(0, 1), shown.T, reach).transpose(0, 1)
    return torch.nn.functional.normalize(torch.linalg.cross(across, down), dim=-1)


def _slope(rest: Tensor, shown: Tensor, reach: float) -> Tensor:
    """Sum of the differences to the next and from the last pixel in a row, of those that lie on one surface."""
    step = rest[:, 1:] - rest[:, :-1]
    step = step * (shown[:, 1:] & shown[:, :-1] & (step.norm(dim=-1) < reach))[..., None]
    zero = torch.zeros_like(rest[:, :1])
    return torch.cat([step, zero], 1) + torch.cat([zero, step], 1)
