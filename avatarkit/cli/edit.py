"""``avatarkit edit``: an edit of an avatar by what is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.options import part_options
from avatarkit.cli.output import ProgressSink, console, short
from avatarkit.errors import InputError
from avatarkit.interrupts import interruptible

if TYPE_CHECKING:
    from avatarkit.edit.plan import EditPlan


def edit(
    avatar: Annotated[Path, typer.Argument(metavar="A.avatar", help="The avatar.", show_default=False)],
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="What to change, in English.", show_default=False)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="B.avatar", help="The edited avatar; its pictures and log stand beside it in B.edit.", show_default=False)] = None,
    editor: Annotated[str, typer.Option(metavar="NAME", help="The image editor, for what operators on Gaussians cannot do. paint needs no weights; ip2p and openai-images are plugins.")] = "paint",
    editor_set: Annotated[list[str] | None, typer.Option("--editor-set", metavar="KEY=VALUE", help="An option of the editor; may be repeated.", show_default=False)] = None,
    llm: Annotated[str, typer.Option(metavar="NAME", help="The refiner. gpt4 and claude send the prompt to their servers; rules stays here.")] = "rules",
    llm_set: Annotated[list[str] | None, typer.Option("--llm-set", metavar="KEY=VALUE", help="An option of the refiner, such as model=gpt-4o; may be repeated.", show_default=False)] = None,
    llm_fallback: Annotated[bool, typer.Option("--llm-fallback", help="Plan by rules where the refiner fails.")] = False,
    discriminator: Annotated[str, typer.Option(metavar="NAME|none", help="Tells painted pictures from renders while fitting, such as hinge-gan.")] = "none",
    discriminator_set: Annotated[list[str] | None, typer.Option("--discriminator-set", metavar="KEY=VALUE", help="An option of the discriminator, such as r1=10; may be repeated.", show_default=False)] = None,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="A plan in JSON instead of a prompt: one that --json wrote, changed by hand perhaps.", show_default=False)] = None,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Print the plan and do nothing.")] = False,
    show_region: Annotated[Path | None, typer.Option("--show-region", metavar="PICTURE", help="Draw where the plan's operations would act, and do nothing.", show_default=False)] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the avatar's last edit back.")] = False,
    mask: Annotated[Path | None, typer.Option(metavar="PICTURE", help="A region painted by hand, white on black, for a plan of one operation.", show_default=False)] = None,
    mask_view: Annotated[str, typer.Option("--mask-view", metavar="T:C", help="Timestep and camera that the mask was painted over.")] = "0:0",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the edit; may be repeated.", show_default=False)] = None,
    config: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="A YAML file of settings; the shipped one is edit.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.", show_default=False)] = None,
    look: Annotated[bool, typer.Option("--look/--no-look", help="Let a refiner that uses the network see rendered pictures of the avatar.")] = True,
    rasterizer: Annotated[str | None, typer.Option(metavar="NAME", help="Default: gsplat where CUDA works, else cpu.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Where the avatar's head model is, if it was moved.", show_default=False)] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the result (with --plan-only the plan) as JSON; - for stdout.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:  # fmt: skip
    """Edit an avatar by writing what you want.

    The prompt becomes a plan of operations on named parts of the head. What can be done on the Gaussians themselves is done there, exactly; the rest is
    painted into pictures and learnt from them. Nothing leaves the machine unless a networked part is named.
    """
    _check_arguments(prompt, plan, output, (plan_only or show_region is not None) and not undo, undo)
    from avatarkit.config import load_config, parse_overrides
    from avatarkit.edit.config import EditConfig

    overrides = parse_overrides(set_ or []) | ({} if seed is None else {"seed": str(seed)})
    settings = load_config(EditConfig, config or "edit", overrides)
    if output is not None and not output.suffix:
        output = output.with_suffix(".avatar")

    from avatarkit.edit.job import EditJob, networked, plan_of, run_edit, show_regions, undo_edit
    from avatarkit.edit.plan import plan_json
    from avatarkit.events import Run
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.registry import registry

    job = EditJob(
        avatar, output, settings, prompt or "", plan, editor, part_options("--editor-set", editor, editor_set or []),
        llm, part_options("--llm-set", llm, llm_set or []), llm_fallback, discriminator,
        part_options("--discriminator-set", discriminator, discriminator_set or []), look, rasterizer, head, mask, _view(mask_view),
    )  # fmt: skip
    sink = ProgressSink(quiet)
    run = Run(job.folder, seed=settings.seed, sinks=(sink,))
    registry().connect(run)
    if undo:
        summary = undo_edit(job)
        if not quiet:
            console.print(
                f"[bold]{short(Path(summary['avatar']))}[/]  without: {summary['undone']}  [dim]({summary['edits']} edits left)[/]"
            )
        write_json(summary, json)
        return
    if networked(job):
        sink.quiet = False  # what leaves the machine is said, also to those who asked for silence
    try:
        if plan_only:
            made = plan_of(job, load_avatar(avatar), run)
            sink.close()
            if not quiet:
                show(made)
            write_json(plan_json(made), json)
        elif show_region is not None:
            summary = show_regions(job, show_region, run)
            sink.close()
            if not quiet:
                console.print(f"[bold]{short(show_region)}[/]")
                for note in summary["notes"]:
                    console.print(f"  [yellow]{note}[/]")
            write_json(summary, json)
        else:
            with interruptible(run):
                summary = run_edit(job, run)
            sink.close()
            if not quiet:
                _print(summary)
            write_json(summary, json)
    except KeyboardInterrupt:
        sink.close()
        console.print("interrupted: no avatar was written", style="yellow")
        raise typer.Exit(130) from None
    finally:
        sink.close()
    if run.stopping:
        console.print("interrupted: what was done before is written", style="yellow")
        raise typer.Exit(130)


def _check_arguments(prompt: str | None, plan: Path | None, output: Path | None, dry: bool, undo: bool) -> None:
    if undo:
        if prompt is not None or plan is not None:
            raise InputError("--undo takes the last edit back; it takes no prompt and no plan")
    elif (prompt is None) == (plan is None):
        raise InputError("give a prompt or --plan FILE" + ("" if prompt is None else ", not both"))
    if output is None and undo:
        raise InputError("give the file to write with -o")
    if output is None and not dry:
        raise InputError("give the file to write with -o, or look first with --plan-only or --show-region")


def _view(text: str) -> tuple[int, int]:
    parts = text.split(":")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"--mask-view {text}: expected TIMESTEP:CAMERA, such as 0:3")
    return int(parts[0]), int(parts[1])


def _print(summary: dict[str, Any]) -> None:
    """What became of each operation, and where to look."""
    from rich.table import Table
    from rich.text import Text

    console.print(f"[bold]{short(Path(summary['avatar']))}[/]")
    table = Table(box=None, pad_edge=False)
    for name in ("", "operation", "by", "seconds", ""):
        table.add_column(name, overflow="fold")
    for row in summary["operations"]:
        operation = row["operation"]
        mark = Text("✓", style="green") if row["accepted"] else Text("✗", style="yellow")
        words = f"{operation['kind']} {operation['target'].replace('_', ' ')}"
        table.add_row(mark, Text(words), row["how"], f"{row['seconds']:.1f}", Text(row["reason"], style="yellow"))
    console.print(table)
    console.print(f"  before and after {short(Path(summary['pictures'][0]))}")


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
