"""Every addable thing has a recipe, every attribute an effect, and what rides on the head stays on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.edit.accessories.light import neutral_light
from avatarkit.edit.accessories.materials import MATERIALS, material
from avatarkit.edit.accessories.recipes import RECIPES, accessory
from avatarkit.edit.accessories.wishes import wish
from avatarkit.edit.plan import Attributes, EditRequest, Operation, Region
from avatarkit.edit.rules import read_prompt
from avatarkit.edit.vocabulary import ADDABLE, DIMENSIONS, FORMS
from avatarkit.edit.vocabulary import MATERIALS as MATERIAL_WORDS
from avatarkit.errors import InputError
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABELS
from avatarkit.losses.colour_difference import ciede2000, lab

DECALS = ("tattoo", "freckles", "mole", "scar", "object")
RIGID = ("glasses", "sunglasses", "hat", "cap", "beanie", "headband", "earring", "hair")
PROMPTS = (
    "add two gold hoop earrings", "a wide-brimmed straw hat", "a pearl necklace", "round black glasses", "a nose ring on the left",
    "a nose ring on the right side of the nose", "two nose rings", "a big red wool beanie", "heart-shaped sunglasses",
    "cat eye glasses", "a short brown beard", "a long grey beard", "a thick moustache", "curly moustache", "dark stubble", "goatee",
    "a gold chain", "three gold necklaces", "a pearl earring in the left ear", "diamond stud earrings", "long dangling earrings",
    "a thin leather headband", "a wide velvet headband", "a tall hat", "a blue denim baseball cap", "a dark hat", "star earrings",
    "round gold nose stud", "a beaded necklace", "bushy beard", "huge furry hat", "tiny silver nose ring", "wide glasses",
)  # fmt: skip


def rgb(colour: str) -> torch.Tensor:
    return torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def same(one: Gaussians, other: Gaussians) -> bool:
    return len(one) == len(other) and all(
        torch.equal(value, other.tensors()[name]) for name, value in one.tensors().items()
    )


def test_every_addable_thing_but_decals_has_a_recipe(bust: Any) -> None:
    assert set(RECIPES) == set(ADDABLE) - set(DECALS)
    for target in DECALS:
        with pytest.raises(InputError, match=f"unknown accessory '{target}'"):
            bust.made(target)
    assert set(MATERIAL_WORDS) <= set(MATERIALS)
    with pytest.raises(InputError, match="unknown material 'cheese'"):
        material("cheese")
    for recipe in RECIPES.values():
        assert set(recipe.forms) <= set(FORMS) and recipe.material in MATERIALS


@pytest.mark.parametrize("target", sorted(RECIPES))
def test_what_is_made_is_whole(mean_subject: Any, target: str) -> None:
    made = mean_subject.made(target)
    count = len(made)
    assert count > 30 and made.sh.shape == (count, 1, 3)
    assert all(bool(torch.isfinite(value.float()).all()) for value in made.tensors().values())
    assert made.ids.tolist() == list(range(count)) and torch.equal(made.parents, made.ids)
    assert not made.groups.any() and made.groups.dtype == torch.int32 and made.binding.dtype == torch.int32
    assert {LABELS[i] for i in made.label_logits.argmax(1).tolist()} == {ADDABLE[target]}
    chosen = torch.softmax(made.label_logits, 1).max(1).values
    assert float(chosen.min()) > 0.95
    carriers = {"skull": -2, "torso": -1}
    wanted = carriers.get(RECIPES[target].carrier)
    assert bool((made.binding == wanted).all()) if wanted is not None else bool((made.binding >= 0).all())


@pytest.mark.parametrize("target", sorted(RECIPES))
def test_the_same_seed_gives_the_same_gaussians(bust: Any, target: str) -> None:
    operation = Operation("add", target, None, Attributes(material="" if target in ("beard", "hair") else "wood"))
    one, again, other = (accessory(operation, bust.anatomy, bust.head, neutral_light(), seed) for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_what_the_rules_plan_can_be_made(bust: Any, prompt: str) -> None:
    plan = read_prompt(EditRequest(prompt, labels=frozenset({"skin", "nose"})))
    added = [operation for operation in plan.operations if operation.kind == "add"]
    assert len(added) == 1
    plain = bust.made(added[0].target, added[0].region)
    made = accessory(added[0], bust.anatomy, bust.head, neutral_light(), 4)
    assert len(made) > 30 and same(made, plain) == (added[0].attributes == Attributes())


@pytest.mark.parametrize("target", sorted(RECIPES))
def test_every_attribute_has_an_effect(bust: Any, target: str) -> None:
    region = Region("l_ear") if target == "earring" else None
    plain = bust.made(target, region)
    changes: list[dict[str, Any]] = [{"colour": "#2060c0"}, {"lightness": 0.4}, {"size": 1.3}]
    changes += [{"size": 1.3, "dimension": name} for name in DIMENSIONS[1:5]]
    changes += [{"form": form} for form in RECIPES[target].forms]
    if target in ("earring", "necklace", "nose_ring"):
        changes.append({"count": 3})
    unchanged = [change for change in changes if same(bust.made(target, region, **change), plain)]
    # The usual earring is a hoop, and the usual necklace hangs a drop from a chain.
    assert unchanged in ([], [{"form": "hoop"}], [{"form": "drop"}])


@pytest.mark.parametrize("name", MATERIAL_WORDS)
def test_materials_look_different(bust: Any, name: str) -> None:
    """Of one colour, so that it is the material that tells."""
    hats = {other: bust.made("hat", material=other, colour="#7a6a5a") for other in ("felt", name)}
    hats["plain"] = bust.made("hat", colour="#7a6a5a")
    if name == "felt":
        assert same(hats["felt"], hats["plain"])
        return
    assert not same(hats[name], hats["felt"])
    means = hats[name].sh.mean(), hats["felt"].sh.mean()
    spread = hats[name].sh.std(0).max(), hats["felt"].sh.std(0).max()
    differs = (
        len(hats[name]) != len(hats["felt"]) or abs(spread[0] - spread[1]) > 0.01 or abs(means[0] - means[1]) > 0.01
    )
    assert differs or float((hats[name].sh - hats["felt"].sh).abs().mean()) > 0.01


@pytest.mark.parametrize("colour", ["#000000", "#f2f0ea", "#c02020", "#1e90ff", "#ffd700", "#5c3a21"])
@pytest.mark.parametrize(
    ("target", "attributes"),
    [
        ("glasses", {"form": "round"}), ("hat", {}), ("hat", {"material": "straw", "form": "wide_brim"}), ("cap", {}),
        ("beanie", {}), ("headband", {}), ("earring", {"form": "hoop"}), ("necklace", {"form": "pearls"}),
        ("necklace", {"form": "chain"}), ("beard", {}), ("moustache", {}), ("hair", {}),
    ],
)  # fmt: skip
def test_seen_from_the_front_it_has_the_colour_asked_for(
    bust: Any, seen_colour: Any, target: str, attributes: dict[str, Any], colour: str
) -> None:
    shown = seen_colour(bust, bust.made(target, colour=colour, **attributes))
    assert float(ciede2000(lab(shown), lab(rgb(colour)))) <= 10


def test_lightness_saturation_and_the_materials_own_colour(bust: Any) -> None:
    def plan(**attributes: Any) -> torch.Tensor:
        return torch.from_numpy(wish(Operation("add", "hat", None, Attributes(**attributes)), "felt", "#5a4534").colour)

    usual, light, dark = plan(), plan(lightness=0.4), plan(lightness=-0.3)
    assert lab(dark)[0] < lab(usual)[0] < lab(light)[0]
    vivid, dull = plan(saturation=0.5), plan(saturation=-0.5)
    assert torch.hypot(*lab(dull)[1:]) < torch.hypot(*lab(usual)[1:]) < torch.hypot(*lab(vivid)[1:])
    straw = plan(material="straw")
    assert float(ciede2000(lab(straw), lab(rgb(MATERIALS["straw"].colour)))) < 0.1
    assert torch.allclose(plan(material="straw", colour="#1e90ff"), rgb("#1e90ff").double(), atol=1e-6)
    assert torch.allclose(plan(material="wool"), usual)  # comes in any colour: the hat's own


@pytest.mark.parametrize("target", RIGID)
@pytest.mark.parametrize("name", ["bust", "flame"])
def test_what_rides_on_the_skull_does_not_drift(subject_of: Any, name: str, target: str) -> None:
    """Distances to the skull stay, whatever the face and the neck do."""
    subject = subject_of(name, 1)
    made = subject.made(target, Region("ears") if target == "earring" else None)
    made = made.select(torch.arange(0, len(made), 25))
    head = subject.head
    joint = head.joint_names.index("neck")
    random = torch.Generator().manual_seed(7)

    def distances(params: Any) -> torch.Tensor:
        pose = head.pose(params)
        # Points of the skull: where its joint carries what the crown, the brow and the ears are at rest.
        at_rest = torch.from_numpy(
            np.stack([subject.anatomy[p] for p in ("crown", "l_ear_top", "r_ear_top", "bridge")])
        ).float()
        local = at_rest - subject.anatomy.pose.joints[0, joint, :3, 3]
        carrier = pose.joints[0, joint]
        points = local @ carrier[:3, :3].T + carrier[:3, 3]
        own = subject.posed(made, params).means
        return (own[:, None] - points[None]).norm(dim=2)

    rest = distances(subject.moved())
    for _ in range(3):
        params = subject.moved(
            expr=0.7 * torch.rand(1, head.num_expr, generator=random),
            rotation=torch.randn(1, 3, generator=random) * 0.4, translation=torch.randn(1, 3, generator=random),
            neck_pose=torch.randn(1, 3, generator=random) * 0.4,
        )  # fmt: skip
        assert float((distances(params) - rest).abs().max()) < 1e-4
    turned = subject.moved(neck_pose=torch.tensor([[0.0, 0.5, 0.0]]))
    crown = int(subject.anatomy.pose.vertices[0][:, 1].argmax())
    skull = head.pose(turned).vertices[0, crown] - head.pose(subject.moved()).vertices[0, crown]
    own = subject.posed(made, turned).means - subject.posed(made).means
    assert float(own.norm(dim=1).max()) > 0.004 and float((own.mean(0) - skull).norm()) < 0.06  # it turns with the head


def test_a_necklace_stays_on_the_shoulders(bust: Any) -> None:
    made = bust.made("necklace")
    rest = bust.posed(made).means
    turned = bust.posed(made, bust.moved(neck_pose=torch.tensor([[0.2, 0.6, 0.0]]))).means
    assert float((turned - rest).abs().max()) < 1e-6
    walked = bust.posed(made, bust.moved(translation=torch.tensor([[0.0, 0.1, 0.0]]))).means
    assert torch.allclose(walked - rest, torch.tensor([0.0, 0.1, 0.0]), atol=1e-6)
