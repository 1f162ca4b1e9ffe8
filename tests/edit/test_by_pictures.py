"""What an editor's pictures must not lose: thin things, the place of what is gone, the shape of what is new."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from avatarkit.contracts import EditStep
from avatarkit.edit.config import EditConfig
from avatarkit.edit.editing import Tools, edit_avatar
from avatarkit.edit.gate import composited
from avatarkit.edit.operators.add import SEED_HALF, seed_accessory
from avatarkit.edit.operators.delete import delete
from avatarkit.edit.painting import Painter
from avatarkit.edit.plan import EditPlan
from avatarkit.edit.region import Located, locate, mask_core, region_mask
from avatarkit.events import Run
from avatarkit.registry import registry

from .labelled import SIDE, Labelled, added, group, operation


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_seam_leaves_all_of_what_is_thinner_than_itself(width: int) -> None:
    mask = torch.zeros(1, 64, 64)
    mask[:, 30 : 30 + width, 10:50] = 0.6  # a brow never fills a pixel
    found = composited(torch.zeros(3, 64, 64), torch.ones(3, 64, 64), mask, 2 / 64)
    assert float(found[:, 30 : 30 + width, 10:50].min()) == pytest.approx(1.0)
    assert float(found[:, :26].max()) == 0.0 and float(found[:, 30 + width + 4 :].max()) == 0.0


def test_a_large_regions_seam_lies_on_its_edge() -> None:
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:40, 20:40] = 1.0
    across = composited(torch.zeros(3, 64, 64), torch.ones(3, 64, 64), mask, 2 / 64)[0, 30]
    assert across[17:23].tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_what_is_sure_of_a_thin_mask_is_its_ridge() -> None:
    mask = torch.tensor([[[0.0, 0.1, 0.3, 0.1, 0.0]]])
    assert mask_core(mask)[0].tolist() == [False, False, True, False, False]
    assert not bool(mask_core(torch.full((1, 2, 2), 0.1)).any())
    assert mask_core(torch.tensor([[[0.45, 0.55, 1.0]]]))[0].tolist() == [False, True, True]


class Eraser:
    """An editor that paints a green patch where the mask is: a face that nobody could guess from its surroundings."""

    def edit(self, views: Tensor, masks: Tensor, step: EditStep, **_: Any) -> Tensor:
        green = torch.tensor([0.1, 0.6, 0.2])[:, None, None]
        return torch.where(masks > 0.3, green, views)


def test_what_is_painted_away_is_gone_and_its_place_is_learnt_from_the_pictures(plain: Labelled) -> None:
    asked = operation("delete", "glasses")
    config = EditConfig(size=SIDE, steps=120, keyframes=4, operators=False, mapping=False)
    painter = Painter(Eraser(), "eraser", config, registry().create("refiner", "rules"))
    tools = Tools(plain.scene.head, plain.scene.rasterizer, config, painter)
    edited, (done,) = edit_avatar(plain.avatar, EditPlan("remove the glasses", (asked,), refiner="rules"), tools, Run())
    assert done.accepted and done.how == "eraser" and done.outputs == 4
    kept = set(plain.avatar.gaussians.ids[~plain.of("glasses")].tolist())
    after, own = edited.gaussians, plain.avatar.gaussians.ids[plain.of("glasses")]
    assert not bool(torch.isin(after.ids, own).any()) and len(kept & set(after.ids.tolist())) > 0.95 * len(kept)
    place = plain.front()
    there = mask_core(region_mask(plain.scene, plain.of("glasses").float(), place))
    scene = plain.scene.with_avatar(edited)
    bare = plain.scene.with_avatar(delete(plain.scene, asked, locate(plain.scene, asked)))
    painted = torch.tensor([0.1, 0.6, 0.2])[:, None]
    gap, unlearnt = ((one.picture(place)[:, there] - painted).abs().mean() for one in (scene, bare))
    assert float(gap) < 0.5 * float(unlearnt)
    far = max_pool2d(region_mask(plain.scene, plain.of("glasses").float(), place)[None], 21, 1, 10)[0, 0] < 0.02
    change = (scene.picture(place) - plain.scene.picture(place)).abs()[:, far]
    assert float(change.mean()) < 0.01


@pytest.mark.parametrize("target", ["glasses", "beanie"])
def test_a_new_thing_begins_where_the_library_puts_it_and_half_there(bare: Labelled, target: str) -> None:
    asked = operation("add", target)
    located = Located(torch.ones(len(bare.avatar.gaussians)), torch.zeros(3))
    seeded = bare.scene.with_avatar(seed_accessory(bare.scene, asked, located))
    made, own, library = seeded.rest.means, group(seeded, target), added(bare.scene, target)
    assert torch.equal(made[own], library.rest.means[group(library, target)])
    assert float(seeded.avatar.gaussians.opacity_logits[own].sigmoid().max()) <= SEED_HALF + 1e-6
    old = seeded.avatar.gaussians.select(~own)
    assert torch.equal(old.opacity_logits, library.avatar.gaussians.select(~group(library, target)).opacity_logits)


def test_what_the_library_lacks_begins_as_a_cloud(bare: Labelled) -> None:
    asked = operation("add", "object", name="halo")
    seeded = bare.scene.with_avatar(seed_accessory(bare.scene, asked, Located(torch.zeros(0), torch.zeros(3))))
    assert float(seeded.avatar.gaussians.opacity_logits[group(seeded, "halo")].sigmoid().max()) < 0.05
