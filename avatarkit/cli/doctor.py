"""``avatarkit doctor``: what this machine has, and how to mend what it lacks."""

from __future__ import annotations

from typing import Any

import typer


def doctor(
    json: str = typer.Option(None, "--json", metavar="PATH", help="Write the rows as JSON; - for stdout."),
) -> None:
    """Look at this machine: Python, torch, GPU, SIMD, caches, assets, plugins."""
    from avatarkit.cli.json_output import write_json

    rows = examine()
    if json is not None:
        write_json({"ok": all(row["ok"] for row in rows), "rows": rows}, json)
    if json == "-":
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "check", "found", "to mend"):
        table.add_column(column, overflow="fold")
    for row in rows:
        name = row["name"] if row["plugin"] == "builtin" else f"{row['name']} [dim]({row['plugin']})[/]"
        table.add_row("[green]✓[/]" if row["ok"] else "[red]✗[/]", name, row["found"], row["mend"])
    console = Console()
    console.print(table)
    bad = sum(not row["ok"] for row in rows)
    console.print(f"\n{bad} of {len(rows)} rows need attention." if bad else f"\nAll {len(rows)} rows are fine.")


def examine() -> list[dict[str, Any]]:
    """One row per check and per plugin that has a problem: {"name", "plugin", "ok", "found", "mend"}."""
    from avatarkit.discovery import one_line
    from avatarkit.registry import registry

    rows: list[dict[str, Any]] = []
    for plugin, check in registry().checks():
        row: dict[str, Any] = {"name": check.name, "plugin": plugin.source.name}
        try:
            result = check.check()
            row |= {"ok": bool(result.ok), "found": str(result.found), "mend": "" if result.ok else str(result.mend)}
        except (Exception, SystemExit) as error:
            row |= {
                "ok": False,
                "found": f"the check itself failed: {one_line(error)}",
                "mend": "report it to its author",
            }
        rows.append(row)
    for plugin in registry().plugins:
        if plugin.problems and plugin.status != "off":
            found, mend = "; ".join(plugin.problems), "see `avatarkit plugins list`"
            rows.append({"name": "plugin", "plugin": plugin.source.name, "ok": False, "found": found, "mend": mend})
    return rows
