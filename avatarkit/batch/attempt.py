"""One attempt at a task, as every engine makes it: a process, its log, its state, and what came of it.

The local pool and the workers of a cluster both call ``attempt``.  It raises ``AttemptFailed`` where another attempt may help, so
that an engine's own retries decide about it, and returns in all other cases.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from avatarkit.batch.state import State, Status, read_state, write_state
from avatarkit.batch.tasks import Task
from avatarkit.paths import explained

GRACE = 45.0
"""Seconds that a process has to write its checkpoint and its avatar once it was asked to stop."""
LONGEST_PICTURE = 600.0
"""Seconds after which drawing an avatar for the report is given up."""
POLL = 0.2
"""Seconds between looks at whether the batch is to stop."""
CHECKPOINTS = "step-*.safetensors"


class AttemptFailed(Exception):
    """A failure that may pass: a fault of our own, or a process that was killed.  ``state`` says what is in the task's file."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.state = state


@dataclass
class Stop:
    """How an engine asks its attempts to end: ``asked`` with a checkpoint, ``at_once`` without."""

    asked: threading.Event = field(default_factory=threading.Event)
    at_once: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Place:
    """What a process gets from its engine: variables besides this process's own, and file descriptors to keep open."""

    environment: Mapping[str, str] = field(default_factory=dict)
    keep_open: tuple[int, ...] = ()


def attempt(task: Task, stop: Stop, place: Place) -> State:
    """Run the task's command once; returns its state afterwards, which is in its file by then where an attempt was begun.

    Where the batch is to stop it is "queued" (not begun) or "interrupted".  Raises AttemptFailed for exit code 1 and for
    signals; codes 2 and 3 say that the input or the machine is wrong, and stay so.
    """
    before, host = read_state(task.state), socket.gethostname()
    if before is None or before.fingerprint != task.fingerprint:
        lost = State(task.name, "failed", task.fingerprint, host=host)
        return replace(lost, reason=f"{task.folder} is another folder on {host}; every worker must see the same files")
    if stop.asked.is_set():
        return before
    absent = next((path for path in task.reads if not path.exists()), None)
    if absent is not None:
        reason = f"{absent} is not there on {host}; every worker must see the same files"
        return replace(before, status="failed", reason=reason, host=host)
    command = resuming(task, before)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    state = replace(
        before, status="running", attempts=before.attempts + 1, started=started, command=shlex.join(command),
        exit_code=None, reason="", host=host,
    )  # fmt: skip
    write_state(task.state, state)
    began = time.monotonic()
    status, code, reason = _run(command, task, f"attempt {state.attempts} on {host}, {started}", stop, place)
    if status == "done" and not task.output.is_file():
        status, reason = "failed", f"it ended well and left no {task.output}"
    if status == "done" and task.picture:  # a report without it is better than none
        _run(task.picture, task, "a picture for the report", stop, place, limit=LONGEST_PICTURE)
    seconds = round(state.seconds + time.monotonic() - began, 3)
    state = replace(state, status=status, seconds=seconds, exit_code=code, reason=reason)
    write_state(task.state, state)
    if status == "failed" and may_pass(code):
        raise AttemptFailed(state)
    return state


def resuming(task: Task, before: State) -> tuple[str, ...]:
    """The command, with ``--resume`` where an earlier attempt at the very same left checkpoints.

    Those of another fingerprint are removed: should this attempt end before its first, they would be taken for its own.
    """
    if task.checkpoints is None:
        return task.command
    found = list(task.checkpoints.glob(CHECKPOINTS))
    if before.attempts > 0:
        return (*task.command, "--resume") if found else task.command
    for old in found:
        with explained(old):
            old.unlink(missing_ok=True)
    return task.command


def may_pass(exit_code: int | None) -> bool:
    """Whether an attempt that ended so is worth another: our own fault, a signal (negative), a crash on Windows (over 255)."""
    return exit_code is not None and (exit_code == 1 or exit_code < 0 or exit_code > 255)


def last_words(log: Path, start: int = 0) -> str:
    """avatarkit's own line of error after byte ``start`` of a log, else the last line; "" where there is none."""
    lines = _tail(log, start)
    said = [line.removeprefix("avatarkit: ") for line in lines if line.startswith("avatarkit: ")]
    return (said or lines or [""])[-1][:400]


def last_line(log: Path) -> str:
    """The last line that a command has written into a log; "" before the first."""
    line = (_tail(log) or [""])[-1][:400]
    return "" if line.startswith(("=== ", "$ ")) else line


def _tail(log: Path, start: int = 0) -> list[str]:
    """Lines at the end of a log, without empty ones; those of the first 20 kB before its end."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(start, log.stat().st_size - 20_000))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def _run(
    command: tuple[str, ...], task: Task, title: str, stop: Stop, place: Place, limit: float = float("inf")
) -> tuple[Status, int, str]:
    """A process with its output at the end of the task's log: "done", "failed" or "interrupted", its exit code, the reason."""
    with explained(task.log), task.log.open("ab") as log:
        log.write(f"=== {title}\n$ {shlex.join(command)}\n".encode())
        log.flush()
        start = log.tell()
        process = _started(command, log.fileno(), place)
        code = _ended(process, stop, limit)
        stopped = code is None
        if code is None:
            code = _interrupted(process, stop)
    if code == 0:
        return "done", code, ""
    if stopped:
        return "interrupted", code, ""
    return "failed", code, _reason(code, task.log, start)


def _started(command: tuple[str, ...], log: int, place: Place) -> subprocess.Popen[bytes]:
    """Begin the process, in a group of its own: Ctrl-C at the terminal is for the batch, which passes it on once."""
    line = [sys.executable, "-m", "avatarkit", *command[1:]] if command[0] == "avatarkit" else list(command)
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "120", **place.environment}
    if sys.platform == "win32":
        return subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )  # fmt: skip
    tied = [sys.executable, "-m", "avatarkit.batch.tied", str(os.getpid()), *line]
    return subprocess.Popen(
        tied, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables, process_group=0, pass_fds=place.keep_open
    )


def _ended(process: subprocess.Popen[bytes], stop: Stop, limit: float) -> int | None:
    """The exit code; None once the batch is to stop or the time is up."""
    until = time.monotonic() + limit
    while not stop.asked.is_set() and time.monotonic() < until:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL)
    return process.poll()


def _interrupted(process: subprocess.Popen[bytes], stop: Stop) -> int:
    """Ask the process to stop as Ctrl-C does, wait, kill it and what it started."""
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.send_signal(signal.SIGINT)
    until = time.monotonic() + GRACE
    while not stop.at_once.is_set() and time.monotonic() < until:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL)
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _reason(code: int, log: Path, start: int) -> str:
    if code < 0:
        names = {int(number): number.name for number in signal.Signals}
        likely = ", out of memory perhaps" if -code == getattr(signal, "SIGKILL", 0) else ""
        return f"killed by {names.get(-code, f'signal {-code}')}{likely}"
    return last_words(log, start) or f"exit code {code}"
