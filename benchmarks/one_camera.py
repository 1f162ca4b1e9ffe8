#!/usr/bin/env python3
"""What one camera does not tell: two data sets out of one that several cameras saw.

    python benchmarks/one_camera.py CAPTURE --out OUT --camera 3 --near 1 6 --far 0 7
    avatarkit recon OUT/alone -o a.avatar --head HEAD --iterations 3000 --seed 0 --set label_views=0
    avatarkit eval a.avatar OUT/aside --split val      # and test

``alone`` has what camera ``--camera`` saw of the training timesteps, so that it is trained as a clip is (its other timesteps are
``test``).  ``aside`` has every third of these timesteps as the cameras saw them that it never met: ``--near`` as val, ``--far`` as test.
Pictures are linked, not copied.  Called without cameras it says where they stand.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from avatarkit.paths import atomic_write_text

EVERY = 3  # of the training timesteps that are scored from aside


def main() -> None:
    asked = parser()
    arguments = asked.parse_args()
    capture, out = arguments.capture, arguments.out
    lists = {
        split: json.loads((capture / f"transforms_{split}.json").read_text())
        for split in ("train", "val", "test")
        if (capture / f"transforms_{split}.json").is_file()
    }
    if "train" not in lists:
        asked.error(f"{capture}: no data set; expected transforms_train.json in it")
    frames = [frame for listed in lists.values() for frame in listed["frames"]]
    cameras = {frame["camera_index"] for frame in frames}
    unknown = {*arguments.near, *arguments.far, *([] if arguments.camera is None else [arguments.camera])} - cameras
    if unknown:
        asked.error(f"{capture}: no camera {min(unknown)}; there are {', '.join(map(str, sorted(cameras)))}")
    if arguments.camera is None:
        for line in places(frames):
            print(line)
        return
    shared = {key: value for key, value in lists["train"].items() if key != "frames"}
    known = {frame["timestep_index"] for frame in lists["train"]["frames"]}
    some = set(sorted(known)[::EVERY])

    def seen_by(cameras: list[int], timesteps: set[int]) -> list[dict[str, Any]]:
        return [f for f in frames if f["camera_index"] in cameras and f["timestep_index"] in timesteps]

    every = {frame["timestep_index"] for frame in frames}
    own = [arguments.camera]
    write(capture, out / "alone", shared, {"train": seen_by(own, known), "test": seen_by(own, every - known)})
    aside = {"train": seen_by(own, known), "val": seen_by(arguments.near, some), "test": seen_by(arguments.far, some)}
    write(capture, out / "aside", shared, aside)


def write(capture: Path, folder: Path, shared: dict[str, Any], splits: dict[str, list[dict[str, Any]]]) -> None:
    """A data set of these frames, whose pictures and parameters are those of ``capture``."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(capture.resolve().iterdir()):
        link = folder / path.name
        if not path.name.startswith("transforms_") and not link.exists():
            link.symlink_to(path)
    for split, frames in splits.items():
        atomic_write_text(folder / f"transforms_{split}.json", json.dumps(shared | {"frames": frames}))
        print(f"{folder}: {split} {len(frames)} frames")


def places(frames: list[dict[str, Any]]) -> list[str]:
    """Where each camera stands, seen from the world's origin: degrees to the side and up."""
    centres = {frame["camera_index"]: [row[3] for row in frame["transform_matrix"][:3]] for frame in frames}
    return [
        f"camera {camera}: {math.degrees(math.atan2(x, z)):.0f} to the side, {math.degrees(math.atan2(y, math.hypot(x, z))):.0f} up"
        for camera, (x, y, z) in sorted(centres.items())
    ]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("capture", type=Path)
    made.add_argument("--out", type=Path, default=Path("out"))
    made.add_argument("--camera", type=int)
    made.add_argument("--near", type=int, nargs="+", default=[])
    made.add_argument("--far", type=int, nargs="+", default=[])
    return made


if __name__ == "__main__":
    main()
