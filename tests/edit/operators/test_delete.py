"""Taking away: nothing of the thing is left, what shows in its place is whole, has the colours of what is around it and a label."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatarkit.edit.membership import _zone, membership, pieces_shown
from avatarkit.edit.operators.add import with_group
from avatarkit.edit.operators.delete import _hair_thickness
from avatarkit.edit.operators.recolour import with_colours
from avatarkit.edit.plan import Region
from avatarkit.edit.region import region_mask
from avatarkit.edit.scene import Place, Scene
from avatarkit.errors import InputError
from avatarkit.labels import LABEL_INDEX
from avatarkit.losses.colour_difference import ciede2000, lab

from ..labelled import COLOURS, Labelled, added, carried_out, group, lab_of, operation, same_tensors, seen

TIMES = (0, 1, 2)


def picture(scene: Scene, place: Place) -> Tensor:
    """(H, W, 3) CIELAB."""
    return lab(scene.picture(place).permute(1, 2, 0))


def alpha(scene: Scene, place: Place) -> Tensor:
    return scene.field(torch.zeros(len(scene.avatar.gaussians), 1), place)[1][0]


def area(scene: Scene, weights: Tensor, place: Place) -> Tensor:
    return region_mask(scene, weights, place)[0] > 0.5


@pytest.fixture(scope="module")
def bald(bare: Labelled) -> Scene:
    return carried_out(bare.scene, operation("delete", "hair"))


@pytest.mark.parametrize("camera", range(4))
def test_a_bald_head_has_skin_where_hair_was(bare: Labelled, bald: Scene, camera: int) -> None:
    """Opaque on the mesh, and of the skin's colour, which is smooth on this head and continues under the hair."""
    for time in TIMES:
        place = bald.place(time, camera)
        covered = area(bare.scene, bare.of("hair").float(), place) & torch.from_numpy(bald.mesh(place).triangle >= 0)
        assert float((alpha(bald, place)[covered] < 0.9).float().mean()) < 0.02
        away = ciede2000(picture(bald, place)[covered], lab_of(COLOURS["skin"]))
        assert (
            float(away.quantile(0.95)) < 22.0 and float(away.median()) < 12.0
        )  # the light varies between 0.45 and 0.95 of it


def test_nothing_of_the_hair_is_left(bare: Labelled, bald: Scene) -> None:
    labels = bald.avatar.gaussians.label_logits.argmax(1)
    assert not bool((labels == LABEL_INDEX["hair"]).any())
    with pytest.raises(InputError, match="shows no 'hair'"):
        membership(bald, "hair")


def test_patches_are_labelled_skin_and_bound_to_the_scalp(bare: Labelled, bald: Scene) -> None:
    gaussians = bald.avatar.gaussians
    new = ~torch.isin(gaussians.ids, bare.avatar.gaussians.ids)
    assert (
        int(new.sum()) > 300 and bool((gaussians.binding[new] >= 0).all()) and bool((gaussians.groups[new] == 0).all())
    )
    classes = gaussians.label_logits[new].argmax(1)
    assert float((classes == LABEL_INDEX["skin"]).float().mean()) > 0.9
    assert len(gaussians.ids.unique()) == len(gaussians) and torch.equal(gaussians.ids[new], gaussians.parents[new])
    # within a millimetre of the scalp that they cover
    corners = bald.rest.vertices[bald.head.faces[gaussians.binding[new].long()]]
    normal = torch.nn.functional.normalize(
        torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=1
    )
    height = ((bald.rest.means[new] - corners[:, 0]) * normal).sum(1)
    assert float(height.abs().max()) < 0.001


def test_what_was_seen_beside_it_stays_as_it_was(bare: Labelled, bald: Scene) -> None:
    for camera in range(4):
        place = bald.place(0, camera)
        near = (
            torch.nn.functional.max_pool2d(region_mask(bare.scene, bare.of("hair").float(), place)[None], 9, 1, 4)[0, 0]
            > 0.02
        )
        apart = ciede2000(picture(bare.scene, place), picture(bald, place))
        assert float((apart[~near] > 3.0).float().mean()) < 0.002


def test_glasses_leave_the_face_behind_them(plain: Labelled, bare: Labelled) -> None:
    """The truth is the same head without glasses."""
    after = carried_out(plain.scene, operation("delete", "glasses"))
    for time in TIMES:
        for camera in range(3):
            place = after.place(time, camera)
            was = area(plain.scene, plain.of("glasses").float(), place)
            with_earrings = bare.scene.picture(place)
            apart = ciede2000(picture(after, place), lab(with_earrings.permute(1, 2, 0)))
            assert float((apart[was] > 8.0).float().mean()) < 0.04


def test_one_earring_of_two(plain: Labelled) -> None:
    after = carried_out(plain.scene, operation("delete", "earring", Region("l_ear")))
    left = after.rest.means[after.avatar.gaussians.label_logits.argmax(1) == LABEL_INDEX["earring"]]
    assert len(left) == 30 and bool((left[:, 0] < 0).all())


