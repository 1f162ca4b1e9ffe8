"""The engine: each task is one Ray task, retried by Ray where its worker dies or an attempt says that another may help."""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from avatarkit.batch.attempt import AttemptFailed
from avatarkit.batch.state import State, failed, read_state
from avatarkit.batch.tasks import Task
from avatarkit.errors import EnvironmentProblem, MissingDependency
from avatarkit_ray.options import RayConfig
from avatarkit_ray.worker import work

LOCAL = "local"


class RayEngine:
    """Tasks on a Ray cluster, whose workers see the batch's files under the same paths.

    Each has a GPU to itself where the cluster has GPUs, else ``config.cpus`` CPUs.  Raises MissingDependency without Ray,
    EnvironmentProblem where no cluster answers.
    """

    def __init__(self, config: RayConfig) -> None:
        self._ray = connected(config.address)
        total = self._ray.cluster_resources()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        gpus, largest = int(total.get("GPU", 0)), max((int(node.get("CPU", 0)) for node in nodes), default=0)
        cpus = max(1, min(config.cpus, largest))
        self._needs: dict[str, float] = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": cpus}
        each = "one GPU" if gpus else f"{cpus} CPU{'' if cpus == 1 else 's'}"
        size = f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}, {total.get('CPU', 0):.0f} CPUs, {gpus} GPUs"
        self.places = f"Ray ({size}), {each} for each task; every node must see the same files"
        self._waiting: dict[Any, Future[State]] = {}

    def submit(self, task: Task, retries: int) -> Future[State]:
        remote = self._ray.remote(work).options(
            **self._needs, max_retries=retries, retry_exceptions=[AttemptFailed], name=task.said
        )
        reference, answer = remote.remote(task), Future[State]()
        self._waiting[reference] = answer
        reference.future().add_done_callback(lambda got: self._answer(task, reference, got, answer))
        return answer

    def stop(self, *, at_once: bool = False) -> None:
        for reference in list(self._waiting):
            self._ray.cancel(reference, force=at_once)

    def close(self) -> None:
        self._ray.shutdown()

    def _answer(self, task: Task, reference: Any, got: Future[State], answer: Future[State]) -> None:
        """Ray's answer in the words of a state; in a thread of Ray's."""
        self._waiting.pop(reference, None)
        try:
            answer.set_result(self._state(task, got))
        except Exception as error:  # a state file that cannot be read, say: the batch must not wait for ever
            answer.set_result(State(task.name, "failed", task.fingerprint, reason=str(error)))

    def _state(self, task: Task, got: Future[State]) -> State:
        error = got.exception()
        if error is None:
            return got.result()
        cause = getattr(error, "cause", None) or error  # what the worker raised, inside Ray's own exception
        if isinstance(cause, AttemptFailed):
            return cause.state
        if isinstance(cause, self._ray.exceptions.TaskCancelledError | KeyboardInterrupt):
            return stopped(task)
        return failed(task.name, task.state, f"{type(cause).__name__}: {cause}")


def connected(address: str) -> Any:
    """The module ``ray``, connected.  No usage statistics are sent, and a local cluster hears this machine only."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # what it says of lost workers goes to stdout, where --json - writes
    if address == LOCAL:
        # Ray's name for "loopback only", which is its default on those systems; without it the ports hear all networks
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependency("--ray needs ray, which is not installed; run: pip install avatarkit-ray") from error
    own: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise EnvironmentProblem(
            f"--ray {address}: no Ray cluster answers there ({said}); start one with 'ray start --head', or use --ray local"
        ) from error
    return ray


def stopped(task: Task) -> State:
    """The state of a task that Ray cancelled: interrupted where an attempt was begun, else queued still."""
    state = read_state(task.state) or State(task.name, "queued", task.fingerprint)
    return replace(state, status="interrupted") if state.status == "running" else state
