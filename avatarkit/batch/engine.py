"""Engines run tasks: the local pool, or a cluster that a plugin knows."""

from __future__ import annotations

import importlib
import importlib.util
from concurrent.futures import Future
from typing import Protocol, runtime_checkable

from avatarkit.batch.state import State
from avatarkit.batch.tasks import Task
from avatarkit.errors import InputError, MissingDependency

RAY = "avatarkit_ray"


@runtime_checkable
class Engine(Protocol):
    """Runs tasks by ``avatarkit.batch.attempt.attempt``, as many at once as it has room for, each with a GPU of its own where
    there are GPUs.

    places: what it runs on, for people: "2 tasks at a time, one GPU for each".
    """

    @property
    def places(self) -> str: ...

    def submit(self, task: Task, retries: int) -> Future[State]:
        """Queue a task, whose ``fingerprint`` is set and whose state file says "queued".

        The future's result is the state after the last attempt: ``retries`` more than the first at most, for those that raise
        AttemptFailed or lose their worker.  It never raises for a fault of the task.
        """
        ...

    def stop(self, *, at_once: bool = False) -> None:
        """Ask what runs to stop with a checkpoint, or without one; what is queued is not begun.  Returns without waiting."""
        ...

    def close(self) -> None:
        """Let go of threads and connections, once no future is pending."""
        ...


def make_engine(jobs: int | None, ray: str | None, keep_open: tuple[int, ...] = ()) -> Engine:
    """The local pool with ``jobs`` tasks at once, or Ray at the address ``ray``.

    Raises InputError for settings that do not go together, MissingDependency without the plugin, EnvironmentProblem where
    no cluster answers.
    """
    if ray is None:
        from avatarkit.batch.local_pool import LocalPool

        return LocalPool(jobs, keep_open=keep_open)
    if jobs is not None:
        raise InputError(
            "--jobs is for this machine; with --ray the cluster's CPUs and GPUs decide how many tasks run at once"
        )
    if importlib.util.find_spec(RAY) is None:
        raise MissingDependency(
            "--ray needs the plugin avatarkit-ray, which is not installed; run: pip install avatarkit-ray"
        )
    module = importlib.import_module(f"{RAY}.engine")
    engine: Engine = module.RayEngine(module.RayConfig(address=ray))
    return engine
