"""The engine of this machine: processes side by side, each with a GPU of its own or its share of the cores."""

from __future__ import annotations

import os
import queue
from concurrent.futures import Future, ThreadPoolExecutor

from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential,
)

from avatarkit.batch.attempt import AttemptFailed, Place, Stop, attempt
from avatarkit.batch.state import State, failed
from avatarkit.batch.tasks import Task
from avatarkit.errors import AvatarkitError, InputError
from avatarkit.machine import nvidia_device

LONGEST_PAUSE = 60.0  # seconds between attempts


class LocalPool:
    """``jobs`` tasks at once; default: one for each GPU, without GPUs one for every two cores.

    gpus: as CUDA_VISIBLE_DEVICES names them; default: those that torch sees.  keep_open: file descriptors that tasks inherit.
    pause: seconds before the second attempt at a task, doubled before each further one.  Raises InputError for more jobs than
    GPUs.
    """

    def __init__(
        self,
        jobs: int | None = None,
        *,
        gpus: tuple[str, ...] | None = None,
        keep_open: tuple[int, ...] = (),
        pause: float = 1.0,
    ) -> None:
        gpus = visible_gpus() if gpus is None else gpus
        cores = usable_cores()
        jobs = jobs or len(gpus) or max(1, cores // 2)
        if gpus and jobs > len(gpus):
            raise InputError(
                f"--jobs {jobs}: every task has a GPU to itself, and {len(gpus)} can be seen; "
                'to run on the cores instead, set CUDA_VISIBLE_DEVICES=""'
            )
        threads = max(1, cores // jobs)
        # What torch and our kernels go by; a person's own choice stands.
        shared = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads)}
        self.places = f"{_count(jobs, 'task')} at a time, {'one GPU' if gpus else _count(threads, 'core')} for each"
        self._places: queue.SimpleQueue[Place] = queue.SimpleQueue()
        for i in range(jobs):
            own = {"CUDA_VISIBLE_DEVICES": gpus[i]} if gpus else {}
            self._places.put(Place({**shared, **own}, keep_open))
        self._stop, self._pause = Stop(), pause
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="avatarkit-batch")

    def submit(self, task: Task, retries: int) -> Future[State]:
        return self._pool.submit(self._run, task, retries)

    def stop(self, *, at_once: bool = False) -> None:
        if at_once:
            self._stop.at_once.set()
        self._stop.asked.set()

    def close(self) -> None:
        self._pool.shutdown()

    def _run(self, task: Task, retries: int) -> State:
        attempts = Retrying(
            retry=retry_if_exception_type(AttemptFailed),
            stop=stop_after_attempt(1 + retries) | stop_when_event_set(self._stop.asked),
            wait=wait_exponential(multiplier=self._pause, max=LONGEST_PAUSE),
            sleep=sleep_using_event(self._stop.asked),
            reraise=True,
        )
        place = self._places.get()
        try:
            return attempts(attempt, task, self._stop, place)
        except AttemptFailed as failure:
            return failure.state
        except (AvatarkitError, OSError) as error:  # a full disk, a log that cannot be written
            return failed(task.name, task.state, str(error))
        finally:
            self._places.put(place)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that torch can use here, as CUDA_VISIBLE_DEVICES names them.  Imports torch where there is an NVIDIA device."""
    if not nvidia_device():
        return ()
    import torch

    count = torch.cuda.device_count()  # asks the driver and makes no context
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in named.split(",")] if named else [str(i) for i in range(count)]
    return tuple(names[:count])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
