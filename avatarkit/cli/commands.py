"""The commands, and a typer group that imports one when it is called.

``avatarkit --help`` needs a name and a sentence of each, ``avatarkit info`` one module: importing and building all of them
for either takes longer than everything else at a start.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True)
class Entry:
    """A command.  target: "module:name" of its function, or of a ``typer.Typer`` with commands of its own.

    help: the first paragraph of what the command says of itself.
    """

    target: str
    help: str


COMMANDS = {
    "demo": Entry("demo:demo", "Reconstruct, score, drive and report: the whole job in a few minutes."),
    "track": Entry("track:track", "Track a head: shape, expression, pose and camera for every frame."),
    "recon": Entry("recon:recon", "Reconstruct a head avatar."),
    "edit": Entry("edit:edit", "Edit an avatar by writing what you want."),
    "label": Entry("label:label", "Label an avatar's Gaussians again, by another segmenter or a newer one."),
    "render": Entry(
        "render:render",
        "Film an avatar: driven by its own motion, another avatar's, a capture's, an expression track's or a video's.",
    ),
    "eval": Entry(
        "evaluate:evaluate",
        "PSNR, SSIM and LPIPS on held-out frames, in the head, mouth and eyes, beside trivial predictors.",
    ),
    "export": Entry("interchange:export", "Write an avatar for another tool."),
    "import": Entry("interchange:import_", "Bring in an avatar that another system trained."),
    "report": Entry(
        "report:report",
        "Truth beside render beside error, novel views, curves and settings, in one page that can be sent to anybody.",
    ),
    "batch": Entry("batch:batch", "Reconstruct and edit many heads, several at once."),
    "info": Entry("info:info", "Say what an avatar file holds."),
    "doctor": Entry("doctor:doctor", "Look at this machine: Python, torch, GPU, SIMD, caches, assets, plugins."),
    "plugins": Entry("plugins:app", "List, check and write plugins."),
    "assets": Entry("assets:app", "List, fetch and register model files (FLAME, landmark model, LPIPS weights)."),
    "bench": Entry("bench:app", "Measure how fast this machine does the main jobs."),
}


class _Light:
    """Options that were not given, and plain text, as they are: typer imports pydantic to convert them, a third of a start."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if "process_value" not in vars(param):
                param.process_value = partial(_processed, param, param.process_value)
        return params


def _processed(param: Any, process: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    """``value`` as ``process``, typer's ``param.process_value``, makes it."""
    one = param.nargs == 1 and not getattr(param, "multiple", False)
    text = isinstance(value, str) and getattr(getattr(param, "type_descriptor", None), "annotation", None) is str
    if not one or not (text or (value is None and not param.required)):
        return process(ctx, value)
    return param.callback(ctx, param, value) if param.callback else value


def _usage(argument: Any) -> str:
    """An argument in a usage line; a name that says itself how often it stands is left alone."""
    name: str = argument.metavar or argument.name.upper()
    if name.startswith("["):
        return name
    return (name if argument.required else f"[{name}]") + ("..." if argument.nargs != 1 else "")


class LightCommand(_Light, TyperCommand):
    """A command whose conversions are typer's, where there is something to convert."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """[OPTIONS] INPUT... [PROMPT], whatever the typer: some write {INPUT}... for what has to be given."""
        arguments = [param for param in self.get_params(ctx) if param.param_type_name == "argument"]
        return [*filter(None, [self.options_metavar]), *map(_usage, arguments)]


class LightGroup(_Light, TyperGroup):
    """A group of such commands."""


class LazyCommands(LightGroup):
    """``COMMANDS``: what lists them sees names and sentences; the one that is called is imported and built."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, entry in COMMANDS.items():
            self.add_command(LightCommand(name, help=entry.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and load(name), rest


def load(name: str) -> Any:
    """The command called ``name`` as typer builds it, with every parameter."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    found = getattr(importlib.import_module(f"avatarkit.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        _prepare(found)
        return get_group(found)
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name)(found)
    _prepare(alone)
    return get_command(alone)


def _prepare(of: typer.Typer) -> None:
    """Light commands, and their help as one line a paragraph: typer keeps a docstring's line ends, in the middle of a sentence."""
    of.info.cls = LightGroup
    for command in of.registered_commands:
        command.cls = LightCommand
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
