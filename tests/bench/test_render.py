"""The benchmark of rendering: what it films, that its parts are its whole, and its figures as JSON."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from avatarkit.bench import render
from avatarkit.bench.device import chosen
from avatarkit.cli.main import app
from avatarkit.errors import InputError
from avatarkit.render.cpu import CpuRasterizer


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    done = CliRunner().invoke(app, ["bench", "render", "--quick", "--device", "cpu", "--repeats", "3", "--json", "-"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_rows_are_consistent(result: dict[str, Any]) -> None:
    assert result["rasterizer"] == result["device"] == "cpu"
    assert [(row["splats"], row["width"], row["height"], row["batch"]) for row in result["rows"]] == [
        (500, 64, 48, 1), (500, 64, 48, 2),
    ]  # fmt: skip
    for row in result["rows"]:
        assert set(row["parts_ms"]) == set(render.PARTS) and min(row["parts_ms"].values()) > 0
        assert row["frames_per_s"] > 0 and row["raster_frames_per_s"] > 0 and row["peak_mib"] > 1


def test_the_picture_is_the_head_and_a_batch_is_its_frames() -> None:
    part = CpuRasterizer()
    alone = render.Pipeline(render.subject(6000, 64, 48, "cpu", 1), part)
    pair = render.Pipeline(render.subject(6000, 64, 48, "cpu", 2), part)
    assert len(alone.filmed.gaussians) == 6000
    together = pair()
    assert together.shape == (2, 48, 64, 3) and together.dtype == torch.uint8
    for k in range(2):
        alone.frame = 2 * pair.frame + k - 1
        assert torch.equal(alone()[0], together[k])
    covered = (together.int() - 255).abs().sum(-1) > 30
    assert 0.15 < covered.double().mean() < 0.9 and not torch.equal(together[0], together[1])


def test_the_table_fits_100_columns(result: dict[str, Any]) -> None:
    row = {**result["rows"][0], "splats": 164_000, "width": 550, "height": 802, "batch": 16, "frames_per_s": 1234.5}
    stream = io.StringIO()
    Console(file=stream, width=100).print(render.table({**result, "rows": [row]}))
    assert "…" not in stream.getvalue() and "164000" in stream.getvalue() and "1234.5" in stream.getvalue()


def test_device_and_rasterizer_have_to_fit() -> None:
    assert chosen(None, "cpu").name == "cpu" and chosen("cpu", None).name == "cpu"
    with pytest.raises(InputError, match="expected cpu or cuda"):
        chosen(None, "tpu")
    with pytest.raises(InputError, match="rasterizer 'cpu' works on 'cpu'"):
        chosen("cpu", "cuda")
