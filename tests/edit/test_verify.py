"""The judge: right edits are accepted, wrong ones refused, with the reason and with what would mend it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatarkit.edit.plan import Operation, Region, Weight
from avatarkit.edit.region import locate
from avatarkit.edit.scene import Scene
from avatarkit.edit.verify import Verdict, _stands, verify
from avatarkit.errors import InputError
from avatarkit.labels import LABEL_INDEX
from avatarkit.render.sh import Y00

from .labelled import Labelled, added, carried_out, operation, rgb

LEFT_HAIR = operation("recolour", "hair", Region("hair", "left_of"), colour="#0000ff")
RIGHT = [
    operation("recolour", "hair", colour="#0000ff"), operation("recolour", "hair", colour="#000000"), operation("recolour", "hair", colour="#ffffff"),
    operation("recolour", "lips", colour="#8020a0"), operation("recolour", "eyes", colour="#8040c0"), operation("recolour", "hair", lightness=0.4),
    operation("recolour", "hair", saturation=-0.8), operation("recolour", "skin", lightness=-0.4), operation("recolour", "glasses", material="gold"),
    LEFT_HAIR, operation("delete", "hair"), operation("delete", "glasses"), operation("delete", "earring", Region("l_ear")), operation("delete", "brows"),
    operation("add", "hat"), operation("add", "glasses"), operation("add", "earring", Region("l_ear")), operation("add", "necklace"), operation("add", "moustache"),
    operation("move", "glasses", offset=(0.0, -0.1, 0.0)), operation("move", "nose", offset=(0.0, 0.05, 0.0)), operation("shape", "nose", size=1.3),
    operation("shape", "nose", size=0.75), operation("shape", "eyes", size=1.2), operation("shape", "ears", dimension="height", size=1.4),
    operation("shape", "lips", dimension="thickness", size=1.3), operation("shape", "hair", size=1.3), operation("shape", "hair", dimension="length", size=1.4),
    operation("shape", "brows", dimension="thickness", size=1.4), operation("shape", "earring", size=1.5), operation("shape", "chin", size=1.2),
    operation("expression", "face", weights=(Weight("mouthSmileLeft", 0.6), Weight("mouthSmileRight", 0.6))),
    operation("expression", "face", weights=(Weight("browInnerUp", 0.15),)),
]  # fmt: skip


def named(asked: Operation) -> str:
    attributes = asked.attributes
    return f"{asked.kind}-{asked.target}-{attributes.colour or attributes.dimension or attributes.size}"


def judged(scene: Scene, after: Scene, asked: Operation) -> Verdict:
    return verify(scene, after, asked, locate(scene, asked))


def test_earrings_go_to_ears_that_hair_hides(plain: Labelled) -> None:
    """No Gaussian is an ear's there; the mesh has them all the same.  A tattoo needs skin that shows."""
    gaussians = plain.avatar.gaussians
    logits = gaussians.label_logits.clone()
    ears = [LABEL_INDEX["l_ear"], LABEL_INDEX["r_ear"]]
    rows = torch.isin(logits.argmax(1), torch.tensor(ears))
    assert bool(rows.any())
    logits[:, ears] = logits.min()
    logits[rows, LABEL_INDEX["hair"]] = logits.max() + 9.0
    scene = plain.scene.with_avatar(replace(plain.avatar, gaussians=replace(gaussians, label_logits=logits)))
    asked = operation("add", "earring", Region("ears"), count=2)
    verdict = judged(scene, carried_out(scene, asked), asked)
    assert verdict.accepted and verdict.measures["relation"] > 0
    with pytest.raises(InputError, match="the avatar shows no 'l ear'"):
        locate(scene, operation("add", "tattoo", Region("l_ear")))
    with pytest.raises(InputError, match="the avatar shows no 'hat'"):
        locate(without_label(scene, "hat"), operation("add", "earring", Region("hat")))


def without_label(scene: Scene, name: str) -> Scene:
    return without(scene, scene.avatar.gaussians.label_logits.argmax(1) == LABEL_INDEX[name])


def painted(scene: Scene, rows: Tensor, colour: str) -> Scene:
    """Gaussians ``rows`` in one colour, whatever was asked."""
    gaussians = scene.avatar.gaussians
    sh = gaussians.sh.clone()
    sh[rows, 0] = (rgb(colour) - 0.5) / Y00
    return scene.with_avatar(replace(scene.avatar, gaussians=replace(gaussians, sh=sh)))


def without(scene: Scene, rows: Tensor) -> Scene:
    return scene.with_avatar(replace(scene.avatar, gaussians=scene.avatar.gaussians.select(~rows)))


