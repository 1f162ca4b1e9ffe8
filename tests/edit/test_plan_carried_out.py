"""The edit as a whole: what is accepted stands, what is not is taken back, everything can be undone, saved, driven and edited again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avatarkit.edit.config import EditConfig
from avatarkit.edit.editing import Done, Tools, edit_avatar
from avatarkit.edit.history import undone
from avatarkit.edit.plan import EditPlan, Operation, Region, Weight
from avatarkit.errors import InputError
from avatarkit.events import Notice, Run, collect
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.avatar_file import load_avatar, save_avatar

from .labelled import Labelled, operation, same_tensors

BLUE = operation("recolour", "hair", colour="#0000ff")
EDITS = [
    BLUE, operation("delete", "brows"), operation("add", "glasses"), operation("shape", "nose", size=1.3),
    operation("expression", "face", weights=(Weight("mouthSmileLeft", 0.7), Weight("mouthSmileRight", 0.7))),
]  # fmt: skip


def edited(
    which: Labelled,
    *operations: Operation,
    avatar: Avatar | None = None,
    mask: torch.Tensor | None = None,
    run: Run | None = None,
) -> tuple[Avatar, list[Done]]:
    scene = which.scene
    tools = Tools(scene.head, scene.rasterizer, EditConfig(size=96), mask=mask)
    return edit_avatar(avatar or which.avatar, EditPlan("do it", operations, refiner="rules"), tools, run or Run())


@pytest.fixture(scope="module")
def after_all(bare: Labelled) -> list[Avatar]:
    """The head, and what five edits one after the other make of it."""
    states = [bare.avatar]
    for asked in EDITS:
        states.append(edited(bare, asked, avatar=states[-1])[0])
    return states


def test_every_edit_is_undone_to_the_bit(after_all: list[Avatar], tmp_path: Path) -> None:
    save_avatar(after_all[-1], tmp_path / "edited.avatar")
    state = load_avatar(tmp_path / "edited.avatar")
    assert same_tensors(state, after_all[-1]) and len(state.history) == len(EDITS)
    for earlier in reversed(after_all[:-1]):
        state = undone(state)
        assert same_tensors(state, earlier) and len(state.history) == len(state.undo) == len(earlier.history)
        assert state.meta.get("groups", {}) == earlier.meta.get("groups", {})


def test_edits_add_up(bare: Labelled, after_all: list[Avatar]) -> None:
    scene = bare.scene.with_avatar(after_all[-1])
    blue = scene.picture(scene.place(0, 1))[:, 20:40, 64:90].mean((1, 2))
    assert float(blue[2]) > float(blue[0]) + 0.15
    assert after_all[-1].meta["groups"] == {"glasses": 1} and after_all[-1].motion.static_offset is not None
    assert float(after_all[-1].motion.expr[0].max()) == pytest.approx(0.7)
    assert [row["operations"][0]["accepted"] for row in after_all[-1].history] == [True] * len(EDITS)
    assert len(after_all[-1].gaussians.ids.unique()) == len(after_all[-1].gaussians)


def test_the_edited_avatar_is_driven(bare: Labelled, after_all: list[Avatar]) -> None:
    """By a motion of others: shape and smile of the avatar's own go their ways, the edit of its shape stays."""
    avatar = after_all[-1]
    driven = replace(avatar.motion, expr=avatar.motion.expr.flip(0), neck_pose=avatar.motion.neck_pose + 0.1)
    scene = bare.scene.with_avatar(replace(avatar, motion=driven))
    for timestep in range(4):
        picture = scene.picture(scene.place(timestep, 0))
        assert bool(picture.isfinite().all()) and float(picture.std()) > 0.1


def test_an_edit_leaves_its_avatar_as_it_was(bare: Labelled) -> None:
    before = {name: value.clone() for name, value in bare.avatar.gaussians.tensors().items()}
    edited(bare, BLUE)
    assert all(torch.equal(value, before[name]) for name, value in bare.avatar.gaussians.tensors().items())
    assert bare.avatar.history == [] and "groups" not in bare.avatar.meta


