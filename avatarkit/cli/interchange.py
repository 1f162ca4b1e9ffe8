"""``avatarkit export`` and ``avatarkit import``: avatars into and out of other tools' files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avatarkit.cli.output import ProgressSink, console, short
from avatarkit.errors import InputError, unknown_name

KINDS = ("gaussianavatars",)


def export(
    avatar: Annotated[Path, typer.Argument(metavar="A.avatar", help="The avatar.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PATH", help="File or folder to write.", show_default=False)],
    format: Annotated[str | None, typer.Option("--format", metavar="NAME", help="An exporter: ply, gaussianavatars, or a plugin's. Default: by the suffix.", show_default=False)] = None,
    frame: Annotated[int | None, typer.Option(metavar="N", help="Timestep whose pose is taken. Default: 0.", show_default=False)] = None,
    rest: Annotated[bool, typer.Option("--rest", help="At rest instead: no expression, at the origin.")] = False,
    drop_free: Annotated[bool, typer.Option("--drop-free", help="gaussianavatars: leave out Gaussians that ride on joints.")] = False,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Where the avatar's head model is, if it was moved.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notices.")] = False,
) -> None:  # fmt: skip
    """Write an avatar for another tool."""
    import torch

    from avatarkit.events import Run
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.gaussians.head_of import head_of
    from avatarkit.registry import registry

    if rest and frame is not None:
        raise InputError("give --frame or --rest, not both")
    part = registry().create("exporter", format or _by_suffix(output))
    subject = load_avatar(avatar)
    model = head_of(subject.head, head)
    steps, chosen = len(subject.motion), frame or 0
    if not rest and not 0 <= chosen < steps:
        raise InputError(f"--frame {chosen}: the avatar has timesteps 0 to {steps - 1}")
    run = Run(sinks=(ProgressSink(quiet),))
    registry().connect(run)
    with torch.no_grad():
        pose = None if rest else subject.posed(model, subject.motion[chosen])
    part.export(subject, output, pose, head=model, run=run, drop_free=drop_free)
    if not quiet:
        console.print(f"[bold]{short(output)}[/]  {len(subject.gaussians)} Gaussians")


def import_(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="gaussianavatars.", show_default=False)],
    source: Annotated[Path, typer.Argument(metavar="DIR", help="The trained folder.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="A.avatar", help="The avatar to write.", show_default=False)],
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="The head model that it was trained with. Default: flame.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notices.")] = False,
) -> None:  # fmt: skip
    """Bring in an avatar that another system trained."""
    if kind not in KINDS:
        raise unknown_name("kind of import", kind, KINDS)

    from avatarkit.events import Run
    from avatarkit.gaussians.avatar_file import save_avatar
    from avatarkit.gaussians.trained_folder import import_trained

    run = Run(sinks=(ProgressSink(quiet),))
    avatar = import_trained(source, run, head=head)
    save_avatar(avatar, output)
    if not quiet:
        console.print(
            f"[bold]{short(output)}[/]  {len(avatar.gaussians)} Gaussians, {len(avatar.motion)} timesteps, "
            f"head model {avatar.head['name']}"
        )


def _by_suffix(output: Path) -> str:
    """The first exporter whose files have this suffix, ``ply`` before others."""
    from avatarkit.registry import registry

    known: list[Any] = registry().providers("exporter")
    for provider in sorted(known, key=lambda p: p.name != "ply"):
        if registry().usable(provider):
            part = registry().create("exporter", provider.name)
            if part.suffix == output.suffix.lower():
                return str(provider.name)
    raise InputError(
        f"{output}: no exporter writes '{output.suffix or 'a folder'}'; choose one with --format: "
        + ", ".join(provider.name for provider in known)
    )
