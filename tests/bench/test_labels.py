"""The benchmark of labels: its damage, and a short run whose order is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from avatarkit.bench import labels
from avatarkit.cli.main import app
from avatarkit.labels import LABEL_INDEX


def test_a_fifth_of_the_regions_is_damaged() -> None:
    classes = np.zeros((200, 200), np.int64)
    for k in range(20):
        for j in range(20):
            classes[10 * k + 2 : 10 * k + 8, 10 * j + 2 : 10 * j + 8] = 1 + (k + j) % 18
    found = labels.damaged(classes, np.random.default_rng(0))
    changed = (found != classes)[5::10, 5::10]
    assert 0.12 < changed.mean() < 0.28
    assert (found[classes == 0] == 0).all()
    assert (found[5::10, 5::10][changed] == LABEL_INDEX["background"]).mean() > 0.25


def test_the_command_scores_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_capture: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / labels.CAPTURE).symlink_to(tiny_capture)
    done = CliRunner().invoke(
        app, ["bench", "labels", "-o", str(tmp_path / "out"), "--iterations", "80", "--json", "-"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout[done.stdout.index("{") :])
    scores = {row["source"]: row["test"]["miou"] for row in found["rows"]}
    assert list(scores) == ["true maps", "head-regions", "true maps, a fifth damaged", "one static view"]
    assert scores["true maps"] > 0.5 and scores["true maps"] >= scores["true maps, a fifth damaged"] - 0.02
    assert scores["true maps"] > scores["one static view"]
    assert "IoU by class" in done.output and "l_brow" in done.output
