"""What a worker of the cluster does for a task."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from avatarkit.batch.attempt import Place, Stop, attempt
from avatarkit.batch.state import State
from avatarkit.batch.tasks import Task


def work(task: Task) -> State:
    """One attempt, in the place that Ray made: it has set CUDA_VISIBLE_DEVICES and OMP_NUM_THREADS."""
    stop = Stop()
    with cancellable(stop):
        return attempt(task, stop, Place())


@contextmanager
def cancellable(stop: Stop) -> Iterator[None]:
    """Ray cancels by a SIGINT that it simulates in the main thread; a worker that was born of a job in the background, where
    SIGINT is ignored, would not hear it without a handler of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        stop.asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
