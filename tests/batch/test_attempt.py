"""One attempt: a real process, its log, its state, and what is left when it ends badly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from avatarkit.batch import attempt as module
from avatarkit.batch.attempt import AttemptFailed, Place, Stop, attempt, last_line, last_words, may_pass, resuming
from avatarkit.batch.state import State, read_state, write_state
from avatarkit.batch.tasks import Task

from .conftest import MAKE, MakeTask

Queued = Callable[[Task], Task]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def run(task: Task, stop: Stop | None = None, **environment: str) -> State:
    return attempt(task, stop or Stop(), Place(environment))


def test_a_task_that_goes_well(make_task: MakeTask, queued: Queued) -> None:
    task = queued(make_task("a", MAKE + "; print('made it')"))
    state = run(task)
    assert (state.status, state.attempts, state.exit_code, state.reason) == ("done", 1, 0, "")
    assert state.seconds > 0 and state.started.endswith("+00:00") and state.host
    assert read_state(task.state) == state and task.output.read_text() == "made"
    log = task.log.read_text()
    assert log.startswith("=== attempt 1 on ") and log.endswith("\nmade it\n") and state.command in log


def test_errors_and_output_share_the_log_in_order(make_task: MakeTask, queued: Queued) -> None:
    code = "import sys; print('one'); print('two', file=sys.stderr); print('three'); " + MAKE
    task = queued(make_task("a", code))
    run(task)
    assert task.log.read_text().splitlines()[-3:] == ["one", "two", "three"]


@pytest.mark.parametrize(("code", "again"), [(1, True), (2, False), (3, False), (130, False), (42, False)])
def test_exit_codes(make_task: MakeTask, queued: Queued, code: int, again: bool) -> None:
    task = queued(make_task("a", f"import sys; print('avatarkit: it is {code}'); print('bye'); sys.exit({code})"))
    if again:
        with pytest.raises(AttemptFailed) as caught:
            run(task)
        state = caught.value.state
    else:
        state = run(task)
    assert (state.status, state.exit_code, state.reason) == ("failed", code, f"it is {code}")
    assert read_state(task.state) == state


@posix
def test_a_signal_may_pass(make_task: MakeTask, queued: Queued) -> None:
    task = queued(make_task("a", "import os; os.kill(os.getpid(), 9)"))
    with pytest.raises(AttemptFailed) as caught:
        run(task)
    assert caught.value.state.exit_code == -9
    assert caught.value.state.reason == "killed by SIGKILL, out of memory perhaps"


def test_which_failures_may_pass() -> None:
    assert [code for code in (None, -11, 0, 1, 2, 3, 127, 130, 0xC0000005) if may_pass(code)] == [-11, 1, 0xC0000005]


def test_an_output_that_is_not_there_is_a_failure(make_task: MakeTask, queued: Queued) -> None:
    state = run(queued(make_task("a", "pass")))
    assert state.status == "failed" and state.reason.startswith("it ended well and left no ") and state.exit_code == 0


def test_a_program_that_is_not_there(make_task: MakeTask, queued: Queued) -> None:
    state = run(queued(make_task("a", command=("no-such-program",))))
    assert (state.status, state.exit_code) == ("failed", 127)
    assert state.reason == "no-such-program: cannot be run: No such file or directory"


def test_seconds_and_attempts_add_up(make_task: MakeTask, queued: Queued) -> None:
    task = queued(make_task("a"))
    write_state(task.state, State("a", "failed", task.fingerprint, attempts=3, seconds=100.0))
    state = run(task)
    assert state.attempts == 4 and 100.0 < state.seconds < 200.0


def test_the_place_reaches_the_process(make_task: MakeTask, queued: Queued) -> None:
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])"
    task = queued(make_task("a", code))
    run(task, CUDA_VISIBLE_DEVICES="5")
    assert task.output.read_text() == "5"


def test_a_picture_is_drawn_once_it_is_done(make_task: MakeTask, queued: Queued) -> None:
    draw = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('drawn')"
    task = make_task("a")
    assert run(queued(replace(task, picture=(sys.executable, "-c", draw, str(task.drawn))))).status == "done"
    assert task.drawn.read_text() == "drawn"
    other = make_task("b")
    state = run(
        queued(replace(other, picture=(sys.executable, "-c", "print('avatarkit: no head'); raise SystemExit(3)")))
    )
    assert state.status == "done" and not other.drawn.exists() and "no head" in other.log.read_text()
    third = make_task("c", "raise SystemExit(2)")
    run(queued(replace(third, picture=(sys.executable, "-c", draw, str(third.drawn)))))
    assert not third.drawn.exists()


def test_a_folder_that_is_not_the_batchs(make_task: MakeTask, queued: Queued) -> None:
    """A worker whose disk is not shared finds another state file, or none, under the path."""
    task = queued(make_task("a"))
    for found in (None, State("a", "queued", "another")):
        task.state.unlink()
        if found is not None:
            write_state(task.state, found)
        state = run(task)
        assert state.status == "failed" and "is another folder on" in state.reason
        assert "every worker must see the same files" in state.reason and not task.output.exists()
        write_state(task.state, state)


def test_an_input_that_the_worker_does_not_see(make_task: MakeTask, queued: Queued, tmp_path: Path) -> None:
    (tmp_path / "capture").mkdir()
    task = queued(make_task("a", reads=(tmp_path / "capture",)))
    (tmp_path / "capture").rmdir()
    state = run(task)
    assert state.status == "failed" and "capture is not there on " in state.reason and state.attempts == 0


# --- resuming ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def resumable(make_task: MakeTask, tmp_path: Path) -> Task:
    """A task that copies its arguments into its output, with a checkpoint of an earlier run."""
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:]))"
    checkpoints = tmp_path / "out" / "a.run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-00000100.safetensors").write_bytes(b"old")
    return make_task("a", code, checkpoints=checkpoints)


def test_an_interrupted_task_goes_on(resumable: Task, queued: Queued) -> None:
    task = queued(resumable)
    write_state(task.state, State("a", "running", task.fingerprint, attempts=1))
    state = run(task)
    assert task.output.read_text() == "--resume" and state.command.endswith(" --resume") and state.attempts == 2


def test_without_checkpoints_it_begins_again(resumable: Task, queued: Queued) -> None:
    task = queued(resumable)
    write_state(task.state, State("a", "failed", task.fingerprint, attempts=1))
    assert task.checkpoints is not None
    next(task.checkpoints.iterdir()).unlink()
    run(task)
    assert task.output.read_text() == ""


def test_checkpoints_of_another_task_are_removed_before_the_first_attempt(resumable: Task, queued: Queued) -> None:
    """They were trained with other settings; an attempt that dies before its own first must not go on from them."""
    task = queued(resumable)
    assert task.checkpoints is not None
    assert resuming(task, State("a", "queued", task.fingerprint)) == task.command
    assert list(task.checkpoints.iterdir()) == []


# --- stopping ----------------------------------------------------------------------------------------------------------

ORDERLY = """
import signal, sys, time, pathlib
def stop(number, frame):
    print("writing what there is"); sys.exit(130)
