"""``benchmarks/scaling.py``: the projection against sums done by hand; what was not given stays a dash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def scaling(*arguments: object) -> str:
    line = [sys.executable, str(ROOT / "benchmarks" / "scaling.py"), *map(str, arguments)]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def test_without_figures_there_are_dashes_and_the_page_shows_the_formulas() -> None:
    text = scaling()
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    projected = text.partition("| of all heads")[2].splitlines()[2:]
    assert len(projected) == 13 and all(line.endswith("| – |") for line in projected)
    for line in projected:
        assert line.rpartition("| ")[0].rstrip(" |–") in page, line


def test_the_sums() -> None:
    """1000 heads of an hour on 10 GPUs that are always busy: 1000 h, 100 h of wall time."""
    given = {
        "heads": 1000, "gpus": 10, "gpus-a-node": 5, "busy": 1, "repeated": 0, "seconds": 3600, "capture-gb": 36, "cache-gb": 40,
        "run-gb": 0.09, "avatar-gb": 0.01, "months": 2, "gpu-hour": 3, "gb-month": 0.02, "gb-moved": 0.01,
    }  # fmt: skip
    numbers = json.loads(scaling("--json", *(part for name, value in given.items() for part in (f"--{name}", value))))
    assert numbers["projected"] == pytest.approx({
        "GPU hours, h": 1000, "time from first to last, days": 100 / 24, "captures, TB": 36, "avatars and run folders, TB": 0.1,
        "disk of a node, GB": 200, "read, all nodes, GB/s": 0.1, "read, one node, Gbit/s": 0.4, "written, all nodes, GB/s": 1 / 3600,
        "GPUs, money": 3000, "storage, money": 36.1 * 1000 * 2 * 0.02, "network, money": 361, "all, money": 4805,
        "one head, money": 4.805,
    })  # fmt: skip


def test_a_number_that_cannot_be() -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        scaling("--busy", 0)
    assert "--busy 0: expected a positive number" in error.value.stderr
