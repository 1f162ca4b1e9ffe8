"""The first compilation says what it is doing, once; what is kept on disk needs no second one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarkit.render import compiled

ROOT = Path(__file__).resolve().parents[2]
NOTICE = "compiling the CPU kernels for this machine (once, about half a minute; kept in {place})"


def doubled(values, out):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        out[i] = 2.0 * values[i]


def halved(values, out):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        out[i] = 0.5 * values[i]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of kernels."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def call(kernel: Any) -> list[float]:
    out = np.zeros(3)
    kernel(np.array([1.0, 2.0, 3.0]), out)
    return [float(value) for value in out]


def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was said yet."""
    monkeypatch.setattr(compiled, "_announced", threading.Event())


def test_it_is_said_once_and_where_it_is_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    new_process(monkeypatch)
    twice, half = compiled.kernel(doubled), compiled.exact_kernel(halved)
    assert not caplog.records, "nothing is compiled before it is called"
    assert call(twice) == [2.0, 4.0, 6.0] and call(half) == [0.5, 1.0, 1.5] and call(twice) == [2.0, 4.0, 6.0]
    (place,) = cache.iterdir()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, NOTICE.format(place=place))
    ]
    assert len(list(place.glob("*.nbc"))) == 2, "both are there"
    assert len(twice.overloads) == 1, "and were compiled"


def test_what_is_kept_is_not_compiled_again_and_nothing_is_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    new_process(monkeypatch)
    call(compiled.kernel(doubled))
    caplog.clear()
    new_process(monkeypatch)
    again = compiled.kernel(doubled)
    assert call(again) == [2.0, 4.0, 6.0] and not caplog.records
    assert sum(again.stats.cache_hits.values()) == 1 and not again.stats.cache_misses


def test_a_damaged_cache_is_compiled_again_and_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    new_process(monkeypatch)
    call(compiled.kernel(doubled))
    (place,) = cache.iterdir()
    for file in place.iterdir():
        file.write_bytes(b"damaged")
    caplog.clear()
    new_process(monkeypatch)
    assert call(compiled.kernel(doubled)) == [2.0, 4.0, 6.0]
    assert [record.getMessage() for record in caplog.records] == [NOTICE.format(place=place)]


KERNEL = """
import contextlib
from avatarkit.cli.main import main
with contextlib.suppress(SystemExit):
    main(["--version"])  # shows of the log what every command shows
import numpy as np
from avatarkit.evaluate.trivial import still_errors
print(still_errors(np.zeros((1, 4, 4, 3), np.uint8), np.ones((4, 4, 3), np.float32), np.ones((1, 4, 4), np.float32)))
"""


def test_a_person_reads_it_on_stderr_the_first_time_only(tmp_path: Path) -> None:
    """One of the package's own kernels, each time in a new process; the cache is below AVATARKIT_HOME where Numba is told none."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"AVATARKIT_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    heard = [
        subprocess.run([sys.executable, "-c", KERNEL], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (place,) = (tmp_path / "home" / "numba").iterdir()
    assert [one.stderr for one in heard] == [f"avatarkit: {NOTICE.format(place=place)}\n", ""]
    assert heard[0].stdout == heard[1].stdout and heard[0].stdout.endswith("[[48.]]\n")