def test_a_shaven_jaw_is_as_pale_as_the_cheeks(bearded: Labelled) -> None:
    after = carried_out(bearded.scene, operation("delete", "beard"))
    for camera in range(3):
        place = after.place(0, camera)
        inner = area(bearded.scene, membership(bearded.scene, "beard"), place)
        found = picture(after, place)[inner]
        assert float(ciede2000(found, lab_of(COLOURS["skin"])).median()) < 12.0
        assert float((found[:, 0] < 35.0).float().mean()) < 0.01
        assert float((found[:, 1] > lab_of(COLOURS["skin"])[1] + 6.0).float().mean()) < 0.02  # a chin is no lip
        on_head = inner & torch.from_numpy(after.mesh(place).triangle >= 0)
        assert float((alpha(after, place)[on_head] < 0.85).float().mean()) < 0.02


@pytest.fixture(scope="module")
def moustached(bearded: Labelled) -> Scene:
    """The bearded head with a moustache as dark."""
    avatar = bearded.avatar
    skin = bearded.of("skin") & (_zone(bearded.scene, "moustache") > 0.5)
    dark = torch.where(skin[:, None], seen(avatar.gaussians)[bearded.beard].mean(0), seen(avatar.gaussians))
    scene = bearded.scene.with_avatar(
        replace(avatar, gaussians=with_colours(avatar.gaussians, seen(avatar.gaussians), dark))
    )
    assert set(pieces_shown(scene)) == {"beard", "moustache"}
    return scene


@pytest.fixture(scope="module")
def shaved_lip(moustached: Scene) -> Scene:
    return carried_out(moustached, operation("delete", "moustache"))


def test_where_a_moustache_was_there_is_no_colour_of_the_beard_that_stays(moustached: Scene, shaved_lip: Scene) -> None:
    for camera in range(3):
        place = shaved_lip.place(0, camera)
        inner = area(moustached, membership(moustached, "moustache"), place)
        found = picture(shaved_lip, place)[inner]
        assert float(ciede2000(found, lab_of(COLOURS["skin"])).median()) < 10.0


def test_the_beard_beside_a_moustache_stays_to_the_last_hair(moustached: Scene, shaved_lip: Scene) -> None:
    """Hairs beside it were taken for stains that it had left on the skin."""
    old, new = moustached.avatar.gaussians, shaved_lip.avatar.gaussians
    beard = (membership(moustached, "beard") > 0.9) & (membership(moustached, "moustache") < 0.1)
    assert int(beard.sum()) > 100
    kept = torch.isin(new.ids, old.ids[beard])
    assert int(kept.sum()) == int(beard.sum())
    assert torch.equal(new.sh[kept, 0], old.sh[beard, 0])


def test_brows_go_too(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("delete", "brows"))
    place = after.place(0, 0)
    was = area(bare.scene, bare.of("l_brow", "r_brow").float(), place)
    assert float(picture(after, place)[was][:, 0].min()) > 40.0


def test_under_a_hat_there_is_hair(bare: Labelled) -> None:
    """A hat of the person's own: Gaussians in the place of the upper hair, and what that covers is gone with it."""
    high = bare.of("hair") & (bare.rest[:, 1] > 0.07)
    gaussians = bare.avatar.gaussians
    logits = gaussians.label_logits.clone()
    logits[high] = torch.nn.functional.one_hot(torch.tensor(LABEL_INDEX["hat"]), logits.shape[1]).float() * 8.0
    sh = gaussians.sh.clone()
    sh[high, 0] = torch.tensor([0.6, -1.2, -1.2])
    hatted = bare.scene.with_avatar(replace(bare.avatar, gaussians=replace(gaussians, sh=sh, label_logits=logits)))
    after = carried_out(hatted, operation("delete", "hat"))
    place = after.place(0, 1)
    covered = area(bare.scene, high.float(), place) & torch.from_numpy(after.mesh(place).triangle >= 0)
    assert float((alpha(after, place)[covered] < 0.9).float().mean()) < 0.02
    assert float(ciede2000(picture(after, place)[covered], lab_of(COLOURS["hair"])).median()) < 12.0
    classes = after.avatar.gaussians.label_logits.argmax(1)
    new = ~torch.isin(after.avatar.gaussians.ids, gaussians.ids)
    assert float((classes[new] == LABEL_INDEX["hair"]).float().mean()) > 0.9 and not bool(
        (classes == LABEL_INDEX["hat"]).any()
    )


def test_what_an_edit_added_leaves_no_trace(bare: Labelled) -> None:
    scene = added(bare.scene, "glasses")
    after = carried_out(scene, operation("delete", "glasses"))
    assert same_tensors(after.avatar, bare.avatar)
    assert after.avatar.meta["groups"] == {} and after.avatar.meta["group_kinds"] == {}


