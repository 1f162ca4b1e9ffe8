"""``avatarkit batch``: many avatars and edits from one file."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatarkit import events
from avatarkit.cli import edit as edit_command
from avatarkit.cli import recon as recon_command
from avatarkit.cli.json_output import write_json
from avatarkit.cli.output import console, short
from avatarkit.errors import AvatarkitError, InputError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from avatarkit.batch.running import TaskChanged
    from avatarkit.batch.summary import Row
    from avatarkit.batch.tasks import Task
    from avatarkit.hookspecs import Role

ROLES: dict[str, Role] = {
    "rasterizer": "rasterizer", "tracker": "tracker", "segmenter": "segmenter",
    "editor": "editor", "llm": "refiner", "discriminator": "discriminator",
}  # fmt: skip
"""Which options name a replaceable part."""


def batch(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="What to make: a YAML file of captures and edits (docs/batch.md).", show_default=False)],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder for the avatars. Default: the manifest's 'out', else avatars/ beside it.", show_default=False)] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Tasks at once on this machine. Default: one for each GPU, else one for every two cores.", show_default=False)] = None,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Run on a Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local. Needs avatarkit-ray.", show_default=False)] = None,
    retries: Annotated[int, typer.Option(min=0, max=20, help="More attempts at a task that crashed or was killed.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands in order and run nothing.")] = False,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the summary as JSON; - for stdout.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:  # fmt: skip
    """Reconstruct and edit many heads, several at once.

    What is done is not done again, and what was interrupted goes on where it was: run the same line once more.
    """
    from avatarkit.batch.manifest import read_manifest
    from avatarkit.batch.tasks import tasks_of
    from avatarkit.registry import registry

    asked = read_manifest(manifest, output)
    tasks = tasks_of(asked)
    networked = check_commands(tasks, str(manifest))
    if dry_run:
        _print_commands(tasks, json)
        return

    from avatarkit.batch.engine import make_engine
    from avatarkit.batch.folder_lock import held
    from avatarkit.batch.report import write_report
    from avatarkit.batch.running import Batch
    from avatarkit.batch.summary import rows_of, table

    page = asked.out / "report.html"
    sink = BatchSink(quiet)
    run = events.Run(asked.out, sinks=(sink,))
    registry().connect(run)
    with held(asked.out) as descriptors:
        engine = make_engine(jobs, ray, descriptors)
        try:
            sink.say(engine.places)
            for name, count in networked.items():  # also to those who asked for silence
                edits = "1 edit sends" if count == 1 else f"{count} edits send"
                console.print(f"{edits} data off this machine through {name}", style="yellow")
            course = Batch(tasks, engine, run, retries=retries)
            states = course.run()
        finally:
            sink.close()
            engine.close()
        rows = rows_of(tasks, states, course.kept)
        write_report(page, rows, asked.path.stem)
    if not quiet:
        console.print(table(rows))
        console.print(f"  report {short(page)}")
    summary = {"manifest": str(asked.path), "out": str(asked.out), "report": str(page), "counts": course.counts}
    write_json({**summary, "tasks": [dataclasses.asdict(row) for row in rows]}, json)
    if run.stopping:
        console.print("interrupted; the same line goes on from here", style="yellow")
        raise typer.Exit(130)
    failures = [row for row in rows if row.status != "done"]
    if failures:
        raise AvatarkitError(_said(failures, len(rows)))


def check_commands(tasks: list[Task], where: str) -> dict[str, int]:
    """Parse every command as the command line will, and look up every part that it names.

    Returns the providers that send data off this machine, and for how many tasks.  Raises InputError with the task's name.
    """
    from avatarkit.registry import registry

    parsers = {"recon": _parser(recon_command.recon), "edit": _parser(edit_command.edit)}
    networked: dict[str, int] = {}
    for task in tasks:
        _, command, *arguments = task.command
        try:
            with parsers[command].make_context(command, list(arguments)) as context:
                options = dict(context.params)
        except Exception as error:
            if not hasattr(
                error, "format_message"
            ):  # click's errors have it, wherever this version of typer keeps them
                raise
            raise InputError(f"{where}: {task.said}: {error.format_message()}") from error
        if command == "edit" and task.settings.get("mapping", True):  # of an edit it is a setting
            options["segmenter"] = task.settings.get("segmenter")
        for option, role in ROLES.items():
            name = options.get(option)
            if not isinstance(name, str) or (option, name) == ("discriminator", "none"):
                continue
            try:
                provider = registry().get(role, name)
            except AvatarkitError as error:
                raise InputError(f"{where}: {task.said}: {error}") from error
            if provider.network:
                networked[name] = networked.get(name, 0) + 1
    return networked


def _parser(function: Callable[..., None]) -> Any:
    """The parser of a command's line."""
    alone = typer.Typer(add_completion=False)
    alone.command()(function)
    return typer.main.get_command(alone)


