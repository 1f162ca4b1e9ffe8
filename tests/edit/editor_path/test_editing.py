"""The loop of an edit: corrections, what is taken back, what stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from avatarkit.edit.config import EditConfig
from avatarkit.edit.editing import Done, Tools, _offset, edit_avatar
from avatarkit.edit.history import undone
from avatarkit.edit.operators.warp import head_width
from avatarkit.edit.painting import Painter
from avatarkit.edit.plan import EditPlan, Region
from avatarkit.edit.scene import Scene
from avatarkit.edit.verify import Verdict
from avatarkit.errors import InputError, PluginError
from avatarkit.events import Event, Notice, Run, collect
from avatarkit.gaussians.avatar import Avatar

from .fakes import BLUE, Fake, operation, plan

BLUE_HAIR = operation("recolour", "hair", colour="#1a33e6")
GREEN_SHIRT = operation("recolour", "cloth", colour="#20a040")
CROWN = operation("add", "object", name="crown")


def carried_out(
    scene: Scene, made: EditPlan, painter: Painter | None = None, run: Run | None = None, **settings: Any
) -> tuple[Avatar, list[Done]]:
    config = painter.config if painter is not None else EditConfig(size=80, **settings)
    return edit_avatar(scene.avatar, made, Tools(scene.head, scene.rasterizer, config, painter), run or Run())


def same(first: Avatar, second: Avatar) -> bool:
    one, two = first.gaussians.tensors(), second.gaussians.tensors()
    return all(torch.equal(one[name], two[name]) for name in one)


def test_a_wrong_picture_is_corrected_at_most_twice_and_taken_back(
    scene: Scene, painter: Callable[..., Painter]
) -> None:
    """24 pictures at most, over all rounds and corrections, for an editor that never gets it right."""
    editor = Fake(colour=(0.9, 0.1, 0.1), iterative=True)  # red for blue
    with pytest.raises(InputError, match="nothing changed: its hue is"):
        carried_out(scene, plan(BLUE_HAIR), painter(editor, keyframes=8, anchors=3, refreshed=2))
    assert editor.outputs <= 24 and len(set(editor.seeds)) == 3
    assert [step.latent for step in editor.steps if step.round == 0][::2] == ["", "change", "change"]


def test_a_view_without_the_edit_is_asked_for_again(scene: Scene, painter: Callable[..., Painter]) -> None:
    class Late(Fake):
        def edit(self, views: Any, *arguments: Any, **more: Any) -> Any:
            painted = super().edit(views, *arguments, **more)
            return painted if self.steps[-1].latent == "add" else views

    editor = Late()
    _, (done,) = carried_out(scene, plan(BLUE_HAIR), painter(editor, keyframes=4, anchors=2))
    assert done.accepted and done.attempts == 2 and editor.sizes == [2, 2, 2, 2] and done.outputs == 8


def test_a_correction_is_shown_what_it_corrects(scene: Scene, painter: Callable[..., Painter]) -> None:
    """Red for blue: the second attempt sees red hair, whose references begin anew; blue is then learnt from the avatar before."""

    class Sorry(Fake):
        def edit(self, views: Any, *arguments: Any, **more: Any) -> Any:
            first = not any(step.latent for step in self.steps) and arguments[1].latent == ""
            self.colour = (0.9, 0.1, 0.1) if first else BLUE
            return super().edit(views, *arguments, **more)

    editor = Sorry()
    edited, (done,) = carried_out(scene, plan(BLUE_HAIR), painter(editor, keyframes=4, anchors=2))
    assert done.accepted and done.attempts == 2 and editor.sizes == [2, 2, 2, 2]
    assert [step.latent for step in editor.steps] == ["", "", "change", "change"]

    def redness(pictures: torch.Tensor, masks: torch.Tensor) -> float:
        inside = masks[:, 0] > 0.5
        return float((pictures[:, 0] - pictures[:, 2])[inside].mean())

    before, failed = (redness(editor.views[k], editor.masks[k]) for k in (0, 2))
    assert failed > before + 0.2 and editor.references[2] is None
    assert editor.references[3] is not None and redness(editor.references[3], editor.masks[3]) < before
    outside = editor.masks[2].expand(-1, 3, -1, -1) == 0
    assert float((editor.views[2] - editor.views[0])[outside].abs().mean()) < 0.01
    straight, (at_once,) = carried_out(scene, plan(BLUE_HAIR), painter(Fake(), keyframes=4, anchors=2))
    place = scene.places()[0]
    old, new, wanted = (one.picture(place) for one in (scene, scene.with_avatar(edited), scene.with_avatar(straight)))
    assert at_once.accepted and float((new - wanted).abs().mean()) < 0.4 * float((old - wanted).abs().mean())


def test_what_no_view_was_accepted_of_is_not_shown_to_a_correction(
    scene: Scene, painter: Callable[..., Painter]
) -> None:
    editor = Fake(share=0.0)
    with pytest.raises(InputError, match="nothing changed"):
        carried_out(scene, plan(CROWN), painter(editor, keyframes=2, anchors=2))
    assert [step.latent for step in editor.steps] == ["", "add", "add"]
    assert all(torch.equal(views, editor.views[0]) for views in editor.views)


def test_an_editor_that_would_paint_the_same_is_not_asked_again(scene: Scene, painter: Callable[..., Painter]) -> None:
    class Fixed(Fake):
        varies = False

    editor = Fixed(share=0.0)
    with pytest.raises(InputError, match="nothing changed"):
        carried_out(scene, plan(BLUE_HAIR), painter(editor, anchors=2))
    assert editor.sizes == [2, 2] and {step.latent for step in editor.steps} == {""}


def test_what_fails_is_taken_back_and_the_others_stand(scene: Scene) -> None:
    notices: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    both, done = carried_out(scene, plan(CROWN, GREEN_SHIRT), run=Run(sinks=(listen,)))
    alone, _ = carried_out(scene, plan(GREEN_SHIRT))
    assert [one.accepted for one in done] == [False, True]
    assert done[0].reason == "'add object' needs an image editor; choose one with --editor"
    assert notices == [f"operation 0: add object was taken back: {done[0].reason}"]
    assert same(both, alone) and same(undone(both), scene.avatar)
    rows = both.history[-1]["operations"]
    assert [(row["accepted"], row["how"]) for row in rows] == [(False, ""), (True, "operator")]


def test_what_depends_on_a_failed_operation_is_not_done(scene: Scene) -> None:
    second = operation("recolour", "hair", colour="#1a33e6", depends_on=(0,))
    run, heard = collect()
    _, done = carried_out(scene, plan(CROWN, second, GREEN_SHIRT), run=run)
    said = [event.text for event in heard if isinstance(event, Notice) and event.level == "warning"]
    assert [one.accepted for one in done] == [False, False, True]
    assert done[1].reason == "operation 0, on which it depends, was not done" and done[1].attempts == 0
    assert f"operation 1: recolour hair was left out: {done[1].reason}" in said


def test_nothing_changed_is_no_success(scene: Scene) -> None:
    mildest = operation("recolour", "hair", lightness=0.0001)
    with pytest.raises(InputError, match="nothing changed"):
        carried_out(scene, plan(mildest))
    with pytest.raises(InputError, match=r"nothing changed: the avatar shows no 'glasses'; 'add object' needs"):
        carried_out(scene, plan(operation("recolour", "glasses", colour="#ff0000"), CROWN))


def test_a_single_operation_that_fails_says_why_itself(scene: Scene, painter: Callable[..., Painter]) -> None:
    with pytest.raises(PluginError, match="returned NoneType"):
        carried_out(scene, plan(BLUE_HAIR), painter(Fake(wrong=lambda views: None)))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda views: 1.0 - views, r"\d+\.\d % of the picture changed far from the region"),
        (lambda views: views, "nothing changed in the region"),
    ],
)
def test_why_no_picture_was_taken_is_told(
    scene: Scene, painter: Callable[..., Painter], wrong: Callable[..., Any], words: str
) -> None:
    with pytest.raises(InputError, match=f"^nothing changed: {words}$"):
        carried_out(scene, plan(BLUE_HAIR), painter(Fake(wrong=wrong), keyframes=2, anchors=2, corrections=0))


def test_an_identity_that_cannot_be_painted_keeps_its_shape(scene: Scene, painter: Callable[..., Painter]) -> None:
    run, heard = collect()
    elf = operation("identity", "head", name="elf")
    _, (done,) = carried_out(scene, plan(elf), painter(Fake(share=0.0), keyframes=2, anchors=2), run)
    assert done.accepted and done.how == "operator"
    said = [event.text for event in heard if isinstance(event, Notice) and event.level == "warning"]
    assert said == ["elf: nothing was painted (nothing changed in the region); its shape was changed"]


def test_interrupted_before_anything_was_done(scene: Scene, painter: Callable[..., Painter]) -> None:
    run = Run()

    class Slow(Fake):
        def edit(self, *arguments: Any, **more: Any) -> Any:
            run.stop()
            return super().edit(*arguments, **more)

    with pytest.raises(KeyboardInterrupt):
        carried_out(scene, plan(BLUE_HAIR), painter(Slow()), run)
    run = Run()
    made = painter(Slow(), operators=True)
    lips = operation("restyle", "lips", style="lipstick", colour="#aa1020")
    avatar, done = carried_out(scene, plan(GREEN_SHIRT, lips, BLUE_HAIR), made, run)
    assert [one.reason for one in done] == ["", "stopped", "stopped"] and done[0].accepted
    assert same(avatar, carried_out(scene, plan(GREEN_SHIRT))[0])


def test_an_editor_that_gives_up_leaves_what_was_done_before(scene: Scene, painter: Callable[..., Painter]) -> None:
    run = Run()

    class GivesUp(Fake):
        def edit(self, *arguments: Any, **more: Any) -> Any:
            run.stop()
            raise KeyboardInterrupt

    lips = operation("restyle", "lips", style="lipstick", colour="#aa1020")
    avatar, done = carried_out(scene, plan(GREEN_SHIRT, lips), painter(GivesUp(), operators=True), run)
    assert [one.reason for one in done] == ["", "stopped"] and done[0].accepted
    assert same(avatar, carried_out(scene, plan(GREEN_SHIRT))[0])


def test_a_painted_region_stands_for_the_operations_own(scene: Scene) -> None:
    weights = (scene.rest.means[:, 1] > scene.rest.means[:, 1].median()).float()
    tools = Tools(scene.head, scene.rasterizer, EditConfig(size=80), None, weights)
    avatar, _ = edit_avatar(scene.avatar, plan(BLUE_HAIR), tools, Run())
    changed = (avatar.gaussians.sh != scene.avatar.gaussians.sh).reshape(len(weights), -1).any(1)
    assert bool(changed.any()) and not bool((changed & (weights == 0)).any())
    short = Tools(scene.head, scene.rasterizer, EditConfig(size=80), None, weights[:-1])
    with pytest.raises(InputError, match="a painted region can be used for a plan of one operation only"):
        edit_avatar(scene.avatar, plan(BLUE_HAIR), short, Run())


def test_how_far_a_thing_in_the_wrong_place_has_to_go(scene: Scene) -> None:
    above = operation("add", "object", Region("nose", "above"), name="gem")
    verdict = Verdict(False, "it is not above the nose", "reposition", {"relation": -0.02})
    assert _offset(scene, above, verdict) == pytest.approx((0.0, 0.03, 0.0))
    viewer = operation("add", "object", Region("nose", "left_of", "viewer"), name="gem")
    assert _offset(scene, viewer, verdict) == pytest.approx(
        (-0.03, 0.0, 0.0)
    )  # the viewer's left is the subject's right
    move = operation("move", "nose", offset=(0.0, 0.1, 0.0))
    half = Verdict(False, "it hardly moved", "reposition", {"followed": 0.25})
    assert _offset(scene, move, half) == pytest.approx((0.0, 0.075 * head_width(scene), 0.0))
    assert _offset(scene, move, Verdict(False, "", "change")) == (0.0, 0.0, 0.0)
