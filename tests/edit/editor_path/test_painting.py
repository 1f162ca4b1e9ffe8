"""The image editor's way: how often it is asked, what it is told, and what becomes of its answers."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarkit.edit import painting
from avatarkit.edit.gate import Judged
from avatarkit.edit.keyframes import choose_places
from avatarkit.edit.paint.painter import Paint
from avatarkit.edit.painting import Painter, Wish, paint
from avatarkit.edit.plan import FinalRequest, KeyframeText
from avatarkit.edit.region import Located, region_mask
from avatarkit.edit.scene import SKULL, Scene
from avatarkit.errors import InputError, PluginError
from avatarkit.events import Finished, Notice, Progress, Run, collect
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.registry import registry
from avatarkit.testing.language_servers import Reply, serving

from .fakes import BLUE, Fake, Patches, operation, plan

Make = Callable[..., Painter]
BLUE_HAIR = plan(operation("recolour", "hair", colour="#1a33e6"))


def test_anchors_come_first_and_the_others_see_what_was_learnt(scene: Scene, hair: Located, painter: Make) -> None:
    editor = Fake()
    done = paint(scene, Wish(BLUE_HAIR, 0, hair), painter(editor, keyframes=7, anchors=3), Run(), 24)
    assert editor.sizes == [3, 4] and done.outputs == 7 and len(done.rows) == 7 and done.reason == ""
    assert editor.references[0] is None and editor.references[1] is not None
    source = torch.stack([scene.picture(place) for place in choose_places(scene, hair, 7)[3:]])
    blueness = lambda pictures: float((pictures[:, 2] - pictures[:, 0]).mean())  # noqa: E731
    assert blueness(editor.references[1]) > blueness(source) + 0.02
    assert [step.round for step in editor.steps] == [0, 0] and {step.noise for step in editor.steps} == {0.98}


def test_an_iterative_editor_is_asked_again_with_less_freedom(scene: Scene, hair: Located, painter: Make) -> None:
    editor = Fake(iterative=True)
    made = painter(editor, keyframes=6, anchors=2, refreshed=4, noise=(0.98, 0.6, 0.3))
    done = paint(scene, Wish(BLUE_HAIR, 0, hair), made, Run(), 24)
    assert editor.sizes == [2, 4, 2, 2] and done.outputs == 10
    assert [(step.round, step.noise) for step in editor.steps] == [(0, 0.98), (0, 0.98), (1, 0.6), (2, 0.3)]


@pytest.mark.parametrize("room", [1, 5, 8])
def test_never_more_pictures_than_there_is_room_for(scene: Scene, hair: Located, painter: Make, room: int) -> None:
    editor = Fake(iterative=True)
    done = paint(scene, Wish(BLUE_HAIR, 0, hair), painter(editor, keyframes=6, anchors=2), Run(), room)
    assert done.outputs == editor.outputs <= room
    with pytest.raises(InputError, match="shows in none"):
        paint(scene, Wish(BLUE_HAIR, 0, hair), painter(Fake()), Run(), 0)


def test_updating_the_data_set_keeps_to_it_too(scene: Scene, hair: Located, painter: Make) -> None:
    editor = Fake()
    done = paint(
        scene, Wish(BLUE_HAIR, 0, hair), painter(editor, keyframes=4, anchors=2, fit="dataset_update"), Run(), 8
    )
    assert editor.outputs == done.outputs == 8 and editor.sizes == [2, 2, 4]


@pytest.mark.parametrize(
    "wrong", [None, lambda views: views[:1], lambda views: views * float("nan"), lambda views: "a picture"]
)
def test_what_is_no_picture_is_the_editors_fault(scene: Scene, hair: Located, painter: Make, wrong: Any) -> None:
    editor = Fake(wrong=wrong if wrong is not None else torch.zeros(3))
    with pytest.raises(PluginError, match=r"editor 'fake' returned .*; expected pictures \(4, 3, 80, 80\)"):
        paint(scene, Wish(BLUE_HAIR, 0, hair), painter(editor), Run(), 24)


def test_where_every_view_is_refused_nothing_changes(scene: Scene, hair: Located, painter: Make) -> None:
    done = paint(scene, Wish(BLUE_HAIR, 0, hair), painter(Fake(share=0.0)), Run(), 24)
    assert done.avatar is scene.avatar and done.reason == "nothing changed in the region" and done.latent == "add"
    done = paint(scene, Wish(BLUE_HAIR, 0, hair), painter(Fake(wrong=lambda views: 1.0 - views)), Run(), 24)
    assert done.avatar is scene.avatar and "changed far from the region" in done.reason and done.latent == "change"
    assert not any(row["accepted"] for row in done.rows) and done.outputs == 8  # two sets of anchors


def test_other_keyframes_are_anchors_where_all_of_the_first_failed(scene: Scene, hair: Located, painter: Make) -> None:
    """An editor that answers with the picture it was given, for its first two views."""

    class Late(Fake):
        def edit(self, views: Tensor, *arguments: Any, **more: Any) -> Any:
            painted = super().edit(views, *arguments, **more)
            return views if len(self.sizes) == 1 else painted

    editor = Late()
    done = paint(scene, Wish(BLUE_HAIR, 0, hair), painter(editor, keyframes=7, anchors=2), Run(), 24)
    assert editor.sizes == [2, 2, 3] and done.outputs == 7 and done.reason == ""
    assert editor.references[1] is None and editor.references[2] is not None
    assert sum(bool(row["accepted"]) for row in done.rows) == 5


class Finisher:
    """A refiner that remembers the second turn."""

    asked: FinalRequest | None = None

    def finalise(self, request: FinalRequest, run: Run) -> tuple[KeyframeText, ...]:
        self.asked = request
        return tuple(
            KeyframeText(k.name, f"paint {k.name}", f"caption {k.name}", "rain") for k in request.keyframes
        )  # fmt: skip


def test_the_second_turn_tells_where_the_region_lies_and_its_words_reach_the_editor(
    scene: Scene, hair: Located, painter: Make
) -> None:
    editor, refiner = Fake(), Finisher()
    paint(scene, Wish(BLUE_HAIR, 0, hair), painter(editor, refiner, keyframes=3, anchors=3), Run(), 24)
    assert refiner.asked is not None and refiner.asked.operation == 0 and refiner.asked.plan is BLUE_HAIR
    places = choose_places(scene, hair, 3)
    assert [k.name for k in refiner.asked.keyframes] == [place.name for place in places]
    for told, place in zip(refiner.asked.keyframes, places, strict=True):
        mask = region_mask(scene, hair.weights, place)[0].numpy() > 0.5
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        naive = (columns[0] / 80, rows[0] / 80, (columns[-1] + 1) / 80, (rows[-1] + 1) / 80)
        assert told.region == pytest.approx(naive) and {"skin", "hair"} <= {box.label for box in told.boxes}
        assert (told.azimuth, told.elevation) == pytest.approx(scene.direction(place)) and told.image is None
    assert [text.instruction for text in editor.steps[0].texts] == [f"paint {place.name}" for place in places]
    assert {text.negative for text in editor.steps[0].texts} == {"rain"}


def test_the_rules_say_view_and_place(scene: Scene, hair: Located, painter: Make) -> None:
    editor = Fake()
    paint(scene, Wish(BLUE_HAIR, 0, hair), painter(editor, keyframes=3, anchors=3), Run(), 24)
    texts = editor.steps[0].texts
    assert all("hair" in text.instruction and "view" in text.caption for text in texts)
    assert len({text.caption for text in texts}) > 1


@pytest.mark.skipif(sys.platform == "win32", reason="servers of this test close late there")
def test_a_language_model_words_the_second_turn(
    scene: Scene, hair: Located, painter: Make, monkeypatch: pytest.MonkeyPatch, avatarkit_home: Any
) -> None:
    pytest.importorskip("avatarkit_gpt4")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    names = [place.name for place in choose_places(scene, hair, 2)]
    rows = [{"keyframe": n, "instruction": f"dye {n}", "caption": f"blue {n}", "negative": ""} for n in names]
    body: dict[str, Any] = {
        "choices": [{"message": {"content": json.dumps({"keyframes": rows})}, "finish_reason": "stop"}]
    }
    editor = Fake()
    with serving(Reply(body)) as server:
        refiner = registry().create("refiner", "gpt4", {"base_url": f"{server.address}/v1"})
        paint(scene, Wish(BLUE_HAIR, 0, hair), painter(editor, refiner, keyframes=2, anchors=2), Run(), 24)
        said = json.dumps(server.requests[0]["messages"])
    assert "boxes" in said and all(name in said for name in names)
    assert [text.instruction for text in editor.steps[0].texts] == [f"dye {name}" for name in names]


def test_a_reposition_is_a_shift_of_its_own_in_every_view(scene: Scene, hair: Located, painter: Make) -> None:
    """Against where a speck on the skull is drawn before and after the move."""
    editor, offset = Fake(), (0.03, -0.02, 0.01)
    wish = Wish(BLUE_HAIR, 0, hair, 1, "reposition", offset)
    paint(scene, wish, painter(editor, keyframes=4, anchors=4), Run(), 24)
    assert editor.sizes == [1, 1, 1, 1] and {step.latent for step in editor.steps} == {"reposition"}
    joint = scene.rest.pose.joints[0, SKULL]

    def seen_at(point: Tensor, place: Any) -> Tensor:
        local = (joint[:3, :3].T @ (point - joint[:3, 3]))[None]
        speck = Gaussians.fresh(
            local, torch.full((1, 3), -5.5), 0.99, torch.ones(1, 3), torch.tensor([-1 - SKULL], dtype=torch.int32)
        )
        alone = scene.with_avatar(type(scene.avatar)(**{**vars(scene.avatar), "gaussians": speck}))
        drawn = alone.field(torch.ones(1, 1), place)[0][0]
        y, x = torch.meshgrid(torch.arange(80) + 0.5, torch.arange(80) + 0.5, indexing="ij")
        return torch.stack([(drawn * x).sum(), (drawn * y).sum()]) / drawn.sum() / 80

    for step, place in zip(editor.steps, choose_places(scene, hair, 4), strict=True):
        moved = seen_at(hair.centre + torch.tensor(offset), place) - seen_at(hair.centre, place)
        assert step.shift == pytest.approx(moved.tolist(), abs=0.004)  # a third of a pixel


class Heard:
    """A journal in memory."""

    def __init__(self) -> None:
        self.rounds: list[tuple[str, list[Tensor], list[Judged]]] = []

    def views(self, operation: int, attempt: int, stage: str, raw: Sequence[Tensor], judged: Sequence[Judged]) -> None:
        self.rounds.append((stage, list(raw), list(judged)))


def test_what_is_repositioned_is_learnt_where_it_arrives(scene: Scene, hair: Located, painter: Make) -> None:
    """An editor that paints where the mask would be, were it moved: the forehead and face below the hair turn blue."""

    class Mover(Fake):
        def edit(self, views: Tensor, masks: Tensor, step: Any, **more: Any) -> Any:
            super().edit(views, masks, step, **more)
            x, y = (round(share * 80) for share in step.shift)
            there = torch.maximum(masks, torch.roll(masks, (y, x), (2, 3)))
            return views + there * (torch.tensor(self.colour)[:, None, None] - views)

    editor, heard = Mover(), Heard()
    made = replace(painter(editor, keyframes=4, anchors=4), journal=heard)
    done = paint(scene, Wish(BLUE_HAIR, 0, hair, 1, "reposition", (0.0, -0.06, 0.0)), made, Run(), 24)
    assert done.reason == "" and all(bool(row["accepted"]) for row in done.rows)
    for mask, view in zip(editor.masks, heard.rounds[0][2], strict=True):
        assert torch.equal(mask[0], region_mask(scene, hair.weights, view.keyframe.place))
        arrived = (view.keyframe.mask > 0.9) & (mask[0] < 0.05)
        assert int(arrived.sum()) > 50
        assert float(view.view[2][arrived[0]].mean()) > 0.7
    changed = (done.avatar.gaussians.sh[: len(hair.weights)] != scene.avatar.gaussians.sh).flatten(1).any(1)
    assert int((changed & (hair.weights < 0.01)).sum()) > 20


def test_a_refused_repaint_is_told_as_such_and_leaves_the_view_standing(
    scene: Scene, hair: Located, painter: Make
) -> None:
    class Tired(Fake):
        def edit(self, views: Tensor, masks: Tensor, step: Any, **more: Any) -> Any:
            painted = super().edit(views, masks, step, **more)
            return views if step.round else painted

    heard = Heard()
    run, events = collect()
    made = replace(
        painter(Tired(iterative=True), keyframes=4, anchors=2, refreshed=2, noise=(0.98, 0.5)), journal=heard
    )
    done = paint(scene, Wish(BLUE_HAIR, 0, hair), made, run, 24)
    assert [stage for stage, _, _ in heard.rounds] == ["anchors", "others", "round1"]
    _, raw, judged = heard.rounds[2]
    assert [(view.accepted, view.reason) for view in judged] == 2 * [(False, "nothing changed in the region")]
    assert all(torch.equal(picture, view.keyframe.source) for picture, view in zip(raw, judged, strict=True))
    counts = [e.values for e in events if isinstance(e, Finished) and e.stage == "painting with fake"]
    assert counts == [{"accepted": 2, "of": 2}, {"accepted": 2, "of": 2}, {"accepted": 0, "of": 2}]
    assert len(done.rows) == 4 and all(bool(row["accepted"]) for row in done.rows)


def test_a_repaint_that_disagrees_leaves_the_view_standing(scene: Scene, hair: Located, painter: Make) -> None:
    class Straying(Fake):
        def edit(self, views: Tensor, masks: Tensor, step: Any, **more: Any) -> Any:
            self.colour = (0.9, 0.9, 0.1) if step.round else BLUE
            return super().edit(views, masks, step, **more)

    heard = Heard()
    made = painter(Straying(iterative=True), keyframes=5, anchors=5, refreshed=1, noise=(0.98, 0.5))
    done = paint(scene, Wish(BLUE_HAIR, 0, hair), replace(made, journal=heard), Run(), 24)
    assert [view.reason for view in heard.rounds[1][2]] == ["it disagrees with the other views"]
    assert len(done.rows) == 5 and all(bool(row["accepted"]) for row in done.rows)


def test_a_slow_editor_takes_no_time_from_fitting(
    scene: Scene, hair: Located, painter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, real = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + late[0])

    class Slow(Fake):
        def edit(self, *arguments: Any, **more: Any) -> Any:
            late[0] += 1000.0
            return super().edit(*arguments, **more)

    run, events = collect()
    made = painter(Slow(), keyframes=4, anchors=2, steps=20, unedited=0.0, seconds=600.0)
    paint(scene, Wish(BLUE_HAIR, 0, hair), made, run, 24)
    assert [e.step for e in events if isinstance(e, Progress) and e.stage == "fitting"] == [20, 20]
    assert not [e for e in events if isinstance(e, Notice) and "steps of fitting" in e.text]


def test_a_fit_that_ran_out_of_time_is_told(scene: Scene, hair: Located, painter: Make, monkeypatch: Any) -> None:
    """Each look at the clock is a second later: of seven seconds for two fits, each has about half."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    run, events = collect()
    paint(scene, Wish(BLUE_HAIR, 0, hair), painter(Fake(), keyframes=4, anchors=2, steps=9, seconds=8.0), run, 24)
    told = [e for e in events if isinstance(e, Notice) and "steps of fitting were made in their time" in e.text]
    made = [int(event.text.split()[0]) for event in told]
    assert len(made) == 2 and all(0 < steps < 9 for steps in made) and {event.level for event in told} == {"warning"}


