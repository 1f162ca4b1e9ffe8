"""Events out: a run emits typed events; progress bars, logs, TensorBoard and viewers are sinks.

A sink is any callable that takes an event.  A sink that raises is reported once and dropped: it never stops a run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarkit.errors import InputError

log = logging.getLogger("avatarkit")


@dataclass(frozen=True)
class Event:
    """Something that happened in a run."""


@dataclass(frozen=True)
class Started(Event):
    stage: str  # "track", "recon", …
    total: int | None = None  # steps, where known
    unit: str = "step"


@dataclass(frozen=True)
class Progress(Event):
    """``values`` are for the eye and the log: {"loss": 0.03, "psnr": 31.2, "splats": 24000}."""

    stage: str
    step: int
    total: int | None
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished(Event):
    stage: str
    seconds: float
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Notice(Event):
    """One line that a person should read once: a fallback taken, a frame skipped, data about to leave the machine."""

    text: str
    level: str = "info"  # "info" | "warning"


@dataclass(frozen=True)
class Scalars(Event):
    """One point of curves: written to the event log and TensorBoard."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class Picture(Event):
    """A picture that was written for people."""

    name: str
    path: Path


Sink = Callable[[Event], None]


class Run:
    """What a long job carries: where it writes, its seed, its sinks, and whether the person asked it to stop.

    anyway: go on with input that is doubtful (``doubt``).
    """

    def __init__(
        self, folder: Path | None = None, *, seed: int = 0, sinks: tuple[Sink, ...] = (), anyway: bool = False
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.anyway = anyway
        self._sinks = list(sinks)
        self._stop = threading.Event()

    def emit(self, event: Event) -> None:
        for sink in tuple(self._sinks):
            try:
                sink(event)
            except Exception:
                log.exception("event sink %r failed and is dropped", sink)
                self._sinks.remove(sink)

    def notice(self, text: str, level: str = "info") -> None:
        self.emit(Notice(text, level))

    def doubt(self, what: str, mend: str) -> None:
        """Input that can be used but hardly is what the person meant: InputError, or a warning where they said ``anyway``."""
        if not self.anyway:
            raise InputError(f"{what}; {mend}, or take it as it is with --anyway")
        self.notice(f"{what}; taken as it is", "warning")

    def add_sink(self, sink: Sink) -> None:
        self._sinks.append(sink)

    def remove_sink(self, sink: Sink) -> None:
        """``sink`` hears no more; one that is not there (dropped, perhaps) is passed over."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def aside(self, folder: Path, sink: Sink) -> Run:
        """A run that writes into ``folder`` and tells ``sink``, with this one's seed, and stopped when this one is."""
        other = Run(folder, seed=self.seed, sinks=(sink,), anyway=self.anyway)
        other._stop = self._stop
        return other

    def stop(self) -> None:
        """Ask the run to stop at the next safe point (Ctrl-C does)."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()


def collect() -> tuple[Run, list[Any]]:
    """A run without a folder whose events land in a list: for tests and notebooks."""
    events: list[Any] = []
    return Run(sinks=(events.append,)), events
