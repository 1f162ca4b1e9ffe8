"""``avatarkit plugins``: what is installed, whether it keeps its contract, a new one, and the hooks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import typer

app = typer.Typer(no_args_is_help=True, help="List, check and write plugins.")
JSON = typer.Option(None, "--json", metavar="PATH", help="Write the rows as JSON; - for stdout.")


@app.command("list")
def list_(json: str = JSON) -> None:
    """What is installed: every provider, and every plugin that has a problem."""
    from avatarkit.cli.json_output import write_json

    rows = listing()
    write_json(rows, json)
    if json != "-":
        _print_listing(rows)


@app.command()
def check(
    names: list[str] = typer.Argument(
        None, metavar="[NAME|ROLE:NAME|FILE.py:CLASS]…", help="Providers; all where none."
    ),
    role: str = typer.Option(None, "--role", help="The role of FILE.py:CLASS, or of names that several roles have."),
    json: str = JSON,
) -> None:
    """Run the conformance tests on providers.  Exit code 3 where one fails."""
    from avatarkit.cli.json_output import write_json

    rows = check_rows(names or [], role)
    write_json({"ok": all(row["ok"] for row in rows), "rows": rows}, json)
    if json != "-":
        _print_checks(rows)
    if not all(row["ok"] for row in rows):
        raise typer.Exit(3)


@app.command()
def new(
    name: str = typer.Argument(..., metavar="NAME", help="The provider's name, as users will type it."),
    role: str = typer.Option(..., "--role", help="rasterizer, tracker, refiner, editor, discriminator, head_model, …"),
    out: Path = typer.Option(None, "-o", "--out", help="Folder; default ./avatarkit-NAME."),
) -> None:
    """Write a plugin project that passes its own conformance test."""
    from avatarkit.cli.output import short
    from avatarkit.testing.template import write_plugin

    folder = write_plugin(name, role, out or Path(f"avatarkit-{name}"))
    typer.echo(f"wrote {short(folder)}; next: pip install -e {short(folder)} && pytest {short(folder)}")


@app.command()
def hooks(
    write: Path = typer.Option(None, "--write", metavar="FILE", help="Write the page there instead of printing it."),
    json: str = JSON,
) -> None:
    """The hooks that a plugin may define, with examples, as Markdown."""
    from avatarkit.cli.json_output import write_json
    from avatarkit.hook_docs import hooks_markdown

    if json is not None:
        write_json(hook_rows(), json)
    if write is not None:
        from avatarkit.paths import atomic_write_text

        atomic_write_text(write, hooks_markdown())
    elif json is None:
        typer.echo(hooks_markdown())


def listing() -> dict[str, Any]:
    """{"plugins": [...], "providers": [...]} of the installed plugins, as ``plugins list --json`` writes it."""
    from avatarkit.registry import missing, registry

    known = registry()
    plugins = [
        {
            "name": plugin.source.name,
            "distribution": plugin.source.distribution,
            "version": plugin.source.version,
            "module": plugin.source.module,
            "status": plugin.status,
            "problems": plugin.problems,
            "import_ms": round(1e3 * plugin.seconds, 1),
        }
        for plugin in known.plugins
    ]
    providers = []
    for entry in known.entries():
        record = dataclasses.asdict(entry.provider)
        unique = any(entry.provider is provider for provider in known.providers(entry.role))
        state = {"missing": missing(entry.provider), "collides": not unique}
        providers.append({"role": entry.role, "plugin": entry.plugin.source.name, **record, **state})
    return {"plugins": plugins, "providers": providers}


def hook_rows() -> list[dict[str, str]]:
    """{"name", "summary", "example"} of each hook."""
    import inspect

    from avatarkit import hookspecs
    from avatarkit.discovery import HOOK_NAMES
    from avatarkit.hook_docs import example

    summaries = {name: (inspect.getdoc(getattr(hookspecs, name)) or "").splitlines()[0] for name in HOOK_NAMES}
    return [{"name": name, "summary": summaries[name], "example": example(name)} for name in HOOK_NAMES]


def check_rows(names: list[str], role: str | None) -> list[dict[str, Any]]:
    """{"role", "provider", "check", "ok", "skipped", "detail"} of every conformance check, plugin problems first."""
    from avatarkit.errors import unknown_name
    from avatarkit.hookspecs import HOOKS
    from avatarkit.registry import registry
    from avatarkit.testing.conformance import check_provider

    if role is not None and role not in HOOKS:
        raise unknown_name("role", role, HOOKS)
    rows: list[dict[str, Any]] = []
    if not names:
        for plugin in registry().plugins:
            for problem in plugin.problems if plugin.status != "off" else ():
                fault = {"check": "registration", "ok": False, "skipped": False, "detail": problem}
                rows.append({"role": "plugin", "provider": plugin.source.name, **fault})
    for wanted_role, name in _wanted(names, role):
        for result in check_provider(wanted_role, name):
            rows.append({"role": wanted_role, "provider": name, **dataclasses.asdict(result)})
    return rows


def _wanted(names: list[str], role: str | None) -> list[tuple[Any, str]]:
    """(role, name) pairs that the arguments mean."""
    from avatarkit.errors import InputError, unknown_name
    from avatarkit.hookspecs import HOOKS
    from avatarkit.registry import registry

    known = [(entry.role, entry.provider.name) for entry in registry().entries()]
    if not names:
        return sorted({pair for pair in known if role in (None, pair[0])})
    wanted: list[tuple[Any, str]] = []
    for name in names:
        prefix, _, rest = name.partition(":")
        if prefix in HOOKS and rest:
            wanted.append((prefix, rest))
        elif role is not None:
            wanted.append((role, name))
        elif ".py:" in name:
            raise InputError(f"{name}: say its role with --role ({', '.join(HOOKS)})")
        else:
            pairs = sorted({pair for pair in known if pair[1] == name})
            if not pairs:
                raise unknown_name("provider", name, {pair[1] for pair in known})
            wanted.extend(pairs)
    return wanted


def _print_listing(rows: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("role", "name", "from", "what", ""):
        table.add_column(column, overflow="fold")
    previous = ""
    for row in rows["providers"]:
        notes = [f"[yellow]needs {', '.join(row['missing'])}: {row['install_hint']}[/]"] if row["missing"] else []
        notes += ["[red]name collides[/]"] if row["collides"] else []
        notes += ["CUDA"] if row["device"] == "cuda" else []
        notes += ["sends data off the machine"] if row["network"] else []
        role = row["role"].replace("_", " ") if row["role"] != previous else ""
        table.add_row(role, f"[bold]{row['name']}[/]", row["plugin"], row["summary"], "; ".join(notes))
        previous = row["role"]
    console = Console()
    console.print(table)
    troubled = [row for row in rows["plugins"] if row["problems"]]
    if not troubled:
        return
    problems = Table(box=None, pad_edge=False, header_style="bold", title="\nplugins to look at", title_justify="left")
    for column in ("plugin", "distribution", "status", "problem"):
        problems.add_column(column, overflow="fold")
    for row in troubled:
        for problem in row["problems"]:
            distribution = f"{row['distribution']} {row['version']}"
            problems.add_row(row["name"], distribution, row["status"], problem.replace("[", "\\["))
    console.print(problems)


def _print_checks(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "provider", "check", "detail"):
        table.add_column(column, overflow="fold")
    for row in rows:
        mark = "[dim]–[/]" if row["skipped"] else "[green]✓[/]" if row["ok"] else "[red]✗[/]"
        table.add_row(mark, f"{row['role']} {row['provider']}", row["check"], row["detail"].replace("[", "\\["))
    console = Console()
    console.print(table)
    failed, skipped = (sum(row[key] == value for row in rows) for key, value in (("ok", False), ("skipped", True)))
    console.print(f"\n{len(rows)} checks: {failed} failed, {skipped} skipped")
