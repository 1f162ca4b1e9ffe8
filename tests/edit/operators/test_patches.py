"""Patches cover their triangles without gaps and stay on them; colours spread as smoothly as the surface lets them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatarkit.edit.operators.patches import SPACING, patches
from avatarkit.edit.operators.surface_colours import spread, surface_colours
from avatarkit.edit.region import region_mask
from avatarkit.edit.scene import Scene
from avatarkit.labels import LABEL_INDEX
from avatarkit.losses.colour_difference import ciede2000, lab

from ..labelled import Labelled, posed, seen

FOREHEAD = LABEL_INDEX["skin"]


def parts(which: Labelled) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The triangles of the forehead, and a colour, a class and a height for each vertex."""
    head = which.scene.head
    triangles = torch.nonzero((head.regions["forehead"][head.faces] > 0.5).all(1))[:, 0]
    colours = (which.scene.rest.vertices * 5.0 + 0.5).clamp(0, 1)
    return triangles, colours, torch.full((len(head.template),), FOREHEAD), torch.zeros(len(head.template))


def test_patches_lie_on_their_triangles_at_every_time(bare: Labelled) -> None:
    triangles, colours, labels, lift = parts(bare)
    made = patches(bare.scene, triangles, colours, labels, lift)
    assert set(made.binding.tolist()) == set(triangles.tolist())
    for timestep in range(4):
        scene = bare.scene.with_avatar(replace(bare.avatar, gaussians=made))
        corners = scene.pose(timestep).vertices[0][scene.head.faces[made.binding.long()]]
        normal = torch.nn.functional.normalize(
            torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=1
        )
        height = ((posed(scene, timestep).means - corners[:, 0]) * normal).sum(1)
        assert float(height.abs().max()) < 6e-4
    assert made.ids.tolist() == list(range(len(bare.label), len(bare.label) + len(made)))
    assert bool((made.label_logits.argmax(1) == FOREHEAD).all())


def test_patches_have_the_colour_of_their_place(bare: Labelled) -> None:
    triangles, colours, labels, lift = parts(bare)
    made = patches(bare.scene, triangles, colours, labels, lift)
    points = Scene(replace(bare.avatar, gaussians=made), bare.scene.head, bare.scene.rasterizer).rest.means
    torch.testing.assert_close(seen(made), (points * 5.0 + 0.5).clamp(0, 1), atol=0.01, rtol=0)


def test_patches_cover_without_gaps(bare: Labelled) -> None:
    triangles, colours, labels, lift = parts(bare)
    made = patches(bare.scene, triangles, colours, labels, lift)
    scene = bare.scene.with_avatar(replace(bare.avatar, gaussians=made))
    place = scene.place(0, 3)
    triangle = torch.from_numpy(scene.mesh(place).triangle)
    inside = torch.isin(triangle, triangles.int())
    _, alpha, _ = scene.field(torch.zeros(len(made), 1), place)
    assert int(inside.sum()) > 100 and float((alpha[0][inside] < 0.9).float().mean()) < 0.02


def test_lifted_patches_stand_off_the_surface(bare: Labelled) -> None:
    triangles, colours, labels, lift = parts(bare)
    flat, high = (patches(bare.scene, triangles, colours, labels, lift + up) for up in (0.0, 0.01))
    scenes = [bare.scene.with_avatar(replace(bare.avatar, gaussians=made)) for made in (flat, high)]
    apart = (scenes[1].rest.means - scenes[0].rest.means).norm(dim=1)
    torch.testing.assert_close(apart, torch.full_like(apart, 0.01), atol=1e-4, rtol=0)
    assert float(scenes[0].rest.scales.amax(1).median()) < SPACING * 2


def test_hair_is_as_uneven_as_what_is_around_it(bare: Labelled) -> None:
    triangles, colours, labels, lift = parts(bare)
    grain = torch.tensor([[0.1, 0.1, 0.1], [-0.1, -0.1, -0.1]])

    def of(name: str) -> torch.Tensor:
        classes = torch.full_like(labels, LABEL_INDEX[name])
        return seen(patches(bare.scene, triangles, 0 * colours + 0.5, classes, lift, grain))

    assert float(of("skin").std()) < 1e-6
    assert set(of("hair")[:, 0].mul(10).round().tolist()) == {4.0, 6.0}


def test_a_line_between_two_colours_is_straight() -> None:
    """Laplace's equation on a strip: linear between its ends."""
    count = 21
    rest = np.array([[100.0 + i, 0.0, 0.0] for i in range(count)] + [[100.0 + i, 1.0, 0.0] for i in range(count)])
    faces = np.array(
        [[i, i + 1, i + count] for i in range(count - 1)]
        + [[i + 1, i + 1 + count, i + count] for i in range(count - 1)]
    )
    known = np.zeros(2 * count, bool)
    known[[0, count, count - 1, 2 * count - 1]] = True
    values = np.zeros((2 * count, 3))
    values[[count - 1, 2 * count - 1]] = 1.0
    found = spread(values, known, faces, rest)
    inner = found[:count, 0]
    assert np.all(np.diff(inner) > 0.02) and np.abs(np.diff(inner) - 0.05).max() < 0.02


def test_the_mirror_image_tells_where_nothing_else_does() -> None:
    """Two islands, mirror images; one is known."""
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    left = np.array([[1.0, 0, 0], [2.0, 0, 0], [1.0, 1.0, 0]])
    rest = np.concatenate([left, left * [-1.0, 1.0, 1.0]]) * 0.01
    values = np.zeros((6, 3))
    values[:3] = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]
    found = spread(values, np.array([True] * 3 + [False] * 3), faces, rest)
    assert np.argmax(found[3:], axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("known", [[False] * 3, [True] * 3])
def test_all_or_nothing_known(known: list[bool]) -> None:
    values = np.eye(3)
    found = spread(values, np.array(known), np.array([[0, 1, 2]]), np.eye(3))
    np.testing.assert_allclose(found, values if known[0] else np.full((3, 3), 0.5))


def test_colours_are_those_that_pictures_show(bare: Labelled) -> None:
    places = [bare.scene.place(0, camera) for camera in range(4)]
    skin = bare.of("skin", "nose", "neck").float()
    found = surface_colours(
        bare.scene, places, [(region_mask(bare.scene, skin, place) > 0.95).float() for place in places]
    )
    rows = bare.of("skin") & (bare.rest[:, 2] > 0.03)
    faces = bare.scene.head.faces[bare.avatar.gaussians.binding[rows].long()]
    sure = found.known[faces].all(1)
    apart = ciede2000(lab(found.colours[faces].mean(1)), lab(seen(bare.avatar.gaussians)[rows].clamp(0, 1)))
    assert int(sure.sum()) > 500 and float(apart[sure].median()) < 4.0