signal.signal(signal.SIGINT, stop)
print("begun")
while True: time.sleep(0.02)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("begun")
while True: time.sleep(0.02)
"""


def wait_for(log: Path, words: str) -> None:
    until = time.monotonic() + 30
    while words not in (log.read_text() if log.exists() else "").splitlines():
        assert time.monotonic() < until, "the task did not begin"
        time.sleep(0.01)


def stopped(task: Task, stop: Stop, then: Callable[[], None]) -> State:
    """The state of an attempt that is asked to stop once it has begun."""
    states: list[State] = []
    thread = threading.Thread(target=lambda: states.append(run(task, stop)))
    thread.start()
    wait_for(task.log, "begun")
    stop.asked.set()
    then()
    thread.join(60)
    return states[0]


@posix
def test_a_task_that_is_asked_to_stop(make_task: MakeTask, queued: Queued) -> None:
    task = queued(make_task("a", ORDERLY))
    state = stopped(task, Stop(), lambda: None)
    assert (state.status, state.exit_code, state.reason) == ("interrupted", 130, "")
    assert last_line(task.log) == "writing what there is" and read_state(task.state) == state


@posix
def test_a_task_that_does_not_listen_is_killed_after_its_time(
    make_task: MakeTask, queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.3)
    state = stopped(queued(make_task("a", DEAF)), Stop(), lambda: None)
    assert (state.status, state.exit_code) == ("interrupted", -signal.SIGKILL)


@posix
def test_asked_twice_it_is_killed_at_once(make_task: MakeTask, queued: Queued) -> None:
    stop = Stop()
    began = time.monotonic()
    state = stopped(queued(make_task("a", DEAF)), stop, stop.at_once.set)
    assert (state.status, state.exit_code) == ("interrupted", -signal.SIGKILL)
    assert time.monotonic() - began < module.GRACE


def test_nothing_begins_once_it_is_to_stop(make_task: MakeTask, queued: Queued) -> None:
    stop, task = Stop(), queued(make_task("a"))
    stop.asked.set()
    assert run(task, stop) == State("a", "queued", task.fingerprint) and not task.log.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_task_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """The batch is killed with -9, and its task is gone before it can say so."""
    child = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"
    parent = (
        "import os, subprocess, sys, time; "
        f"subprocess.Popen([sys.executable, '-m', 'avatarkit.batch.tied', str(os.getpid()), sys.executable, '-c', {child!r}]); "
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        pid = int(started.stdout.readline())
        assert running(pid)
        started.kill()
        until = time.monotonic() + 10
        while running(pid) and time.monotonic() < until:
            time.sleep(0.02)
        gone = not running(pid)
        if not gone:
            os.kill(pid, signal.SIGKILL)
        assert gone


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@posix
def test_a_task_hears_ctrl_c_where_its_parent_does_not(make_task: MakeTask, queued: Queued) -> None:
    """SIGINT is ignored in what a script starts in the background, blocked in Ray's workers, and both are inherited."""
    code = (
        "import signal, sys, pathlib; "
        "heard = signal.getsignal(signal.SIGINT) == signal.default_int_handler and not signal.pthread_sigmask(signal.SIG_BLOCK, []); "
        "pathlib.Path(sys.argv[1]).write_text(str(heard))"
    )
    task = queued(make_task("a", code))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        run(task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, before)
    assert task.output.read_text() == "True"


# --- logs --------------------------------------------------------------------------------------------------------------


def test_last_words(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert last_words(log) == "" and last_line(log) == ""
    log.write_bytes(b"avatarkit: first\n" + b"x" * 30_000 + b"\navatarkit: second\nbye \xff\n\n")
    assert last_words(log) == "second" and last_line(log) == "bye \ufffd"
    assert last_words(log, log.stat().st_size - 7) == "bye \ufffd", "what was said before the attempt does not count"
    log.write_text("one\n\n  two  \n")
    assert last_words(log) == "two"
    log.write_text("=== attempt 1\n$ avatarkit recon\n")
    assert last_line(log) == "", "what the batch wrote itself"
