"""Compiling kernels: a disk cache in a writable place, one line before the first compilation, and threads.

Kernels are compiled without Numba's own threading layers: they release the interpreter lock and are called once per
thread with ``(part, parts)``.  That needs no OpenMP or TBB, is safe from several Python threads at once, compiles about
three times faster than ``parallel=True``, and makes the order of every sum independent of the number of threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, _CacheLocator

from avatarkit.paths import home
from avatarkit.render.lanes import WIDTH

log = logging.getLogger("avatarkit")

FASTMATH = frozenset({"contract", "nnan", "ninf", "nsz", "arcp"})
"""Not "reassoc" and so not ``True``: it folds the rounding trick of ``lanes.exp2`` away (images off by 0.19)."""

_announced = threading.Event()


class _Locator(_CacheLocator):
    """Index files in ``NUMBA_CACHE_DIR`` or ``AVATARKIT_HOME/numba``; stale when any of our kernel sources changes."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._file = Path(py_file)
        self._line = py_func.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        root = Path(os.environ.get("NUMBA_CACHE_DIR") or home() / "numba")
        tag = hashlib.sha256(str(self._file.parent).encode()).hexdigest()[:12]
        return str(root / f"avatarkit-{tag}")

    def get_source_stamp(self) -> Any:
        own = Path(__file__).parent.glob("*.py")
        stats = [(path.name, path.stat().st_mtime, path.stat().st_size) for path in sorted({*own, self._file})]
        return tuple(stats)

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        return cls(py_func, py_file)


class _KernelCacheImpl(FunctionCache._impl_class):  # type: ignore[misc, name-defined]
    _locator_classes = [_Locator]  # noqa: RUF012


def _identity(function: Any) -> str:
    """What a closure was made of.  Numba's own key pickles called kernels with a random id, and so never hits."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    parts = [_identity(cell.py_func) if hasattr(cell, "py_func") else repr(cell) for cell in cells]
    return f"{function.__qualname__}({', '.join(parts)})"


class _KernelCache(FunctionCache):  # type: ignore[misc]
    _impl_class = _KernelCacheImpl

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (sig, codegen.magic_tuple(), _identity(self._py_func), WIDTH)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # damaged, or of a version whose types have moved since; unpickling says so in many ways
            with contextlib.suppress(OSError):
                self.flush()
            found = None
        if found is None and not _announced.is_set():
            _announced.set()
            log.warning(
                "compiling the CPU kernels for this machine (once, about half a minute; kept in %s)", self.cache_path
            )
        return found


def kernel(function: Callable[..., Any]) -> Any:
    """Compile with Numba, no interpreter lock, safe fast-math, and a disk cache that is indexed by vector width."""
    dispatcher = numba.njit(nogil=True, fastmath=set(FASTMATH), error_model="numpy")(function)
    return _cached(dispatcher, function)


def exact_kernel(function: Callable[..., Any]) -> Any:
    """``kernel`` with strict arithmetic: for code that has to see NaN and infinity."""
    return _cached(numba.njit(nogil=True, error_model="numpy")(function), function)


def _cached(dispatcher: Any, function: Callable[..., Any]) -> Any:
    dispatcher._cache = _KernelCache(function)
    return dispatcher


_sched_getcpu = getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
_ALLOWED: set[int] = os.sched_getaffinity(0) if _sched_getcpu is not None else set()

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="avatarkit-render")
        return _pool


def _after_fork() -> None:
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_threads: int | None = None


def thread_count() -> int:
    """How many threads kernels use: what torch uses, unless ``kernels_first`` holds torch back."""
    if _threads is not None:
        return _threads
    import torch

    return int(torch.get_num_threads())


@contextlib.contextmanager
def kernels_first() -> Iterator[None]:
    """Our kernels on all of torch's threads, torch's own operators on one, for the duration of a training loop.

    After an operator torch's workers spin for a while, in case there is more; small operators between our kernels keep
    them spinning, on the cores that our kernels want (binding took 4 ms instead of 0.7 on two cores).
    """
    global _threads
    import torch

    outer, torch_threads = _threads, torch.get_num_threads()
    _threads = thread_count()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _threads = outer
        torch.set_num_threads(torch_threads)


def _current_core() -> int:
    """The core that this thread is on, or −1 where the system does not say (anything but Linux)."""
    return int(_sched_getcpu()) if _sched_getcpu is not None else -1


def _apart(core: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function`` on another core than ``core``.

    Linux wakes a thread on the core of the one that wakes it and leaves both there for a few milliseconds, longer than a
    kernel runs: two parts took as long as one.  A worker that finds itself there steps aside, and stays aside.
    """
    if core >= 0 and _current_core() == core:
        others = _ALLOWED - {core}
        if others:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, others)
    function(*arguments)


def run_parts(parts: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function(part, parts, *arguments)`` for each part; part 0 on this thread.  Parts must write apart."""
    if parts == 1:
        function(0, 1, *arguments)
        return
    here = _current_core()
    futures = [_executor().submit(_apart, here, function, part, parts, *arguments) for part in range(1, parts)]
    try:
        function(0, parts, *arguments)
    finally:
        for future in futures:
            future.result()
