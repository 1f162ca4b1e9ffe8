"""Become a command that dies with the process that started it.

    python -m avatarkit.batch.tied PARENT_PID PROGRAM ARGUMENTS…

A batch that is killed with -9 cannot stop its children; where the system can (Linux), it does.  The wish outlives ``exec``, so
this small program states it and becomes the command: a function between ``fork`` and ``exec`` in a process with threads may
find a lock that nobody will release.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Never returns but by ``SystemExit``."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the wish was heard
            sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"avatarkit: {command[0]}: cannot be run: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
