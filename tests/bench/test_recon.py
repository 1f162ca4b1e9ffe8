"""The benchmark of training on tiny sizes: its parts are its steps, its training has a curve, its bars are a picture."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from avatarkit.bench import recon
from avatarkit.bench.device import described
from avatarkit.cli.main import app
from avatarkit.errors import InputError
from avatarkit.recon import step
from avatarkit.render.compiled import kernels_first


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_capture: Path) -> tuple[dict[str, Any], Path]:
    picture = tmp_path_factory.mktemp("bench") / "bars.png"
    done = CliRunner().invoke(
        app,
        ["bench", "recon", str(tiny_capture), "--quick", "--device", "cpu", "--splats", "2000", "--set", "batch=2",
         "--set", "free_gaussians=100", "--set", "first_bound=800", "--bars", str(picture), "--json", "-"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), picture


def test_the_machine_is_named_by_the_threads_of_the_kernels() -> None:
    """A training loop holds torch's own operators to one thread; the kernels have them all."""
    before = described("cpu")
    with kernels_first():
        assert described("cpu") == before


def test_the_figures_are_consistent(made: tuple[dict[str, Any], Path]) -> None:
    result, _ = made
    assert (result["splats"], result["width"], result["height"], result["batch"]) == (2000, 80, 80, 2)
    assert set(result["parts_ms"]) == set(recon.PARTS) and min(result["parts_ms"].values()) >= 0
    assert result["images_per_s"] == pytest.approx(2e3 / result["step_ms"])
    assert result["over_bare"] == pytest.approx(result["step_ms"] / result["bare_raster_ms"])
    trained = result["training"]
    assert trained["iterations"] == 20 and trained["curve"][-1]["step"] == 20
    assert trained["target_psnr"] == pytest.approx(trained["final_psnr"] - recon.WITHIN)
    reached = [point["seconds"] for point in trained["curve"] if point["val_psnr"] >= trained["target_psnr"]]
    assert trained["seconds_to_target"] == reached[0] and trained["skipped"] == 0


def test_everything_is_put_back() -> None:
    assert step.pose_gaussians.__module__ == "avatarkit.gaussians.binding"
    assert step.picture_losses.__name__ == "picture_losses" and torch.Tensor.backward.__name__ == "backward"


def test_the_table_and_the_bars(made: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    result, picture = made
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.width > 600
    stream = io.StringIO()
    Console(file=stream, width=100).print(recon.table(result))
    for word in ("images a second", "raster forward", "peak memory", "held-out PSNR after 20 steps"):
        assert word in stream.getvalue()
    with pytest.raises(InputError, match=r"suffix must be \.png"):
        recon.bars({"one": result}, tmp_path / "bars.txt")
