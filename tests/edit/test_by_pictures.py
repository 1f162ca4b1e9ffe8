"""What an editor's pictures must not lose: thin things, the label of what is gone, the shape of what is new."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from avatarkit.edit.editing import _relabelled
from avatarkit.edit.gate import composited
from avatarkit.edit.operators.add import SEED_HALF, seed_accessory
from avatarkit.edit.region import Located, locate, mask_core
from avatarkit.labels import LABEL_INDEX

from .labelled import Labelled, added, group, operation


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


def test_what_was_painted_away_takes_the_label_of_its_surroundings(plain: Labelled) -> None:
    asked = operation("delete", "glasses")
    located = locate(plain.scene, asked)
    wish: Any = SimpleNamespace(located=located, operation=asked)
    after = _relabelled(plain.scene, plain.scene, wish).gaussians
    before = plain.avatar.gaussians
    own = located.weights > 0.05
    assert bool((before.label_logits[own].argmax(1) == LABEL_INDEX["glasses"]).all())
    assert not bool((after.label_logits.argmax(1) == LABEL_INDEX["glasses"]).any())
    assert torch.equal(after.label_logits[~own], before.label_logits[~own]) and torch.equal(after.means, before.means)


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
