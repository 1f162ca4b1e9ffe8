"""The course through tasks: order, what is skipped, what is done again, what is left for the next time."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarkit.batch.local_pool import LocalPool
from avatarkit.batch.running import Batch, TaskChanged
from avatarkit.batch.state import State, read_state, write_state
from avatarkit.batch.tasks import Task, fingerprint
from avatarkit.errors import EnvironmentProblem
from avatarkit.events import Finished, Progress, Run, Started, collect

from .conftest import MAKE, Instant, MakeTask


@st.composite
def forests(draw: st.DrawFn) -> list[int]:
    """For each task the number of the one before it that it waits for, or −1; then shuffled by the test."""
    return [draw(st.integers(-1, i - 1)) for i in range(draw(st.integers(1, 9)))]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(forests(), st.randoms(use_true_random=False), st.data())
def test_every_task_comes_after_the_one_it_waits_for(
    make_task: MakeTask, forest: list[int], chance: object, data: st.DataObject
) -> None:
    """And runs exactly if all that it follows from have been done."""
    names = [f"t{i}" for i in range(len(forest))]
    failing = data.draw(st.sets(st.sampled_from(names)))
    tasks = [
        make_task(name, after=names[before] if before >= 0 else "") for name, before in zip(names, forest, strict=True)
    ]
    for task in tasks:
        task.state.unlink(missing_ok=True)
    chance.shuffle(tasks)  # type: ignore[attr-defined]
    engine = Instant(dict.fromkeys(failing, "failed"))
    states = Batch(tasks, engine, Run()).run()

    def doomed(i: int) -> bool:
        return i >= 0 and (names[i] in failing or doomed(forest[i]))

    for i, name in enumerate(names):
        if doomed(forest[i]):
            assert states[name].status == "skipped" and name not in engine.submitted
            continue
        assert states[name].status == ("failed" if name in failing else "done")
        assert engine.submitted.count(name) == 1
        if forest[i] >= 0:
            assert engine.submitted.index(names[forest[i]]) < engine.submitted.index(name)


def test_what_follows_a_failure_says_which(make_task: MakeTask) -> None:
    tasks = [make_task("a"), make_task("b", after="a"), make_task("c", after="b"), make_task("d")]
    batch = Batch(tasks, Instant({"a": "failed"}), Run())
    states = batch.run()
    assert [states[name].status for name in "abcd"] == ["failed", "skipped", "skipped", "done"]
    assert states["b"].reason == "job a failed" and states["c"].reason == "job b skipped"
    assert read_state(tasks[1].state) == states["b"]
    assert batch.counts == {"failed": 1, "done": 1, "skipped": 2}


def test_what_is_done_is_not_done_again(make_task: MakeTask) -> None:
    tasks = [make_task("a"), make_task("b", after="a")]
    tasks[1] = replace(tasks[1], reads=(tasks[0].output,))
    first = Instant()
    assert all(state.status == "done" for state in Batch(tasks, first, Run()).run().values())
    again, batch = Instant(), None
    batch = Batch(tasks, again, Run())
    assert all(state.status == "done" for state in batch.run().values())
    assert first.submitted == ["a", "b"] and again.submitted == [] and batch.kept == {"a", "b"}


@pytest.mark.parametrize("status", ["queued", "running", "interrupted", "failed", "skipped"])
def test_what_is_not_done_is_done_again(make_task: MakeTask, status: str) -> None:
    """A "running" of a batch that was killed too."""
    task = make_task("a")
    write_state(task.state, State("a", status, fingerprint(task), attempts=2, seconds=5.0))  # type: ignore[arg-type]
    task.output.write_text("half")
    seen: list[State | None] = []

    class Looking(Instant):
        def submit(self, task: Task, retries: int) -> Future[State]:
            seen.append(read_state(task.state))
            return super().submit(task, retries)

    Batch([task], Looking(), Run()).run()
    assert seen == [State("a", "queued", fingerprint(task), attempts=2, seconds=5.0)], "what was known is kept"


def test_a_missing_output_or_an_unreadable_state_is_made_again(make_task: MakeTask) -> None:
    task = make_task("a")
    for spoil in (task.output.unlink, lambda: task.state.write_text("{"), lambda: task.state.unlink()):
        Batch([task], Instant(), Run()).run()
        spoil()
        engine = Instant()
        Batch([task], engine, Run()).run()
        assert engine.submitted == ["a"]


def test_a_changed_input_makes_it_and_what_follows_again(make_task: MakeTask, tmp_path: Path) -> None:
    (tmp_path / "capture.mp4").write_text("one")
    first = make_task("a", reads=(tmp_path / "capture.mp4",))
    second = make_task("b", after="a", reads=(first.output,))
    other = make_task("c")
    Batch([first, second, other], Instant(), Run()).run()
    (tmp_path / "capture.mp4").write_text("another")
    engine = Instant()
    os.utime(first.output, ns=(1, 1))  # the clock of this test's file system may be too coarse to tell the two apart
    Batch([first, second, other], engine, Run()).run()
    assert engine.submitted == ["a", "b"]
    state = read_state(first.state)
    assert state is not None and state.attempts == 1, "attempts at another task do not count"


def test_an_input_that_is_gone_fails_one_task(make_task: MakeTask, tmp_path: Path) -> None:
    tasks = [make_task("a", reads=(tmp_path / "gone.mp4",)), make_task("b")]
    states = Batch(tasks, Instant(), Run()).run()
    assert states["a"].status == "failed" and states["a"].reason.endswith("gone.mp4: no such file or folder")
    assert states["b"].status == "done"


def test_an_output_that_only_the_worker_sees_is_a_failure(make_task: MakeTask) -> None:
    class Elsewhere(Instant):
        def submit(self, task: Task, retries: int) -> Future[State]:
            answer = super().submit(task, retries)
            task.output.unlink()
            return answer

    state = Batch([make_task("a")], Elsewhere(), Run()).run()["a"]
    assert state.status == "failed" and "every worker must see the same files" in state.reason


def test_events_tell_the_course(make_task: MakeTask) -> None:
    run, events = collect()
    tasks = [make_task("a"), make_task("b", after="a"), make_task("c", after="b")]
    Batch(tasks, Instant({"b": "failed"}), run).run()
    assert events[0] == Started("batch", 3, "task")
    assert [(e.name, e.status) for e in events if isinstance(e, TaskChanged)] == [
        ("a", "done"), ("b", "failed"), ("c", "skipped")
    ]  # fmt: skip
    assert [(e.step, e.total, e.values) for e in events if isinstance(e, Progress)] == [
        (1, 3, {}), (2, 3, {"failed": 1.0}), (3, 3, {"failed": 2.0})
    ]  # fmt: skip
    assert isinstance(events[-1], Finished) and events[-1].values == {"done": 1.0, "failed": 1.0, "skipped": 1.0}


def test_the_log_of_a_running_task_is_told(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatarkit.batch.running.POLL", 0.05)
    code = f"import time; print('half way', flush=True); time.sleep(1.0); {MAKE}"
    run, events = collect()
    engine = LocalPool(1, gpus=())
    Batch([make_task("a", code)], engine, run).run()
    engine.close()
    told = [event for event in events if isinstance(event, TaskChanged)]
    assert ("running", 1, "half way") in [(event.status, event.attempt, event.text) for event in told]
    assert told[-1].status == "done" and len(told) <= 4, "each line once"


def test_a_fault_of_the_batch_itself_stops_what_runs(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, state: State) -> None:
        raise EnvironmentProblem("the disk is full")

    engine = Instant()
    monkeypatch.setattr("avatarkit.batch.running.write_state", full)
    with pytest.raises(EnvironmentProblem):
        Batch([make_task("a")], engine, Run()).run()
    assert engine.stopped == [False]


# --- stopping ----------------------------------------------------------------------------------------------------------


def test_stopping_leaves_the_rest_for_the_next_time(make_task: MakeTask) -> None:
    tasks = [make_task("a"), make_task("b", after="a"), make_task("c", after="a")]
    run = Run()
    run.stop()
    engine = Instant()
    states = Batch(tasks, engine, run).run()
    assert engine.submitted == [] and {state.status for state in states.values()} == {"queued"}


def test_a_run_that_is_stopped_asks_the_engine_and_waits(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatarkit.batch.running.POLL", 0.02)
    run, answer = Run(), Future[State]()

    class Waiting(Instant):
        def submit(self, task: Task, retries: int) -> Future[State]:
            threading.Timer(0.1, run.stop).start()
            self.task = task
            return answer

        def stop(self, *, at_once: bool = False) -> None:
            if not self.stopped:
                answer.set_result(State(self.task.name, "interrupted", self.task.fingerprint, attempts=1))
            super().stop(at_once=at_once)

    engine = Waiting()
    states = Batch([make_task("a"), make_task("b", after="a")], engine, run).run()
    assert [states[name].status for name in "ab"] == ["interrupted", "queued"]
    assert engine.stopped and not any(engine.stopped)


def test_interrupted_tasks_are_finished_by_the_next_batch(make_task: MakeTask) -> None:
    """With real processes: one that says what it was called with, and has a checkpoint by then."""
    code = (
        "import sys, time, pathlib; out = pathlib.Path(sys.argv[1]); folder = out.with_suffix('.run') / 'checkpoints'\n"
        "if '--resume' in sys.argv: out.write_text('resumed'); sys.exit()\n"
        "folder.mkdir(parents=True); (folder / 'step-00000001.safetensors').touch(); print('begun', flush=True)\n"
        "time.sleep(60)"
    )
    task = make_task("a", code)
    task = replace(task, checkpoints=task.output.with_suffix(".run") / "checkpoints")
    run = Run()

    def stop(event: object) -> None:
        if isinstance(event, TaskChanged) and event.text == "begun":
            run.stop()

    run.add_sink(stop)
    engine = LocalPool(1, gpus=())
    assert Batch([task], engine, run).run()["a"].status == "interrupted"
    engine.close()
    engine = LocalPool(1, gpus=())
    state = Batch([task], engine, Run()).run()["a"]
    engine.close()
    assert (state.status, state.attempts) == ("done", 2) and task.output.read_text() == "resumed"