def test_added_and_own_glasses_go_together_and_the_face_is_whole(plain: Labelled) -> None:
    scene = added(plain.scene, "glasses")
    after = carried_out(scene, operation("delete", "glasses"))
    assert not bool((after.avatar.gaussians.label_logits.argmax(1) == LABEL_INDEX["glasses"]).any())
    assert after.avatar.meta["groups"] == {}


def test_a_tattoo_is_washed_off_and_the_skin_stays(bare: Labelled) -> None:
    """Painted skin is the face's own: without it there were a hole."""
    spot = (bare.rest - torch.tensor([0.045, -0.02, 0.055])).norm(dim=1) < 0.012
    spot &= bare.of("skin")
    gaussians = bare.avatar.gaussians
    named = with_group(bare.avatar, gaussians.select(torch.zeros(0, dtype=torch.long)), "tattoo")
    number = named.meta["groups"]["tattoo"]
    sh = gaussians.sh.clone()
    sh[spot, 0] = -1.5
    groups = torch.where(spot, number, gaussians.groups).to(torch.int32)
    painted = bare.scene.with_avatar(replace(named, gaussians=replace(gaussians, sh=sh, groups=groups)))
    after = carried_out(painted, operation("delete", "tattoo"))
    assert torch.equal(after.avatar.gaussians.ids, gaussians.ids) and after.avatar.meta["groups"] == {}
    assert bool((after.avatar.gaussians.groups == 0).all())
    apart = ciede2000(lab(seen(after.avatar.gaussians)[spot].clamp(0, 1)), lab(seen(gaussians)[spot].clamp(0, 1)))
    assert float(apart.quantile(0.9)) < 8.0
    changed = (after.avatar.gaussians.sh != painted.avatar.gaussians.sh).any(2).any(1)
    assert float((bare.rest[changed] - torch.tensor([0.045, -0.02, 0.055])).norm(dim=1).max()) < 0.02


def test_ids_of_what_was_taken_are_not_given_again(bare: Labelled) -> None:
    """The hair has the highest ids of all: its patches get others."""
    order = torch.argsort(bare.of("hair").int(), stable=True)
    table = bare.avatar.gaussians.select(order)
    table = replace(table, ids=torch.arange(len(table)), parents=torch.arange(len(table)))
    after = carried_out(bare.scene.with_avatar(replace(bare.avatar, gaussians=table)), operation("delete", "hair"))
    new = after.avatar.gaussians.ids >= int((~bare.of("hair")).sum())
    assert int(after.avatar.gaussians.ids[new].min()) >= len(table)


def test_group_is_the_named_one(bare: Labelled) -> None:
    scene = added(added(bare.scene, "glasses"), "hat")
    after = carried_out(scene, operation("delete", "hat"))
    assert set(after.avatar.meta["groups"]) == {"glasses"} and int(group(after, "glasses").sum()) == int(
        group(scene, "glasses").sum()
    )


@pytest.mark.parametrize(("over", "height"), [(0.006, 0.014), (0.040, 0.020)])
def test_hair_is_as_high_as_the_hat_says(bare: Labelled, over: float, height: float) -> None:
    """A hat ``over`` metres above hair that is 8 mm high: its cloth says how high the hair stands, up to two centimetres."""
    gaussians, rest = bare.avatar.gaussians, bare.scene.rest
    high = bare.of("hair") & (bare.rest[:, 1] > bare.rest[bare.of("l_brow")][:, 1].max() + 0.02)
    outward = torch.nn.functional.normalize(rest.means - rest.vertices.mean(0), dim=1)
    placed = bare.scene.placed_at_rest(gaussians, rest.means + over * high[:, None] * outward, rest.quats, rest.scales)
    scene = bare.scene.with_avatar(replace(bare.avatar, gaussians=placed))
    scalp = scene.head.regions["scalp"] > 0.5
    found = _hair_thickness(scene, torch.softmax(gaussians.label_logits, 1), high, scalp)
    assert found == pytest.approx(height, abs=0.002)


def test_it_is_the_outside_of_a_thick_hat_that_says_so(bare: Labelled) -> None:
    """Gaussians fill a centimetre of cloth over hair that is 8 mm high: the outer fifth of them begins at 16 mm, their middle lies at 13."""
    gaussians, rest = bare.avatar.gaussians, bare.scene.rest
    high = bare.of("hair") & (bare.rest[:, 1] > bare.rest[bare.of("l_brow")][:, 1].max() + 0.02)
    outward = torch.nn.functional.normalize(rest.means - rest.vertices.mean(0), dim=1)
    over = 0.010 * torch.rand(len(high), 1, generator=torch.Generator().manual_seed(0)) * high[:, None]
    placed = bare.scene.placed_at_rest(gaussians, rest.means + over * outward, rest.quats, rest.scales)
    scene = bare.scene.with_avatar(replace(bare.avatar, gaussians=placed))
    scalp = scene.head.regions["scalp"] > 0.5
    found = _hair_thickness(scene, torch.softmax(gaussians.label_logits, 1), high, scalp)
    assert found == pytest.approx(0.016, abs=0.0015)
