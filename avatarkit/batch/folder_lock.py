"""One batch at a time in a folder.

The lock is the system's (``flock``): it goes with the processes that hold it, however they end.  Tasks inherit it, so one that
a killed batch left running is noticed before a second one writes the same files.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from avatarkit.errors import InputError
from avatarkit.paths import explained

PATIENCE = 10.0
"""Seconds to wait for the tasks of a killed batch, which the system is clearing away."""


@contextlib.contextmanager
def held(folder: Path, patience: float = PATIENCE) -> Iterator[tuple[int, ...]]:
    """Hold ``folder/state/lock``; gives the file descriptors that tasks are to inherit, none where the system has no ``flock``.

    Raises InputError where another batch, or a task that it left behind, holds it for longer than ``patience``, seconds.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield ()
        return
    path = folder / "state" / "lock"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise InputError(_held_by(folder, os.pread(descriptor, 200, 0))) from None
                time.sleep(0.1)
            except OSError:  # a file system without locks
                yield ()
                return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _held_by(folder: Path, who: bytes) -> str:
    return (
        f"{folder}: a batch is at work there (process {who.decode('utf-8', 'replace')}), or tasks that it left behind; "
        "wait for it, stop it, or choose another folder with -o"
    )
