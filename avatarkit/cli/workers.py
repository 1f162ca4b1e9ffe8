"""One command line in several processes of this machine, watched: what torchrun is for several machines.

Process 0 has the terminal.  The others write into logs that are read only when one of them fails; what ended first is the cause,
and the one line that is said.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avatarkit.batch.attempt import last_words
from avatarkit.batch.local_pool import usable_cores, visible_gpus
from avatarkit.errors import AvatarkitError, EnvironmentProblem, LostProcess
from avatarkit.recon.ranks import RENDEZVOUS

LOST = 75
"""Exit code of a process that ended because another one had."""
GRACE = 60.0
"""Seconds that the others have for a checkpoint once one has failed."""
POLL = 0.05
LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def gpu_places(count: int) -> list[dict[str, str]]:
    """Variables of ``count`` processes with a GPU each.  Raises EnvironmentProblem where there are fewer."""
    gpus = visible_gpus()
    if len(gpus) < count:
        have = f"{len(gpus) or 'no'} GPU{'' if len(gpus) == 1 else 's'}"
        raise EnvironmentProblem(
            f"--gpus {count}: torch sees {have} here (`avatarkit doctor` says more); "
            f"--processes {count} runs on the cores"
        )
    return [{"CUDA_VISIBLE_DEVICES": gpu} | _threads(count) for gpu in gpus[:count]]


def core_places(count: int) -> list[dict[str, str]]:
    """Variables of ``count`` processes without GPUs that share this machine's cores."""
    return [{"CUDA_VISIBLE_DEVICES": ""} | _threads(count)] * count


def _threads(count: int) -> dict[str, str]:
    """What torch and our kernels go by; a person's own choice stands."""
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, usable_cores() // count))}


def run_workers(arguments: Sequence[str], places: Sequence[Mapping[str, str]]) -> int:
    """Run ``avatarkit ARGUMENTS…`` once for each of ``places``; the exit code of process 0.

    Ctrl-C is passed on to process 0, which tells the others.  Raises AvatarkitError, with the cause and its exit code, when a process
    ended otherwise than by an error that process 0 has said itself; all have ended then.
    """
    with tempfile.TemporaryDirectory(prefix="avatarkit-", ignore_cleanup_errors=True) as folder:
        workers: list[subprocess.Popen[bytes]] = []
        try:
            for rank, place in enumerate(places):
                workers.append(_started(arguments, rank, len(places), place, Path(folder)))
            with _signals(workers[0]):
                ended = _watched(workers)
        finally:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.wait()
        return _verdict(ended, len(places), Path(folder))


def lost(error: LostProcess) -> int:
    """The exit code of one of several processes that lost another; the line is left to whoever started them."""
    if os.environ.get("RANK") != "0":
        print(f"avatarkit: {error}", file=sys.stderr)
    return LOST


def _started(
    arguments: Sequence[str], rank: int, size: int, place: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), RENDEZVOUS: (folder / "meet").as_uri()}
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", **place, **own}
    if sys.platform in LOOPBACK:  # one machine: nothing of it need be heard outside
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            variables.setdefault(name, LOOPBACK[sys.platform])
    line = [sys.executable, "-m", "avatarkit", *arguments]
    options: dict[str, Any] = {}
    if (
        sys.platform != "win32"
    ):  # a group of its own, so that Ctrl-C arrives once; dies with this process where the system can
        line = [sys.executable, "-m", "avatarkit.batch.tied", str(os.getpid()), *line]
        options = {"process_group": 0}
    if rank == 0:
        return subprocess.Popen(line, stdin=subprocess.DEVNULL, env=variables, **options)
    with _log(folder, rank).open("wb") as log:
        return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables, **options)


def _log(folder: Path, rank: int) -> Path:
    return folder / f"{rank}.log"


def _watched(workers: Sequence[subprocess.Popen[bytes]]) -> dict[int, int]:
    """Rank → exit code, in the order in which they ended; those that outlive a failed one for too long are left out."""
    ended: dict[int, int] = {}
    until = float("inf")
    while len(ended) < len(workers) and time.monotonic() < until:
        for rank, worker in enumerate(workers):
            if rank not in ended and worker.poll() is not None:
                ended[rank] = worker.returncode
                if worker.returncode:
                    until = min(until, time.monotonic() + GRACE)
        time.sleep(POLL)
    return ended


def _verdict(ended: Mapping[int, int], size: int, folder: Path) -> int:
    first = ended.get(0)
    if first == 0:
        return 0
    if first is not None and first > 0 and first != LOST:
        return first
    causes = [(rank, code) for rank, code in ended.items() if code not in (0, LOST)]
    lost = [rank for rank, code in ended.items() if code == LOST and rank > 0]
    if not causes:
        silent = [rank for rank in range(size) if rank not in ended]
        if silent:
            raise _Failed(f"process {silent[0]} of {size} did not answer and was ended; go on with --resume")
        said = last_words(_log(folder, lost[0])) if lost else ""
        raise _Failed(said or "the processes have lost each other; go on with --resume")
    rank, code = causes[0]
    if code < 0:
        names = {int(number): number.name for number in signal.Signals}
        likely = ", out of memory perhaps" if -code == getattr(signal, "SIGKILL", 0) else ""
        raise _Failed(
            f"process {rank} of {size} was killed ({names.get(-code, f'signal {-code}')}{likely}); go on with --resume"
        )
    raise _Failed(last_words(_log(folder, rank)) or f"process {rank} of {size} ended with exit code {code}", code)


class _Failed(AvatarkitError):
    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = code


@contextlib.contextmanager
def _signals(first: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C goes to process 0, which stops all with a checkpoint, at the second time at once; the third ends all from here.
    SIGTERM ends all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    presses = 0

    def pass_on(number: int, frame: Any) -> None:
        nonlocal presses
        presses += 1
        if presses > 2:
            raise KeyboardInterrupt
        if sys.platform != "win32":  # there it has heard it itself
            first.send_signal(signal.SIGINT)

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, pass_on), signal.SIGTERM: signal.signal(signal.SIGTERM, end)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
