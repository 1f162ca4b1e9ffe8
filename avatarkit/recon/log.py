"""Sinks that write a run down: every event as a line of JSON, scalars for TensorBoard, curves for the report."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from avatarkit.events import Event, Progress, Scalars

BEGIN = "Begin"  # a row of the log: a new run starts in a folder that may have had one


class EventLog:
    """Appends events to ``events.jsonl``; progress is left out, scalars hold the same."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a", encoding="utf-8")

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            return
        self._write({"time": round(time.time(), 3), "event": type(event).__name__, **dataclasses.asdict(event)})

    def begin(self) -> None:
        """Curves start here: what an earlier run wrote into the same file is history."""
        with contextlib.suppress(OSError):  # as a sink it is dropped at the next event then, which is said
            self._write({"time": round(time.time(), 3), "event": BEGIN})

    def _write(self, row: dict[str, Any]) -> None:
        self._stream.write(json.dumps(row, default=str) + "\n")
        self._stream.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: what could be written is there
            self._stream.close()


class TensorBoard:
    """Scalars for TensorBoard; only where the ``tensorboard`` package is installed.  Writes nothing before the first ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Scalars):
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # a resumed run does some steps again
            self._writer = SummaryWriter(str(self._folder), purge_step=event.step)
        for name, value in event.values.items():
            self._writer.add_scalar(name, value, event.step)

    def begin(self) -> None:
        """A new run: the curves of an earlier one in the same folder go."""
        for old in self._folder.glob("events.out.tfevents.*"):
            with contextlib.suppress(OSError):
                old.unlink()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def tensorboard_sink(folder: Path) -> TensorBoard | None:
    """A sink, or None where tensorboard is not installed."""
    return TensorBoard(folder) if importlib.util.find_spec("tensorboard") else None


def read_scalars(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """``events.jsonl`` → curve name → (steps, values) of the newest run.

    Lines that a crash cut short are passed over; steps that were done again after one count once, as last written.
    """
    curves: dict[str, tuple[list[float], list[float]]] = {}
    if not path.is_file():
        return curves
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row.get("event") == BEGIN:
            curves.clear()
        elif row.get("event") == "Scalars":
            for name, value in row["values"].items():
                x, y = curves.setdefault(name, ([], []))
                while x and x[-1] >= row["step"]:
                    x.pop()
                    y.pop()
                x.append(row["step"])
                y.append(value)
    return curves
