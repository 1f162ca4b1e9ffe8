"""The ``avatarkit`` command.  Modules of commands are light; heavy imports happen inside the command that needs them.

Errors: an ``AvatarkitError`` is one line and its exit code (2 input, 3 environment); anything else is our own fault, one line
and exit code 1.  ``--debug`` anywhere on the line, or ``AVATARKIT_DEBUG=1``, shows tracebacks.
"""

from __future__ import annotations

import copy
import inspect
import logging
import os
import sys

import typer

from avatarkit import __version__
from avatarkit.cli import (
    assets,
    batch,
    bench,
    doctor,
    edit,
    evaluate,
    info,
    interchange,
    label,
    plugins,
    recon,
    render,
    report,
    track,
)
from avatarkit.cli import demo as demo_command
from avatarkit.errors import AvatarkitError

app = typer.Typer(
    name="avatarkit",
    help="Reconstruct a 3D head avatar from a video, drive it, edit it by writing what you want, take it elsewhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"avatarkit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_version
    ),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks (may stand anywhere on the line)."),
) -> None:
    pass


app.command("demo")(demo_command.demo)
app.command("track")(track.track)
app.command("recon")(recon.recon)
app.command("edit")(edit.edit)
app.command("label")(label.label)
app.command("render")(render.render)
app.command("eval")(evaluate.evaluate)
app.command("export")(interchange.export)
app.command("import")(interchange.import_)
app.command("report")(report.report)
app.command("batch")(batch.batch)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)
app.add_typer(plugins.app, name="plugins")
app.add_typer(assets.app, name="assets")
app.add_typer(bench.app, name="bench")


def _let_terminals_wrap(of: typer.Typer) -> None:
    """Help of commands as one line a paragraph: line ends of a docstring are kept otherwise, in the middle of a sentence."""
    for command in of.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _part in (app, plugins.app, assets.app, bench.app):
    _let_terminals_wrap(_part)


def _with_what_is_called(arguments: list[str]) -> typer.Typer:
    """``app`` with the command that ``arguments`` begin with alone, if they do: typer builds every parameter of every command it has."""
    commands = [command for command in app.registered_commands if command.name in arguments[:1]]
    groups = [group for group in app.registered_groups if group.name in arguments[:1]]
    if not (commands or groups):
        return app
    called = copy.copy(app)
    called.registered_commands, called.registered_groups = commands, groups
    return called


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given or os.environ.get("AVATARKIT_DEBUG", "") not in ("", "0")
    arguments = [argument for argument in given if argument != "--debug"]
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s")
    for noisy in ("numba", "PIL", "asyncio", "matplotlib", "openai", "anthropic", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        _with_what_is_called(arguments)(args=arguments, prog_name="avatarkit", obj=given)
    except AvatarkitError as error:
        if debug:
            raise
        _say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)
    except Exception as error:
        if debug:
            raise
        _say(f"this is a bug in avatarkit: {type(error).__name__}: {error} (run again with --debug for the traceback)")
        sys.exit(1)


def _say(text: str) -> None:
    print("avatarkit: " + " ".join(text.split()), file=sys.stderr)


if __name__ == "__main__":
    main()
