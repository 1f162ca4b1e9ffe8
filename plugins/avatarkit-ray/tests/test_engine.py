"""Tasks on a real local Ray: workers that die, commands that fail, cancelling."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from avatarkit_ray.engine import RayEngine, connected, needs, stopped

from avatarkit.batch.engine import Engine, make_engine
from avatarkit.batch.running import Batch, TaskChanged
from avatarkit.batch.state import State, Status, read_state, write_state
from avatarkit.batch.tasks import Task
from avatarkit.errors import EnvironmentProblem
from avatarkit.events import collect

from .conftest import MakeTask

# The first attempt leaves a checkpoint and waits; the next writes what it was called with.  The parent is Ray's worker.
CHECKPOINTED = """
import os, sys, time, pathlib
out = pathlib.Path(sys.argv[1])
folder = out.with_suffix(".run") / "checkpoints"
with out.with_suffix(".workers").open("a") as workers: workers.write(f"{os.getppid()} {os.getpid()}\\n")
if folder.exists():
    out.write_text(" ".join(sys.argv[2:]))
    sys.exit()
folder.mkdir(parents=True)
(folder / "step-00000001.safetensors").touch()
print("begun", flush=True)
time.sleep(120)
"""
BESIDE = """
import os, sys, time, pathlib
out = pathlib.Path(sys.argv[1])
with out.with_suffix(".workers").open("a") as workers: workers.write(f"{os.getppid()} {os.getpid()}\\n")
until = time.monotonic() + 100
while not (out.parent / "go").exists() and time.monotonic() < until: time.sleep(0.05)
out.write_text("made")
"""


def wait_for(path: Path, lines: int = 1) -> list[list[int]]:
    """The pairs of worker and process in a file, once there are so many."""
    until = time.monotonic() + 60
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < until, f"{path.name} has not begun"
        time.sleep(0.02)
    return [list(map(int, line.split())) for line in path.read_text().splitlines()]


def checkpointed(make_task: MakeTask, name: str) -> Task:
    task = make_task(name, CHECKPOINTED)
    return replace(task, checkpoints=task.output.with_suffix(".run") / "checkpoints")


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_one_of_two_workers_is_killed(engine: RayEngine, make_task: MakeTask) -> None:
    """Its task is tried again on another worker and goes on from its checkpoint; the other one notices nothing."""
    first, second = checkpointed(make_task, "a"), make_task("b", BESIDE)
    futures = [engine.submit(task, 1) for task in (first, second)]
    ((worker, process),) = wait_for(first.output.with_suffix(".workers"))
    ((other, _),) = wait_for(second.output.with_suffix(".workers"))
    assert worker != other
    while "begun" not in first.log.read_text().splitlines():  # the log grows while it runs
        time.sleep(0.02)
    os.kill(worker, signal.SIGKILL)
    assert sys.platform != "linux" or gone(process), "what the worker had started dies with it"
    wait_for(first.output.with_suffix(".workers"), 2)
    (first.folder / "go").touch()
    states = [future.result(90) for future in futures]
    assert [(state.status, state.attempts) for state in states] == [("done", 2), ("done", 1)]
    assert first.output.read_text() == "--resume" and second.output.read_text() == "made"
    (_, _), (another, _) = wait_for(first.output.with_suffix(".workers"), 2)
    assert another != worker and len(wait_for(second.output.with_suffix(".workers"))) == 1
    assert [read_state(task.state) for task in (first, second)] == states
    assert first.log.read_text().count("=== attempt") == 2


def test_a_worker_that_dies_too_often(engine: RayEngine, make_task: MakeTask) -> None:
    task = checkpointed(make_task, "a")
    future = engine.submit(task, 0)
    ((worker, _),) = wait_for(task.output.with_suffix(".workers"))
    os.kill(worker, signal.SIGKILL)
    state = future.result(60)
    assert (state.status, state.attempts) == ("failed", 1) and state.reason.startswith("WorkerCrashedError: ")
    assert "\n" not in state.reason


@pytest.mark.parametrize(
    ("failures", "code", "retries", "status", "attempts"),
    [(1, 1, 1, "done", 2), (2, 1, 1, "failed", 2), (1, 2, 3, "failed", 1), (1, 1, 0, "failed", 1)],
)
def test_attempts(
    engine: RayEngine, make_task: MakeTask, failures: int, code: int, retries: int, status: str, attempts: int
) -> None:
    program = f"""
