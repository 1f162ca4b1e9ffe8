"""Looking at an avatar: places, poses, rest, fields and depth against what is computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from avatarkit.edit.history import with_entry
from avatarkit.edit.ids import next_id
from avatarkit.edit.operators.delete import delete
from avatarkit.edit.region import locate
from avatarkit.edit.scene import Scene, neutral
from avatarkit.edit.visibility import spread_places, visibility

from .labelled import CAMERAS, SIDE, Labelled, operation


def test_places_are_the_frames_of_a_split(bare: Labelled) -> None:
    assert len(bare.scene.places()) == 12 and len(bare.scene.places("test")) == 4
    assert {place.timestep for place in bare.scene.places("test")} == {3}
    assert len(bare.scene.places("val")) == 16  # there is none: all frames
    assert bare.scene.place(2, 1).name == "t2 c1"


def test_large_pictures_are_made_smaller(bare: Labelled) -> None:
    place = bare.scene.place(0, 0)
    small = Scene.shrunk(place, 64)
    assert (small.cameras.width, small.cameras.height) == (64, 64) and Scene.shrunk(place, 4 * SIDE) is place
    assert float(small.cameras.Ks[0, 0, 0]) == pytest.approx(0.5 * float(place.cameras.Ks[0, 0, 0]))


@pytest.mark.parametrize("camera", range(4))
def test_directions_are_those_the_cameras_were_placed_at(bare: Labelled, camera: int) -> None:
    azimuth, elevation = bare.scene.direction(bare.scene.place(0, camera))
    assert azimuth == pytest.approx(CAMERAS[camera][0], abs=0.05) and elevation == pytest.approx(
        CAMERAS[camera][1], abs=0.15
    )


def test_directions_turn_with_the_head(bare: Labelled) -> None:
    """Timestep 1 turns the neck by 0.3 to the subject's left: the camera in front then stands on its right."""
    assert bare.scene.direction(bare.scene.place(1, 0))[0] == pytest.approx(-0.30, abs=0.06)


def test_at_rest_the_head_is_its_template(bare: Labelled) -> None:
    torch.testing.assert_close(bare.scene.rest.vertices, bare.scene.head.template, atol=1e-5, rtol=0)
    still = neutral(bare.avatar.motion)
    assert len(still) == 1 and float(still.expr.abs().max()) == 0.0 and float(still.neck_pose.abs().max()) == 0.0


@pytest.mark.parametrize("target", ["bare", "plain"])
def test_local_coordinates_of_places_at_rest(request: pytest.FixtureRequest, target: str) -> None:
    which: Labelled = request.getfixturevalue(target)
    scene, rest = which.scene, which.scene.rest
    shift = torch.tensor([0.01, -0.02, 0.005])
    moved = scene.placed_at_rest(which.avatar.gaussians, rest.means + shift, rest.quats, rest.scales * 1.5)
    after = scene.with_avatar(replace(which.avatar, gaussians=moved)).rest
    usable = scene.frames_at_rest(which.avatar.gaussians.binding)[2] > 1e-5
    torch.testing.assert_close(after.means[usable], (rest.means + shift)[usable], atol=1e-5, rtol=0)
    torch.testing.assert_close(after.scales[usable], 1.5 * rest.scales[usable], rtol=1e-4, atol=1e-7)
    offsets = scene.local_offsets(shift.expand_as(rest.means))
    torch.testing.assert_close(which.avatar.gaussians.means + offsets, moved.means, atol=1e-2, rtol=1e-3)


def test_fields_blend_values_and_count_pixels(bare: Labelled) -> None:
    place, ones = bare.front(), torch.ones(len(bare.label), 1)
    masks = torch.zeros(2, SIDE, SIDE)
    masks[0], masks[1, :40] = 1.0, 1.0
    field, alpha, sums = bare.scene.field(ones, place, masks)
    torch.testing.assert_close(field, alpha, atol=1e-5, rtol=1e-5)
    assert sums is not None and sums.shape == (2, len(ones))
    assert float(sums[0].sum()) == pytest.approx(float(alpha.sum()), rel=1e-3)
    assert float(sums[1].sum()) == pytest.approx(float(alpha[0, :40].sum()), rel=1e-3)


