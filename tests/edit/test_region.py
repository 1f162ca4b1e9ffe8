"""Regions: sides and relations in the head's frame and the viewer's, masks at any time and view, marks, masks painted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatarkit.edit.plan import Operation, Region
from avatarkit.edit.region import label_boxes, lifted, locate, mask_box, region_mask
from avatarkit.errors import InputError
from avatarkit.labels import LABEL_INDEX, LABELS

from .labelled import Labelled, added, carried_out, group, operation, posed

HALVES = [
    ("left_of", "subject", 1.0),
    ("right_of", "subject", -1.0),
    ("left_of", "viewer", -1.0),
    ("right_of", "viewer", 1.0),
]


def core(which: Labelled, asked: Operation) -> torch.Tensor:
    return locate(which.scene, asked).core


@pytest.mark.parametrize(("relation", "frame", "sign"), HALVES)
def test_halves_of_the_hair(bare: Labelled, relation: str, frame: str, sign: float) -> None:
    found = core(bare, operation("recolour", "hair", Region("hair", relation, frame), colour="#0000ff"))
    truth = bare.of("hair") & (sign * bare.rest[:, 0] > 0)
    beside = bare.rest[:, 0].abs() < 0.002
    assert torch.equal(found & ~beside, truth & ~beside)


def test_a_half_ends_in_the_heads_middle_though_there_is_more_on_one_side(bare: Labelled) -> None:
    thin = bare.of("hair") & (bare.rest[:, 0] > 0.02)
    keep = ~(thin & (torch.arange(len(thin)) % 8 > 0))
    scene = bare.scene.with_avatar(replace(bare.avatar, gaussians=bare.avatar.gaussians.select(keep)))
    found = locate(scene, operation("recolour", "hair", Region("hair", "left_of"), colour="#0000ff")).core
    truth = bare.of("hair")[keep] & (bare.rest[keep][:, 0] > 0)
    beside = bare.rest[keep][:, 0].abs() < 0.002
    assert torch.equal(found & ~beside, truth & ~beside)


@pytest.mark.parametrize(
    ("relation", "axis", "sign"), [("above", 1, 1.0), ("below", 1, -1.0), ("in_front", 2, 1.0), ("behind", 2, -1.0)]
)
def test_up_and_forward(bare: Labelled, relation: str, axis: int, sign: float) -> None:
    """Relative to the nose: what is surely above it, below it, and so on."""
    found = core(bare, operation("recolour", "skin", Region("nose", relation), colour="#0000ff"))
    along = sign * bare.rest[:, axis]
    nose = along[bare.of("nose")]
    skin = bare.of("skin", "neck", "l_ear", "r_ear")
    assert bool(found[skin & (along > nose.max())].all()) and not bool(found[along < nose.min()].any())


def test_a_region_is_empty_in_words(plain: Labelled) -> None:
    with pytest.raises(InputError, match="nothing of the glasses lies behind the hair"):
        locate(plain.scene, operation("delete", "glasses", Region("hair", "behind")))


@pytest.mark.parametrize(
    ("left", "words"), [((), "the avatar shows no skin"), (("neck",), "there is no skin on the lips for a mole")]
)
def test_a_mark_needs_skin(bare: Labelled, left: tuple[str, ...], words: str) -> None:
    """Heads that are all hair, one of them down to the neck, which is too far from the lips for a mole on them."""
    logits = bare.avatar.gaussians.label_logits.clone()
    hidden = bare.of("skin", "neck", "l_ear", "r_ear", "nose") & ~bare.of(*left)
    logits[hidden] = torch.eye(len(LABELS))[LABEL_INDEX["hair"]] * 9.0
    covered = replace(bare.avatar, gaussians=replace(bare.avatar.gaussians, label_logits=logits))
    with pytest.raises(InputError, match=words):
        locate(bare.scene.with_avatar(covered), operation("add", "mole", Region("lips"), size=0.25))


@pytest.mark.parametrize(("anchor", "sign"), [("l_ear", 1.0), ("r_ear", -1.0)])
def test_an_earring_is_on_its_ear_down_to_its_end(plain: Labelled, anchor: str, sign: float) -> None:
    found = core(plain, operation("delete", "earring", Region(anchor)))
    assert torch.equal(found, plain.of("earring") & (sign * plain.rest[:, 0] > 0))


def test_added_earrings_are_told_apart_by_their_ears(bare: Labelled) -> None:
    scene = added(added(bare.scene, "earring", Region("r_ear")), "earring", Region("l_ear"))
    for anchor, name in (("r_ear", "earring"), ("l_ear", "earring 2")):
        assert torch.equal(locate(scene, operation("delete", "earring", Region(anchor))).core, group(scene, name))


def test_a_ring_on_the_nose_is_whole(bare: Labelled) -> None:
    scene = added(bare.scene, "nose_ring")
    assert torch.equal(locate(scene, operation("delete", "nose_ring", Region("nose"))).core, group(scene, "nose ring"))


def test_who_says_skin_means_neck_nose_and_ears_too(bare: Labelled) -> None:
    found = core(bare, operation("recolour", "skin", colour="#00ff00"))
    assert torch.equal(found, bare.of("skin", "nose", "neck", "l_ear", "r_ear"))


@pytest.mark.parametrize("timestep", [0, 1, 2])
@pytest.mark.parametrize("camera", [0, 1, 2])
def test_a_mask_lies_where_its_gaussians_are_at_that_time(plain: Labelled, timestep: int, camera: int) -> None:
    """Against points projected by hand: outer hair that faces the camera is inside, and nothing far from hair is."""
    place = plain.scene.place(timestep, camera)
    mask = region_mask(plain.scene, plain.of("hair").float(), place)[0]
    assert float(mask.min()) >= 0.0 and float(mask.max()) <= 1.0
    means = posed(plain.scene, timestep).means
    view, K = place.cameras.viewmats[0], place.cameras.Ks[0]
    local = means @ view[:3, :3].T + view[:3, 3]
    at = local @ K.T
    pixels = at[:, :2] / at[:, 2:]
    hair = plain.of("hair")
    nearest = hair & (local[:, 2] < local[hair][:, 2].quantile(0.3))
    columns, rows = pixels[nearest].long().unbind(1)
    assert float((mask[rows, columns] > 0.5).float().mean()) > 0.97
    rows, columns = torch.nonzero(mask > 0.5, as_tuple=True)
    gaps = torch.cdist(torch.stack([columns, rows], 1) + 0.5, pixels[hair]).amin(1)
    assert float(gaps.max()) < 5.0


def test_what_is_to_stay_keeps_its_pixels(bare: Labelled) -> None:
    """Skin at the edge of the lips shows in their pixels; where lips are to stay it does not change either."""
    green = operation("recolour", "skin", colour="#00ff00")
    before, lips = bare.scene.picture(bare.front()), bare.of("u_lip", "l_lip").float()
    there = region_mask(bare.scene, lips, bare.front())[0] > 0.5
    changes = []
    for asked in (green, replace(green, preserve=("lips",))):
        change = (carried_out(bare.scene, asked).picture(bare.front()) - before).abs().amax(0)
        changes.append(change[there].mean())
        assert float((change > 0.2).float().mean()) > 0.1, "the face is green"
    assert float(changes[0]) > 0.02 and float(changes[1]) < 0.3 * float(changes[0])


@pytest.mark.parametrize("preserve", [("skin",), ("head",), ("glasses",), ("background",)])
def test_keeping_the_part_itself_or_what_is_not_there_is_left_out(bare: Labelled, preserve: tuple[str, ...]) -> None:
    asked = operation("recolour", "skin", colour="#00ff00")
    kept = locate(bare.scene, replace(asked, preserve=preserve)).weights
    assert torch.equal(kept, locate(bare.scene, asked).weights)


def test_boxes() -> None:
    mask = torch.zeros(1, 20, 40)
    assert mask_box(mask) is None
    mask[0, 5:10, 8:20] = 1.0
    assert mask_box(mask) == (0.2, 0.25, 0.5, 0.5)


def test_boxes_of_classes_are_where_they_show(plain: Labelled) -> None:
    boxes = {box.label: box.box for box in label_boxes(plain.scene, plain.front())}
    assert {"skin", "hair", "cloth", "l_lip"} <= set(boxes) <= set(LABELS)
    assert boxes["hair"][1] < boxes["skin"][1] < boxes["l_lip"][1] < boxes["cloth"][1]
    # the subject's left is on the right of a picture taken from the front
    assert boxes["l_ear"][0] > boxes["r_ear"][2]


def test_a_painted_half_of_the_face_comes_back(bare: Labelled) -> None:
    place = bare.front()
    mask = torch.zeros(1, 128, 128)
    mask[:, :, 64:] = 1.0
    weights = lifted(bare.scene, [(place, mask)])
    assert float(weights.min()) >= 0.0 and float(weights.max()) <= 1.0
    again = region_mask(bare.scene, weights, place)
    _, alpha, _ = bare.scene.field(torch.zeros(len(weights), 1), place)
    wanted = mask * alpha
    apart = (again - wanted).abs()[:, 40:88]  # hair and shirt are Gaussians of many pixels
    assert float(apart[:, :, 68:].max()) < 0.1 and float(apart[:, :, :60].max()) < 0.1
    found, truth = again > 0.5, wanted > 0.5
    assert float((found & truth).sum() / (found | truth).sum()) > 0.96
    # the right of the picture is the subject's left, from any side and at any time
    face = bare.of("skin", "nose") & (bare.rest[:, 2] > 0.03) & (bare.rest[:, 0].abs() > 0.008)
    assert torch.equal(weights[face] > 0.5, bare.rest[face][:, 0] > 0)


def test_two_painted_views_count_by_what_they_show(bare: Labelled) -> None:
    place, nothing, everything = bare.front(), torch.zeros(1, 128, 128), torch.ones(1, 128, 128)
    weights = lifted(bare.scene, [(bare.scene.place(0, 1), everything), (bare.scene.place(0, 2), nothing)])
    for name, sign in (("l_ear", 1.0), ("r_ear", -1.0)):
        assert (float(weights[bare.of(name)].mean()) > 0.9) == (sign > 0)
    with pytest.raises(InputError, match="shows nothing of the avatar"):
        behind = torch.eye(4)[None].clone()
        behind[0, 2, 3] = -5.0
        lifted(bare.scene, [(replace(place, cameras=replace(place.cameras, viewmats=behind)), everything)])


@pytest.mark.parametrize(("anchor", "sign"), [("l_cheek", 1.0), ("r_cheek", -1.0)])
def test_a_tattoo_is_a_disc_of_skin(bare: Labelled, anchor: str, sign: float) -> None:
    found = locate(bare.scene, operation("add", "tattoo", Region(anchor)))
    points = bare.rest[found.core]
    assert found.radius == pytest.approx(0.012) and bool((sign * points[:, 0] > 0).all())
    assert float((points - found.centre).norm(dim=1).max()) < 1.7 * found.radius
    assert not bool((found.weights > 0)[~bare.of("skin", "nose", "neck", "l_ear", "r_ear")].any())
    wide = locate(bare.scene, operation("add", "tattoo", Region(anchor), size=2.0))
    assert wide.radius == pytest.approx(0.024) and int(wide.core.sum()) > 2 * int(found.core.sum())


@pytest.mark.parametrize(
    ("relation", "axis", "sign"), [("above", 1, 1.0), ("below", 1, -1.0), ("left_of", 0, 1.0), ("right_of", 0, -1.0)]
)
def test_a_mole_stands_beside_the_lips(bare: Labelled, relation: str, axis: int, sign: float) -> None:
    found = locate(bare.scene, operation("add", "mole", Region("lips", relation), size=2.0))
    lips = bare.rest[bare.of("u_lip", "l_lip")]
    middle = 0.5 * (lips.amin(0) + lips.amax(0))
    offset = sign * (found.centre - middle)
    half = 0.5 * float((lips.amax(0) - lips.amin(0))[axis])
    assert half * 0.6 < float(offset[axis]) < half + 0.03
    assert abs(float(offset[1 - axis])) < 0.01


def test_new_things_may_touch_everything(bare: Labelled) -> None:
    assert bool(locate(bare.scene, operation("add", "hat")).core.all())
