"""What commands print for people: progress for the eye, a short summary."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from avatarkit import events

console = Console(stderr=True)


def metric(value: float | None, digits: int = 2) -> str:
    """A figure, or a dash where nothing was measured."""
    return "–" if value is None else f"{value:.{digits}f}"


class ProgressSink:
    """Draws progress events: a live bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: Progress | None = None
        self._task: Any = None
        self._spoken = 0.0
        self._began = 0.0

    def __call__(self, event: events.Event) -> None:
        if self.quiet:
            return
        if isinstance(event, events.Started):
            self._start(event)
        elif isinstance(event, events.Progress):
            self._progress(event)
        elif isinstance(event, events.Finished):
            self.close()
            values = "  ".join(f"{name} {value:.4g}" for name, value in event.values.items())
            console.print(f"[green]✓[/] {event.stage} in {_duration(event.seconds)}  [dim]{values}[/]")
        elif isinstance(event, events.Notice):
            style = "yellow" if event.level == "warning" else "dim"
            console.print(Text(event.text, style=style))  # what a server said is no markup

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start(self, event: events.Started) -> None:
        self.close()
        self._began = self._spoken = time.monotonic()
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("[dim]{task.fields[values]}"), console=console,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(event.stage, total=event.total, values="")
        else:
            console.print(f"{event.stage}: started" + (f", {event.total} {event.unit}s" if event.total else ""))

    def _progress(self, event: events.Progress) -> None:
        values = "  ".join(f"{name} {value:.4g}" for name, value in event.values.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=event.step, total=event.total, values=values)
            return
        now = time.monotonic()
        if now - self._spoken < 10.0:
            return
        self._spoken = now
        left = ""
        if event.total and event.step:
            left = f", {_duration((now - self._began) * (event.total - event.step) / event.step)} left"
        console.print(f"{event.stage}: {event.step}/{event.total or '?'}{left}  {values}", highlight=False)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def short(path: Path) -> str:
    """A path as a person would type it: relative to here where it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
