"""Zones of the face: where they lie on any head, soft at their edges, and mirror images of each other."""

from __future__ import annotations

import pytest
import torch

from avatarkit.edit.pieces import LEVELS, ZONES, above, below, face_coordinates, zone
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams

from .labelled import Labelled


def grid() -> torch.Tensor:
    x, y, z = torch.meshgrid(
        torch.linspace(-1.5, 1.5, 31), torch.linspace(-2.5, 1.5, 41), torch.linspace(-1.2, 0.6, 10), indexing="ij"
    )
    return torch.stack([x, y, z], -1).reshape(-1, 3)


@pytest.mark.parametrize("name", ZONES)
def test_zones_are_soft_and_within_their_range(name: str) -> None:
    found = zone(name, grid())
    assert float(found.min()) >= 0.0 and float(found.max()) <= 1.0 and float(found.max()) > 0.9
    step = (zone(name, grid() + torch.tensor([0.004, 0.004, 0.004])) - found).abs()
    assert float(step.max()) < 0.25


@pytest.mark.parametrize("name", [name for name in ZONES if name[:2] not in ("l_", "r_")])
def test_zones_are_the_same_on_both_sides(name: str) -> None:
    torch.testing.assert_close(zone(name, grid()), zone(name, grid() * torch.tensor([-1.0, 1.0, 1.0])))


def test_a_cheek_is_the_others_mirror_image() -> None:
    torch.testing.assert_close(zone("l_cheek", grid()), zone("r_cheek", grid() * torch.tensor([-1.0, 1.0, 1.0])))


def test_a_moustache_is_no_beard() -> None:
    assert float((zone("beard", grid()) * zone("moustache", grid())).max()) <= 0.25


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_levels_of_any_head_are_those_of_the_table(seed: int) -> None:
    """Brows, the base of the nose, the mouth and the chin of random heads."""
    head = load_head("bust")
    params = HeadParams.zeros(1, head.num_shape, head.num_expr)
    shape = torch.randn(head.num_shape, generator=torch.Generator().manual_seed(seed)) * (seed > 0)
    vertices = head.pose(HeadParams(**{**vars(params), "shape": shape})).vertices[0]
    coordinates = face_coordinates(head, vertices)
    of = lambda name: coordinates(vertices[head.regions[name] > 0.5])  # noqa: E731
    assert float(of("nose")[:, 1].min()) == pytest.approx(LEVELS["nose"], abs=1e-3)
    assert float(of("jaw")[:, 1].min()) == pytest.approx(LEVELS["chin"], abs=1e-3)
    mouth = 0.5 * (vertices[head.regions["u_lip"] > 0.5].mean(0) + vertices[head.regions["l_lip"] > 0.5].mean(0))
    assert float(coordinates(mouth[None])[0, 1]) == pytest.approx(LEVELS["mouth"], abs=1e-3)
    eyes = [of(name).mean(0) for name in ("l_eye", "r_eye")]
    assert float(eyes[0][0] - eyes[1][0]) == pytest.approx(1.0, abs=0.02)
    along = coordinates(torch.stack([torch.zeros(200), torch.linspace(-0.2, 0.2, 200), torch.zeros(200)], 1))[:, 1]
    assert bool((along.diff() > 0).all())


def test_steps() -> None:
    at = torch.tensor([-1.0, 0.0, 1.0])
    assert above(at, 0.0, 0.5).tolist() == [0.0, 0.5, 1.0] and below(at, 0.0, 0.5).tolist() == [1.0, 0.5, 0.0]


def test_the_forehead_is_over_the_brows(bare: Labelled) -> None:
    points = bare.rest[bare.of("l_brow", "r_brow")]
    coordinates = face_coordinates(bare.scene.head, bare.scene.rest.vertices)
    high = bare.rest[zone("forehead", coordinates(bare.rest)) > 0.5]
    assert float(high[:, 1].min()) > float(points[:, 1].mean())
