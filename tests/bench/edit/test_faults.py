"""Every fault is what it says, of its grade, and the same whenever a view is asked for again; scores are those of the pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.bench.edit import faults
from avatarkit.bench.edit.oracle import BY_PICTURES, Oracle, Partial
from avatarkit.bench.edit.running import Ledger
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.edit.registration import register
from avatarkit.events import Run

BLUE = {"hair_colour": "#0000ff", "highlight_colour": "#0000ff"}
NAMES = [f"t{t} c{c}" for t in range(6) for c in range(3)]


@pytest.fixture(scope="module")
def oracles(tiny_sitter: Sitter) -> tuple[Oracle, Oracle]:
    return Oracle(tiny_sitter, BLUE, Partial(("hair",), 1.0)), Oracle(tiny_sitter, BLUE, Partial(("hair",), -1.0))


def edited(oracles: tuple[Oracle, Oracle], fault: str, grade: int, names: list[str] = NAMES) -> torch.Tensor:
    views, masks = torch.full((len(names), 3, 80, 80), 0.25), torch.zeros(len(names), 1, 80, 80)
    masks[:, :, 20:40, 20:60] = 1.0
    step: Any = SimpleNamespace(texts=[SimpleNamespace(keyframe=name) for name in names])
    editor, nothing = faults.Faulty(*oracles, fault, grade), None
    first, again = (
        editor.edit(views, masks, step, references=None, cameras=nothing, correspondences=None, seed=s, run=Run())  # type: ignore[arg-type]
        for s in (0, 1)
    )
    assert torch.equal(first, again)
    return first


def true(oracle: Oracle) -> torch.Tensor:
    return torch.stack([oracle.picture(t, c) for t in range(6) for c in range(3)])


def test_without_a_fault_it_is_the_oracle(oracles: tuple[Oracle, Oracle]) -> None:
    assert torch.equal(edited(oracles, "none", 1), true(oracles[0]))


@pytest.mark.parametrize(("grade", "pixels"), [(1, 1.0), (2, 3.0), (3, 8.0)])
def test_a_shift_has_its_length_in_another_direction_for_each_view(
    oracles: tuple[Oracle, Oracle], grade: int, pixels: float
) -> None:
    found = edited(oracles, "shift", grade, NAMES[:4])
    shifts = torch.tensor(
        [register(a, b, torch.ones(1, 80, 80)).shift for a, b in zip(true(oracles[0])[:4], found, strict=True)]
    )
    assert (shifts.norm(dim=1) - pixels).abs().max() < 0.3
    assert shifts.std(0).min() > 0.2 * pixels


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_a_zoom_is_in_or_out_by_its_grade(oracles: tuple[Oracle, Oracle], grade: int) -> None:
    found = edited(oracles, "zoom", grade, NAMES[:6])
    zooms = [register(a, b, torch.ones(1, 80, 80)).zoom - 1.0 for a, b in zip(true(oracles[0])[:6], found, strict=True)]
    assert np.abs(np.abs(zooms) - faults.ZOOM[grade - 1]).max() < 0.006
    assert min(zooms) < 0 < max(zooms)


def test_a_tint_is_one_gain_and_offset_for_each_channel() -> None:
    picture = torch.rand(3, 30, 30, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    found = faults.tinted(picture, 0.2, np.random.default_rng(3))
    for channel in range(3):
        line = np.polyfit(picture[channel].flatten(), found[channel].flatten(), 1)
        assert np.abs(np.polyval(line, picture[channel].flatten()) - found[channel].flatten().numpy()).max() < 1e-5
        assert 0.8 <= line[0] <= 1.2 and abs(line[1]) <= 0.1 + 1e-6


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_a_spill_reaches_so_far_and_no_farther(grade: int) -> None:
    picture, mask = torch.ones(3, 80, 80), torch.zeros(1, 80, 80)
    mask[:, 30:50, 30:50] = 1.0
    picture[0, 30:50, 30:50] = 0.0
    changed = (faults.spilt(picture, picture, mask, faults.SPILL[grade - 1]) != picture).any(0)
    reach = faults.SPILL[grade - 1]
    expected = torch.zeros(80, 80, dtype=torch.bool)
    expected[30 - reach : 50 + reach, 30 - reach : 50 + reach] = True
    expected[30:50, 30:50] = False
    assert torch.equal(changed, expected)


@pytest.mark.parametrize("fault", ["wrong side", "no-op"])
def test_some_views_show_the_wrong_side_or_nothing_more_with_the_grade(
    oracles: tuple[Oracle, Oracle], fault: str
) -> None:
    other = true(oracles[1]) if fault == "wrong side" else torch.full((18, 3, 80, 80), 0.25)
    right, counts = true(oracles[0]), []
    for grade in faults.GRADES:
        found = edited(oracles, fault, grade)
        spoiled = [bool(torch.equal(a, b)) for a, b in zip(found, other, strict=True)]
        fine = [bool(torch.equal(a, b)) for a, b in zip(found, right, strict=True)]
        assert all(a or b for a, b in zip(spoiled, fine, strict=True))
        counts.append(sum(spoiled))
    assert 0 < counts[0] < counts[1] < counts[2] < 18


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_one_view_is_bad(oracles: tuple[Oracle, Oracle], grade: int) -> None:
    found = edited(oracles, "bad view", grade)
    assert [k for k in range(18) if not torch.equal(found[k], true(oracles[0])[k])] == [faults.BAD]


def test_an_untouched_avatar_has_the_edits_whole_error_and_no_change_outside(
    tiny_sitter: Sitter, few_pictures: None
) -> None:
    task = faults.tasks()[0]
    oracle = Oracle(tiny_sitter, task.change, task.partial)
    found = faults.measured(tiny_sitter.scene, tiny_sitter.scene, task, oracle)
    assert found.outside == 0.0 and found.error > 15.0 and not found.success


def test_change_everywhere_counts_outside(tiny_sitter: Sitter, few_pictures: None) -> None:
    task = faults.tasks()[0]
    gaussians = tiny_sitter.avatar.gaussians
    sh = gaussians.sh.clone()
    sh[:, 0, 1] += 0.8
    green = tiny_sitter.scene.with_avatar(replace(tiny_sitter.avatar, gaussians=replace(gaussians, sh=sh)))
    found = faults.measured(tiny_sitter.scene, green, task, Oracle(tiny_sitter, task.change, task.partial))
    assert found.outside > 0.15 and not found.success


def test_the_four_ways_run_on_one_task_and_what_was_done_is_not_done_again(
    tiny_sitter: Sitter, few_pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(BY_PICTURES, size=80, steps=6, keyframes=4, anchors=2)
    chosen: dict[str, Any] = {"faults": ("none",), "chosen": ("hair",), "config": config}
    rows = faults.run(lambda _: tiny_sitter, Ledger(tmp_path / "rows"), **chosen)  # type: ignore[arg-type, return-value]
    assert [row["way"] for row in rows] == ["ours", "naive", "dataset update", "static labels"]
    by_way = {row["way"]: row for row in rows}
    assert by_way["naive"]["outputs"] == 4 and by_way["dataset update"]["outputs"] > 4
    assert by_way["naive"]["outside"] > by_way["static labels"]["outside"]
    monkeypatch.setattr(faults, "fitted", None)  # would be called if anything were done again
    assert faults.run(lambda _: tiny_sitter, Ledger(tmp_path / "rows"), **chosen) == rows  # type: ignore[arg-type, return-value]


def test_a_summary_is_the_mean_over_prompts() -> None:
    rows: list[dict[str, Any]] = [
        {"fault": "shift", "grade": 1, "way": "ours", "success": True, "error": 2.0, "outside": 0.0},
        {"fault": "shift", "grade": 1, "way": "ours", "success": False, "error": 6.0, "outside": 0.1},
        {"fault": "shift", "grade": 1, "way": "naive", "success": False, "error": 9.0, "outside": 0.5},
    ]
    ours, naive = faults.summary(rows)
    assert (ours["n"], ours["success"], ours["error"], ours["outside"]) == (2, 0.5, 4.0, 0.05)
    assert (naive["n"], naive["success"]) == (1, 0.0)
