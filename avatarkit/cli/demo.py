"""``avatarkit demo``: the whole job on a capture that it makes itself, or on a person's video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.options import frames_taken
from avatarkit.cli.output import ProgressSink, console, metric, short


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where everything goes.")] = Path("demo-out"),
    clip: Annotated[Path | None, typer.Option("--clip", metavar="VIDEO", help="Your own video instead of the synthetic subject.", show_default=False)] = None,
    minutes: Annotated[float | None, typer.Option(min=0.05, help="Minutes of training. Default: 2.5, of a clip 1.5.", show_default=False)] = None,
    max_frames: Annotated[int | None, typer.Option("--max-frames", metavar="N", help="At most so many frames of your video, spread evenly. Default: 600.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on with a video that is cut short, shows several people or loses the face for long.")] = False,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the summary as JSON; - for stdout.", show_default=False)] = None,
) -> None:  # fmt: skip
    """Reconstruct, score, drive and report: the whole job in a few minutes."""
    taken = frames_taken(max_frames)
    from avatarkit.demo import run_demo
    from avatarkit.events import Run
    from avatarkit.registry import registry

    sink = ProgressSink()
    run = Run(seed=seed, sinks=(sink,), anyway=anyway)
    registry().connect(run)
    try:
        summary = run_demo(out, run, clip=clip, minutes=minutes, seed=seed, max_frames=taken)
    finally:
        sink.close()
    console.print()
    for split, values in summary.get("metrics", {}).items():
        console.print(
            f"[bold]{split:5}[/] {metric(values['psnr'])} dB  SSIM {metric(values['ssim'], 4)}  ({values['frames']} held-out frames)"
        )
    for name in ("avatar", "film", "report"):
        if name in summary:
            console.print(f"[bold]{name:7}[/] {short(Path(summary[name]))}")
    write_json(summary, json)
    if run.stopping:
        raise typer.Exit(130)
