#!/usr/bin/env python3
"""Leave one thing out of the default, and see what it was worth: interleaved runs of ``avatarkit recon``, resumable.

    python benchmarks/ablations.py CAPTURE --head FLAME.npz --out DIR                      # three seeds, three minutes each
    python benchmarks/ablations.py CAPTURE --out DIR --minutes 10 --only default "triangle frames" --seeds 0 1 2

CAPTURE is a data set, or a folder that ``avatarkit track`` wrote.  Every seed goes through all variants before the next seed
starts, so that a machine that is busy for a while spoils a row of the table and not a column.  Rows that are done are not made again;
nothing else should run meanwhile.  Writes ``ablations.json``, ``ablations.md`` (median and range over the seeds) and ``psnr.svg``: the training
pictures' PSNR of the first seed, over the minutes that the steps were counted for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
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
    "gaussianavatars": ("--config", "gaussianavatars"),
    "dynamicavatars": ("--config", "dynamicavatars"),
}


def row(capture: Path, head: str | None, out: Path, name: str, seed: int, minutes: float) -> dict[str, Any]:
    """One run, or what is on the disk of it."""
    stem = _stem(name, seed, minutes)
    summary, avatar = out / f"{stem}.json", out / f"{stem}.avatar"
    if not summary.is_file():
        settings = VARIANTS[name]
        options = list(settings) if settings[:1] == ("--config",) else [x for s in settings for x in ("--set", s)]
        labels = ("--set", f"label_views={8 if name == 'dynamicavatars' else 0}")
        command = [
            "recon",
            capture,
            "-o",
            avatar,
            "--minutes",
            minutes,
            "--seed",
            seed,
            *options,
            *labels,
            "--no-report",
        ]
        command += ["--json", summary, "--quiet", *(("--head", head) if head else ())]
        subprocess.run([sys.executable, "-m", "avatarkit", *map(str, command)], check=True)
    found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return {"variant": name, "seed": seed, "minutes": minutes, **{k: found[k] for k in ("steps", "splats", "metrics")}}


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


def curves(out: Path, rows: list[dict[str, Any]]) -> str:
    """SVG: PSNR of the pictures that were trained on, the median of every sixtieth of a run, of each variant's first seed."""
    from avatarkit.recon.log import read_scalars
    from avatarkit.report.curves import curve_svg

    drawn = {}
    for found in {r["variant"]: r for r in reversed(rows)}.values():
        steps, psnr = read_scalars(
            out / f"{_stem(found['variant'], found['seed'], found['minutes'])}.run" / "events.jsonl"
        )["psnr"]
        size = max(1, len(steps) // POINTS)
        parts = range(0, len(steps) - size + 1, size)
        minutes = [found["minutes"] * steps[at + size // 2] / found["steps"] for at in parts]
        drawn[found["variant"]] = (minutes, [statistics.median(psnr[at : at + size]) for at in parts])
    return curve_svg(dict(sorted(drawn.items())), "minutes", "PSNR of training pictures, dB")


def _stem(name: str, seed: int, minutes: float) -> str:
    return f"{name.replace(' ', '-').replace('.', '')}-{minutes:g}min-seed{seed}"


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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="VARIANT")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in chosen.seeds:
        for name in chosen.only:
            rows.append(row(chosen.capture, chosen.head, chosen.out, name, seed, chosen.minutes))
            (chosen.out / "ablations.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
            (chosen.out / "ablations.md").write_text(table(rows), encoding="utf-8")
            (chosen.out / "psnr.svg").write_text(curves(chosen.out, rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
