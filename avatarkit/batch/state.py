"""What became of a task, as a small JSON file that is written whole or not at all: a batch may be killed at any moment."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from avatarkit.config import from_mapping
from avatarkit.errors import InputError
from avatarkit.paths import atomic_write_text, explained

Status = Literal["queued", "running", "interrupted", "done", "failed", "skipped"]


@dataclass(frozen=True)
class State:
    """status: "running" may be stale, where a batch was killed.  fingerprint: of what was asked (``tasks.fingerprint``).

    attempts: begun with this fingerprint.  started: the last one, ISO 8601, UTC.  seconds: of all attempts that ended.
    command: of the last one, as a person would type it.  exit_code: negative for a signal.  reason: why it failed, was
    interrupted or was skipped.  host: where the last one ran.
    """

    name: str
    status: Status
    fingerprint: str = ""
    attempts: int = 0
    started: str = ""
    seconds: float = 0.0
    command: str = ""
    exit_code: int | None = None
    reason: str = ""
    host: str = ""


def read_state(path: Path) -> State | None:
    """The state in ``path``; None where there is none, or one that nobody can read: the task is then run again."""
    try:
        with explained(path):
            values = json.loads(path.read_text(encoding="utf-8"))
        return from_mapping(State, values, str(path))
    except (InputError, ValueError, TypeError, AttributeError):  # no file; no JSON, no UTF-8; no mapping; keys missing
        return None


def failed(name: str, path: Path, reason: str) -> State:
    """The state of a task that an engine gave up, after what its file says."""
    return replace(read_state(path) or State(name, "queued"), status="failed", reason=" ".join(reason.split())[:400])


def write_state(path: Path, state: State) -> None:
    """Atomically.  Raises EnvironmentProblem where the folder cannot be written."""
    atomic_write_text(path, json.dumps(dataclasses.asdict(state), indent=1) + "\n")