def _print_commands(tasks: list[Task], json: str | None) -> None:
    if json is not None:
        rows = [{"name": t.name, "task": t.said, "after": t.after or None, "command": list(t.command)} for t in tasks]
        write_json({"tasks": rows}, json)
    if json != "-":
        for task in tasks:
            after = f"  (after {task.after})" if task.after else ""
            sys.stdout.write(f"# {task.said}{after}\n{shlex.join(task.command)}\n")


def _said(failures: list[Row], total: int) -> str:
    """One line about what is not done; the first of what failed itself stands for the rest."""
    first = next((row for row in failures if row.status == "failed"), failures[0])
    log = f"; see {short(first.log)}" if first.log is not None else ""
    return f"{len(failures)} of {total} tasks are not done: {first.task}: {first.reason}{log}"


class BatchSink:
    """Draws a batch: on a terminal a bar and a line for each running task, elsewhere a line for each change."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._whole: TaskID | None = None
        self._rows: dict[str, TaskID] = {}
        self._status: dict[str, tuple[str, int]] = {}

    def __call__(self, event: events.Event) -> None:
        from rich.text import Text

        from avatarkit.batch.running import TaskChanged

        if isinstance(event, events.Notice) and (not self._quiet or event.level == "warning"):
            console.print(Text(event.text, style="yellow" if event.level == "warning" else "dim"))
        elif self._quiet:
            return
        elif isinstance(event, events.Started) and console.is_terminal:
            self._start(event)
        elif isinstance(event, events.Progress) and self._bar is not None and self._whole is not None:
            failed = f"{event.values['failed']:.0f} not done" if "failed" in event.values else ""
            self._bar.update(self._whole, completed=event.step, text=failed, count=f"{event.step}/{event.total}")
        elif isinstance(event, TaskChanged):
            self._changed(event)

    def say(self, text: str) -> None:
        if not self._quiet:
            console.print(text, style="dim", highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start(self, event: events.Started) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[count]}"), TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[text]}", markup=True, table_column=Column(no_wrap=True, ratio=1)),
            console=console, transient=True,
        )  # fmt: skip
        self._bar.start()
        self._whole = self._bar.add_task(event.stage, total=event.total, text="", count=f"0/{event.total}")

    def _changed(self, event: TaskChanged) -> None:
        from rich.markup import escape
        from rich.text import Text

        from avatarkit.batch.summary import STYLES, duration

        running = event.status == "running"
        new = self._status.get(event.name) != (event.status, event.attempt)
        self._status[event.name] = event.status, event.attempt
        if self._bar is not None:
            if running and event.name not in self._rows:
                self._rows[event.name] = self._bar.add_task(event.said, total=None, text="", count="")
            if event.name in self._rows:
                row = self._rows[event.name]
                self._bar.update(row, text=escape(event.text[: max(20, console.width - 60)]))
                if not running:
                    self._bar.remove_task(self._rows.pop(event.name))
        if not new or event.status == "queued" or (running and self._bar is not None and event.attempt == 1):
            return
        status = f"attempt {event.attempt}" if running else "done before" if event.kept else event.status
        time = f" in {duration(event.seconds)}" if event.status == "done" and not event.kept else ""
        line = Text(f"{event.said}: ").append(status, style=STYLES[event.status]).append(time)
        console.print(line if running or not event.text else line.append(f"  {event.text}", style="dim"))
