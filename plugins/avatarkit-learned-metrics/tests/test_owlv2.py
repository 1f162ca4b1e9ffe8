"""A detector that knows colours scores pictures whose things and places are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from avatarkit_learned_metrics.options import Owlv2Config
from avatarkit_learned_metrics.owlv2 import Owlv2, _apart
from torch import Tensor

from avatarkit.contracts import EditedViews
from avatarkit.edit.expectations import Expectation
from avatarkit.edit.plan import Operation, Region
from avatarkit.errors import InputError
from avatarkit.evaluate.edit_metrics import edited_views, metric_rows, summarised
from avatarkit.events import Run
from avatarkit.testing import conformance

from .conftest import GRID, PATCH, SAID, picture, plugin_registry

pytest.importorskip("transformers", reason="transformers is not installed")
THINGS = list(SAID)
HAT, FACE = THINGS[0], THINGS[1]
RING = Operation("add", "earring", Region("l_ear"))


@pytest.fixture(scope="module")
def metric(colour_owl: Path) -> Owlv2:
    return Owlv2(Owlv2Config(model=str(colour_owl), device="cpu"))


def rows(metric: Owlv2, before: Tensor, after: Tensor, *views: Any) -> dict[str, Any]:
    """By what the figure is called before its model: (values, passed)."""
    found = metric.score(EditedViews(before, after, "a", "b", views), Run())
    assert all(one.name.endswith(f" ({metric._with.label})") for one in found)
    return {one.name.rpartition(" (")[0]: (one.views, one.passed) for one in found}


def test_things_are_found_where_they_are(metric: Owlv2) -> None:
    """The box head says nothing, so that a box is the cell of its patch, which OWLv2 centres on the cell's far corner."""
    found = metric.detect(picture(hat=(1, 6), face=(4, 2)), THINGS, 0.5)
    assert {one.thing: one.middle for one in found} == {
        HAT: pytest.approx((7 * PATCH, 2 * PATCH), abs=0.1),
        FACE: pytest.approx((3 * PATCH, 5 * PATCH), abs=0.1),
    }
    left, top, right, bottom = found[0].box
    assert right - left == pytest.approx(PATCH, abs=0.1) and bottom - top == pytest.approx(PATCH, abs=0.1)
    assert metric.detect(picture(), THINGS, 0.5) == []


@pytest.mark.parametrize("tall", [False, True])
def test_boxes_of_pictures_that_are_not_square_are_in_their_pixels(metric: Owlv2, tall: bool) -> None:
    """OWLv2 sees them padded to a square and halved: a cell is twice as large as in a square picture of the shorter side."""
    side, cell = GRID * PATCH, 2 * PATCH
    wide = torch.full((3, side, 2 * side), 0.5)
    wide[:, cell : 2 * cell, 5 * cell : 6 * cell] = torch.tensor(SAID[HAT])[:, None, None]
    found = metric.detect(wide.mT.contiguous() if tall else wide, [HAT, FACE], 0.4)
    x, y = found[0].middle
    assert found[0].thing == HAT
    assert ((y, x) if tall else (x, y)) == pytest.approx((6 * cell, 2 * cell), abs=0.2)


@pytest.mark.parametrize(
    ("relation", "hat", "face"),
    [("left_of", (3, 1), (4, 5)), ("right_of", (3, 6), (4, 2)), ("above", (1, 4), (5, 3)), ("below", (6, 3), (2, 4))],
)
def test_places_hold_as_drawn_and_not_mirrored(
    metric: Owlv2, relation: str, hat: tuple[int, int], face: tuple[int, int]
) -> None:
    drawn = picture(hat=hat, face=face)
    mirrored = drawn.flip(-1 if relation in ("left_of", "right_of") else -2)
    wanted = Expectation("spatial", HAT, relation, FACE)
    assert metric.holds(wanted, drawn, Run()) and not metric.holds(wanted, mirrored, Run())
    assert not metric.holds(wanted, picture(hat=hat), Run())  # nothing to be beside
    assert not metric.holds(wanted, picture(face=face), Run())


def test_things_their_absence_and_their_number(metric: Owlv2) -> None:
    with_hat, without = picture(hat=(2, 2), face=(5, 5)), picture(face=(5, 5))
    seen, gone = Expectation("attribute", HAT), Expectation("negation", HAT)
    assert metric.holds(seen, with_hat, Run()) and not metric.holds(seen, without, Run())
    assert metric.holds(gone, without, Run()) and not metric.holds(gone, with_hat, Run())
    two = picture(hat=(2, 2))
    two[:, 5 * PATCH : 6 * PATCH, :PATCH] = torch.tensor(SAID[HAT])[:, None, None]
    counted = [metric.holds(Expectation("number", HAT, count=n), two, Run()) for n in (1, 2, 3)]
    assert counted == [False, True, False]


