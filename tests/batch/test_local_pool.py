"""The engine of this machine: how many at once, with what, and how often."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarkit.batch import local_pool
from avatarkit.batch.engine import Engine, make_engine
from avatarkit.batch.local_pool import LocalPool, usable_cores, visible_gpus
from avatarkit.batch.state import State, read_state
from avatarkit.batch.tasks import Task
from avatarkit.errors import InputError, MissingDependency

from .conftest import MAKE, MakeTask

Queued = Callable[[Task], Task]

COUNTED = """
import sys, pathlib
out = pathlib.Path(sys.argv[1])
count = out.with_suffix(".count")
attempts = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(attempts))
if attempts <= {failures}: sys.exit({code})
out.write_text("made")
"""


@pytest.mark.parametrize(
    ("failures", "code", "retries", "status", "attempts"),
    [
        (0, 1, 1, "done", 1),
        (1, 1, 1, "done", 2),
        (2, 1, 1, "failed", 2),
        (2, 1, 5, "done", 3),
        (1, 1, 0, "failed", 1),
        (1, 2, 5, "failed", 1),
        (1, 3, 5, "failed", 1),
        (1, 130, 5, "failed", 1),
    ],
)
def test_attempts(
    make_task: MakeTask, queued: Queued, failures: int, code: int, retries: int, status: str, attempts: int
) -> None:
    pool = LocalPool(1, gpus=(), pause=0.0)
    task = queued(make_task("a", COUNTED.format(failures=failures, code=code)))
    state = pool.submit(task, retries).result(60)
    pool.close()
    assert (state.status, state.attempts) == (status, attempts)
    assert int(task.output.with_suffix(".count").read_text()) == attempts
    assert task.log.read_text().count("=== attempt") == attempts and read_state(task.state) == state


def test_pauses_double(make_task: MakeTask, queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(local_pool, "sleep_using_event", lambda event: waited.append)
    monkeypatch.setattr(local_pool, "LONGEST_PAUSE", 5.0)
    pool = LocalPool(1, gpus=(), pause=1.0)
    pool.submit(queued(make_task("a", "raise SystemExit(1)")), 4).result(60)
    pool.close()
    assert waited == [1.0, 2.0, 4.0, 5.0]


TOGETHER = """
import os, sys, time, pathlib
out = pathlib.Path(sys.argv[1])
(out.parent / "live" / out.stem).touch()
time.sleep(0.3)
out.write_text(f"{len(list((out.parent / 'live').iterdir()))} {os.environ.get('CUDA_VISIBLE_DEVICES')} {os.environ['OMP_NUM_THREADS']}")
(out.parent / "live" / out.stem).unlink()
"""


@pytest.mark.parametrize("gpus", [(), ("0", "MIG-5")])
def test_each_task_has_a_place_of_its_own(
    make_task: MakeTask, queued: Queued, out: Path, gpus: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local_pool, "usable_cores", lambda: 6)
    (out / "live").mkdir()
    pool = LocalPool(2, gpus=gpus)
    tasks = [queued(make_task(f"t{i}", TOGETHER)) for i in range(6)]
    for future in [pool.submit(task, 0) for task in tasks]:
        assert future.result(60).status == "done"
    pool.close()
    said = [task.output.read_text().split() for task in tasks]
    assert max(int(together) for together, _, _ in said) == 2
    assert {device for _, device, _ in said} == (set(gpus) or {"None"}) and {threads for _, _, threads in said} == {"3"}
    assert pool.places == f"2 tasks at a time, {'one GPU' if gpus else '3 cores'} for each"


def test_how_many_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, gpus, places in (
        (2, (), "1 task at a time, 2 cores for each"),
        (1, (), "1 task at a time, 1 core for each"),
        (16, (), "8 tasks at a time, 2 cores for each"),
        (16, ("0", "1"), "2 tasks at a time, one GPU for each"),
    ):
        monkeypatch.setattr(local_pool, "usable_cores", lambda cores=cores: cores)
        pool = LocalPool(gpus=gpus)
        pool.close()
        assert pool.places == places


def test_threads_that_the_person_chose_stay(
    make_task: MakeTask, queued: Queued, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    (out / "live").mkdir()
    pool, task = LocalPool(1, gpus=()), queued(make_task("a", TOGETHER))
    pool.submit(task, 0).result(60)
    pool.close()
    assert task.output.read_text().split()[2] == "7"


def test_more_jobs_than_gpus() -> None:
    with pytest.raises(InputError, match="--jobs 3: every task has a GPU to itself, and 2 can be seen"):
        LocalPool(3, gpus=("0", "1"))


def test_gpus_are_those_that_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(local_pool, "nvidia_device", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, 3")
    assert visible_gpus() == ("GPU-a", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert visible_gpus() == (), "a build of torch without CUDA"
    monkeypatch.setattr(local_pool, "nvidia_device", lambda: False)
    assert visible_gpus() == ()


def test_usable_cores() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_what_cannot_be_written_fails_the_task(make_task: MakeTask, queued: Queued) -> None:
    task = queued(make_task("a"))
    task.log.mkdir()  # a folder where the log should go
    pool = LocalPool(1, gpus=())
    state = pool.submit(task, 3).result(60)
    pool.close()
    assert state.status == "failed" and "a.log: is a folder" in state.reason


def test_stopping_ends_what_runs_and_begins_nothing_more(make_task: MakeTask, queued: Queued) -> None:
    pool = LocalPool(1, gpus=())
    first = queued(make_task("a", "import time; print('begun', flush=True); time.sleep(60)"))
    second = queued(make_task("b"))
    futures = [pool.submit(task, 1) for task in (first, second)]
    while "begun" not in (first.log.read_text().splitlines() if first.log.exists() else []):
        assert not futures[0].done()
    pool.stop()
    states = [future.result(60) for future in futures]
    pool.close()
    assert [state.status for state in states] == ["interrupted", "queued"] and not second.log.exists()


def test_stopping_ends_the_pause_before_another_attempt(make_task: MakeTask, queued: Queued) -> None:
    pool = LocalPool(1, gpus=(), pause=600.0)
    monkey = queued(make_task("a", "raise SystemExit(1)"))
    future = pool.submit(monkey, 5)
    state = None
    while state is None or state.status != "failed":
        state = read_state(monkey.state)
    pool.stop()
    assert future.result(60).attempts == 1
    pool.close()


def test_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = make_engine(1, None)
    pool.close()
    assert isinstance(pool, Engine) and isinstance(pool, LocalPool)
    with pytest.raises(InputError, match="--jobs is for this machine"):
        make_engine(2, "auto")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        MissingDependency, match=r"--ray needs the plugin avatarkit-ray, .*; run: pip install avatarkit-ray"
    ):
        make_engine(None, "auto")


def test_a_pool_is_used_again(make_task: MakeTask, queued: Queued) -> None:
    pool = LocalPool(1, gpus=())
    states: list[State] = [pool.submit(queued(make_task(name, MAKE)), 0).result(60) for name in ("a", "b", "c")]
    pool.close()
    assert [state.status for state in states] == ["done"] * 3
