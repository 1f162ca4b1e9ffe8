"""``benchmarks/rasterizers.py``: gsplat's torch code draws what the reference draws, other renderers join by name, slopes are slopes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from avatarkit.bench.scenes import random_splats

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        spec = importlib.util.spec_from_file_location("rasterizers_benchmark", FOLDER / "rasterizers.py")
        assert spec is not None and spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        yield made


def test_gsplats_torch_code_draws_what_the_reference_draws(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gsplat", reason="gsplat is not installed")
    monkeypatch.setitem(sys.modules, "nerfacc", module.nerfacc_in_torch())
    scene = random_splats(150, 40, 32, 6)
    found = []
    for name in ("gsplat-torch", "reference"):
        leaves = [value.detach().clone().requires_grad_(True) for value in scene.parameters]
        image = module.found(name, 1)(*leaves, *module.given(scene))
        image.square().sum().backward()
        found.append((image.detach(), leaves[0].grad))
    (ours, gradient), (theirs, expected) = found
    assert ours.shape == (32, 40, 3) and ((ours - theirs).abs() > 1e-4).double().mean() < 0.005
    assert (gradient - expected).norm() < 0.01 * expected.norm()


def test_another_renderer_without_gradients_has_a_row(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("other_splats")
    other.render = lambda means, *rest: torch.zeros(rest[-2], rest[-3], 3)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "other_splats", other)
    made = module.row("other_splats:render", (20, 24, 16, 4), 1, 3, True)
    assert made["forward_ms"] > 0 and made["backward_ms"] is None and made["error"] > 0.5
    line = module.line_of(
        {"scene": "s", "width": 24, "height": 16, "threads": 1, "rasterizer": "other_splats:render"} | made
    )
    assert "| – |" in line and "24×16" in line


def test_slopes(module: Any) -> None:
    points = [{"x": x, "forward_ms": 3.0 * x**1.5} for x in (1, 2, 5, 10)]
    assert module.slope(points, "forward_ms") == pytest.approx(1.5) and module.slope(points[:1], "forward_ms") is None
