"""The whole of ``avatarkit batch``: tasks in the order of what they wait for, skipping what is done, until all have ended."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import Any

from avatarkit.batch.attempt import last_line
from avatarkit.batch.engine import Engine
from avatarkit.batch.state import State, Status, read_state, write_state
from avatarkit.batch.tasks import Task, fingerprint
from avatarkit.errors import AvatarkitError
from avatarkit.events import Event, Finished, Progress, Run, Started
from avatarkit.paths import explained

STAGE = "batch"
POLL = 1.0
"""Seconds between looks at the states and logs of running tasks, which the workers write, and at Ctrl-C."""
FOLDERS = ("logs", "state", "results", "pictures")


@dataclass(frozen=True)
class TaskChanged(Event):
    """A task got another status, or a running one another last line in its log.

    name, said: the task's ("ada", "recon of ada").  attempt: how many were begun.  seconds: of all attempts that ended.  text:
    the reason of a failure; of a running task the last line of its log.  kept: done by an earlier batch.
    """

    name: str
    said: str
    status: Status
    attempt: int = 0
    seconds: float = 0.0
    text: str = ""
    kept: bool = False


class Batch:
    """A course through tasks.  states: of every task that has ended.  kept: names of those that an earlier batch had done."""

    def __init__(self, tasks: Sequence[Task], engine: Engine, run: Run, *, retries: int = 1) -> None:
        self.states: dict[str, State] = {}
        self.kept: set[str] = set()
        self._tasks = {task.name: task for task in tasks}
        self._engine, self._run, self._retries = engine, run, retries
        self._pending: dict[Future[State], Task] = {}
        self._shown: dict[str, TaskChanged] = {}

    def run(self) -> dict[str, State]:
        """Run what is not done; returns the state of every task.

        ``Run.stop()`` (Ctrl-C does) asks what runs to end, and leaves the rest for the next time.  Every state is in its task's
        file at any moment, so that a batch which is killed goes on where it was.
        """
        for folder in {task.folder / name for task in self._tasks.values() for name in FOLDERS}:
            with explained(folder):
                folder.mkdir(parents=True, exist_ok=True)
        order = TopologicalSorter({name: [task.after] if task.after else [] for name, task in self._tasks.items()})
        order.prepare()
        began = time.monotonic()
        self._run.emit(Started(STAGE, len(self._tasks), "task"))
        try:
            with interruptible(self._run) as asked:
                while order.is_active() and (self._pending or not self._run.stopping):
                    while not self._run.stopping and (ready := order.get_ready()):
                        order.done(*[name for name in ready if self._begin(name)])
                    order.done(*self._ended())
                    self._look()
                    if self._run.stopping:
                        self._engine.stop(at_once=len(asked) > 1)
        except BaseException:  # a full disk, say: what runs is not to go on for hours unseen
            self._engine.stop()
            raise
        for name in self._tasks:
            self.states.setdefault(name, State(name, "queued"))
        self._run.emit(Finished(STAGE, time.monotonic() - began, {name: float(n) for name, n in self.counts.items()}))
        return self.states

    @property
    def counts(self) -> dict[Status, int]:
        """How many tasks there are of each status."""
        statuses = [state.status for state in self.states.values()]
        return {status: statuses.count(status) for status in dict.fromkeys(statuses)}

    def _begin(self, name: str) -> bool:
        """Submit a task whose predecessor has ended; whether it has ended with that, being done already or not possible."""
        task = self._tasks[name]
        before = self.states.get(task.after)
        if before is not None and before.status != "done":
            self._end(task, State(name, "skipped", reason=f"{self._tasks[task.after].said} {before.status}"))
            return True
        try:
            task = replace(task, fingerprint=fingerprint(task))
        except (AvatarkitError, OSError) as error:
            self._end(task, State(name, "failed", reason=str(error)))
            return True
        state = read_state(task.state)
        if stands(task, state) and state is not None:
            self.kept.add(name)
            self._end(task, state)
            return True
        if state is None or state.fingerprint != task.fingerprint:
            state = State(name, "queued", task.fingerprint)
        write_state(task.state, replace(state, status="queued", reason=""))
        self._pending[self._engine.submit(task, self._retries)] = task
        return False

    def _ended(self) -> list[str]:
        """Wait a moment; names of the tasks that ended."""
        ended: list[str] = []
        for future in wait(self._pending, POLL, FIRST_COMPLETED).done if self._pending else ():
            task, state = self._pending.pop(future), future.result()
            if state.status == "done" and not task.output.is_file():
                where = f"{task.output} is not there, though {state.host} wrote it"
                state = replace(state, status="failed", reason=f"{where}; every worker must see the same files")
            self._end(task, state)
            ended.append(task.name)
        return ended

    def _end(self, task: Task, state: State) -> None:
        self.states[task.name] = state
        if state != read_state(task.state):
            write_state(task.state, state)
        kept = task.name in self.kept
        text = state.reason
        self._tell(TaskChanged(task.name, task.said, state.status, state.attempts, state.seconds, text, kept))
        failed = sum(state.status in ("failed", "skipped") for state in self.states.values())
        values = {"failed": float(failed)} if failed else {}
        self._run.emit(Progress(STAGE, len(self.states), len(self._tasks), values))

    def _look(self) -> None:
        """Tell what the running tasks are at."""
        for task in self._pending.values():
            state = read_state(task.state)
            if state is not None and state.status == "running":
                text = last_line(task.log)
                self._tell(TaskChanged(task.name, task.said, "running", state.attempts, state.seconds, text))

    def _tell(self, event: TaskChanged) -> None:
        if self._shown.get(event.name) != event:
            self._shown[event.name] = event
            self._run.emit(event)


def stands(task: Task, state: State | None) -> bool:
    """Whether ``task``, with its fingerprint, was done before and its output is there."""
    done = state is not None and state.status == "done" and state.fingerprint == task.fingerprint
    return done and task.output.is_file()


@contextmanager
def interruptible(run: Run) -> Iterator[list[int]]:
    """Ctrl-C, and what closes a terminal or ends a job, ask the run to stop; gives the signals that came."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        if len(asked) == 1:
            run.notice("stopping; running tasks write what they have (press Ctrl-C again to stop at once)", "warning")
        run.stop()

    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in signals}
    heard = [number for number in signals if number == signal.SIGINT or before[number] != signal.SIG_IGN]  # nohup
    for number in heard:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number in heard:
            signal.signal(number, before[number])
