"""What is known of a task survives everything, and what cannot be read counts as nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avatarkit.batch.state import State, failed, read_state, write_state

WHOLE = State("a", "failed", "f", 2, "2026-01-01T00:00:00+00:00", 1.5, "avatarkit recon", -9, "killed", "host")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_state(tmp_path / "a.json", WHOLE)
    assert read_state(tmp_path / "a.json") == WHOLE
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"], "no temporary files are left"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", "{}", '{"name": "a"}', '{"name": "a", "status": "fine"}', '{"name": 3, "status": "done"}',
     '{"name": "a", "status": "done", "more": 1}', "\udcff"],
)  # fmt: skip
def test_what_nobody_wrote_counts_as_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read_state(tmp_path / "a.json") is None


def test_a_file_that_was_cut_anywhere(tmp_path: Path) -> None:
    write_state(tmp_path / "a.json", WHOLE)
    whole = (tmp_path / "a.json").read_bytes().rstrip()
    for length in range(len(whole)):
        (tmp_path / "a.json").write_bytes(whole[:length])
        assert read_state(tmp_path / "a.json") is None


def test_none_there(tmp_path: Path) -> None:
    assert read_state(tmp_path / "a.json") is None


def test_a_task_that_was_given_up_keeps_what_is_known(tmp_path: Path) -> None:
    write_state(tmp_path / "a.json", State("a", "running", "f", 2))
    state = failed("a", tmp_path / "a.json", "the worker\n  died")
    assert (state.status, state.attempts, state.fingerprint, state.reason) == ("failed", 2, "f", "the worker died")
    assert failed("b", tmp_path / "b.json", "x") == State("b", "failed", reason="x")
    assert json.loads((tmp_path / "a.json").read_text())["status"] == "running", "it is not written here"