@pytest.mark.parametrize("asked", RIGHT, ids=named)
def test_what_was_asked_is_accepted(plain: Labelled, asked: Operation) -> None:
    verdict = judged(plain.scene, carried_out(plain.scene, asked), asked)
    assert verdict.accepted, (verdict.reason, verdict.measures)


def test_shaving_is_accepted(bearded: Labelled) -> None:
    asked = operation("delete", "beard")
    verdict = judged(bearded.scene, carried_out(bearded.scene, asked), asked)
    assert verdict.accepted, (verdict.reason, verdict.measures)


@pytest.mark.parametrize("asked", RIGHT[::3], ids=named)
def test_nothing_is_no_success(plain: Labelled, asked: Operation) -> None:
    verdict = judged(plain.scene, plain.scene.with_avatar(replace(plain.avatar)), asked)
    assert not verdict.accepted and verdict.reason == "nothing changed"


@pytest.mark.parametrize(
    ("asked", "made", "reason"),
    [
        ("#0000ff", "#d02020", "hue is"), ("#0000ff", "#808080", "hardly any colour"), ("#101010", "#20c020", "a colour of its own"),
        ("#ffffff", "#050505", "farther from its colour"), ("#4a2a18", "#ffe0c8", "farther from its colour"),
    ],
)  # fmt: skip
def test_another_colour_is_refused(plain: Labelled, asked: str, made: str, reason: str) -> None:
    verdict = judged(
        plain.scene, painted(plain.scene, plain.of("hair"), made), operation("recolour", "hair", colour=asked)
    )
    assert not verdict.accepted and reason in verdict.reason and verdict.latent == "change"


@pytest.mark.parametrize(
    ("attributes", "made", "reason"),
    [
        ({"lightness": 0.4}, "#100804", "lighter"),
        ({"lightness": -0.4}, "#e0c8b8", "darker"),
        ({"saturation": 0.5}, "#555555", "richer"),
        ({"saturation": -0.8}, "#a03000", "paler"),
    ],
)
def test_the_other_way_is_refused(plain: Labelled, attributes: dict[str, float], made: str, reason: str) -> None:
    verdict = judged(
        plain.scene, painted(plain.scene, plain.of("hair"), made), operation("recolour", "hair", **attributes)
    )
    assert not verdict.accepted and reason in verdict.reason


def test_the_wrong_half_is_refused(plain: Labelled) -> None:
    wrong = carried_out(plain.scene, operation("recolour", "hair", Region("hair", "right_of"), colour="#0000ff"))
    verdict = judged(plain.scene, wrong, LEFT_HAIR)
    assert not verdict.accepted and verdict.reason != "nothing changed"


def test_a_leak_is_refused(plain: Labelled) -> None:
    asked = operation("recolour", "hair", colour="#0000ff")
    leak = painted(carried_out(plain.scene, asked), plain.of("cloth"), "#0000ff")
    verdict = judged(plain.scene, leak, asked)
    assert not verdict.accepted and "outside the region" in verdict.reason


def test_what_is_left_is_refused(plain: Labelled) -> None:
    asked = operation("delete", "hair")
    some = plain.of("hair") & (plain.rest[:, 0] > 0.0)
    verdict = judged(plain.scene, without(plain.scene, some), asked)
    assert not verdict.accepted and "still there" in verdict.reason and verdict.latent == "delete"


def test_a_beard_that_is_left_is_refused(bearded: Labelled) -> None:
    half = bearded.beard & (bearded.rest[:, 0] > 0.0)
    verdict = judged(bearded.scene, painted(bearded.scene, half, "#c98f70"), operation("delete", "beard"))
    assert not verdict.accepted and "still there" in verdict.reason


def test_a_shaved_chin_may_be_in_the_shade(bearded: Labelled) -> None:
    """Skin that is 18 CIELAB darker than the nose is not a beard that was 47 darker; what is 35 darker is still one."""
    for colour, accepted in (("#94604a", True), ("#5e3722", False)):
        verdict = judged(bearded.scene, painted(bearded.scene, bearded.beard, colour), operation("delete", "beard"))
        assert verdict.accepted is accepted, (colour, verdict.reason, verdict.measures)


def test_a_hole_is_refused(plain: Labelled) -> None:
    """The back of the head shows through it, and fills nothing."""
    verdict = judged(
        plain.scene, without(plain.scene, plain.of("hair") & (plain.rest[:, 2] > -0.03)), operation("delete", "hair")
    )
    assert not verdict.accepted
    verdict = judged(
        plain.scene, without(plain.scene, plain.of("l_brow", "r_brow", "skin")), operation("delete", "brows")
    )
    assert not verdict.accepted and "hole" in verdict.reason and verdict.latent == "add"


