"""A Ray of two CPUs on this machine's loopback, and tasks that are small Python programs."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from avatarkit_ray.engine import RayEngine
from avatarkit_ray.options import RayConfig

from avatarkit.batch.running import FOLDERS
from avatarkit.batch.state import State, write_state
from avatarkit.batch.tasks import Task, fingerprint

MAKE = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('made')"
MakeTask = Callable[..., Task]


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    """``RayEngine("local")`` with two CPUs, one for each task, on whatever machine; Ray writes no token into the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        # what `connected` sets by itself stands here too, so that nothing of it outlives these tests
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        import ray

        patch.setattr(ray, "init", functools.partial(ray.init, num_cpus=2, object_store_memory=80 * 2**20))
        made = RayEngine(RayConfig("local", cpus=1))
        yield made
        made.close()


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """``make_task("a", code)``: a task that runs ``code`` with the path of its output; queued as ``Batch`` does."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()

    def made(name: str, code: str = MAKE, **fields: object) -> Task:
        output = tmp_path / f"{name}.avatar"
        task = Task(name, f"job {name}", (sys.executable, "-c", code, str(output)), tmp_path, output)
        task = replace(task, **fields)  # type: ignore[arg-type]
        task = replace(task, fingerprint=fingerprint(task))
        write_state(task.state, State(name, "queued", task.fingerprint))
        return task

    return made
