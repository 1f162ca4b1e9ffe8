"""The oracle paints what the subject would look like, and only the part that is meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarkit.bench.edit import oracle
from avatarkit.bench.edit.running import Ledger
from avatarkit.bench.edit.subjects import SUBJECTS, Sitter
from avatarkit.edit.plan import EditRequest
from avatarkit.edit.planning import make_plan
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.labels import LABEL_INDEX
from avatarkit.synthetic.capture import render_view

BLUE = {"hair_colour": "#0000ff", "highlight_colour": "#0000ff"}
FRONT = 1  # the camera in the middle


def drawn(who: Sitter, change: dict[str, object], step: int = 0, camera: int = FRONT) -> np.ndarray:
    return render_view(replace(who.look, **change), who.poses[step], who.cameras[camera], samples=2).rgb / 255.0


def test_it_returns_the_edited_subject_at_the_keyframes_camera_and_time(tiny_sitter: Sitter) -> None:
    found = oracle.Oracle(tiny_sitter, BLUE)
    for step, camera in ((0, 1), (4, 2)):
        picture = found.picture(step, camera).permute(1, 2, 0).numpy()
        assert np.abs(picture - drawn(tiny_sitter, BLUE, step, camera)).max() < 1e-6
    assert not np.allclose(found.picture(0, 1), found.picture(4, 1))


def test_only_the_classes_that_are_meant_change(tiny_sitter: Sitter) -> None:
    red = {"brows": "#ff0000"}
    view = render_view(tiny_sitter.look, tiny_sitter.poses[0], tiny_sitter.cameras[FRONT], samples=2)
    picture = oracle.Oracle(tiny_sitter, red, oracle.Partial(("l_brow",))).picture(0, FRONT).permute(1, 2, 0).numpy()
    changed = np.abs(picture - view.rgb / 255.0).max(2) > 0.02
    both = np.abs(drawn(tiny_sitter, red) - view.rgb / 255.0).max(2) > 0.02
    left = view.labels == LABEL_INDEX["l_brow"]
    assert changed.any() and (both & ~left).any()
    assert (changed == (both & left)).all()


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_side_is_the_heads_own(tiny_sitter: Sitter, side: float) -> None:
    picture = oracle.Oracle(tiny_sitter, BLUE, oracle.Partial(("hair",), side)).picture(0, FRONT)
    changed = np.abs(picture.permute(1, 2, 0).numpy() - drawn(tiny_sitter, {})).max(2) > 0.1
    nose = np.nonzero(
        render_view(tiny_sitter.look, tiny_sitter.poses[0], tiny_sitter.cameras[FRONT], samples=2).labels
        == LABEL_INDEX["nose"]
    )[1].mean()
    columns = np.nonzero(changed)[1]
    assert len(columns) > 50
    # who looks at the camera has the left on the picture's right
    assert ((columns - nose) * side > -4).mean() > 0.97


def test_names_of_places_are_read() -> None:
    assert oracle.cell("t12 c3") == (12, 3)
    for wrong in ("", "12 3", "t1", "t1 c2 x", "tx c1"):
        with pytest.raises(InputError, match="names no place"):
            oracle.cell(wrong)


def test_there_are_twenty_cases_of_either_kind_whose_truth_can_be_drawn_and_whose_prompts_are_understood() -> None:
    cases = oracle.oracle_cases()
    assert [sum(one.case.kind == kind for one in cases) for kind in ("attribute", "spatial")] == [20, 20]
    assert len({one.case.name for one in cases}) == 40
    for one in cases:
        look = SUBJECTS[one.case.subject]
        assert replace(look, **one.case.change) != look, one.case.name
        assert make_plan(EditRequest(one.case.prompt), Run()).operations, one.case.prompt


def test_an_edit_by_the_oracle_is_scored_once_and_kept(tiny_sitter: Sitter, few_pictures: None, tmp_path: Path) -> None:
    asked = []

    def sitters(name: str) -> Sitter:
        asked.append(name)
        return tiny_sitter

    config = replace(oracle.BY_PICTURES, size=80, steps=12, keyframes=4, anchors=2, corrections=0, gate=False)
    name = next(one.case.name for one in oracle.oracle_cases() if one.case.prompt == "make her hair blue")
    for _ in range(2):
        rows = oracle.run(sitters, Ledger(tmp_path / "rows"), config=config, only=(name,))  # type: ignore[arg-type]
    assert asked == ["plain"]
    assert len(rows) == 1 and rows[0]["outputs"] == 4
    # twelve steps after lifting are no full edit, but the hair is blue rather than brown
    assert rows[0]["values"]["hue"] < 40 and torch.isfinite(torch.tensor(rows[0]["values"]["delta"]))
