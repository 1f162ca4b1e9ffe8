#!/usr/bin/env python3
"""Leave one thing out of the default, and see what it was worth: interleaved runs of ``avatarkit recon``, resumable.

    python benchmarks/ablations.py CAPTURE --head FLAME.npz --out DIR                      # three seeds, three minutes each
    python benchmarks/ablations.py CAPTURE --out DIR --minutes 10 --only default "triangle frames" --seeds 0 1 2
    python benchmarks/ablations.py CAPTURE --out DIR --iterations 6000 --at-once 2         # steps instead of minutes

CAPTURE is a data set, or a folder that ``avatarkit track`` wrote.  Every seed goes through all variants before the next seed
starts, so that a machine that is busy for a while spoils a row of the table and not a column.  Rows that are done are not made again;
nothing else should run meanwhile.  With ``--iterations`` other work only costs time: the default takes so many steps, every variant as
many as fit into the default's time by the rates that ``avatarkit bench recon`` measures first (that is when nothing else should run).
Writes ``ablations.json``, ``ablations.md`` (median and range over the seeds) and ``psnr.svg``: the training
pictures' PSNR of the first seed, over the minutes that the run took (or its thousands of steps).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POINTS = 60
VARIANTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "triangle frames": ("frames=triangle",),
    "no free Gaussians": ("free_gaussians=0",),
    "classic rasterizer mode": ("antialiased=false",),
    "0.8 L1 + 0.2 D-SSIM": ("l1=0.8", "dssim=0.2"),
    "full size from the start": ("coarse_until=0",),
    "no densification": ("densify_from=1000000",),
    "half the splats": ("max_splats=15000",),
    "two views a step": ("batch=2",),
    "SH degree 1": ("sh_degree=1",),
    "position and scale losses": ("position=0.01", "scale=1.0"),
    "head fine tuning": ("tune_head=true",),
    "no correctives": ("correctives=0",),
    "no prior of colours": ("colour_prior=0", "tint=0"),
    "no trim": ("trim=0",),
    "one background": ("random_background=0",),
    "gaussianavatars": ("--config", "gaussianavatars"),
    "dynamicavatars": ("--config", "dynamicavatars"),
}


GROWN = {"no densification": 10_000, "half the splats": 12_000, "gaussianavatars": 50_000}
"""Splats at which a variant's rate is measured; the others have USUAL for most of a run."""
USUAL = 22_000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Plan:
    """capture, head model, folder; how long: minutes, or the steps of each variant; alone: whether a run has the machine."""

    capture: Path
    head: str | None
    out: Path
    minutes: float
    steps: dict[str, int]
    alone: bool

    @property
    def length(self) -> str:
        return f"{self.steps['default']}steps" if self.steps else f"{self.minutes:g}min"

    def stem(self, name: str, seed: int) -> str:
        return f"{name.replace(' ', '-').replace('.', '')}-{self.length}-seed{seed}"


def avatarkit(*words: object, alone: bool = True) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "avatarkit", *map(str, words)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | ({} if alone else ONE_THREAD)
    )
    return done.stdout


def options(name: str) -> list[str]:
    """What a variant says on the command line.  Labels do not count, but for the losses that learn from them."""
    settings = VARIANTS[name]
    chosen = list(settings) if settings[:1] == ("--config",) else [x for s in settings for x in ("--set", s)]
    return [*chosen, "--set", f"label_views={8 if name == 'dynamicavatars' else 0}"]


def steps_of(capture: Path, head: str | None, out: Path, names: list[str], iterations: int) -> dict[str, int]:
    """As many steps of each variant as fit into the time of ``iterations`` of the default; rates are measured once per folder."""
    path = out / "rates.json"
    rates: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name in dict.fromkeys(["default", *names]):
        if name not in rates:
            model = ("--head", head) if head else ()
            size = "--splats", GROWN.get(name, USUAL), "--repeats", 40, "--json", "-"
            rates[name] = (
                1e3 / json.loads(avatarkit("bench", "recon", capture, *model, *size, *options(name)))["step_ms"]
            )
            path.write_text(json.dumps(rates, indent=1), encoding="utf-8")
    return {name: round(iterations * rates[name] / rates["default"]) for name in ["default", *names]}


