"""What a worker of the cluster does for a task."""

from __future__ import annotations

from avatarkit.batch.attempt import Place, Stop, attempt
from avatarkit.batch.state import State
from avatarkit.batch.tasks import Task


def work(task: Task) -> State:
    """One attempt, in the place that Ray made: it has set CUDA_VISIBLE_DEVICES and OMP_NUM_THREADS, and cancels by KeyboardInterrupt."""
    return attempt(task, Stop(), Place())