def test_nothing_changed_is_an_error(bare: Labelled) -> None:
    once, _ = edited(bare, BLUE)
    with pytest.raises(InputError, match=r"^nothing changed$"):
        edited(bare, BLUE, avatar=once)
    with pytest.raises(InputError, match=r"^nothing changed$"):
        edited(bare, replace(BLUE, strength=0.0))
    with pytest.raises(InputError, match="the avatar shows no 'hat'"):
        edited(bare, operation("delete", "hat"))


def test_what_fails_is_taken_back_and_the_rest_stands(bare: Labelled) -> None:
    run, heard = collect()
    result, done = edited(bare, operation("delete", "hat"), BLUE, operation("add", "glasses"), run=run)
    assert [one.accepted for one in done] == [False, True, True]
    (said,) = [event.text for event in heard if isinstance(event, Notice) and event.level == "warning"]
    assert said == f"operation 0: delete hat was taken back: {done[0].reason}"
    assert "shows no 'hat'" in done[0].reason
    assert len(result.history) == 1 and same_tensors(undone(result), bare.avatar)


def test_what_depends_on_a_failure_is_not_begun(bare: Labelled) -> None:
    red = replace(operation("recolour", "hat", colour="#ff0000"), depends_on=(0,))
    _, done = edited(bare, operation("delete", "hat"), red, BLUE)
    assert [one.accepted for one in done] == [False, False, True] and "on which it depends" in done[1].reason


def test_one_plan_adds_and_then_colours_what_it_added(bare: Labelled) -> None:
    red = replace(operation("recolour", "glasses", colour="#d01010"), depends_on=(0,))
    result, done = edited(bare, operation("add", "glasses", colour="#202020"), red)
    assert all(one.accepted for one in done)
    assert same_tensors(undone(result), bare.avatar)


def test_a_stopped_run_does_no_more(bare: Labelled) -> None:
    run = Run()
    run.stop()
    tools = Tools(bare.scene.head, bare.scene.rasterizer, EditConfig(size=96))
    with pytest.raises(KeyboardInterrupt):
        edit_avatar(bare.avatar, EditPlan("do it", (BLUE,)), tools, run)


def test_a_painted_region_stands_for_the_operations_own(bare: Labelled) -> None:
    mask = ((bare.rest[:, 0] > 0) & bare.of("hair")).float()
    result, _ = edited(bare, BLUE, mask=mask)
    changed = (result.gaussians.sh[:, 0] != bare.avatar.gaussians.sh[:, 0]).any(1)
    assert torch.equal(changed, mask > 0.5)
    with pytest.raises(InputError, match="a painted region can be used for a plan of one operation only"):
        edited(bare, BLUE, mask=mask[:-1])


def test_an_identity_without_an_editor_is_shape_and_colour(bare: Labelled) -> None:
    result, done = edited(bare, operation("identity", "head", name="elf", amount=1.0))
    assert done[0].accepted and done[0].how == "operator" and result.motion.static_offset is not None
    with pytest.raises(InputError, match="nothing is known of 'ada lovelace'"):
        edited(bare, operation("identity", "head", name="ada lovelace", amount=1.0))


def test_what_needs_an_image_editor_says_so(bare: Labelled) -> None:
    with pytest.raises(InputError, match="needs an image editor; choose one with --editor"):
        edited(bare, operation("add", "tattoo", Region("l_cheek"), form="star"))


def test_a_tattoo_is_washed_off_without_an_editor(bare: Labelled) -> None:
    """What was painted is the skin's colour and nothing else: no picture has to be asked for."""
    cheek = bare.of("skin") & ((bare.rest - torch.tensor([0.035, -0.02, 0.06])).norm(dim=1) < 0.02)
    assert int(cheek.sum()) > 10
    plain = bare.avatar.gaussians
    sh = plain.sh.clone()
    sh[cheek, 0] = -1.5  # ink
    meta = {**bare.avatar.meta, "groups": {"tattoo": 1}, "group_kinds": {"tattoo": "tattoo"}}
    marked = replace(bare.avatar, gaussians=replace(plain, sh=sh, groups=cheek.int()), meta=meta)
    after, (done,) = edited(bare, operation("delete", "tattoo"), avatar=marked)
    assert done.accepted and done.how == "operator" and "tattoo" not in after.meta["groups"]
    gap = (after.gaussians.sh[cheek, 0] - plain.sh[cheek, 0]).abs().mean()
    assert float(gap) < 0.2 * float((sh[cheek, 0] - plain.sh[cheek, 0]).abs().mean())
