"""The benchmark: what it prints for machines, and that its table fits a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from avatarkit.bench import raster
from avatarkit.bench.scenes import BenchScene, garden, random_splats
from avatarkit.cli.main import app

ROW = {
    "scene", "splats", "width", "height", "threads", "forward_ms", "backward_ms", "bin_sort_ms", "evaluated_pairs",
    "blended_pairs", "fraction_of_peak",
}  # fmt: skip


def tiny(quick: bool = False) -> list[BenchScene]:
    return [random_splats(1000, 64, 48, 4), random_splats(2000, 48, 64, 6)]


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(raster, "scenes", tiny)
    return raster.run(threads=(1, 2), repeats=3)


def test_the_command_writes_its_figures_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(raster, "scenes", tiny)
    done = CliRunner().invoke(app, ["bench", "raster", "--repeats", "3", "--scenes", "1k r4", "--json", "-"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["peak_pairs_per_s_per_core"] > 0 and {row["scene"] for row in found["rows"]} == {"1k r4"}
    file = tmp_path / "bench.json"
    done = CliRunner().invoke(app, ["bench", "raster", "--repeats", "3", "--scenes", "1k r4", "--json", str(file)])
    assert done.exit_code == 0 and json.loads(file.read_text()).keys() == found.keys()


def test_rows_are_consistent(result: dict[str, Any]) -> None:
    rows = result["rows"]
    assert [(row["scene"], row["threads"]) for row in rows] == [(s, t) for s in ("1k r4", "2k r6") for t in (1, 2)]
    assert [(row["splats"], row["width"], row["height"]) for row in rows[::2]] == [(1000, 64, 48), (2000, 48, 64)]
    for row in rows:
        assert row.keys() >= ROW
        assert 0 < row["blended_pairs"] <= row["evaluated_pairs"]
        assert row["fraction_of_peak"] > 0 and row["fraction_of_peak_backward"] > 0
        parts = row["project_ms"] + row["bin_sort_ms"] + row["blend_ms"]
        assert 0 < parts < 2 * row["forward_ms"]  # medians of each: they need not add up
    for name in ("evaluated_pairs", "blended_pairs"):  # work does not depend on threads
        assert [row[name] for row in rows[::2]] == [row[name] for row in rows[1::2]]


def test_the_table_fits_80_columns(result: dict[str, Any]) -> None:
    row = {
        **result["rows"][0],
        "scene": "200k r4",
        "width": 550,
        "height": 802,
        "forward_ms": 123.4,
        "backward_ms": 234.5,
    }
    stream = io.StringIO()
    Console(file=stream, width=80).print(raster.table({**result, "rows": [row]}))
    text = stream.getvalue()
    assert "…" not in text and all(len(line.rstrip()) <= 80 for line in text.splitlines())
    for word in ("200k r4", "550x802", "threads", "forward", "123.4", "234.5"):
        assert word in text


def test_scenes_are_those_that_they_are_named_after() -> None:
    names = [(scene.name, scene.cameras.width, scene.cameras.height) for scene in raster.scenes()]
    for size in ((256, 256), (512, 512), (550, 802)):
        assert [name for name, *wh in names if tuple(wh) == size and "r4" in name] == ["10k r4", "50k r4", "200k r4"]
    assert ("50k r8", 512, 512) in names
    scene = random_splats(5000, 200, 100, 4)
    means, _, scales, opacities, _ = scene.parameters
    focal = scene.cameras.Ks[0, 0, 0]
    pixels = 3 * focal * scales / means[:, 2:]
    assert 3.5 < pixels.median().item() < 4.5 and 0.05 <= opacities.min().item() <= opacities.max().item() <= 0.95
    x = focal * means[:, 0] / means[:, 2] + scene.cameras.Ks[0, 0, 2]
    assert 0 <= x.min().item() < 5 and 195 < x.max().item() <= 200.001


def test_the_garden_is_found_in_the_test_data(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARKIT_TEST_DATA", str(test_data))
    scene = garden(0.5)
    if scene is None:
        pytest.skip("no gsplat/test_garden.npz in the test data")
    assert scene.name == "garden" and torch.isfinite(scene.parameters[0]).all() and len(scene.cameras) == 1
    whole = garden()
    assert whole is not None and abs(2 * scene.cameras.width - whole.cameras.width) <= 1


def test_no_garden_without_test_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARKIT_TEST_DATA", str(tmp_path))
    assert garden() is None
