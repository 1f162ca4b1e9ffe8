"""``avatarkit bench``: measure the machine."""

from __future__ import annotations

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
