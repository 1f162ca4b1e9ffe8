"""Tokens that show the same point: against every pair looked at one by one, and on the built-in head."""

from __future__ import annotations

import math

import torch
from avatarkit_ip2p.framing import Frame
from avatarkit_ip2p.matching import TokenPoints, match, token_points
from torch import Tensor

from avatarkit.contracts import Correspondences

from .heads import moved, seen

REACH = 0.02


def drawn(count: int, seed: int) -> TokenPoints:
    generator = torch.Generator().manual_seed(seed)
    points = 0.1 * torch.rand(count, 3, generator=generator)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    normals[::7] = 0.0  # not known
    return TokenPoints(points, normals, torch.rand(count, generator=generator) > 0.3)


def one_by_one(one: TokenPoints, other: TokenPoints) -> list[tuple[int, float] | None]:
    found: list[tuple[int, float] | None] = []
    for k in range(len(one.points)):
        best: tuple[int, float] | None = None
        for j in range(len(other.points)):
            if not (bool(one.shown[k]) and bool(other.shown[j])):
                continue
            if sum(float(a) * float(b) for a, b in zip(one.normals[k], other.normals[j], strict=True)) < 0:
                continue
            apart = math.dist(one.points[k].tolist(), other.points[j].tolist())
            if apart < REACH and (best is None or apart < best[1]):
                best = j, apart
        found.append(best)
    return found


def test_the_nearest_is_found() -> None:
    one, other = drawn(150, 0), drawn(170, 1)
    found, expected = match(one, other, REACH), one_by_one(one, other)
    assert 20 < sum(pair is not None for pair in expected) < 140
    for k, pair in enumerate(expected):
        if pair is None:
            assert float(found.weight[k]) == 0.0
        else:
            assert int(found.index[k]) == pair[0]
            assert abs(float(found.weight[k]) - (1.0 - (pair[1] / REACH) ** 2)) < 1e-4


def test_views_without_a_head_match_nothing() -> None:
    one, none = drawn(20, 0), TokenPoints(torch.zeros(20, 3), torch.zeros(20, 3), torch.zeros(20, dtype=torch.bool))
    assert not match(one, none, REACH).weight.any() and not match(none, one, REACH).weight.any()


def test_a_view_matches_itself() -> None:
    frame = Frame.of(128, 128, 128, 2, 2)
    points = token_points(seen(128, [(0.3, 0.2)]), frame, 64, 64, REACH)[0]
    found = match(points, points, REACH)
    assert int(points.shown.sum()) > 1000
    assert torch.equal(found.index[points.shown], torch.nonzero(points.shown)[:, 0])
    torch.testing.assert_close(found.weight, points.shown.float())


def test_the_turned_head_with_an_open_mouth() -> None:
    """Matched tokens lie where the mesh has moved to: a point of one picture carried along by its triangle and projected."""
    looks = [(0.0, 0.0), (0.5, 0.35)]
    frame, both = Frame.of(128, 128, 128, 2, 2), seen(128, looks)
    points = token_points(both, frame, 64, 64, REACH)
    found = match(points[0], points[1], REACH)
    share = float((found.weight > 0).sum() / points[0].shown.sum())
    assert 0.7 < share < 0.98  # an ear and a cheek have turned away
    rows, columns = frame.centres(64, 64)
    expected = moved(both, 0, looks[1])[rows[:, None], columns[None]].reshape(-1, 2)
    there = torch.stack([columns[found.index % 64], rows[found.index // 64]], 1) + 0.5
    sure = found.weight > 0.9  # nearer than 6 mm, about a token
    apart = (there - expected).norm(dim=-1)[sure]
    assert int(sure.sum()) > 900 and float(apart.median()) < 1.5 and float(apart.quantile(0.99)) < 4.0


def flat(height: float, looks: float, side: int = 16) -> Tensor:
    """(side, side, 3) of a small square, 1 mm a pixel, at ``height`` metres; ``looks``: 1 up, −1 down."""
    grid = 0.001 * (torch.arange(side) + 0.5)
    across = grid if looks > 0 else grid.flip(0)
    return torch.stack(
        [across.expand(side, side), torch.full((side, side), height), grid[:, None].expand(side, side)], -1
    )


def test_what_touches_back_to_back_is_not_the_same() -> None:
    """Two lips that meet on the neutral head, each seen from its own side."""
    frame, side = Frame.of(16, 16, 16, 2, 1), 16
    for looks, expected in ((1.0, True), (-1.0, False)):
        rest = torch.stack([flat(0.0, 1.0), flat(0.001, looks)])
        lips = Correspondences(torch.zeros(2, side, side, dtype=torch.int32), torch.zeros(2, side, side, 3), rest)
        one, other = token_points(lips, frame, 8, 8, REACH)
        torch.testing.assert_close(one.normals.norm(dim=-1), torch.ones(64))
        assert bool((match(one, other, REACH).weight > 0).all()) == expected


def test_tokens_beside_the_head_and_in_repeated_edges_show_nothing() -> None:
    rest, triangle = torch.rand(1, 24, 18, 3), torch.zeros(1, 24, 18, dtype=torch.int32)
    triangle[:, :12] = -1
    frame = Frame.of(24, 18, 24, 2, 3)
    shown = token_points(Correspondences(triangle, rest, rest), frame, 12, 12, REACH)[0].shown.reshape(12, 12)
    assert not shown[:6].any() and not shown[:, 9:].any() and bool(shown[6:, :9].all())
