"""Ctrl-C: asks a run to stop at the next safe point; pressed again, it interrupts at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from avatarkit.events import Run


@contextmanager
def interruptible(run: Run) -> Iterator[None]:
    """The first Ctrl-C asks the run to stop at the next step, with a checkpoint; the second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: Any) -> None:
        run.stop()
        run.notice("stopping after this step; press Ctrl-C again to stop at once", "warning")
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
