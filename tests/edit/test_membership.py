"""Targets find their Gaussians: classes, pieces of them, and what was added, by name and by kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.spatial import cKDTree

from avatarkit.edit.membership import HAIRLINE, is_thing, kind_of, membership, pieces_shown
from avatarkit.edit.operators.add import with_group
from avatarkit.edit.plan import Region
from avatarkit.errors import InputError
from avatarkit.labels import LABEL_INDEX

from .labelled import Labelled, added, group

LEFT, RIGHT = Region("l_ear"), Region("r_ear")


@pytest.mark.parametrize("name", ["hair", "glasses", "earring", "nose", "l_eye", "u_lip", "cloth"])
def test_a_class_is_what_has_its_label(plain: Labelled, name: str) -> None:
    assert torch.equal(membership(plain.scene, name) > 0.5, plain.of(name))


@pytest.mark.parametrize(
    ("name", "classes"), [("eyes", ("l_eye", "r_eye")), ("lips", ("u_lip", "l_lip")), ("ears", ("l_ear", "r_ear"))]
)
def test_a_group_of_classes_is_their_union(plain: Labelled, name: str, classes: tuple[str, ...]) -> None:
    assert torch.equal(membership(plain.scene, name) > 0.5, plain.of(*classes))


@pytest.mark.parametrize("target", ["face", "cheeks", "beard", "lips", "brows", "teeth", "head", "forehead"])
def test_weights_are_shares(bearded: Labelled, target: str) -> None:
    found = membership(bearded.scene, target)
    assert found.shape == bearded.label.shape and float(found.min()) >= 0.0 and float(found.max()) <= 1.0


def test_the_head_is_all_of_it(plain: Labelled) -> None:
    assert bool((membership(plain.scene, "head") > 0.5).all())


def test_a_beard_is_the_dark_part_of_the_jaw(bearded: Labelled) -> None:
    found = membership(bearded.scene, "beard") > 0.5
    assert float((found & bearded.beard).sum() / found.sum()) > 0.95  # nothing but beard
    assert float((found & bearded.beard).sum() / bearded.beard.sum()) > 0.95
    assert pieces_shown(bearded.scene) == ("beard",)


def test_a_shaven_head_has_no_beard(bare: Labelled) -> None:
    assert pieces_shown(bare.scene) == ()
    with pytest.raises(InputError, match="shows no 'beard'"):
        membership(bare.scene, "beard")


def test_cheeks_lie_left_and_right_under_the_eyes(bare: Labelled) -> None:
    eyes = bare.rest[bare.of("l_eye", "r_eye")][:, 1].min()
    for name, sign in (("l_cheek", 1.0), ("r_cheek", -1.0)):
        points = bare.rest[membership(bare.scene, name) > 0.5]
        assert bool((sign * points[:, 0] > 0.005).all()) and float(points[:, 1].mean()) < float(eyes)
        assert float(points[:, 2].min()) > 0.0


def test_teeth_are_pale_and_the_tongue_is_red(bare: Labelled) -> None:
    for name, region in (("teeth", "teeth"), ("tongue", "tongue")):
        found = membership(bare.scene, name) > 0.5
        faces = bare.scene.head.faces[bare.avatar.gaussians.binding[found].long()]
        truth = (bare.scene.head.regions[region][faces] > 0.5).sum(1) >= 2
        assert float(truth.float().mean()) > 0.9


def test_skin_that_a_coarse_label_calls_hair_is_no_hair(bare: Labelled) -> None:
    """Gaussians at the hairline, labelled hair and as light as the forehead; the same in the middle of the hair are a highlight."""
    hair, skin = bare.of("hair"), bare.of("skin")
    gaps = torch.from_numpy(cKDTree(bare.rest[skin].numpy()).query(bare.rest.numpy())[0]).float()
    at_edge, inside = hair & (gaps < 0.9 * HAIRLINE), hair & (gaps > 1.2 * HAIRLINE)
    inside[torch.nonzero(inside)[::2, 0]] = False  # a few, or they were what hair looks like
    inside &= torch.arange(len(inside)) % 7 == 0
    sh = bare.avatar.gaussians.sh.clone()
    sh[at_edge | inside, 0] = bare.avatar.gaussians.sh[skin, 0].median(0).values
    seen = bare.scene.with_avatar(replace(bare.avatar, gaussians=replace(bare.avatar.gaussians, sh=sh)))
    assert int(at_edge.sum()) > 20 and int(inside.sum()) > 20
    before, after = membership(bare.scene, "hair"), membership(seen, "hair")
    assert float(before[hair].min()) > 0.9
    assert float(after[at_edge].max()) < 0.1 and float(after[inside].min()) > 0.9


def test_hair_of_the_skins_colour_stays_hair(bare: Labelled) -> None:
    hair, skin = bare.of("hair"), bare.of("skin")
    sh = bare.avatar.gaussians.sh.clone()
    sh[hair, 0] = bare.avatar.gaussians.sh[skin, 0].median(0).values
    blonde = bare.scene.with_avatar(replace(bare.avatar, gaussians=replace(bare.avatar.gaussians, sh=sh)))
    assert float(membership(blonde, "hair")[hair].min()) > 0.9


def test_what_does_not_show_is_said(bare: Labelled) -> None:
    with pytest.raises(InputError, match="the avatar shows no 'hat'"):
        membership(bare.scene, "hat")
    blank = replace(bare.avatar.gaussians, label_logits=torch.zeros_like(bare.avatar.gaussians.label_logits))
    with pytest.raises(InputError, match="has no labels"):
        membership(bare.scene.with_avatar(replace(bare.avatar, gaussians=blank)), "hair")


def test_two_earrings_are_one_word_and_two_names(bare: Labelled) -> None:
    scene = added(added(bare.scene, "earring", LEFT), "earring", RIGHT)
    first, second = group(scene, "earring"), group(scene, "earring 2")
    assert torch.equal(membership(scene, "earring") > 0.5, first | second)
    assert torch.equal(membership(scene, "earring 2") > 0.5, second)
    assert kind_of(scene.avatar, "earring 2") == "earring"


def test_added_glasses_and_those_of_the_person_are_glasses(plain: Labelled) -> None:
    scene = added(plain.scene, "glasses")
    own = torch.zeros(len(scene.avatar.gaussians), dtype=torch.bool)
    own[: len(plain.label)] = plain.of("glasses")
    assert torch.equal(membership(scene, "glasses") > 0.5, own | group(scene, "glasses"))


def test_a_cap_is_a_hat_and_a_parrot_is_none(bare: Labelled) -> None:
    scene = added(bare.scene, "cap")
    cap = group(scene, "cap")
    assert torch.equal(membership(scene, "hat") > 0.5, cap) and torch.equal(membership(scene, "cap") > 0.5, cap)
    hat = scene.avatar.gaussians.select(cap)
    parrot = scene.with_avatar(with_group(scene.avatar, hat, "parrot"))
    assert torch.equal(membership(parrot, "hat") > 0.5, group(parrot, "cap"))
    assert torch.equal(membership(parrot, "parrot") > 0.5, group(parrot, "parrot"))
    with pytest.raises(InputError, match="shows no 'hat'"):
        membership(bare.scene.with_avatar(with_group(bare.avatar, hat, "parrot")), "hat")


def test_an_added_beard_is_the_beard(bare: Labelled) -> None:
    scene = added(bare.scene, "beard")
    assert torch.equal(membership(scene, "beard") > 0.5, group(scene, "beard"))
    assert not bool((membership(scene, "skin") > 0.5)[group(scene, "beard")].any())


def test_a_nose_ring_is_no_nose(bare: Labelled) -> None:
    scene = added(bare.scene, "nose_ring")
    ring = group(scene, "nose ring")
    assert torch.equal(membership(scene, "nose_ring") > 0.5, ring)
    assert not bool((membership(scene, "nose") > 0.0)[ring].any())
    assert scene.avatar.gaussians.label_logits[ring].argmax(1).unique().tolist() == [LABEL_INDEX["nose"]]


@pytest.mark.parametrize(
    ("target", "thing"),
    [("earring", True), ("hat", True), ("hair", False), ("skin", False), ("beard", False), ("nose_ring", True)],
)
def test_things_are_told_from_parts(bare: Labelled, target: str, thing: bool) -> None:
    assert is_thing(bare.avatar, target) == thing
