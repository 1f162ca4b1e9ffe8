"""Become a command that dies with the process that started it.

    python -m avatarkit.batch.tied PARENT_PID PROGRAM ARGUMENTS…

A batch that is killed with -9 cannot stop its children; where the system can (Linux), it does.  The wish outlives ``exec``, so
this small program states it and becomes the command: code between ``fork`` and ``exec`` in a process with threads may find a lock
that nobody will release.  (To Linux the parent is the thread that forked; those of the pool outlive their tasks.)
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Ends as the command, or by ``SystemExit``."""
    parent, command = int(arguments[0]), arguments[1:]
    hear_interrupts()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the wish was heard
            sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"avatarkit: {command[0]}: cannot be run: {error.strerror}", file=sys.stderr)
        sys.exit(127)


def hear_interrupts() -> None:
    """SIGINT is how a batch asks for a checkpoint; a script's background jobs have it ignored, Ray's workers blocked, and both
    are inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


if __name__ == "__main__":
    main(sys.argv[1:])
