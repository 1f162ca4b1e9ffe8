"""The engine: each task is one Ray task, retried by Ray where its worker dies or an attempt says that another may help."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
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
CONNECT_SECONDS = 10.0


class RayEngine:
    """Tasks on a Ray cluster, whose workers see the batch's files under the same paths.

    Each has a GPU to itself where the cluster has GPUs, else ``config.cpus`` CPUs.  Raises MissingDependency without Ray,
    EnvironmentProblem where no cluster answers.
    """

    def __init__(self, config: RayConfig) -> None:
        self._ray = connected(config.address)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        self._needs = needs(nodes, config.cpus)
        total = {name: round(sum(node.get(name, 0) for node in nodes)) for name in ("CPU", "GPU")}
        each = "one GPU" if self._needs["num_gpus"] else _count(self._needs["num_cpus"], "CPU")
        size = ", ".join((_count(len(nodes), "node"), _count(total["CPU"], "CPU"), _count(total["GPU"], "GPU")))
        self.places = f"Ray ({size}), {each} for each task; every node must see the same files"
        self._waiting: dict[Any, Future[State]] = {}
        self._cancelled: dict[Any, bool] = {}

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
            if self._cancelled.get(reference) != at_once:  # once each way, however often this is called
                self._cancelled[reference] = at_once
                self._ray.cancel(reference, force=at_once)

    def close(self) -> None:
        self._ray.shutdown()

    def _answer(self, task: Task, reference: Any, got: Future[State], answer: Future[State]) -> None:
        """Ray's answer in the words of a state; in a thread of Ray's."""
        self._waiting.pop(reference, None)
        try:
            answer.set_result(self._state(task, got, self._cancelled.get(reference, False)))
        except Exception as error:  # a state file that cannot be read, say: the batch must not wait for ever
            answer.set_result(State(task.name, "failed", task.fingerprint, reason=str(error)))

    def _state(self, task: Task, got: Future[State], at_once: bool) -> State:
        error = got.exception()
        if error is None:
            return got.result()
        if at_once:  # a worker that is killed may die before Ray has told it why, and is then a crashed one
            return stopped(task)
        cause = getattr(error, "cause", None) or error  # what the worker raised, inside Ray's own exception
        if isinstance(cause, AttemptFailed):
            return cause.state
        if isinstance(cause, self._ray.exceptions.TaskCancelledError | KeyboardInterrupt):
            return stopped(task)
        return failed(task.name, task.state, f"{type(cause).__name__}: {cause}")


def needs(nodes: Sequence[Mapping[str, float]], cpus: int) -> dict[str, int]:
    """What a task asks for: a GPU where there are some, and at most ``cpus`` CPUs, so few that no GPU waits for a CPU.

    nodes: the resources of each, as Ray calls them ("CPU", "GPU").
    """
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if with_gpus:
        spare = min(int(node.get("CPU", 0) // node["GPU"]) for node in with_gpus)
        return {"num_gpus": 1, "num_cpus": max(1, min(cpus, spare))}
    largest = max((int(node.get("CPU", 0)) for node in nodes), default=0)
    return {"num_gpus": 0, "num_cpus": max(1, min(cpus, largest))}


def connected(address: str) -> Any:
    """The module ``ray``, connected.  No usage statistics are sent, and a local cluster hears this machine only."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What Ray itself says of lost workers goes to stdout, where --json - writes.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    if address == LOCAL:
        # Heeded on every system: 0 keeps a new cluster to 127.0.0.1, as Windows and macOS have it; else its ports hear all networks.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependency("--ray needs ray, which is not installed; run: pip install avatarkit-ray") from error
    refuse_silent(address)
    own: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # no connection, no token, another version of Python or Ray: each says so
        raise unreachable(address, error) from error
    return ray


def refuse_silent(address: str) -> None:
    """Raise EnvironmentProblem where nothing answers at HOST:PORT: Ray itself would go on asking for minutes."""
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if not sign or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise unreachable(address, error) from error


def unreachable(address: str, error: Exception) -> EnvironmentProblem:
    said = " ".join(str(error).split())[:200]
    return EnvironmentProblem(
        f"--ray {address}: cannot connect to a Ray cluster there ({said}); start one with 'ray start --head', use --ray local, "
        "or set RAY_AUTH_MODE=token where the cluster asks for a token"
    )


def stopped(task: Task) -> State:
    """The state of a task that Ray cancelled: interrupted where an attempt was begun or killed, else queued still."""
    state = read_state(task.state) or State(task.name, "queued", task.fingerprint)
    killed = state.status == "failed" and (state.exit_code is None or state.exit_code < 0)
    return replace(state, status="interrupted") if state.status == "running" or killed else state


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