import sys, pathlib
out = pathlib.Path(sys.argv[1])
with out.with_suffix(".count").open("a") as count: count.write("x")
if out.with_suffix(".count").stat().st_size <= {failures}: print("avatarkit: not yet"); sys.exit({code})
out.write_text("made")
"""
    task = make_task("a", program)
    state = engine.submit(task, retries).result(60)
    assert (state.status, state.attempts) == (status, attempts)
    assert state.reason == ("not yet" if status == "failed" else "")
    assert task.output.with_suffix(".count").stat().st_size == attempts and read_state(task.state) == state


def test_a_batch_in_order(engine: RayEngine, make_task: MakeTask) -> None:
    run, events = collect()
    tasks = [
        make_task("b", after="a"),
        make_task("a"),
        make_task("c", "raise SystemExit(2)"),
        make_task("d", after="c"),
    ]
    states = Batch(tasks, engine, run).run()
    assert {name: state.status for name, state in states.items()} == {
        "a": "done", "b": "done", "c": "failed", "d": "skipped"
    }  # fmt: skip
    told = [event.name for event in events if isinstance(event, TaskChanged) and event.status != "running"]
    assert told.index("a") < told.index("b") and told.index("c") < told.index("d")
    assert isinstance(engine, Engine) and engine.places.startswith("Ray (1 node, 2 CPUs, 0 GPUs), 1 CPU for each task")


def test_a_folder_that_the_worker_does_not_share(engine: RayEngine, make_task: MakeTask) -> None:
    task = make_task("a")
    task.state.unlink()
    state = engine.submit(task, 3).result(60)
    assert state.status == "failed" and state.attempts == 0
    assert (
        state.reason
        == f"{task.folder} is another folder on {socket.gethostname()}; every worker must see the same files"
    )


def test_threads_are_as_many_as_cpus(engine: RayEngine, make_task: MakeTask) -> None:
    task = make_task("a", "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS'])")
    assert engine.submit(task, 0).result(60).status == "done" and task.output.read_text() == "1"


def test_it_hears_this_machine_only(engine: RayEngine) -> None:
    import ray

    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]


ORDERLY = """
import signal, sys, time
def stop(number, frame):
    print("writing what there is"); sys.exit(130)
signal.signal(signal.SIGINT, stop)
print("begun", flush=True)
while True: time.sleep(0.02)
"""


def test_cancelling(engine: RayEngine, make_task: MakeTask) -> None:
    """What runs ends as after Ctrl-C, and is not tried again; what waits is left as it was."""
    running = [make_task(name, ORDERLY) for name in "ab"]
    waiting = make_task("c")
    futures = [engine.submit(task, 2) for task in (*running, waiting)]
    until = time.monotonic() + 60
    while not all(task.log.exists() and "begun" in task.log.read_text().splitlines() for task in running):
        assert time.monotonic() < until
        time.sleep(0.02)
    for _ in range(3):  # a batch asks every second
        engine.stop()
    states = [future.result(60) for future in futures]
    assert [(s.status, s.attempts, s.exit_code) for s in states] == [
        ("interrupted", 1, 130), ("interrupted", 1, 130), ("queued", 0, None)
    ]  # fmt: skip
    assert all(task.log.read_text().endswith("writing what there is\n") for task in running)
    assert not waiting.log.exists() and read_state(waiting.state) == State("c", "queued", waiting.fingerprint)


def test_cancelling_at_once(engine: RayEngine, make_task: MakeTask) -> None:
    task = checkpointed(make_task, "a")
    future = engine.submit(task, 2)
    ((_, process),) = wait_for(task.output.with_suffix(".workers"))
    engine.stop(at_once=True)
    state = future.result(60)
    assert (state.status, state.attempts) == ("interrupted", 1)
    assert sys.platform != "linux" or gone(process)


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        ("running", None, "interrupted"),
        ("failed", -9, "interrupted"),  # killed by the stop, before Ray said so
        ("failed", 2, "failed"),  # it failed by itself
        ("done", 0, "done"),
    ],
)
def test_what_a_stop_killed_is_interrupted(make_task: MakeTask, status: Status, code: int | None, shown: str) -> None:
    task = make_task("a")
    write_state(task.state, State(task.name, status, task.fingerprint, attempts=1, exit_code=code))
    assert stopped(task).status == shown


# --- without a cluster -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "cpus", "asked"),
    [
        ([{"CPU": 8}], 2, {"num_gpus": 0, "num_cpus": 2}),
        ([{"CPU": 1}, {"CPU": 1}], 2, {"num_gpus": 0, "num_cpus": 1}),
        ([{}], 2, {"num_gpus": 0, "num_cpus": 1}),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 64}], 2, {"num_gpus": 1, "num_cpus": 2}),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 8, "GPU": 8}], 2, {"num_gpus": 1, "num_cpus": 1}),
        ([{"CPU": 1, "GPU": 2}], 2, {"num_gpus": 1, "num_cpus": 1}),
    ],
)
def test_what_a_task_asks_for(nodes: list[dict[str, float]], cpus: int, asked: dict[str, int]) -> None:
    assert needs(nodes, cpus) == asked


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_nobody_at_an_address(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_DEDUP_LOGS_SKIP_REGEX"):
        monkeypatch.setenv(name, "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(
        EnvironmentProblem, match=rf"--ray {scheme}127\.0\.0\.1:{port}: cannot connect to a Ray cluster there"
    ) as caught:
        make_engine(None, f"{scheme}127.0.0.1:{port}")
    assert "ray start --head" in str(caught.value) and "\n" not in str(caught.value) and time.monotonic() - began < 30


def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_DEDUP_LOGS_SKIP_REGEX"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(EnvironmentProblem, match="--ray nowhere: cannot connect to a Ray cluster there"):
        connected("nowhere")


def test_the_provider_and_its_options_import_no_ray() -> None:
    code = (
        "import sys, avatarkit_ray.provider, avatarkit_ray.options, avatarkit_ray.engine; print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_doctor_shows_the_version() -> None:
    import ray
    from avatarkit_ray.provider import ray_version

    assert ray_version().ok and ray.__version__ in ray_version().found
