"""Clocks for benchmarks: CUDA events on a GPU, the host's clock elsewhere; medians after a warm-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


class Stopwatch:
    """Seconds by part over many rounds.  On a GPU nothing is waited for until ``medians``: events stand in the stream."""

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda")
        self._marks: dict[str, list[tuple[object, object]]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block for ``name``; the same name twice in a round counts twice, see ``next_round``."""
        begin = self._mark()
        yield
        self._marks.setdefault(name, []).append((begin, self._mark()))

    def add(self, name: str, begin: object, end: object) -> None:
        """Count from one ``mark`` to another."""
        self._marks.setdefault(name, []).append((begin, end))

    def mark(self) -> object:
        return self._mark()

    def medians(self, skip: int = 0) -> dict[str, float]:
        """Median seconds of each part, without its first ``skip`` times."""
        if self._cuda:
            torch.cuda.synchronize()
        return {
            name: float(np.median([self._seconds(*pair) for pair in pairs[skip:]]))
            for name, pairs in self._marks.items()
        }

    def _mark(self) -> object:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _seconds(self, begin: object, end: object) -> float:
        if self._cuda:
            return 1e-3 * float(begin.elapsed_time(end))  # type: ignore[attr-defined]
        return float(end) - float(begin)  # type: ignore[arg-type]


def median_seconds(work: Callable[[], object], device: str, repeats: int, warm_up: int = 3) -> float:
    """Of one call of ``work``, run back to back as in real use: on a GPU host and device overlap, and the whole is waited for at the
    end of each of three blocks.
    """
    cuda = device.startswith("cuda")
    for _ in range(warm_up):
        work()
    if not cuda:
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return float(np.median(times))
    blocks = []
    for _ in range(3):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        torch.cuda.synchronize()
        blocks.append((time.perf_counter() - began) / repeats)
    return float(np.median(blocks))


def reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()


def peak_mib(device: str) -> float:
    """Most memory so far, MiB: what torch allocated on the GPU since ``reset_peak``; elsewhere the process' resident peak."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
