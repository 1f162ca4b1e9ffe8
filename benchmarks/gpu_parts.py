#!/usr/bin/env python3
"""One part of benchmarks/gpu.sh: compile, tests, raster, recon or render; its figures with machine, versions and date as one JSON.

python benchmarks/gpu_parts.py render --json render.json
python benchmarks/gpu_parts.py recon --rasterizer cpu --quick --json -       # tiny, anywhere: whether it runs
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine_facts import facts

from avatarkit.bench import recon, render
from avatarkit.bench.clock import median_seconds, peak_mib, reset_peak
from avatarkit.bench.device import chosen
from avatarkit.bench.raster import scenes
from avatarkit.bench.scenes import random_splats
from avatarkit.cameras import Cameras, intrinsics, orbit
from avatarkit.capture.capture import Capture, CaptureCamera, Frame
from avatarkit.config import load_config
from avatarkit.contracts import Rasterizer
from avatarkit.gaussians.draw import draw
from avatarkit.gaussians.frames import triangle_frames
from avatarkit.head.frames import with_frames
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.initial import bound_gaussians
from avatarkit.render.hosted import device_of, hosted
from avatarkit.render.reference import ReferenceRasterizer
from avatarkit.testing.scenes import scenes as small_scenes
from avatarkit.track.sequence import Sequence

ROOT = Path(__file__).resolve().parents[1]


def compiled(_: argparse.Namespace) -> dict[str, Any]:
    """gsplat's compilation, or how long loading takes where that was done before."""
    from avatarkit_gsplat import compiling
    from avatarkit_gsplat.kernels import load_kernels

    folder = compiling.build_folder()
    before = folder is None or compiling.built(folder)
    began = time.perf_counter()
    version = load_kernels().version
    seconds = time.perf_counter() - began
    scene = random_splats(1000, 64, 64, 4)
    part = hosted(chosen("gsplat", None))
    image = part.render(*scene.parameters, scene.cameras).features
    return {"gsplat": version, "compiled_before": before, "seconds": seconds, "draws": bool(image.isfinite().all())}


