"""``avatarkit edit``: an edit of an avatar by what is written.  This version plans it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatarkit.cli.output import ProgressSink, console, write_json
from avatarkit.config import parse_overrides
from avatarkit.errors import ConfigError, InputError

if TYPE_CHECKING:
    from avatarkit.edit.plan import EditPlan
    from avatarkit.gaussians.avatar import Avatar

LOOK_SIZE = 512  # pixels of a side of the picture that a language model sees


def edit(
    avatar: Annotated[Path, typer.Argument(metavar="A.avatar", help="The avatar.", show_default=False)],
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="What to change, in English.", show_default=False)] = None,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Print the plan and do nothing.")] = False,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="A plan in JSON instead of a prompt: one that --json wrote, changed by hand perhaps.", show_default=False)] = None,
    llm: Annotated[str, typer.Option(metavar="NAME", help="The refiner. gpt4 and claude send the prompt to their servers; rules stays here.")] = "rules",
    llm_set: Annotated[list[str] | None, typer.Option("--llm-set", metavar="KEY=VALUE", help="An option of the refiner, such as model=gpt-4o; may be repeated.", show_default=False)] = None,
    llm_fallback: Annotated[bool, typer.Option("--llm-fallback", help="Plan by rules where the refiner fails.")] = False,
    look: Annotated[bool, typer.Option("--look/--no-look", help="Let a refiner that uses the network see a rendered picture of the avatar.")] = True,
    rasterizer: Annotated[str | None, typer.Option(metavar="NAME", help="Default: gsplat where CUDA works, else cpu.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Where the avatar's head model is, if it was moved.", show_default=False)] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the plan as JSON; - for stdout.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:  # fmt: skip
    """Turn a prompt into a plan: a list of operations on named parts of the head, as a table and as JSON."""
    if (prompt is None) == (plan is None):
        raise InputError("give a prompt or --plan FILE" + ("" if prompt is None else ", not both"))
    if not plan_only:
        raise InputError("this version plans edits and does not carry them out yet; add --plan-only")

    from avatarkit.edit.asked import request_for
    from avatarkit.edit.plan import plan_json
    from avatarkit.edit.planning import load_plan, make_plan
    from avatarkit.events import Run
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.registry import registry

    sink = ProgressSink(quiet)
    run = Run(sinks=(sink,))
    registry().connect(run)
    subject = load_avatar(avatar)
    if plan is not None:
        made = load_plan(plan, request_for(subject, ""))
    else:
        options = _options(llm, llm_set or [])
        if registry().get("refiner", llm).network:
            sink.quiet = False  # what leaves the machine is said, also to those who asked for silence
        request = request_for(subject, prompt or "")
        pictures = (lambda: _pictures(subject, rasterizer, head)) if look else None
        made = make_plan(request, run, refiner=llm, options=options, fallback=llm_fallback, look=pictures)
    sink.close()
    if not quiet:
        show(made)
    write_json(plan_json(made), json)


def show(plan: EditPlan) -> None:
    """The plan as a table, and what it is unsure of."""
    from rich.table import Table
    from rich.text import Text

    from avatarkit.edit.captions import described, said

    console.print(Text(plan.prompt, style="bold") + Text(f"  planned by {plan.refiner}", style="dim"))
    table = Table(box=None, pad_edge=False)
    for name in ("", "what", "on", "in words", "keeps", "after"):
        table.add_column(name, overflow="fold")
    for i, operation in enumerate(plan.operations):
        kept = ", ".join(map(said, operation.preserve))
        after = ", ".join(str(k) for k in operation.depends_on)
        cells = (str(i), operation.kind, said(operation.target), described(operation), kept, after)
        table.add_row(*map(Text, cells))
    console.print(table)
    for line in plan.ambiguities:
        console.print(Text(f"unsure: {line}", style="yellow"))


def _options(llm: str, pairs: list[str]) -> dict[str, Any]:
    """``--llm-set`` values: YAML scalars, checked by the refiner's own config."""
    import yaml

    options = {}
    for key, text in parse_overrides(pairs).items():
        try:
            options[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--llm-set {key}={text}: not a valid value for '{llm}'") from error
    return options


def _pictures(avatar: Avatar, rasterizer: str | None, head: str | None) -> tuple[bytes, ...]:
    """What a refiner sees: the avatar from the front, as a PNG file."""
    from avatarkit.drive.filming import film
    from avatarkit.events import Run
    from avatarkit.gaussians.head_of import head_of
    from avatarkit.pictures.sheet import encode
    from avatarkit.registry import registry

    model = head_of(avatar.head, head)
    part = registry().create("rasterizer", rasterizer or registry().default("rasterizer"))
    frames = film(avatar, model, part, avatar.motion[[0]], Run(), camera="front", size=(LOOK_SIZE, LOOK_SIZE))
    return tuple(encode(frame) for frame in frames)