def test_the_wrong_earring_is_refused(plain: Labelled) -> None:
    wrong = carried_out(plain.scene, operation("delete", "earring", Region("r_ear")))
    verdict = judged(plain.scene, wrong, operation("delete", "earring", Region("l_ear")))
    assert not verdict.accepted
    bare = without(plain.scene, plain.of("earring"))
    wrong = added(bare, "earring", Region("r_ear"))
    verdict = judged(bare, wrong, operation("add", "earring", Region("l_ear")))
    assert not verdict.accepted and verdict.latent == "reposition" and verdict.reason == "it is not on the l ear"


def test_a_thing_far_away_is_refused(bare: Labelled) -> None:
    asked = operation("add", "hat", Region("head"))
    hatted = added(bare.scene, "hat")
    assert judged(bare.scene, hatted, asked).accepted
    gaussians = hatted.avatar.gaussians
    means = gaussians.means + torch.where(gaussians.groups > 0, 0.20, 0.0)[:, None] * torch.tensor([0.0, 1.0, 0.0])
    away = hatted.with_avatar(replace(hatted.avatar, gaussians=replace(gaussians, means=means)))
    assert not judged(bare.scene, away, asked).accepted


def test_a_thing_that_nobody_sees_is_refused(bare: Labelled) -> None:
    hatted = added(bare.scene, "hat")
    gaussians = hatted.avatar.gaussians
    opacity = torch.where(gaussians.groups > 0, -12.0, gaussians.opacity_logits)
    sh = gaussians.sh.clone()
    sh[bare.of("cloth").nonzero()[:, 0], 0] += 1.0  # something else changed, so that it is not "nothing"
    faint = hatted.with_avatar(replace(hatted.avatar, gaussians=replace(gaussians, opacity_logits=opacity, sh=sh)))
    verdict = judged(bare.scene, faint, operation("add", "hat"))
    assert not verdict.accepted and "does not show" in verdict.reason and verdict.latent == "add"


@pytest.mark.parametrize(
    ("asked", "done", "reason"),
    [
        (operation("move", "glasses", offset=(0.0, -0.1, 0.0)), operation("move", "glasses", offset=(0.0, 0.1, 0.0)), "hardly moved"),
        (operation("move", "nose", offset=(0.0, 0.06, 0.0)), operation("move", "nose", offset=(0.0, 0.015, 0.0)), "hardly moved"),
        (operation("shape", "nose", size=1.4), operation("shape", "nose", size=0.7), "size hardly changed"),
        (operation("shape", "ears", dimension="height", size=1.4), operation("shape", "ears", dimension="height", size=1.05), "size hardly changed"),
        (operation("shape", "eyes", size=0.8), operation("shape", "eyes", size=1.25), "size hardly changed"),
    ],
)  # fmt: skip
def test_the_wrong_way_or_too_little_is_refused(
    plain: Labelled, asked: Operation, done: Operation, reason: str
) -> None:
    verdict = judged(plain.scene, carried_out(plain.scene, done), asked)
    assert not verdict.accepted and reason in verdict.reason


def test_figures_are_kept(plain: Labelled) -> None:
    asked = operation("recolour", "hair", colour="#0000ff")
    measures = judged(plain.scene, carried_out(plain.scene, asked), asked).measures
    assert (
        {"inside", "outside", "delta", "hue"} <= set(measures)
        and measures["inside"] > 10.0
        and measures["outside"] < 0.002
    )


@pytest.mark.parametrize(("anchor", "region"), [("l_ear", "l_ear"), ("ears", "l_ear")])
def test_an_earring_is_on_an_ear_that_hair_covers(plain: Labelled, anchor: str, region: str) -> None:
    """All that is labelled as an ear lies 10 cm away; the mesh still says where the ear is."""
    ear = plain.scene.rest.vertices[plain.scene.head.regions[region] > 0.5]
    far = plain.of("l_ear", "r_ear")
    rest = plain.scene.rest
    moved = plain.scene.placed_at_rest(
        plain.avatar.gaussians, rest.means - torch.tensor([0.0, 0.3, 0.0]) * far[:, None], rest.quats, rest.scales
    )
    scene = plain.scene.with_avatar(replace(plain.avatar, gaussians=moved))
    assert _stands(scene, ear, Region(anchor)) > 0.0
    assert _stands(scene, ear + torch.tensor([0.0, 0.0, 0.2]), Region(anchor)) <= 0.0
