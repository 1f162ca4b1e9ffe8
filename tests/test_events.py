"""Events reach every sink; a sink that fails is dropped and stops nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avatarkit.events import Event, Notice, Run, Scalars, collect
from avatarkit.recon.log import EventLog, TensorBoard, read_scalars, tensorboard_sink


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


def curves_of_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(scalar.step, round(scalar.value, 4)) for scalar in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_tensorboard_reads_the_curves_of_a_run_and_of_one_that_was_resumed(tmp_path: Path) -> None:
    board = tensorboard_sink(tmp_path / "board")
    assert board is not None
    board(Notice("hello"))
    assert not (tmp_path / "board").exists()  # a run that fails at its input leaves an earlier one's folder alone
    for step in range(4):
        board(Scalars(step, {"psnr": 20.0 + step, "loss": 0.5}))
    board.close()
    again = TensorBoard(tmp_path / "board")
    for step in (2, 3, 4):
        again(Scalars(step, {"psnr": 30.0 + step}))
    again.close()
    curves = curves_of_tensorboard(tmp_path / "board")
    assert curves["psnr"] == [(0, 20.0), (1, 21.0), (2, 32.0), (3, 33.0), (4, 34.0)]
    assert curves["loss"][:2] == [(0, 0.5), (1, 0.5)]
    again.begin()
    again.close()
    assert curves_of_tensorboard(tmp_path / "board") == {}


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
