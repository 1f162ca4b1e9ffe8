"""Tasks that are small Python programs, and an engine without processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from avatarkit.batch.running import FOLDERS
from avatarkit.batch.state import State, write_state
from avatarkit.batch.tasks import Task, fingerprint

MAKE = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('made')"
"""What a task runs where nothing else is asked for: it writes its output."""
MakeTask = Callable[..., Task]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The batch's folder, with the folders that ``Batch`` makes."""
    for name in FOLDERS:
        (tmp_path / "out" / name).mkdir(parents=True)
    return tmp_path / "out"


@pytest.fixture
def make_task(out: Path) -> MakeTask:
    """``make_task("a", code)``: a task that runs ``code`` with the path of its output as the only argument."""

    def made(name: str, code: str = MAKE, **fields: object) -> Task:
        output = out / f"{name}.avatar"
        command = (sys.executable, "-c", code, str(output))
        return replace(Task(name, f"job {name}", command, out, output), **fields)  # type: ignore[arg-type]

    return made


@pytest.fixture
def queued() -> Callable[[Task], Task]:
    """The task as ``Batch`` hands it to an engine: with its fingerprint, and with a state file that says so."""

    def prepared(task: Task) -> Task:
        task = replace(task, fingerprint=fingerprint(task))
        write_state(task.state, State(task.name, "queued", task.fingerprint))
        return task

    return prepared


class Instant:
    """An engine that starts no process: it keeps the names in the order of submission and answers at once.

    ends: status of each task, where it is not "done".
    """

    places = "nowhere"

    def __init__(self, ends: dict[str, str] | None = None) -> None:
        self.submitted: list[str] = []
        self.ends = ends or {}
        self.stopped: list[bool] = []

    def submit(self, task: Task, retries: int) -> Future[State]:
        self.submitted.append(task.name)
        status = self.ends.get(task.name, "done")
        if status == "done":
            task.output.write_text("made")
        answer = Future[State]()
        state = State(task.name, status, task.fingerprint, attempts=1)  # type: ignore[arg-type]
        write_state(task.state, state)
        answer.set_result(state)
        return answer

    def stop(self, *, at_once: bool = False) -> None:
        self.stopped.append(at_once)

    def close(self) -> None:
        pass


@pytest.fixture
def instant() -> type[Instant]:
    return Instant
