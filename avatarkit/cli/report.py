"""``avatarkit report``: one self-contained HTML page about an avatar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatarkit.cli.output import ProgressSink, console, short


def report(
    avatar: Annotated[Path, typer.Argument(metavar="A.avatar", help="The avatar.", show_default=False)],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: report.html in its run folder, else beside it.", show_default=False)] = None,
    rasterizer: Annotated[str | None, typer.Option(metavar="NAME", help="Default: gsplat where CUDA works, else cpu.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Where the avatar's head model is, if it was moved.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Truth beside render beside error, novel views, curves and settings, in one page that can be sent to anybody."""
    from avatarkit.evaluate.evaluation import avatar_predictor
    from avatarkit.events import Run
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.gaussians.camera_gains import own_gains
    from avatarkit.gaussians.head_of import head_of
    from avatarkit.recon.job import evaluate_all
    from avatarkit.registry import registry
    from avatarkit.render.hosted import hosted
    from avatarkit.report.build import write_report
    from avatarkit.track.sequence_files import load_sequence

    subject = load_avatar(avatar)
    model = head_of(subject.head, head)
    part = hosted(registry().create("rasterizer", rasterizer or registry().default("rasterizer")))
    folder = avatar.with_suffix(".run")
    page = output or (folder / "report.html" if folder.is_dir() else avatar.with_suffix(".html"))
    sink = ProgressSink(quiet)
    run = Run(sinks=(sink,))
    registry().connect(run)
    source = subject.source
    sequence = predict = None
    results = []
    if source and Path(source).is_dir():
        sequence = load_sequence(Path(source), model)
        predict = avatar_predictor(subject, sequence, subject.motion, model, part, own_gains(subject))
        results = evaluate_all(subject, sequence, model, part, run)
    else:
        run.notice("the capture that it was made from is not here: the page has no figures", "warning")
    write_report(
        page, subject, model, part, results,
        sequence=sequence, predict=predict, run_folder=folder if folder.is_dir() else None, title=avatar.stem,
    )  # fmt: skip
    sink.close()
    if not quiet:
        console.print(f"[bold]{short(page)}[/]")