def row(plan: Plan, name: str, seed: int) -> dict[str, Any]:
    """One run, or what is on the disk of it."""
    stem = plan.stem(name, seed)
    summary, avatar = plan.out / f"{stem}.json", plan.out / f"{stem}.avatar"
    if not summary.is_file():
        length = ("--iterations", plan.steps[name]) if plan.steps else ("--minutes", plan.minutes)
        model = ("--head", plan.head) if plan.head else ()
        quietly = "--no-report", "--quiet", "--json", summary
        avatarkit(
            "recon", plan.capture, "-o", avatar, *length, "--seed", seed, *options(name), *model, *quietly,
            alone=plan.alone,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    asked = {"iterations": float(plan.steps[name])} if plan.steps else {"minutes": plan.minutes}
    return {"variant": name, "seed": seed, **asked, **{k: found[k] for k in ("steps", "splats", "metrics")}}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: for every variant the median over seeds, with the range, of each split's PSNR and of the head's."""
    splits = sorted({split for r in rows for split in r["metrics"]})
    lines = ["| variant | runs | steps | splats | " + " | ".join(f"{s} dB | {s} head dB" for s in splits) + " |"]
    lines.append("| --- " * (4 + 2 * len(splits)) + "|")
    for name in dict.fromkeys(r["variant"] for r in rows):
        mine = [r for r in rows if r["variant"] == name]
        cells = [name, str(len(mine)), _said([r["steps"] for r in mine], 0), _said([r["splats"] for r in mine], 0)]
        for split in splits:
            cells.append(_said([r["metrics"][split]["psnr"] for r in mine], 2))
            heads = [r["metrics"][split]["regions"].get("head", {}).get("psnr") for r in mine]
            cells.append(_said([h for h in heads if h is not None], 2))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def curves(plan: Plan, rows: list[dict[str, Any]]) -> str:
    """SVG: PSNR of the pictures that were trained on, the median of every sixtieth of a run, of each variant's first seed."""
    from avatarkit.recon.log import read_scalars
    from avatarkit.report.curves import curve_svg

    drawn = {}
    for found in {r["variant"]: r for r in reversed(rows)}.values():
        stem = plan.stem(found["variant"], found["seed"])
        scalars = read_scalars(plan.out / f"{stem}.run" / "events.jsonl")
        (steps, psnr), seconds = scalars["psnr"], scalars["seconds"][1]
        size = max(1, len(steps) // POINTS)
        parts = range(0, len(steps) - size + 1, size)
        middles = [at + size // 2 for at in parts]
        along = [steps[at] / 1e3 if plan.steps else seconds[at] / 60.0 for at in middles]
        drawn[found["variant"]] = (along, [statistics.median(psnr[at : at + size]) for at in parts])
    axis = "thousand steps" if plan.steps else "minutes"
    return curve_svg(dict(sorted(drawn.items())), axis, "PSNR of training pictures, dB")


def _said(values: list[float], digits: int) -> str:
    if not values:
        return "–"
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if min(values) == max(values) else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--head")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--iterations", type=int, help="steps of the default, instead of minutes")
    parser.add_argument(
        "--at-once", type=int, default=1, help="runs side by side, of one thread each; with --iterations"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="VARIANT")
    chosen = parser.parse_args()
    if chosen.at_once > 1 and chosen.iterations is None:
        parser.error("--at-once needs --iterations: runs side by side cannot measure their own rates")
    chosen.out.mkdir(parents=True, exist_ok=True)
    steps: dict[str, int] = {}
    if chosen.iterations is not None:
        steps = steps_of(chosen.capture, chosen.head, chosen.out, chosen.only, chosen.iterations)
    plan = Plan(chosen.capture, chosen.head, chosen.out, chosen.minutes, steps, chosen.at_once == 1)
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(chosen.at_once) as pool:
        for done in pool.map(
            lambda run: row(plan, *run), [(name, seed) for seed in chosen.seeds for name in chosen.only]
        ):
            rows.append(done)
            (plan.out / "ablations.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
            (plan.out / "ablations.md").write_text(table(rows), encoding="utf-8")
            (plan.out / "psnr.svg").write_text(curves(plan, rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