def test_what_stands_in_for_lpips_is_told_once_an_operation(
    scene: Scene, hair: Located, painter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "lpips_or_none", lambda net: None)
    monkeypatch.setattr(painting, "why_no_lpips", lambda net: "its weights are not here")
    run, events = collect()
    for attempt in (0, 1):
        paint(scene, Wish(BLUE_HAIR, 0, hair, attempt), painter(Fake(), keyframes=2, anchors=2), run, 24)
    told = [e.text for e in events if isinstance(e, Notice)]
    assert told == ["D-SSIM stands in for LPIPS: its weights are not here"]


def test_an_editor_that_reads_no_words_is_no_reason_to_ask_for_them(scene: Scene, hair: Located, painter: Make) -> None:
    class Deaf(Fake):
        reads_words = False

    editor, refiner = Deaf(), Finisher()
    shown: list[Tensor] = []
    made = replace(painter(editor, refiner, keyframes=2, anchors=2), look=lambda picture: shown.append(picture) or b"")
    paint(scene, Wish(BLUE_HAIR, 0, hair), made, Run(), 24)
    assert refiner.asked is None and not shown and len(editor.steps[0].texts) == 2
    assert not Paint.reads_words


def test_with_a_discriminator_eyes_and_mouth_are_its_focus(scene: Scene, hair: Located, painter: Make) -> None:
    class Attending(Patches):
        seen: list[Tensor]

        def attend(self, focus: Tensor | None) -> None:
            assert focus is not None
            self.seen = [*getattr(self, "seen", []), focus]

    network = Attending()
    paint(
        scene,
        Wish(BLUE_HAIR, 0, hair),
        painter(Fake(), discriminator=network, keyframes=2, anchors=2, steps=3, unedited=0.0),
        Run(),
        24,
    )
    place = choose_places(scene, hair, 1)[0]
    assert len(network.seen) == 3 and network.seen[0].shape == (1, 1, 80, 80)
    for focus in network.seen:
        share = float(focus.sum()) / 6400
        assert 0.0005 < share < 0.1 and float(focus.max()) <= 1.0
    assert place is not None


def test_refined_masks_reach_editor_and_gate(scene: Scene, hair: Located, painter: Make) -> None:
    asked: list[Any] = []

    def masks(where: Scene, kinds: tuple[str, ...], what: Any, weights: Tensor) -> Any:
        asked.append((where, kinds, what, weights))
        return lambda place, mask: mask * 0.5

    editor = Fake()
    long = plan(operation("recolour", "skin", colour="#ff0000"), BLUE_HAIR.operations[0])
    paint(scene, Wish(long, 1, hair), painter(editor, masks=masks, keyframes=2, anchors=2), Run(), 24)
    assert len(asked) == 1 and asked[0][1] == ("recolour",) and asked[0][2].target == "hair"
    assert torch.equal(asked[0][3], hair.weights) and float(editor.masks[0].max()) <= 0.5
