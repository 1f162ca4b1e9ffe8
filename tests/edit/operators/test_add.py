"""What is added: a named group on its joint, that never drifts there, and that later words find again."""

from __future__ import annotations

import pytest
import torch

from avatarkit.edit.operators.add import opaque_seeds, seed_cloud, with_group, without_idle_seeds
from avatarkit.edit.operators.warp import head_width
from avatarkit.edit.plan import Region
from avatarkit.edit.region import region_mask
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX
from avatarkit.losses.colour_difference import hue, hue_difference, lab

from ..labelled import Labelled, added, carried_out, group, lab_of, operation, posed, same_tensors, seen

ON_SKULL = ["glasses", "hat", "cap", "headband", "earring"]


@pytest.mark.parametrize("target", ON_SKULL)
def test_it_stands_still_in_its_joints_frame(bare: Labelled, target: str) -> None:
    scene = added(bare.scene, target)
    own = group(scene, target)
    joints = (-1 - scene.avatar.gaussians.binding[own]).unique()
    assert joints.tolist() == [1]
    for timestep in range(4):
        frame = scene.pose(timestep).joints[0, 1]
        local = (posed(scene, timestep).means[own] - frame[:3, 3]) @ frame[:3, :3]
        assert float((local - scene.avatar.gaussians.means[own]).abs().max()) < 1e-6
        assert torch.allclose(posed(scene, timestep).scales[own], scene.rest.scales[own])


def test_it_is_a_group_with_name_kind_label_and_new_ids(bare: Labelled) -> None:
    scene = added(bare.scene, "glasses")
    gaussians, own = scene.avatar.gaussians, group(scene, "glasses")
    assert scene.avatar.meta["group_kinds"] == {"glasses": "glasses"}
    assert bool((gaussians.label_logits[own].argmax(1) == LABEL_INDEX["glasses"]).all())
    assert int(gaussians.ids[own].min()) > int(bare.avatar.gaussians.ids.max()) and len(gaussians.ids.unique()) == len(
        gaussians
    )
    assert gaussians.sh.shape[1] == bare.avatar.gaussians.sh.shape[1]
    rest = gaussians.select(~own).tensors()
    assert all(torch.equal(value, rest[name]) for name, value in bare.avatar.gaussians.tensors().items())


@pytest.mark.parametrize(("anchor", "sign"), [("l_ear", 1.0), ("r_ear", -1.0)])
def test_an_earring_on_one_side(bare: Labelled, anchor: str, sign: float) -> None:
    scene = added(bare.scene, "earring", Region(anchor))
    points = scene.rest.means[group(scene, "earring")]
    ear = bare.rest[bare.of(anchor)]
    assert bool((sign * points[:, 0] > 0.05).all()) and float(points[:, 1].max()) < float(ear[:, 1].mean())


def test_a_pair_is_on_both(bare: Labelled) -> None:
    scene = added(bare.scene, "earring", Region("ears"), count=2)
    x = scene.rest.means[group(scene, "earring")][:, 0]
    assert int((x > 0.05).sum()) == int((x < -0.05).sum()) > 10


def test_later_words_find_it(bare: Labelled) -> None:
    scene = added(bare.scene, "glasses", colour="#202020")
    red = carried_out(scene, operation("recolour", "glasses", colour="#d01010"))
    own = group(red, "glasses")
    found = lab(seen(red.avatar.gaussians)[own].clamp(0, 1)).median(0).values
    assert float(hue_difference(hue(found), hue(lab_of("#d01010")))) < 10.0
    assert torch.equal(red.avatar.gaussians.sh[~own], scene.avatar.gaussians.sh[~own])
    assert same_tensors(carried_out(red, operation("delete", "glasses")).avatar, bare.avatar)


def test_one_of_two_earrings_is_recoloured(bare: Labelled) -> None:
    scene = added(added(bare.scene, "earring", Region("l_ear")), "earring", Region("r_ear"))
    green = carried_out(scene, operation("recolour", "earring", Region("r_ear"), colour="#10b010"))
    changed = (green.avatar.gaussians.sh[:, 0] != scene.avatar.gaussians.sh[:, 0]).any(1)
    assert torch.equal(changed, group(scene, "earring 2"))


def test_hair_under_a_hat_is_gone(bare: Labelled) -> None:
    scene = added(bare.scene, "beanie")
    left = scene.avatar.gaussians.ids
    taken = ~torch.isin(bare.avatar.gaussians.ids, left)
    assert bool(bare.of("hair")[taken].all()) and 0 < int(taken.sum()) < int(bare.of("hair").sum())
    # ids of the hat are none of those of the hair that it took away
    assert int(left[group(scene, "beanie")].min()) > int(bare.avatar.gaussians.ids.max())


def test_names_count_up(bare: Labelled) -> None:
    one = bare.avatar.gaussians.select(torch.arange(3))
    avatar = with_group(with_group(with_group(bare.avatar, one, "nose_ring"), one, "nose_ring"), one, "hat")
    assert avatar.meta["groups"] == {"nose ring": 1, "nose ring 2": 2, "hat": 3}
    assert avatar.meta["group_kinds"] == {"nose ring": "nose_ring", "nose ring 2": "nose_ring", "hat": "hat"}
    assert bare.avatar.meta.get("groups") is None


def test_degrees_of_colour_are_matched(bare: Labelled) -> None:
    flat = Gaussians.fresh(torch.zeros(2, 3), torch.zeros(2, 3), 0.5, torch.full((2, 3), 0.25), torch.full((2,), -2), 0)
    avatar = with_group(bare.avatar, flat, "hat")
    assert avatar.gaussians.sh.shape[1:] == (4, 3) and float(avatar.gaussians.sh[-2:, 1:].abs().max()) == 0.0


@pytest.mark.parametrize(
    ("anchor", "relation", "axis", "sign"),
    [("head", "above", 1, 1.0), ("l_ear", "left_of", 0, 1.0), ("nose", "in_front", 2, 1.0)],
)
def test_a_cloud_lies_where_the_thing_will_be(
    bare: Labelled, anchor: str, relation: str, axis: int, sign: float
) -> None:
    asked = operation("add", "object", Region(anchor, relation), name="parrot", size=0.8)
    scene = bare.scene.with_avatar(seed_cloud(bare.scene, asked))
    own = group(scene, "parrot")
    points = scene.rest.means[own]
    inside = bare.rest if anchor == "head" else bare.rest[bare.of(anchor)]
    assert float(sign * points.mean(0)[axis]) > float((sign * inside[:, axis]).max()) - 0.002
    radius = 0.5 * 0.35 * head_width(bare.scene) * 0.8
    assert float((points - points.mean(0)).norm(dim=1).max()) == pytest.approx(radius, rel=0.1)
    place = bare.front()
    seeded, before = scene.picture(place), bare.scene.picture(place)
    assert float((seeded - before).abs().max()) < 0.5 and float((seeded - before).abs().mean()) < 0.01
    solid = scene.with_avatar(opaque_seeds(scene.avatar, own))
    assert float(region_mask(solid, own.float(), place).max()) > 0.9
    assert len(without_idle_seeds(scene.avatar, scene.avatar.meta["groups"]["parrot"]).gaussians) == len(bare.label)
    assert len(without_idle_seeds(solid.avatar, scene.avatar.meta["groups"]["parrot"]).gaussians) == len(
        scene.avatar.gaussians
    )