def tested(_: argparse.Namespace) -> dict[str, Any]:
    """The tests marked gpu; all have to pass, and at least one has to run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        line = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "gpu",
            "tests",
            "plugins/avatarkit-gsplat",
            f"--junitxml={report}",
        ]
        code = subprocess.run(line, cwd=ROOT, stdout=sys.stderr).returncode
        suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    counts["passed"] = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    if code or not counts["passed"]:
        raise SystemExit(f"gpu tests: {counts}, exit code {code}")
    return counts | {"seconds": float(suite.attrib["time"])}


def rasterized(options: argparse.Namespace) -> dict[str, Any]:
    """Forward and backward on the scenes of ``avatarkit bench raster``; images against the float64 reference on the small ones."""
    part = chosen(options.rasterizer, None)
    device, rows = device_of(part), []
    for scene in [random_splats(1000, 64, 64, 4)] if options.quick else scenes():
        leaves = [value.to(device).requires_grad_(True) for value in scene.parameters]
        cameras, white = scene.cameras.to(device), torch.ones(3, device=device)
        reset_peak(device)

        def forward(leaves=leaves, cameras=cameras, white=white):  # type: ignore[no-untyped-def]
            return part.render(*leaves, cameras, background=white).features

        upstream = torch.ones_like(forward())

        def both(leaves=leaves, upstream=upstream, forward=forward):  # type: ignore[no-untyped-def]
            torch.autograd.grad(forward(), leaves, upstream)

        with torch.no_grad():
            ahead = median_seconds(forward, device, options.repeats)
        rows.append({
            "scene": scene.name, "width": cameras.width, "height": cameras.height, "splats": len(leaves[0]),
            "forward_ms": 1e3 * ahead, "forward_backward_ms": 1e3 * median_seconds(both, device, options.repeats),
            "peak_mib": peak_mib(device),
        })  # fmt: skip
    errors = {}
    for name, small in small_scenes().items():
        ours = part.render(**small.to(device).arguments()).features.cpu()  # type: ignore[arg-type]
        theirs = ReferenceRasterizer().render(**small.arguments()).features  # type: ignore[arg-type]
        errors[name] = float((ours - theirs).detach().abs().max())
    return {"rasterizer": part.name, "device": device, "rows": rows, "largest_error": errors}


def drawn_capture(rasterizer: Rasterizer, cameras: int, timesteps: int, width: int, height: int) -> Sequence:
    """A semi-synthetic capture that the rasterizer draws: a ``bust`` of known motion under smooth colours and fine freckles.

    The last camera but one is val; the last 30 % of the timesteps are test.
    """
    head = with_frames(load_head("bust"), "skin")
    random = np.random.default_rng(7)
    middle = triangle_frames(head.template, head.faces).origin.double().numpy()
    waves = random.normal(size=(3, 3)) * 40.0
    colours = 0.55 + 0.25 * np.sin(middle @ waves.T) + 0.12 * (random.random((len(middle), 3)) - 0.5)
    config = ReconConfig(gaussians_per_triangle=6)
    gaussians = bound_gaussians(torch.from_numpy(colours.clip(0.02, 0.98)).float(), config, random)
    gaussians.opacity_logits[:] = 3.0
    params = HeadParams.zeros(timesteps, head.num_shape, head.num_expr)
    time_ = np.linspace(0, 2 * np.pi, timesteps, endpoint=False)[:, None]

    def moving(columns: int, size: float) -> torch.Tensor:
        speed, phase = random.integers(1, 4, columns), random.random(columns) * 6.28
        return torch.from_numpy(size * np.sin(speed * time_ + phase)).float()

    params.expr[:] = moving(head.num_expr, 0.25)
    params.rotation[:], params.jaw_pose[:] = moving(3, 0.12), moving(3, 0.04)
    K = intrinsics(3.0 * min(width, height), 3.0 * min(width, height), width / 2 + 2.5, height / 2 - 3.5)
    views = [np.asarray(orbit(a, 0.15 * (-1) ** i, 1.25, np.array([0.0, -0.014, -0.005]))) for i, a in enumerate(np.linspace(-1.05, 1.05, cameras))]  # fmt: skip
    viewmats, Ks = torch.from_numpy(np.stack(views)).float(), torch.from_numpy(np.stack([K] * cameras)).float()
    pictures, masks, frames = [], [], []
    host = hosted(rasterizer)
    with torch.no_grad():
        for t in range(timesteps):
            pose = head.pose(params[t])
            for c in range(cameras):
                made = draw(
                    gaussians, pose, head.faces, Cameras(viewmats[c : c + 1], Ks[c : c + 1], width, height), host,
                    background=torch.ones(3), antialiased=True,
                )  # fmt: skip
                pictures.append((made.features[0].clamp(0, 1).permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())
                masks.append((made.alpha[0, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy())
                split = "test" if t >= 0.7 * timesteps else "val" if c == cameras - 2 else "train"
                frames.append(Frame(t, c, split, f"{t}_{c}"))
    stage = tuple(CaptureCamera(f"{i:02d}", width, height, K, view) for i, view in enumerate(views))
    capture = Capture(
        "drawn", stage, tuple(frames), tuple(map(str, range(timesteps))), image=pictures.__getitem__, mask=masks.__getitem__,
        masked=True,
    )  # fmt: skip
    return Sequence(capture, params, viewmats, Ks, head.reference)


def reconstructed(options: argparse.Namespace) -> dict[str, Any]:
    """Steps at 512² on the synthetic subject, then a training on 16 cameras × 96 timesteps of 550×802 that the rasterizer draws."""
    part = chosen(options.rasterizer, None)
    work = Path(options.work)
    quick = options.quick
    steps = [
        recon.run(
            recon.synthetic(work, quick), part, overrides={"batch": str(batch)}, splats=1000 if quick else 50_000,
            repeats=options.repeats,
        )
        for batch in ((1,) if quick else (1, 4))
    ]  # fmt: skip
    size = (3, 4, 48, 64) if quick else (16, 96, 550, 802)
    began = time.perf_counter()
    sequence = drawn_capture(part, *size)
    drawn = time.perf_counter() - began
    overrides = {"label_views": "0", "free_gaussians": "0", "max_splats": "1000" if quick else "50000"}
    config = load_config(ReconConfig, "recon", overrides)
    head = with_frames(load_head("bust"), config.frames)
    training = recon.measured_training(sequence, head, config, part, 20 if quick else options.iterations, None)
    recon.bars({f"{row['rasterizer']}, {row['batch']} a step": row for row in steps}, work / "step-time.png")
    return {"steps": steps, "capture": {"drawn_s": drawn, "cameras_timesteps_width_height": size}, "training": training}


def rendered(options: argparse.Namespace) -> dict[str, Any]:
    return render.run(chosen(options.rasterizer, None), quick=options.quick, repeats=options.repeats)


PARTS = {"compile": compiled, "tests": tested, "raster": rasterized, "recon": reconstructed, "render": rendered}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--rasterizer", default=None)
    parser.add_argument("--work", default="out/gpu", help="captures that parts share")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=15_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", default="-")
    options = parser.parse_args()
    if options.quick:
        options.repeats = 3
    began = time.perf_counter()
    figures = PARTS[options.part](options)
    result = facts() | {
        "part": options.part,
        "quick": options.quick,
        "wall_s": time.perf_counter() - began,
        "figures": figures,
    }
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    if options.json == "-":
        print(text, end="")
    else:
        from avatarkit.paths import atomic_write_text

        atomic_write_text(options.json, text)


if __name__ == "__main__":
    main()
