#!/usr/bin/env python3
"""CPU rasterizers in one run, on the same scenes and threads: forward, backward, memory, accuracy; and what ours costs as scenes grow.

    python benchmarks/rasterizers.py --json docs/benchmarks/rasterizers.json          # in a quiet minute; about a quarter of an hour
    python benchmarks/rasterizers.py --other mysplats:render --threads 1 2            # with another one that is installed
    python benchmarks/rasterizers.py --quick                                          # tiny: whether it runs

Compared: ``cpu`` (ours), ``reference`` (ours, float64, every pixel against every splat: small scenes only) and ``gsplat-torch``: gsplat's own
``_fully_fused_projection`` and ``accumulate`` of ``gsplat.cuda._torch_impl``.  Between the two stands the list of (splat, pixel) pairs, which
gsplat makes in CUDA only; it is made here in torch, and so are the two functions of nerfacc that ``accumulate`` calls where nerfacc is not
installed.

``--other MODULE:FUNCTION``: called as FUNCTION(means (N, 3), quats (N, 4) wxyz, scales (N, 3), opacities (N,), colours (N, 3), viewmat (4, 4)
OpenCV world-to-camera, K (3, 3), width, height, background (3,)), float32 tensors on the CPU; returns (H, W, 3), differentiable by
autograd, or else has no backward figure.

Every row is a process of its own, so that memory is its own: the growth of the resident peak over what it was before the first frame.
Accuracy is the largest difference of an image, and the error of the gradient by the means over its norm, from the float64 reference.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import subprocess
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine_facts import facts
from torch import Tensor

from avatarkit.bench.clock import Stopwatch, median_seconds, peak_mib
from avatarkit.bench.scenes import BenchScene, random_splats
from avatarkit.render.compiled import kernels_first
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.render.reference import ReferenceRasterizer

# splats, width, height, radius
SCENES = {
    "small": (1_000, 96, 96, 4),
    "10k": (10_000, 256, 256, 4),
    "50k": (50_000, 512, 512, 4),
    "50k large": (50_000, 512, 512, 8),
}
QUICK_SCENES = {"small": (200, 48, 40, 4)}
LARGEST_REFERENCE = 2e7  # splats times pixels: 24 bytes and more of each pair are kept for backward
Draw = Callable[..., Tensor]


def cpu(threads: int) -> Draw:
    part = CpuRasterizer(threads)
    return lambda *given: _by_contract(part, *given)


def reference(threads: int) -> Draw:
    part = ReferenceRasterizer()
    return lambda *given: _by_contract(part, *given)


def _by_contract(part: Any, means, quats, scales, opacities, colours, viewmat, K, width, height, background):  # type: ignore[no-untyped-def]
    from avatarkit.cameras import Cameras

    made = part.render(
        means, quats, scales, opacities, colours, Cameras(viewmat[None], K[None], width, height), background=background
    )
    return made.features[0].permute(1, 2, 0)


def gsplat_torch(threads: int) -> Draw:
    impl = importlib.import_module("gsplat.cuda._torch_impl")
    try:
        importlib.import_module("nerfacc")
    except ImportError:
        sys.modules["nerfacc"] = nerfacc_in_torch()

    def draw(means, quats, scales, opacities, colours, viewmat, K, width, height, background):  # type: ignore[no-untyped-def]
        covars, _ = impl._quat_scale_to_covar_preci(
            torch.nn.functional.normalize(quats, dim=-1), scales, True, False, False
        )
        radii, means2d, depths, conics, _ = impl._fully_fused_projection(
            means, covars, viewmat[None], K[None], width, height
        )
        with torch.no_grad():
            splats, pixels = pairs(radii[0], means2d[0], depths[0], conics[0], opacities, width, height)
        image, alpha = impl.accumulate(
            means2d, conics, opacities[None], colours[None], splats, pixels, torch.zeros_like(splats), width, height
        )
        return image[0] + (1 - alpha[0]) * background

    return draw


def pairs(
    radii: Tensor, means2d: Tensor, depths: Tensor, conics: Tensor, opacities: Tensor, width: int, height: int
) -> tuple[Tensor, Tensor]:
    """Which splat blends into which pixel, by pixel and front to back, with gsplat's cut and stop."""
    low = (means2d - radii).floor().long()
    high = (means2d + radii).ceil().long()
    size = torch.tensor([width, height])
    low, high = (
        low.clamp(min=torch.zeros(2, dtype=torch.int64), max=size),
        high.clamp(min=torch.zeros(2, dtype=torch.int64), max=size),
    )
    span = (high - low) * (radii > 0).all(1, keepdim=True)
    count = span.prod(1)
    splats = torch.arange(len(count)).repeat_interleave(count)
    within = torch.arange(len(splats)) - (count.cumsum(0) - count)[splats]
    x = low[splats, 0] + within % span[splats, 0].clamp(min=1)
    y = low[splats, 1] + within // span[splats, 0].clamp(min=1)
    dx, dy = x + 0.5 - means2d[splats, 0], y + 0.5 - means2d[splats, 1]
    a, b, c = conics[splats].unbind(1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (opacities[splats] * torch.exp(-sigma)).clamp(max=0.999)
    kept = (alpha >= 1 / 255) & (sigma >= 0)
    splats, pixels, alpha = splats[kept], (y * width + x)[kept], alpha[kept]
    rank = torch.empty_like(splats[:0]).new_empty(len(depths)).long()
    rank[depths.argsort(stable=True)] = torch.arange(len(depths))
    order = (pixels * len(depths) + rank[splats]).argsort()
    splats, pixels, alpha = splats[order], pixels[order], alpha[order]
    after = torch.log1p(-alpha.double()).cumsum(0)
    first = torch.ones_like(pixels, dtype=torch.bool)
    first[1:] = pixels[1:] != pixels[:-1]
    start = torch.where(first, torch.arange(len(pixels)), 0).cummax(0).values
    before = torch.cat([torch.zeros(1, dtype=after.dtype), after])[start]
    kept = (after - before) > math.log(1e-4)
    return splats[kept], pixels[kept]


def nerfacc_in_torch() -> Any:
    """The two functions of nerfacc that ``accumulate`` calls, for pairs that stand by ray, front to back."""

    def render_weight_from_alpha(alphas: Tensor, *, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, Tensor]:
        first = torch.ones_like(ray_indices, dtype=torch.bool)
        first[1:] = ray_indices[1:] != ray_indices[:-1]
        start = torch.where(first, torch.arange(len(first)), 0).cummax(0).values
        passed = torch.log1p(-alphas.double()).cumsum(0)
        before = torch.cat([torch.zeros(1, dtype=passed.dtype), passed])[:-1]
        trans = (before - before[start]).exp().to(alphas)
        return alphas * trans, trans

    def accumulate_along_rays(weights: Tensor, values: Tensor | None, *, ray_indices: Tensor, n_rays: int) -> Tensor:
        weighted = weights[:, None] if values is None else weights[:, None] * values
        return torch.zeros(n_rays, weighted.shape[1]).index_add(0, ray_indices, weighted)

    made = types.ModuleType("nerfacc")
    made.render_weight_from_alpha = render_weight_from_alpha  # type: ignore[attr-defined]
    made.accumulate_along_rays = accumulate_along_rays  # type: ignore[attr-defined]
    return made


OURS: dict[str, Callable[[int], Draw]] = {"cpu": cpu, "reference": reference, "gsplat-torch": gsplat_torch}


def found(name: str, threads: int) -> Draw:
    """One of ``OURS``, or what MODULE:FUNCTION names."""
    if name in OURS:
        return OURS[name](threads)
    module, _, function = name.partition(":")
    draw: Draw = getattr(importlib.import_module(module), function)
    return draw


def given(scene: BenchScene) -> list[Any]:
    cameras = scene.cameras
    return [cameras.viewmats[0], cameras.Ks[0], cameras.width, cameras.height, torch.ones(3)]


def forward_and_backward(
    render: Callable[[], Tensor], leaves: list[Tensor], upstream: Tensor, repeats: int
) -> tuple[float, float | None]:
    """Median seconds of a picture without gradients, and of autograd's way back alone; None where there is none."""
    with torch.no_grad():
        forward = median_seconds(render, "cpu", repeats, warm_up=1)
    watch = Stopwatch("cpu")
    for _ in range(repeats + 1):
        made = render()
        if not made.requires_grad:
            return forward, None
        with watch.part("back"):
            torch.autograd.grad(made, leaves, upstream)
    return forward, watch.medians(skip=1)["back"]


@kernels_first()
def row(name: str, size: tuple[int, int, int, float], threads: int, repeats: int, accuracy: bool) -> dict[str, Any]:
    """Figures of one rasterizer on one scene, in this process."""
    torch.set_num_threads(threads)
    scene = random_splats(*size)
    draw, rest = found(name, threads), given(scene)
    leaves = [value.requires_grad_(True) for value in scene.parameters]
    tiny = random_splats(50, 32, 32, 4)  # what compiling takes is not the scene's
    own = [value.requires_grad_(True) for value in tiny.parameters]
    made = draw(*own, *given(tiny))
    if made.requires_grad:
        torch.autograd.grad(made.sum(), own)
    before = peak_mib("cpu")
    upstream = torch.randn(size[2], size[1], 3, generator=torch.Generator().manual_seed(1))
    forward, backward = forward_and_backward(partial(draw, *leaves, *rest), leaves, upstream, repeats)
    figures: dict[str, Any] = {
        "forward_ms": 1e3 * forward,
        "backward_ms": None if backward is None else 1e3 * backward,
        "memory_mib": peak_mib("cpu") - before,
        "error": None,
        "gradient_error": None,
    }
    if accuracy:
        truth = [value.detach().clone().requires_grad_(True) for value in scene.parameters]
        exact = reference(1)(*truth, *rest)
        ours = draw(*leaves, *rest)
        figures["error"] = float((ours - exact).detach().abs().max())
        if ours.requires_grad:
            (mine,) = torch.autograd.grad(ours, leaves[0], upstream)
            (theirs,) = torch.autograd.grad(exact, truth[0], upstream)
            figures["gradient_error"] = float((mine - theirs).norm() / theirs.norm())
    return figures


def in_a_process(
    name: str, size: tuple[int, int, int, float], threads: int, repeats: int, accuracy: bool
) -> dict[str, Any]:
    """``row``, or {"why": …} where it fails."""
    line = [sys.executable, str(Path(__file__)), "--child", json.dumps([name, size, threads, repeats, accuracy])]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        return {"why": (done.stderr.strip().splitlines() or ["ended"])[-1][:200]}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compared(names: list[str], sizes: dict[str, Any], threads: list[int], repeats: int) -> list[dict[str, Any]]:
    rows = []
    for label, size in sizes.items():
        small = size[0] * size[1] * size[2] <= LARGEST_REFERENCE
        for count in threads:
            for name in names:
                about = {
                    "scene": label,
                    "splats": size[0],
                    "width": size[1],
                    "height": size[2],
                    "threads": count,
                    "rasterizer": name,
                }
                if name == "reference" and not small:
                    figures: dict[str, Any] = {"why": "needs splats × pixels of memory"}
                else:
                    figures = in_a_process(name, size, count, repeats, small)
                rows.append(about | figures)
                print(line_of(rows[-1]), file=sys.stderr)
    return rows


@kernels_first()
def curves(threads: list[int], repeats: int, quick: bool) -> dict[str, Any]:
    """Time of our rasterizer against splats, pixels and threads, one at a time, and the slope of each in doubly logarithmic axes: 1 is
    in proportion, −1 for threads is a perfect division of work.
    """
    base = (2_000, 64, 64, 4.0) if quick else (50_000, 512, 512, 4.0)
    factors = (0.5, 1) if quick else (0.1, 0.2, 0.5, 1, 2, 4)
    sides = (32, 64) if quick else (128, 256, 512, 1024)
    scenes_of = {
        "splats": [(f * base[0], (round(f * base[0]), *base[1:]), threads[0]) for f in factors],
        "pixels": [(side * side, (base[0], side, side, base[3]), threads[0]) for side in sides],
        "threads": [(count, base, count) for count in threads],
    }
    made: dict[str, Any] = {}
    for name, points in scenes_of.items():
        values = []
        for x, size, count in points:
            scene = random_splats(*size)
            draw, rest = cpu(count), given(scene)
            leaves = [value.requires_grad_(True) for value in scene.parameters]
            upstream = torch.ones(size[2], size[1], 3)
            forward, backward = forward_and_backward(partial(draw, *leaves, *rest), leaves, upstream, repeats)
            assert backward is not None  # ours has one
            values.append({"x": x, "forward_ms": 1e3 * forward, "backward_ms": 1e3 * backward})
        made[name] = {"points": values, "slopes": {k: slope(values, k) for k in ("forward_ms", "backward_ms")}}
    return made


def slope(points: list[dict[str, float]], name: str) -> float | None:
    """Least squares of log time against log x; None for fewer than two points."""
    if len(points) < 2:
        return None
    x, y = np.log([point["x"] for point in points]), np.log([point[name] for point in points])
    return float(np.polyfit(x, y, 1)[0])


def line_of(row: dict[str, Any]) -> str:
    """A row of the Markdown table; a dash is not measured."""

    def said(name: str, form: str = "{:.1f}") -> str:
        value = row.get(name)
        return "–" if value is None else form.format(value)

    cells = [
        row["scene"], f"{row['width']}×{row['height']}", str(row["threads"]), row["rasterizer"], said("forward_ms"), said("backward_ms"),
        said("memory_mib", "{:.0f}"), said("error", "{:.1e}"), said("gradient_error", "{:.1e}"), row.get("why", ""),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def markdown(result: dict[str, Any]) -> str:
    heads = (
        "scene",
        "image",
        "threads",
        "rasterizer",
        "forward ms",
        "backward ms",
        "memory MiB",
        "error",
        "gradient error",
        "why not",
    )
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads), *map(line_of, result["rows"]), ""]
    for name, curve in result["curves"].items():
        slopes = ", ".join(f"{k.removesuffix('_ms')} {v:+.2f}" for k, v in curve["slopes"].items() if v is not None)
        lines.append(f"- time against {name}: slope {slopes or '–'}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument(
        "--other", action="append", default=[], metavar="MODULE:FUNCTION", help="another rasterizer; may be repeated"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", default=None, metavar="PATH")
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        name, size, threads, repeats, accuracy = json.loads(options.child)
        print(json.dumps(row(name, tuple(size), threads, repeats, accuracy)))
        return
    for other in options.other:
        if ":" not in other:
            parser.error(f"--other {other}: expected MODULE:FUNCTION")
    if options.quick:
        options.repeats = 3
    rows = compared(
        [*OURS, *options.other], QUICK_SCENES if options.quick else SCENES, options.threads, options.repeats
    )
    result = facts() | {
        "quick": options.quick,
        "rows": rows,
        "curves": curves(options.threads, options.repeats, options.quick),
    }
    print(markdown(result), end="")
    if options.json:
        from avatarkit.paths import atomic_write_text

        atomic_write_text(options.json, json.dumps(result, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
