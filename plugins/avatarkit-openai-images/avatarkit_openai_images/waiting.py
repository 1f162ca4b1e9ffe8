"""Jobs that wait for a server, a few at a time, under a clock of our own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from avatarkit.errors import AvatarkitError
from avatarkit.events import Run

T = TypeVar("T")
Job = Callable[[threading.Event], T]
"""Does its work, and gives up soon after the event is set."""


def finish(
    jobs: Sequence[Job[T]],
    each: Callable[[int, T], None],
    *,
    parallel: int,
    deadline: float,
    run: Run,
    drop: Callable[[], None],
    late: Callable[[float], AvatarkitError],
) -> None:
    """Run ``jobs`` in at most ``parallel`` threads; ``each`` gets a job's index and result, in this thread, as they come.

    The first error of a job, or of ``each``, is raised and ends the others.  After ``deadline`` seconds ``late(seconds)`` is raised,
    and KeyboardInterrupt when the run is asked to stop, whatever the jobs wait for: their threads are left behind, and ``drop``
    takes away what they work with.
    """
    stopped = threading.Event()
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, T] | BaseException] = queue.SimpleQueue()
    for index in range(len(jobs)):
        waiting.put(index)

    def work() -> None:
        while not stopped.is_set():
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, jobs[index](stopped)))
            except BaseException as error:
                done.put(error)  # before the others stop, and perhaps fail for that
                stopped.set()

    began = time.monotonic()
    try:
        for number in range(min(parallel, len(jobs))):
            threading.Thread(target=work, name=f"job {number}", daemon=True).start()
        for _ in jobs:
            outcome = _next(done, began, deadline, run, late)
            if isinstance(outcome, BaseException):
                raise outcome
            each(*outcome)
    finally:
        stopped.set()
        drop()


def _next(
    done: queue.SimpleQueue[T], began: float, deadline: float, run: Run, late: Callable[[float], AvatarkitError]
) -> T:
    while True:
        if run.stopping:
            raise KeyboardInterrupt
        left = began + deadline - time.monotonic()
        try:
            return done.get(timeout=max(0.0, min(0.2, left)))
        except queue.Empty:
            if left <= 0:
                raise late(time.monotonic() - began) from None
