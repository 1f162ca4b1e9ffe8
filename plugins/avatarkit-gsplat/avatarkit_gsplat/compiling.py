"""gsplat's one long compilation, said with progress: its wheel holds sources, which nvcc turns into kernels at first use."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

NAME = "gsplat_cuda"  # what gsplat calls its extension
EVERY = 30.0  # seconds between lines where there is no terminal


@contextlib.contextmanager
def announced(version: str, console: Console | None = None) -> Iterator[None]:
    """Around gsplat's import: where that will compile, one line beforehand, progress by files, and as many compilers as cores.

    Says nothing where the kernels are there, or where nvcc is not.
    """
    folder, sources = build_folder(), count_sources()
    if folder is None or not sources or built(folder) or not has_compiler():
        yield
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    console = console or Console(stderr=True)
    console.print(
        f"gsplat {version} compiles its kernels, once: about a quarter of an hour on two cores, minutes on sixteen (here {cores}); "
        f"kept in {folder}",
        highlight=False,
    )
    before = os.environ.get("MAX_JOBS")
    os.environ["MAX_JOBS"] = before or str(cores)  # gsplat would start ten
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, sources, console, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        if before is None:
            os.environ.pop("MAX_JOBS", None)


def build_folder() -> Path | None:
    """Where torch builds the extension, or None where a build came with gsplat or torch cannot say."""
    try:
        if importlib.util.find_spec("gsplat.csrc") is not None:
            return None
        from torch.utils.cpp_extension import _get_build_directory

        return Path(_get_build_directory(NAME, False))
    except Exception:  # private to torch; without it there is no notice, and nothing else is lost
        return None


def built(folder: Path) -> bool:
    return any((folder / f"{NAME}{suffix}").is_file() for suffix in (".so", ".lib"))


def count_sources() -> int:
    """How many files nvcc and the host's compiler will be given."""
    try:
        spec = importlib.util.find_spec("gsplat")
    except (ImportError, ValueError):
        return 0
    if spec is None or not spec.submodule_search_locations:
        return 0
    folder = Path(spec.submodule_search_locations[0]) / "cuda"
    return sum(len(list((folder / "csrc").glob(f"*.{kind}"))) for kind in ("cu", "cpp")) + 1


def has_compiler() -> bool:
    from avatarkit import machine

    return not machine.cuda_compiler().found.startswith("no nvcc")


def _watch(folder: Path, total: int, console: Console, ended: threading.Event) -> None:
    began = spoken = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("compiling gsplat", total=total)
        while not ended.wait(0.5):
            done = min(total, len(list(folder.glob("*.o"))))
            bar.update(task, completed=done)
            if not console.is_terminal and time.monotonic() - spoken >= EVERY:
                spoken = time.monotonic()
                console.print(f"gsplat: {done} of {total} files compiled after {spoken - began:.0f} s", highlight=False)
        bar.update(task, completed=min(total, len(list(folder.glob("*.o")))))
