"""What a batch made, as rows: for the table at its end, for ``--json``, for the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatarkit.batch.state import State, Status
from avatarkit.batch.tasks import Task

if TYPE_CHECKING:
    from rich.table import Table

STYLES: dict[Status, str] = {
    "done": "green", "failed": "red", "skipped": "yellow", "interrupted": "yellow", "running": "cyan", "queued": "dim",
}  # fmt: skip
REPORTS = ((".run", "report.html"), (".edit", "before-after.jpg"))  # what recon and edit leave beside an avatar


@dataclass(frozen=True)
class Row:
    """A task and what came of it.

    kept: an earlier batch did it.  seconds: of all attempts.  val, test: PSNR of held-out frames, dB.  verdict: what became of an
    edit's operations.  report: of a reconstruction its page, of an edit the picture of before and after.  Paths are absolute;
    None where nothing is there.
    """

    name: str
    task: str
    status: Status
    kept: bool
    attempts: int
    seconds: float
    val: float | None
    test: float | None
    splats: int | None
    verdict: str
    reason: str
    avatar: Path | None
    log: Path | None
    report: Path | None
    picture: Path | None


def rows_of(tasks: Sequence[Task], states: Mapping[str, State], kept: AbstractSet[str]) -> list[Row]:
    """A row for each task, in their order."""
    return [_row(task, states[task.name], task.name in kept) for task in tasks]


def table(rows: Sequence[Row]) -> Table:
    """The rows for a terminal."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False)
    for name in ("name", "status", "time", "val dB", "test dB", "Gaussians", ""):
        drawn.add_column(name, overflow="fold", justify="left" if name in ("name", "status", "") else "right")
    for row in rows:
        status = Text(said_status(row), style=STYLES[row.status])
        figures = (duration(row.seconds), figure(row.val), figure(row.test), count(row.splats))
        drawn.add_row(Text(row.name), status, *map(Text, figures), Text(row.reason or row.verdict))
    return drawn


def said_status(row: Row) -> str:
    """``done``, ``done before``, ``failed after 2 attempts``."""
    if row.kept:
        return "done before"
    return f"{row.status} after {row.attempts} attempts" if row.attempts > 1 else row.status


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else (f"{seconds:.1f} s" if seconds else "")


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _row(task: Task, state: State, kept: bool) -> Row:
    done = state.status == "done"  # else what lies there is of an earlier time, or half done
    result = _result(task.result) if done else {}
    reports = [_there(task.output.with_suffix(suffix) / name) for suffix, name in REPORTS]
    return Row(
        task.name, task.said, state.status, kept, state.attempts, state.seconds,
        _psnr(result, "val"), _psnr(result, "test"), _number(result.get("splats"), int),
        _verdict(result), state.reason,
        log=_there(task.log), avatar=_there(task.output) if done else None,
        report=next(filter(None, reports), None) if done else None, picture=_there(task.drawn) if done else None,
    )  # fmt: skip


def _result(path: Path) -> dict[str, Any]:
    """What a command's ``--json`` wrote; empty where it wrote nothing that can be read."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _psnr(result: dict[str, Any], split: str) -> float | None:
    metrics = result.get("metrics")
    scores = metrics.get(split) if isinstance(metrics, dict) else None
    return _number(scores.get("psnr"), float) if isinstance(scores, dict) else None


def _verdict(result: dict[str, Any]) -> str:
    """``2 of 3 operations accepted; add hat: it is not seen from the left``."""
    done = result.get("operations")
    rows = [row for row in done if isinstance(row, dict)] if isinstance(done, list) else []
    if not rows:
        return ""
    refused = [row for row in rows if row.get("accepted") is not True]
    said = f"{len(rows) - len(refused)} of {len(rows)} operation{'' if len(rows) == 1 else 's'} accepted"
    if not refused:
        return said
    asked = refused[0].get("operation")
    words = " ".join(str(asked.get(key, "")) for key in ("kind", "target")) if isinstance(asked, dict) else ""
    return f"{said}; {words.replace('_', ' ')}: {refused[0].get('reason', '')}"


def _number(value: Any, kind: type) -> Any:
    return kind(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None
