"""What a metric is given of an edit, the rows of what it says, and figures over many edits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from avatarkit.contracts import EditedViews, Measured
from avatarkit.edit.expectations import Expectation
from avatarkit.edit.plan import Attributes, Operation, Region
from avatarkit.errors import InputError, PluginError
from avatarkit.evaluate.edit_metrics import edited_views, metric_rows, summarised
from avatarkit.events import Run

BLUE = Operation("recolour", "hair", attributes=Attributes(colour="#0000ff"))
RING = Operation("add", "earring", Region("l_ear"))
SMILE = Operation("expression", "mouth")


def pictures(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Says:
    """A metric that gives what it was made with, and keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def score(self, edit: EditedViews, run: Run) -> Any:
        self.edit = edit
        return self.answer


def test_captions_and_expectations_are_the_operations() -> None:
    edit = edited_views(pictures(), pictures(), [BLUE, SMILE, RING], azimuths=[0.0, math.pi], prompt="as asked")
    assert edit.source_caption == "a photo of a person with hair, a photo of a person"
    assert (
        edit.target_caption == "a photo of a person with blue hair, a photo of a person with an earring on the left ear"
    )
    sides = [[e.relation for e in view if e.kind == "spatial"] for view in edit.expected]
    assert sides == [["right_of"], ["left_of"]]  # the second camera looks from behind
    assert edit.expected[0][0] == Expectation("attribute", "blue hair")
    assert edit.prompt == "as asked" and [o.kind for o in edit.operations] == ["recolour", "expression", "add"]


def test_given_captions_stay_and_no_words_are_the_same_words() -> None:
    edit = edited_views(pictures(), pictures(), [BLUE], source_caption="x", target_caption="y")
    assert (edit.source_caption, edit.target_caption) == ("x", "y")
    still = edited_views(pictures(), pictures(), [SMILE])
    assert still.source_caption == still.target_caption and still.expected == ((), ())


def test_views_that_do_not_fit_are_said() -> None:
    with pytest.raises(InputError, match=r"expected \(B, 3, H, W\) of the same size"):
        edited_views(pictures(2), pictures(3), [BLUE])
    with pytest.raises(InputError, match="1 azimuths for 2 views"):
        edited_views(pictures(), pictures(), [BLUE], azimuths=[0.0])


def test_a_row_is_the_mean_of_the_views_that_can_tell() -> None:
    metric = Says((Measured("seen (m)", (1.0, None, 0.0, 0.5), True), Measured("like (m)", (0.1, 0.2, 0.3, 0.4))))
    rows = metric_rows("m", metric, edited_views(pictures(4), pictures(4), [BLUE]), Run())
    assert [row["figure"] for row in rows] == ["seen (m)", "like (m)"]
    assert rows[0]["value"] == pytest.approx(0.5) and rows[0]["views"] == [1.0, None, 0.0, 0.5]
    assert rows[1]["value"] == pytest.approx(0.25) and rows[1]["passed"] is None
    assert metric_rows("m", Says(()), edited_views(pictures(), pictures(), [SMILE]), Run()) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (0.5, "returned 0.5, not a tuple of Measured records"),
        ((0.5,), "not a tuple of Measured records"),
        ((Measured("f", (1.0,)),), r"'f' has the values \(1.0,\); expected 2"),
        ((Measured("f", (1.0, math.nan)),), "finite or None"),
        ((Measured("f", (None, None)),), "not all None"),
    ],
)
def test_a_metric_that_breaks_its_contract_is_named(answer: Any, words: str) -> None:
    with pytest.raises(PluginError, match=rf"metric 'mine'.*{words}") as caught:
        metric_rows("mine", Says(answer), edited_views(pictures(), pictures(), [BLUE]), Run())
    assert "\n" not in str(caught.value)


def test_over_many_edits_the_share_is_of_those_that_were_judged() -> None:
    def row(figure: str, value: float, passed: bool | None) -> dict[str, Any]:
        return {"figure": figure, "value": value, "passed": passed, "views": [value]}

    found = summarised([row("a", 1.0, True), row("b", 0.2, None), row("a", 0.0, False), row("a", 0.8, True)])
    assert found["a"] == {
        "mean": pytest.approx(0.6),
        "edits": 3,
        "judged": 3,
        "passed": 2,
        "success": pytest.approx(2 / 3),
    }
    assert found["b"] == {"mean": 0.2, "edits": 1, "judged": 0, "passed": 0, "success": None}
    assert summarised([]) == {}
