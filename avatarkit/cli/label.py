"""``avatarkit label``: the labels of an avatar made anew, without training it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.output import ProgressSink, console, short
from avatarkit.errors import InputError


def label(
    avatar: Annotated[Path, typer.Argument(metavar="A.avatar", help="The avatar.", show_default=False)],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="B.avatar", help="Default: A.avatar itself.", show_default=False)] = None,
    segmenter: Annotated[str | None, typer.Option(metavar="NAME", help="Where labels come from. Default: head-regions.", show_default=False)] = None,
    capture: Annotated[Path | None, typer.Option(metavar="DIR", help="The capture that it was made from, if it was moved.", show_default=False)] = None,
    views: Annotated[int | None, typer.Option(min=1, help="Training views that are looked at. Default: as many as recon takes.", show_default=False)] = None,
    rasterizer: Annotated[str | None, typer.Option(metavar="NAME", help="Default: gsplat where CUDA works, else cpu.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Where the avatar's head model is, if it was moved.", show_default=False)] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the counts as JSON; - for stdout.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:  # fmt: skip
    """Label an avatar's Gaussians again, by another segmenter or a newer one.

    Looks at the training views of the capture that it was made from. Nothing but the labels changes. Edits select by labels: label
    first, then edit.
    """
    from dataclasses import replace

    from avatarkit.events import Run
    from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
    from avatarkit.gaussians.head_of import head_of
    from avatarkit.recon.config import ReconConfig
    from avatarkit.recon.labels_anew import label_counts, labelled_anew
    from avatarkit.registry import registry
    from avatarkit.render.hosted import hosted
    from avatarkit.track.sequence_files import load_sequence

    subject = load_avatar(avatar)
    model = head_of(subject.head, head)
    source = capture or (Path(subject.source) if subject.source else None)
    if source is None or not source.is_dir():
        raise InputError(
            f"{avatar}: the capture that it was made from ({source or 'not recorded'}) is not here; give it with --capture DIR"
        )
    part = hosted(registry().create("rasterizer", rasterizer or registry().default("rasterizer")))
    name = segmenter or registry().default("segmenter")
    eye = registry().create("segmenter", name)
    sink = ProgressSink(quiet)
    run = Run(sinks=(sink,))
    registry().connect(run)
    config = ReconConfig()
    if views is not None:
        config = replace(config, label_views=views)
    try:
        made = labelled_anew(subject, load_sequence(source, model, run=run), model, eye, name, part, config, run)
    finally:
        sink.close()
    target = output or avatar
    save_avatar(made, target)
    before, after = label_counts(subject.gaussians), label_counts(made.gaussians)
    if not quiet:
        _print(target, name, before, after)
    write_json({"avatar": str(target), "segmenter": name, "before": before, "after": after}, json)


def _print(target: Path, segmenter: str, before: dict[str, int], after: dict[str, int]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("label")
    for heading in ("Gaussians", "before"):
        table.add_column(heading, justify="right")
    for name in sorted({*before, *after}, key=lambda name: -after.get(name, 0)):
        table.add_row(name, str(after.get(name, 0)), str(before.get(name, 0)))
    console.print(table)
    console.print(f"[bold]{short(target)}[/]  labelled by {segmenter}")
