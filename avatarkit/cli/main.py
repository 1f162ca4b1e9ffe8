"""The ``avatarkit`` command.  A command's module is imported when it is called, heavy libraries inside the function that needs them.

Errors: an ``AvatarkitError`` is one line and its exit code (2 input, 3 environment); anything else is our own fault, one line
and exit code 1.  ``--debug`` anywhere on the line, or ``AVATARKIT_DEBUG=1``, shows tracebacks.
"""

from __future__ import annotations

import logging
import os
import sys

import typer

from avatarkit import __version__
from avatarkit.cli.commands import LazyCommands
from avatarkit.errors import AvatarkitError

app = typer.Typer(
    name="avatarkit",
    cls=LazyCommands,
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


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given or os.environ.get("AVATARKIT_DEBUG", "") not in ("", "0")
    arguments = [argument for argument in given if argument != "--debug"]
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s")
    for noisy in ("numba", "PIL", "asyncio", "matplotlib", "openai", "anthropic", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app(args=arguments, prog_name="avatarkit", obj=given)
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
