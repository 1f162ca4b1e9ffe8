"""Plans of the rules that take several operations for one wish, carried out on a head whose every Gaussian is known."""

from __future__ import annotations

import pytest

from avatarkit.edit.asked import labels_shown
from avatarkit.edit.config import EditConfig
from avatarkit.edit.editing import Tools, edit_avatar
from avatarkit.edit.membership import colours, groups_of
from avatarkit.edit.plan import EditRequest
from avatarkit.edit.rules import read_prompt
from avatarkit.events import Run
from avatarkit.gaussians.avatar import Avatar

from .labelled import Labelled


def edited(which: Labelled, prompt: str) -> Avatar:
    scene = which.scene
    plan = read_prompt(EditRequest(prompt, labels_shown(which.avatar.gaussians)))
    after, done = edit_avatar(which.avatar, plan, Tools(scene.head, scene.rasterizer, EditConfig(size=96)), Run())
    assert [one.accepted for one in done] == [True] * len(plan.operations), [one.reason for one in done]
    return after


@pytest.mark.parametrize(("prompt", "redness"), [("pink curly hair", 0.15), ("straighten the hair", 0.0)])
def test_hair_of_a_form_is_grown_in_the_colour_that_is_asked(bare: Labelled, prompt: str, redness: float) -> None:
    after = edited(bare, prompt)
    grown = after.gaussians.groups == groups_of(after)["hair"]
    assert int(grown.sum()) > 1000
    red, green, _ = colours(after)[grown].mean(0).tolist()
    assert red - green > redness


def test_worn_glasses_become_round(plain: Labelled) -> None:
    after = edited(plain, "make the glasses round")
    added = after.gaussians.groups == groups_of(after)["glasses"]
    shown = labels_shown(after.gaussians.select(~added))
    assert bool(added.any()) and shown is not None and "glasses" not in shown


def test_redder_hair_is_nearer_to_red_and_not_red(bare: Labelled) -> None:
    hair = bare.of("hair")
    before, after = colours(bare.avatar)[hair].mean(0), colours(edited(bare, "redder hair"))[hair].mean(0)
    full = colours(edited(bare, "red hair"))[hair].mean(0)
    assert before[0] - before[1] < after[0] - after[1] < full[0] - full[1]
