"""``avatarkit info``: what is in an avatar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.output import console


def info(
    avatar: Annotated[Path, typer.Argument(metavar="A.avatar", help="The avatar.", show_default=False)],
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write it as JSON; - for stdout.", show_default=False)] = None,
) -> None:  # fmt: skip
    """Say what an avatar file holds."""
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.recon.labels_anew import label_counts

    subject = load_avatar(avatar)
    gaussians = subject.gaussians
    splits = [frame.split for frame in subject.frames]
    data: dict[str, Any] = {
        "file": str(avatar),
        "bytes": avatar.stat().st_size,
        "gaussians": len(gaussians),
        "free": int(gaussians.free.sum()),
        "sh_degree": gaussians.sh_degree,
        "correctives": gaussians.num_correctives,
        "head": subject.head,
        "timesteps": len(subject.motion),
        "cameras": [camera.name for camera in subject.cameras],
        "frames": {split: splits.count(split) for split in ("train", "val", "test")},
        "labels": label_counts(gaussians),
        "segmenter": subject.meta.get("segmenter", ""),
        "edits": len(subject.history),
        "training": {k: v for k, v in subject.meta.get("training", {}).items() if k != "curve"},
        "source": subject.source,
    }
    if json is None:
        for name, value in data.items():
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            shown = ", ".join(map(str, value)) if isinstance(value, list) else shown
            console.print(f"[bold]{name:11}[/] {shown}", highlight=False)
    write_json(data, json)