def test_depth_is_that_of_the_mesh(bare: Labelled) -> None:
    place = bare.front()
    depth, mesh = bare.scene.depth(place)[0], bare.scene.mesh(place)
    face = torch.from_numpy(mesh.triangle >= 0)
    face[:45], face[90:] = False, False
    apart = (depth - torch.from_numpy(mesh.depth)).abs()[face]
    assert float(apart.quantile(0.9)) < 0.012 and bare.scene.mesh(place) is mesh


def test_the_back_of_the_head_fills_no_hole_in_its_front(bare: Labelled) -> None:
    place = bare.front()
    hole = bare.of("skin", "nose") & (bare.rest[:, 2] > 0.05) & (bare.rest[:, 1] > 0.05)
    holed = bare.scene.with_avatar(replace(bare.avatar, gaussians=bare.avatar.gaussians.select(~hole)))
    _, alpha, _ = holed.field(torch.zeros(int((~hole).sum()), 1), place)
    at = bare.rest[hole & (bare.rest[:, 0].abs() < 0.01) & (bare.rest[:, 1] > 0.07)].mean(0)
    seen = place.cameras.Ks[0] @ (place.cameras.viewmats[0, :3, :3] @ at + place.cameras.viewmats[0, :3, 3])
    row, column = int(seen[1] / seen[2]), int(seen[0] / seen[2])
    assert float(alpha[0, row, column]) > 0.9  # hair, seen from inside
    assert float(holed.surface_alpha(place)[0, row, column]) < 0.1
    assert float(bare.scene.surface_alpha(place)[0, row, column]) > 0.9


def test_correspondences_are_points_of_the_mesh_at_rest(bare: Labelled) -> None:
    places = [bare.scene.place(0, 0), bare.scene.place(2, 1)]
    found = bare.scene.correspondences(places)
    shows = found.triangle >= 0
    corners = bare.scene.rest.vertices[bare.scene.head.faces[found.triangle.clamp(min=0).long()]]
    torch.testing.assert_close(found.rest[shows], (corners * found.barycentrics[..., None]).sum(-2)[shows])
    assert float(found.rest[~shows].abs().max()) == 0.0 and found.rest.shape == (2, SIDE, SIDE, 3)


def test_poses_are_kept_while_the_motion_is(bare: Labelled) -> None:
    pose = bare.scene.pose(1)
    assert bare.scene.with_avatar(replace(bare.avatar, source="x")).pose(1) is pose
    moved = replace(bare.avatar, motion=replace(bare.avatar.motion, expr=bare.avatar.motion.expr + 0.1))
    assert bare.scene.with_avatar(moved).pose(1) is not pose


def test_what_is_seen_counts_pixels(bare: Labelled) -> None:
    places = spread_places(bare.scene, 3)
    assert len(places) == 3 and places[0].timestep == 0 and places[-1].timestep == 2
    assert len(spread_places(bare.scene, 100)) == 12
    seen = visibility(bare.scene, places)
    filled = sum(float(bare.scene.field(torch.zeros(len(seen), 1), place)[1].sum()) for place in places)
    assert float(seen.sum()) == pytest.approx(filled, rel=1e-3)
    inside = bare.of("mouth") & (bare.rest[:, 2] < 0.04)
    assert float(seen[inside].mean()) < 0.05 * float(seen[bare.of("nose")].mean())


def test_ids_are_new_for_the_life_of_an_avatar(bare: Labelled) -> None:
    count = len(bare.label)
    assert next_id(bare.avatar) == count
    asked = operation("delete", "hair")
    fewer = replace(bare.avatar, gaussians=bare.avatar.gaussians.select(torch.arange(5)))
    assert next_id(fewer) == 5 and next_id(with_entry(bare.avatar, fewer, {"prompt": "x"})) == count
    after = delete(bare.scene, asked, locate(bare.scene, asked))
    assert next_id(after) > count and not math.isnan(float(after.gaussians.means.sum()))
