#!/usr/bin/env python3
"""Table 1 of the paper on NeRSemble: reconstruct every subject under DIR with every config, score it, and write the table.

    python benchmarks/table1.py --data DIR                       # DIR/306/…, each a data set in GaussianAvatars/VHAP layout
    python benchmarks/table1.py --data DIR --minutes 60 --configs recon gaussianavatars --renders PointAvatar=RENDERS

A subject is a folder with transforms_train.json, DIR itself or any below it; of a subject's sequences GaussianAvatars' union
folders (``UNION…``) are taken where there are some.  Finished avatars are not made again.  Pictures of other systems lie in
RENDERS/SUBJECT.  Without data, and for what was not measured, the table has dashes; figures from the literature stand beside.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PUBLISHED = {  # PSNR, SSIM, LPIPS of the paper's Table 1, and of MeGA's and GaussianAvatars' own papers on NeRSemble
    "DynamicAvatars (paper)": (30.1, 0.907, 0.094),
    "GaussianAvatars (in that paper)": (29.3, 0.865, 0.113),
    "HeadStudio (in that paper)": (28.4, 0.771, 0.159),
    "PointAvatar (in that paper)": (27.1, 0.689, 0.147),
    "GaussianAvatars (own paper, novel view)": (31.6, 0.938, 0.065),
    "MeGA (own paper, novel view)": (32.0, 0.940, 0.062),
}
SPLITS = (("val", "novel view"), ("test", "self-reenactment"))


def subjects(data: Path | None) -> list[Path]:
    """Data sets below ``data``: none where it is missing."""
    if data is None or not data.is_dir():
        return []
    found = sorted(file.parent for file in data.rglob("transforms_train.json"))
    unions = [folder for folder in found if folder.name.upper().startswith("UNION")]
    return unions or found


def avatarkit(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "avatarkit", *map(str, arguments)], check=True)


def reconstructed(config: str, folder: Path, out: Path, minutes: float, head: str | None) -> Path:
    """The avatar of one subject, made where it is not there; an interrupted run goes on."""
    avatar = out / folder.name / f"{config}.avatar"
    if not avatar.is_file():
        started = (avatar.with_suffix(".run") / "config.yaml").is_file()
        chosen = ("--resume",) if started else ("--config", config, "--minutes", minutes)
        avatarkit("recon", folder, "-o", avatar, *chosen, *(("--head", head) if head else ()))
    return avatar


def scored(what: list[object], file: Path, protocol: str) -> dict[str, Any]:
    """The table of ``avatarkit eval``, by split: {split: {system: figures}}."""
    file.parent.mkdir(parents=True, exist_ok=True)
    avatarkit("eval", *what, "--protocol", protocol, "--json", file)
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["table"]
    return table


def markdown(rows: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """rows: system → split → one entry of figures for each subject."""
    lines = ["| system | " + " | ".join(f"{title}: PSNR | SSIM | LPIPS" for _, title in SPLITS) + " | subjects |"]
    lines.append("| --- |" + " ---: |" * (3 * len(SPLITS) + 1))
    for name, by_split in rows.items():
        cells = []
        for split, _ in SPLITS:
            for metric, digits in (("psnr", 2), ("ssim", 3), ("lpips", 3)):
                values = [entry[metric] for entry in by_split.get(split, []) if entry.get(metric) is not None]
                cells.append(f"{sum(values) / len(values):.{digits}f}" if values else "–")
        count = max((len(entries) for entries in by_split.values()), default=0)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {count or '–'} |")
    lines += ["", "From the literature:", "", "| system | PSNR | SSIM | LPIPS |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {name} | {a:.1f} | {b:.3f} | {c:.3f} |" for name, (a, b, c) in PUBLISHED.items()]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="NeRSemble in GaussianAvatars' layout")
    parser.add_argument("--out", type=Path, default=Path("runs/table1"))
    parser.add_argument("--minutes", type=float, default=10.0, help="training time of each avatar")
    parser.add_argument("--configs", nargs="+", default=["recon", "gaussianavatars"], help="configs of avatarkit")
    parser.add_argument("--protocol", default="gaussianavatars", choices=("gaussianavatars", "vhap"))
    parser.add_argument("--head", help="head model that the parameters belong to; default flame")
    parser.add_argument("--renders", nargs="*", default=[], metavar="NAME=DIR", help="pictures of other systems")
    options = parser.parse_args(argv)
    others = dict(pair.partition("=")[::2] for pair in options.renders)
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in (*options.configs, *others)}
    folders = subjects(options.data)
    if not folders:
        print(f"no data set under {options.data}: the table has dashes", file=sys.stderr)
    for folder in folders:
        for name in options.configs:
            avatar = reconstructed(name, folder, options.out, options.minutes, options.head)
            table = scored([avatar, folder], options.out / folder.name / f"{name}.json", options.protocol)
            for split, systems in table.items():
                rows[name].setdefault(split, []).append(systems[avatar.stem])
        for name, where in others.items():
            pictures = Path(where) / folder.name
            if pictures.is_dir():
                table = scored(
                    ["--images", pictures, folder], options.out / folder.name / f"{name}.json", options.protocol
                )
                for split, systems in table.items():
                    rows[name].setdefault(split, []).extend(systems.values())
    options.out.mkdir(parents=True, exist_ok=True)
    text = markdown(rows)
    (options.out / "table1.md").write_text(text, encoding="utf-8")
    (options.out / "table1.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
