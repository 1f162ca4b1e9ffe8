"""Rates, intervals and the form of the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avatarkit.bench.edit import parts
from avatarkit.bench.edit.parts import KINDS, RESULTS
from avatarkit.bench.edit.summary import failures, rate, summary, table, wilson
from avatarkit.cli.main import app
from avatarkit.errors import InputError


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (10, 10, 0.7225, 1.0), (0, 20, 0.0, 0.1611), (1, 2, 0.0945, 0.9055)],
)
def test_wilsons_interval_has_its_published_values(successes: int, n: int, low: float, high: float) -> None:
    """81 of 263 is the example of Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert wilson(successes, n) == pytest.approx((low, high), abs=6e-5)


def _row(name: str, success: bool, **values: float) -> dict[str, object]:
    return {"name": name, "subject": "plain", "prompt": "p", "success": success, "why": "" if success else "w", "values": values}  # fmt: skip


def test_what_was_not_run_is_null_or_empty() -> None:
    found = summary({}, KINDS, RESULTS, {"seed": 3})
    assert found["seed"] == 3 and found["prompts"] == [] and found["faults"] == [] and found["ablation"] == []
    assert all(found[name] is None for name in ("attribute", "spatial", "average", "mapping", "oracle"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found and failures(found) is None


def test_the_average_is_of_both_tables_and_rates_are_of_the_rows() -> None:
    rows = {"attribute": [_row("a", True), _row("b", True, drift=0.002)], "spatial": [_row("c", True, drift=0.004), _row("d", False)]}  # fmt: skip
    found = summary({**rows, "faults": [{"kind": "spill"}]}, KINDS, RESULTS, {"seed": 0})
    assert found["attribute"]["success"] == 1.0 and found["spatial"]["success"] == 0.5 and found["average"] == 0.75
    assert set(found["spatial"]) == {"success", "n", "low", "high"} and rate([]) is None
    assert found["faults"] == [{"kind": "spill"}] and [row["name"] for row in found["prompts"]] == list("abcd")
    assert found["time"] == {"drift": {"median": 0.004, "worst": 0.004, "n": 2}}
    shown = table(found, KINDS, "both")
    assert list(shown.columns[0].cells) == ["attribute", "spatial", "average"]
    missed = failures(found)
    assert missed is not None and list(missed.columns[0].cells) == ["d"]
    only = summary({"attribute": rows["attribute"]}, KINDS, RESULTS, {"seed": 0})
    assert only["average"] is None


def test_every_part_has_a_table_and_what_was_not_run_has_none() -> None:
    rows = [_row("a", True), _row("b", False)]
    rates = {"attribute": rate(rows[:1]), "spatial": rate(rows[1:]), "prompts": rows}
    fault = {"fault": "spill", "grade": 2, "way": "ours", "n": 3, "success": 1.0, "error": 2.5, "outside": 0.001}
    left_out = {"variant": "no GAN", "attribute": rate(rows), "spatial": None, "delta": 3.0, "outside": None}
    results = {
        "oracle": rates,
        "faults": [fault],
        "ablation": [left_out],
        "mapping": {"subject": "plain", "seed": 0, "rows": []},
    }
    shown = parts.tables(summary(results, KINDS, RESULTS, {"seed": 0}))
    by_title = {str(one.title).split(",")[0]: one for one in shown}
    assert list(by_title) == [
        "through the oracle", "regions on held-out pictures", "success / error inside / % changed outside",
        "ablation", "failed",
    ]  # fmt: skip
    assert list(by_title["through the oracle"].columns[1].cells) == ["100.0 %", "0.0 %"]
    assert list(by_title["success / error inside / % changed outside"].columns[2].cells) == ["100 % / 2.5 / 0.10"]
    assert list(by_title["failed"].columns[0].cells) == ["b"]
    assert parts.tables(summary({}, KINDS, RESULTS, {"seed": 0})) == []


def test_the_command_runs_what_it_is_asked_and_names_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fake(cases: list[parts.Case], *_: object, **__: object) -> list[dict[str, object]]:
        asked.extend(case.name for case in cases)
        return [_row(case.name, case.name != "attribute-01") for case in cases]

    monkeypatch.setattr(parts, "run_cases", fake)
    monkeypatch.setitem(
        parts.PARTS,
        "mapping",
        lambda sitters, ledger, config, report: {"seed": config.seed, "subject": "plain", "rows": []},
    )
    where = ["bench", "edit", "-o", str(tmp_path / "out"), "--json", str(tmp_path / "found.json")]
    done = CliRunner().invoke(app, [*where, "--only", "attribute-01", "--only", "spatial-03", "--only", "mapping", "--seed", "5"])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert asked == ["attribute-01", "spatial-03"] and "failed" in done.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["attribute"]["success"] == 0.0 and found["spatial"]["success"] == 1.0 and found["mapping"]["seed"] == 5
    asked.clear()
    assert CliRunner().invoke(app, [*where, "--only", "spatial"]).exit_code == 0
    assert len(asked) == len(KINDS["spatial"]())
    wrong = CliRunner().invoke(app, [*where, "--only", "spatail"])
    assert isinstance(wrong.exception, InputError) and "did you mean 'spatial'" in str(wrong.exception)
