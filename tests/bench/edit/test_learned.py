"""Learned metrics stand beside the bench's own probes: asked of held-out pictures, kept in the ledger, summed up, and named on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avatarkit.bench.edit import parts
from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.parts import KINDS, RESULTS
from avatarkit.bench.edit.running import QUICK, Ledger, Sitters, run_cases, with_settings
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.bench.edit.summary import learned_table, summary
from avatarkit.cli.main import app
from avatarkit.contracts import EditedViews, Measured
from avatarkit.errors import InputError
from avatarkit.events import Run

RED = Case(
    "attribute-90",
    "tiny",
    "a red shirt",
    "attribute",
    "colour",
    {"shirt_colour": "#ff0000", "shirt_trim": "#ff0000"},
    ("cloth",),
)
METRIC = """
from dataclasses import dataclass

from avatarkit.contracts import Measured


@dataclass(frozen=True)
class RedderConfig:
    model: str = ""


class Redder:
    def __init__(self, config=None):
        self.config = config

    def score(self, edit, run):
        return (Measured("redder", tuple(0.5 for _ in edit.before), True),)
"""


class Redder:
    """How much redder the pictures got."""

    def __init__(self) -> None:
        self.seen: list[EditedViews] = []

    def score(self, edit: EditedViews, run: Run) -> tuple[Measured, ...]:
        self.seen.append(edit)
        gain = (edit.after[:, 0] - edit.after[:, 1:].mean(1)) - (edit.before[:, 0] - edit.before[:, 1:].mean(1))
        return (Measured("redder (by hand)", tuple(gain.mean((1, 2)).tolist()), True),)


def test_it_sees_held_out_pictures_before_and_after_and_is_kept(
    tmp_path: Path, tiny_sitter: Sitter, few_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sitters, "__call__", lambda self, name: tiny_sitter)
    metric, sitters, config = Redder(), Sitters(tmp_path, 0, lambda _: None), with_settings(QUICK, size=80)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    rows = run_cases([RED], sitters, ledger, config, metrics={"redder": metric})
    (told,) = rows[0]["metrics"]
    assert (
        told["figure"] == "redder (by hand)"
        and told["value"] > 0.01
        and len(told["views"]) == len(metric.seen[0].before)
    )
    assert metric.seen[0].prompt == "a red shirt" and metric.seen[0].operations[0].target == "cloth"
    assert (
        run_cases([RED], sitters, Ledger(ledger.path), config, metrics={"redder": metric}) == rows
        and len(metric.seen) == 1
    )
    plain = run_cases([RED], sitters, Ledger(ledger.path), config)
    assert "metrics" not in plain[0] and plain[0]["key"] != rows[0]["key"], "without the metric it is another result"
    found = summary({"attribute": rows}, KINDS, RESULTS, {"seed": 0})
    assert found["metrics"]["redder (by hand)"]["mean"] == pytest.approx(told["value"])
    shown = learned_table(found)
    assert shown is not None and list(shown.columns[2].cells) == ["1 of 1"]
    assert learned_table(summary({}, KINDS, RESULTS, {"seed": 0})) is None


def test_the_command_makes_the_metric_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "judge.py").write_text(METRIC)
    asked: dict[str, object] = {}

    def fake(folder: Path, **settings: object) -> dict[str, object]:
        asked.update(settings)
        return summary({}, KINDS, RESULTS, {"seed": 0})

    monkeypatch.setattr(parts, "run", fake)
    name = f"{tmp_path / 'judge.py'}:Redder"
    done = CliRunner().invoke(
        app, ["bench", "edit", "-o", str(tmp_path), "--metric", name, "--metric-set", "model=a", "--json", "-"]
    )
    assert done.exit_code == 0, done.output
    (told,) = asked["metrics"]  # type: ignore[misc]
    assert told == f"{name} model=a" and asked["metrics"][told].config.model == "a"  # type: ignore[index]
    assert json.loads(done.output[done.output.index("{") :])["metrics"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--metric-set", "model=a"], "--metric-set is an option of a metric; name one with --metric"),
        (["--metric", "clip-directoin"], "clip-directoin"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["bench", "edit", "-o", str(tmp_path / "new"), *arguments])
    assert isinstance(done.exception, InputError) and said in str(done.exception)
    assert not (tmp_path / "new").exists()
