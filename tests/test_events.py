"""Events reach every sink; a sink that fails is dropped and stops nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from avatarkit.events import Event, Notice, Run, Scalars, collect
from avatarkit.recon.log import EventLog, read_scalars


def test_a_failing_sink_is_dropped_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    run, events = collect()

    def broken(event: Event) -> None:
        raise RuntimeError("sink")

    run.add_sink(broken)
    with caplog.at_level(logging.ERROR, logger="avatarkit"):
        run.notice("one")
        run.notice("two")
    assert [event.text for event in events] == ["one", "two"]
    assert len(caplog.records) == 1


def test_stopping_is_asked_for_once_and_seen() -> None:
    run = Run()
    assert not run.stopping
    run.stop()
    assert run.stopping


def test_the_log_reads_back_as_curves_also_when_cut_short(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for step in range(3):
        log(Scalars(step, {"psnr": 20.0 + step}))
    log(Notice("hello"))
    log.close()
    with (tmp_path / "events.jsonl").open("a") as stream:
        stream.write('{"event": "Scal')
    assert read_scalars(tmp_path / "events.jsonl") == {"psnr": ([0, 1, 2], [20.0, 21.0, 22.0])}
    assert json.loads((tmp_path / "events.jsonl").read_text().splitlines()[3])["text"] == "hello"
    assert read_scalars(tmp_path / "none.jsonl") == {}
