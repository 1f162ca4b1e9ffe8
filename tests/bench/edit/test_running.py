"""The ledger goes on where it was, whatever became of its last line."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarkit.bench.edit import running
from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.running import QUICK, Ledger, Outcome, Sitters, case_key, run_cases, with_settings
from avatarkit.edit.config import EditConfig

CASES = [Case(f"attribute-{i}", "plain", f"prompt {i}", "attribute", "colour") for i in range(3)]


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cases that were really carried out; none touches an avatar."""
    done: list[str] = []

    def fake(case: Case, who: object, config: EditConfig, painter: object = None) -> Outcome:
        done.append(case.name)
        return Outcome(case, None, None, 0.1, 0, "refused", [])  # type: ignore[arg-type]

    monkeypatch.setattr(running, "carried_out", fake)
    monkeypatch.setattr(Sitters, "__call__", lambda self, name: None)
    return done


def _run(path: Path, cases: list[Case] = CASES, config: EditConfig = QUICK) -> list[dict[str, object]]:
    return run_cases(cases, Sitters(path.parent, 0, lambda _: None), Ledger(path), config)


def test_what_is_in_the_ledger_is_not_done_again(tmp_path: Path, carried: list[str]) -> None:
    rows = _run(tmp_path / "ledger.jsonl", CASES[:2])
    assert [row["why"] for row in rows] == ["refused", "refused"] and not any(row["success"] for row in rows)
    assert [row["name"] for row in _run(tmp_path / "ledger.jsonl")] == [case.name for case in CASES]
    assert carried == [case.name for case in CASES]


@pytest.mark.parametrize("cut", [1, 30, -1])
def test_a_line_that_was_cut_is_done_again_and_spoils_no_other(tmp_path: Path, carried: list[str], cut: int) -> None:
    path = tmp_path / "ledger.jsonl"
    _run(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:2]) + "\n" + lines[2][:cut])
    carried.clear()
    assert len(_run(path)) == 3
    assert carried == [CASES[2].name]
    carried.clear()
    assert len(_run(path)) == 3 and carried == []


def test_another_wording_or_setting_is_measured_anew(tmp_path: Path, carried: list[str]) -> None:
    path = tmp_path / "ledger.jsonl"
    _run(path)
    carried.clear()
    reworded = [Case(CASES[0].name, "plain", "other words", "attribute", "colour"), *CASES[1:]]
    _run(path, reworded)
    assert carried == [CASES[0].name]
    carried.clear()
    _run(path, reworded, with_settings(QUICK, seed=1))
    assert len(carried) == 3
    assert case_key(CASES[0], QUICK) != case_key(CASES[0], QUICK, "other version")


def test_lines_that_are_no_rows_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'7\n{"other": 1}\n\xff\xfe\n{"name": "a", "success": true}\n')
    assert Ledger(path).rows == {"a": {"name": "a", "success": True}}
