"""``benchmarks/gpu.sh``: its parts are resumable, one that fails leaves nothing.  The interpreter is a script that plays the parts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("compile", "tests", "raster", "recon", "render")
PLAYED = """#!/bin/sh
echo "$2" >> "{log}"
[ "$2" = "{broken}" ] && exit 1
while [ "$1" != --json ]; do shift; done
echo '{{"part": 1}}' > "$2"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None or shutil.which("timeout") is None, reason="needs a shell")


def run(folder: Path, *parts: str, broken: str = "none") -> tuple[int, list[str]]:
    """Exit code, and the parts that were done."""
    log, python = folder / "log", folder / "python"
    log.write_text("")
    python.write_text(PLAYED.format(log=log, broken=broken))
    python.chmod(0o755)
    variables = {"PYTHON": str(python), "OUT": str(folder / "out"), "WORK": str(folder / "work"), "RASTERIZER": "cpu"}
    done = subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), *parts], env={**os.environ, **variables}, capture_output=True
    )
    return done.returncode, log.read_text().split()


def test_every_part_once(tmp_path: Path) -> None:
    assert run(tmp_path) == (0, list(PARTS))
    assert {file.name for file in (tmp_path / "out").iterdir()} == {f"{part}.json" for part in PARTS}
    assert json.loads((tmp_path / "out" / "raster.json").read_text()) == {"part": 1}
    assert run(tmp_path) == (0, []), "all are there"
    assert run(tmp_path, "raster") == (0, ["raster"]), "asked for by name it is done again"


def test_a_part_that_fails_is_done_again(tmp_path: Path) -> None:
    code, done = run(tmp_path, broken="raster")
    assert code != 0 and done == ["compile", "tests", "raster"]
    assert not (tmp_path / "out" / "raster.json").exists()
    assert run(tmp_path) == (0, ["raster", "recon", "render"])


def test_no_other_part(tmp_path: Path) -> None:
    assert run(tmp_path, "everything") == (2, [])
