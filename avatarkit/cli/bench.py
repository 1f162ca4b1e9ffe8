"""``avatarkit bench``: measure the machine."""

from __future__ import annotations

from pathlib import Path

import typer

from avatarkit.cli.output import console, write_json

app = typer.Typer(help="Measure how fast this machine does the main jobs.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure how fast this machine does the main jobs."""


@app.command()
def raster(
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
    scene: list[str] = typer.Option(
        [], "--scenes", help='Only this scene, such as "50k r4" or garden; may be repeated.'
    ),
    quick: bool = typer.Option(False, "--quick", help="Two scenes only."),
    repeats: int = typer.Option(15, "--repeats", min=3, help="Frames of each scene; medians are shown."),
) -> None:
    """The CPU rasterizer: milliseconds a frame, and what it reaches of its own inner loop's peak."""
    from avatarkit.bench.raster import run, table

    with console.status("measuring") as status:
        result = run(quick=quick, repeats=repeats, only=tuple(scene), report=status.update)
    console.print(table(result))
    write_json(result, json)


@app.command()
def labels(
    out: Path = typer.Option(
        Path("bench-labels"), "--out", "-o", help="Where the synthetic capture goes; drawn once.", metavar="DIR"
    ),
    iterations: int = typer.Option(
        3000, "--iterations", min=50, help="Training steps before the Gaussians are labelled."
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of everything that is drawn."),
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
) -> None:
    """Labels on the synthetic subject, whose truth is known: mIoU on a held-out camera and held-out timesteps."""
    from avatarkit.bench.labels import class_table, run, table

    with console.status("measuring") as status:
        result = run(out, iterations=iterations, seed=seed, report=status.update)
    console.print(table(result))
    console.print(class_table(result))
    write_json(result, json)


@app.command()
def track(
    tracked: Path = typer.Argument(help="Folder that avatarkit track wrote.", metavar="SEQUENCE_DIR"),
    true: Path = typer.Argument(help="Data set with the true parameters of the same pictures.", metavar="TRUE_DIR"),
    head: str | None = typer.Option(
        None, "--head", help="Head model of both; default: found by its counts.", metavar="NAME|FILE"
    ),
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
) -> None:
    """A tracked sequence against true head parameters: rotation, face vertices and projected landmarks."""
    from avatarkit.bench.tracking import run, table
    from avatarkit.events import Run
    from avatarkit.recon.prepare import read_known

    _, model = read_known(true, head, Run())
    result = run(tracked, true, model)
    console.print(table(result))
    write_json(result, json)


@app.command()
def edit(
    out: Path = typer.Option(
        Path("bench-edit"), "--out", "-o", help="Where avatars are made (once) and results kept; go on with the same.", metavar="DIR"
    ),
    only: list[str] = typer.Option(
        [], "--only", help="Only this part or case, such as spatial or attribute-03; may be repeated.", metavar="NAME"
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of everything that is drawn, made and edited."),
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
) -> None:  # fmt: skip
    """Edits of the synthetic subject against the same subject drawn again with that edit: who did what was asked?"""
    from avatarkit.bench.edit.parts import KINDS, run
    from avatarkit.bench.edit.summary import failures, table

    with console.status("measuring") as status:
        result = run(out, seed=seed, only=tuple(only), report=status.update)
    console.print(table(result, KINDS))
    failed = failures(result)
    if failed is not None:
        console.print(failed)
    write_json(result, json)
