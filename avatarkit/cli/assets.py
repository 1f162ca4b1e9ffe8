"""``avatarkit assets``: files that avatarkit may not ship, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

app = typer.Typer(
    no_args_is_help=True, help="List, fetch and register model files (FLAME, landmark model, LPIPS weights)."
)
JSON = typer.Option(None, "--json", metavar="PATH", help="Write what was done as JSON; - for stdout.")
NAME = typer.Argument(metavar="NAME", help="An asset's name: see `avatarkit assets list`.")


def row(name: str) -> dict[str, Any]:
    """What is known about asset ``name``."""
    from avatarkit import assets

    wanted, file = assets.asset(name), assets.find(name)
    return {
        "name": name,
        "summary": wanted.summary,
        "registered": file is not None,
        "path": str(file) if file else None,
        "bytes": file.stat().st_size if file else wanted.size or None,
        "licence": wanted.licence,
        "sha256": wanted.sha256 or None,
        "url": wanted.url or None,
        "page": wanted.page,
    }


@app.command("list")
def list_(json: str = JSON) -> None:
    """Which assets there are, which are registered, their licences, and how to get the others."""
    from rich.table import Table

    from avatarkit import assets
    from avatarkit.cli.json_output import write_json
    from avatarkit.cli.output import console

    rows = [row(name) for name in assets.ASSETS]
    write_json({"assets": rows}, json)
    if json == "-":
        return
    table = Table("asset", "state", "licence", "what it is", box=None, pad_edge=False)
    for entry in rows:
        state = f"[green]{entry['path']}[/]" if entry["registered"] else assets.how_to_get(assets.asset(entry["name"]))
        table.add_row(entry["name"], state, entry["licence"], entry["summary"])
    console.print(table)


@app.command()
def add(
    name: str = NAME, file: Path = typer.Argument(metavar="FILE", help="The file, as downloaded."), json: str = JSON
) -> None:
    """Verify a file from disk and register it (a FLAME .pkl is converted once, in a restricted process)."""
    from avatarkit import assets

    assets.add(name, file)
    report(name, json)


@app.command()
def get(
    name: str = NAME,
    file: Path | None = typer.Argument(None, metavar="FILE", help="Register this file instead of downloading."),
    json: str = JSON,
) -> None:
    """Download an asset, verify its checksum, and register it. What is there already is only verified."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from avatarkit import assets
    from avatarkit.cli.output import console

    if file is not None:
        assets.add(name, file)
    elif not assets.intact(name):
        with Progress(
            TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console, transient=True
        ) as bar:
            task = bar.add_task(name, total=assets.asset(name).size or None)
            assets.download(name, progress=lambda received, total: bar.update(task, completed=received, total=total))
    report(name, json)


def report(name: str, json: str | None) -> None:
    """Say where the asset now is and under which licence."""
    from avatarkit.cli.json_output import write_json
    from avatarkit.cli.output import console

    entry = row(name)
    write_json(entry, json)
    if json != "-":
        console.print(f"[green]✓[/] {name}: {entry['path']} [dim]({entry['licence']})[/]", highlight=False)
