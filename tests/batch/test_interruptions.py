"""A batch that is interrupted or killed goes on where it was, and leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avatarkit.batch.state import read_state

SCRIPT = Path(__file__).with_name("killed_batch.py")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Not ``out``: the batch makes its folders itself."""
    (tmp_path / "made").mkdir()
    return tmp_path / "made"


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """``start()``: the batch in a process group of its own, as soon as a and c are at work."""
    begun: list[subprocess.Popen[str]] = []

    def started() -> subprocess.Popen[str]:
        for name in "ac":
            (folder / f"{name}.pid").unlink(missing_ok=True)
        batch = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder)], stdout=subprocess.PIPE, text=True, process_group=0
        )
        begun.append(batch)
        until = time.monotonic() + 60
        while not all((folder / f"{name}.pid").is_file() and (folder / f"{name}.pid").read_text() for name in "ac"):
            assert batch.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        return batch

    yield started
    for batch in begun:
        if batch.poll() is None:
            batch.kill()
        batch.communicate()


def pids(folder: Path) -> list[int]:
    return [int((folder / f"{name}.pid").read_text()) for name in "ac"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def all_gone(numbers: list[int]) -> bool:
    """Whether the processes end soon; those that do not are killed."""
    until = time.monotonic() + 10
    while any(map(alive, numbers)) and time.monotonic() < until:
        time.sleep(0.02)
    left = [pid for pid in numbers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return not left


def finish(start: Start, folder: Path) -> dict[str, list[object]]:
    (folder / "go").touch()
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder)], stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_the_end_of_a_job(start: Start, folder: Path, number: signal.Signals) -> None:
    batch = start()
    tasks = pids(folder)
    os.killpg(batch.pid, number)  # as a terminal does: the tasks are in groups of their own and hear it once
    out, _ = batch.communicate(timeout=60)
    assert batch.returncode == 130 and all_gone(tasks)
    assert json.loads(out) == {"a": ["interrupted", 1], "b": ["queued", 0], "c": ["interrupted", 1]}
    assert finish(start, folder) == {"a": ["done", 2], "b": ["done", 1], "c": ["done", 2]}


@pytest.mark.skipif(sys.platform != "linux", reason="children die with their parent on Linux only")
def test_kill_9_of_the_batch(start: Start, folder: Path) -> None:
    for attempt in (1, 2):
        batch = start()
        tasks = pids(folder)
        batch.kill()
        assert batch.wait() == -signal.SIGKILL and all_gone(tasks)
        states = {name: read_state(folder / "state" / f"{name}.json") for name in "abc"}
        assert states["b"] is None and all(
            state is not None and (state.status, state.attempts) == ("running", attempt)
            for state in (states["a"], states["c"])
        )
    assert finish(start, folder) == {"a": ["done", 3], "b": ["done", 1], "c": ["done", 3]}


def test_kill_9_of_a_task(start: Start, folder: Path) -> None:
    """The batch tries it again."""
    batch = start()
    os.kill(pids(folder)[0], signal.SIGKILL)
    (folder / "go").touch()
    out, _ = batch.communicate(timeout=60)
    assert batch.returncode == 0
    assert json.loads(out) == {"a": ["done", 2], "b": ["done", 1], "c": ["done", 1]}
    assert "attempt 2" in (folder / "logs" / "a.log").read_text()


def test_a_second_batch_in_the_same_folder_is_refused(start: Start, folder: Path) -> None:
    batch = start()
    code = (
        "import sys; from pathlib import Path; from avatarkit.batch.folder_lock import held\n"
        "with held(Path(sys.argv[1]), patience=0.0): pass"
    )
    refused = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert refused.returncode == 1 and f"process {batch.pid} on" in refused.stderr