def test_an_attribute_needs_a_higher_score_than_a_place(colour_owl: Path) -> None:
    strict = Owlv2(Owlv2Config(model=str(colour_owl), device="cpu", attribute_threshold=1.0))
    drawn = picture(hat=(1, 1), face=(4, 4))
    assert not strict.holds(Expectation("attribute", HAT), drawn, Run())
    assert strict.holds(Expectation("spatial", HAT, "left_of", FACE), drawn, Run())


def test_the_head_owns_its_sides(metric: Owlv2) -> None:
    """A ring on the subject's left ear is right of the face from the front and left of it from behind; a profile cannot tell."""
    right, left, nothing = picture(ring=(4, 6), face=(3, 3)), picture(ring=(4, 1), face=(3, 3)), picture(face=(3, 3))
    after, before = torch.stack([right, left, left]), torch.stack([nothing] * 3)
    edit = edited_views(before, after, [RING], azimuths=[0.2, math.pi, math.pi / 2])
    found = {row["figure"].rpartition(" (")[0]: row for row in metric_rows("owlv2", metric, edit, Run())}
    assert found["owlv2 spatial"]["views"] == [1.0, 1.0, None] and found["owlv2 spatial"]["passed"] is True
    assert found["owlv2 attribute"]["views"] == [1.0, 1.0, 1.0]
    assert found["owlv2 attribute before"]["value"] == 0.0 == found["owlv2 spatial before"]["value"]
    wrong = edited_views(before, after.flip(-1), [RING], azimuths=[0.2, math.pi, math.pi / 2])
    figures = summarised([*metric_rows("owlv2", metric, edit, Run()), *metric_rows("owlv2", metric, wrong, Run())])
    by_name = {name.rpartition(" (")[0]: figure for name, figure in figures.items()}
    assert by_name["owlv2 spatial"]["success"] == 0.5 and by_name["owlv2 attribute"]["success"] == 1.0
    assert by_name["owlv2 spatial before"]["success"] is None


def test_what_was_there_before_is_said(metric: Owlv2) -> None:
    drawn = torch.stack([picture(hat=(2, 2))] * 2)
    found = rows(metric, drawn, drawn, *((Expectation("attribute", HAT),),) * 2)
    assert found == {"owlv2 attribute": ((1.0, 1.0), True), "owlv2 attribute before": ((1.0, 1.0), None)}


def test_a_prompt_passes_where_enough_views_show_all_of_it(colour_owl: Path) -> None:
    """All expectations of one kind together; views that can tell count, and no others."""
    after = torch.stack(
        [picture(hat=(1, 1), ring=(5, 5)), picture(hat=(1, 1)), picture(hat=(1, 1)), picture(ring=(5, 5))]
    )
    both = (Expectation("attribute", HAT), Expectation("attribute", THINGS[2]))
    for hold, passed in ((0.3, True), (0.34, False)):
        part = Owlv2(Owlv2Config(model=str(colour_owl), device="cpu", hold=hold))
        views, verdict = rows(part, after, after, both, both, (), both)["owlv2 attribute"]
        assert views == (1.0, 0.0, None, 0.0) and verdict is passed


def test_an_edit_that_no_detector_can_tell_has_no_figure(metric: Owlv2) -> None:
    two = torch.stack([picture(), picture()])
    assert metric.score(edited_views(two, two, [Operation("expression", "mouth")]), Run()) == ()


def test_boxes_of_one_text_that_overlap_are_one() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [9, 0, 19, 10]])
    scores, labels = torch.tensor([0.5, 0.9, 0.6, 0.7]), torch.tensor([0, 0, 1, 0])
    assert _apart(boxes, scores, labels, 0.15) == [
        1,
        3,
        2,
    ]  # IoU 9/11 with the best; the third has another text; the last 2/18
    assert _apart(boxes, scores, labels, 0.1) == [1, 2]


def test_it_stops_when_asked(metric: Owlv2) -> None:
    run = Run()
    run.stop()
    with pytest.raises(KeyboardInterrupt):
        metric.holds(Expectation("attribute", HAT), picture(), run)


@pytest.mark.parametrize("check", conformance.checks("metric"), ids=conformance.name)
def test_conformance(random_owl: Path, check: conformance.Check) -> None:
    check(plugin_registry().create("metric", "owlv2", {"model": str(random_owl), "device": "cpu"}))


def test_options_out_of_range(colour_owl: Path) -> None:
    with pytest.raises(InputError, match=r"option 'hold' of 'owlv2' is 0\.0; expected more than 0 and at most 1"):
        Owlv2(Owlv2Config(model=str(colour_owl), hold=0.0))
