"""``benchmarks/table1.py``: dashes without data; with it, a row for each config and the means of what ``eval`` wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def table(out: Path, *arguments: object) -> tuple[str, dict]:
    line = [sys.executable, str(ROOT / "benchmarks" / "table1.py"), "--out", str(out), *map(str, arguments)]
    subprocess.run(line, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True)
    return (out / "table1.md").read_text(encoding="utf-8"), json.loads((out / "table1.json").read_text())


def test_without_the_data_set_there_are_dashes(tmp_path: Path) -> None:
    text, rows = table(tmp_path / "out", "--data", tmp_path / "nowhere", "--configs", "recon")
    assert "| recon | – | – | – | – | – | – | – |" in text and rows == {"recon": {}}
    assert "| DynamicAvatars (paper) | 30.1 | 0.907 | 0.094 |" in text


def test_with_it_every_subject_counts(reconstructed: Path, tiny_capture: Path, tmp_path: Path) -> None:
    """The avatar is there already: nothing is trained."""
    (tmp_path / "out" / tiny_capture.name).mkdir(parents=True)
    shutil.copy(reconstructed, tmp_path / "out" / tiny_capture.name / "recon.avatar")
    text, rows = table(tmp_path / "out", "--data", tiny_capture.parent, "--configs", "recon", "--head", "bust")
    stored = json.loads((reconstructed.with_suffix(".run") / "metrics.json").read_text())
    figures = {r["split"]: r["psnr"] for r in stored}
    assert f"| recon | {figures['val']:.2f} |" in text
    assert rows["recon"]["test"][0]["psnr"] == figures["test"]
