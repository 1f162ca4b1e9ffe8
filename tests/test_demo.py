"""The demo: draws a subject, reconstructs, films and reports; what happens after the job is heard without complaint."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from avatarkit import demo
from avatarkit.events import Finished, Run


def test_the_whole_demo_on_a_tiny_subject(
    tmp_path: Path, avatarkit_home: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("NUMBA_CACHE_DIR", environment["NUMBA_CACHE_DIR"])
    for name, value in {"CAMERAS": 2, "TIMESTEPS": 4, "SIDE": 64}.items():
        monkeypatch.setattr(demo, name, value)
    load = demo.load_config

    def short(kind: Any, name: str, overrides: dict[str, str]) -> Any:
        assert float(overrides["minutes"]) == 0.5
        settings = {"seed": overrides["seed"], "run_iterations": "6", "max_splats": "16000", "free_gaussians": "0"}
        return load(kind, name, settings)

    monkeypatch.setattr(demo, "load_config", short)
    heard: list[Any] = []
    run = Run(sinks=(heard.append,))
    with caplog.at_level(logging.ERROR, logger="avatarkit"):
        summary = demo.run_demo(tmp_path, run, minutes=0.5, seed=3)
    assert caplog.records == [], "no sink failed"
    stages = [event.stage for event in heard if isinstance(event, Finished)]
    assert stages[0] == "drawing the synthetic subject" and "recon" in stages and stages[-1] == "driving"
    for name in ("avatar", "film", "report"):
        assert Path(summary[name]).stat().st_size > 1000, name
    assert set(summary["metrics"]) == {"val", "test"}
    rows = [json.loads(line) for line in (tmp_path / "demo.run" / "events.jsonl").read_text().splitlines()]
    assert "driving" not in [row.get("stage") for row in rows], "the log is the job's"
    drawn = (tmp_path / "capture" / "transforms_train.json").stat().st_mtime_ns
    demo.make_synthetic(tmp_path / "capture", run, 3)
    assert (tmp_path / "capture" / "transforms_train.json").stat().st_mtime_ns == drawn, "drawn once"
