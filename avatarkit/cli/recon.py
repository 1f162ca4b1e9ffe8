"""``avatarkit recon``: an avatar from a video, images or a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.options import frames_taken
from avatarkit.cli.output import ProgressSink, console, metric, short
from avatarkit.errors import EnvironmentProblem, InputError, LostProcess


def recon(
    context: typer.Context,
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="A video (or several of one person), a folder of images, or a GaussianAvatars/VHAP data set.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The avatar to write, e.g. me.avatar; its run folder stands beside it.", show_default=False)],
    config: Annotated[str, typer.Option(metavar="NAME|FILE", help="Shipped config (recon, gaussianavatars, dynamicavatars) or a YAML file.")] = "recon",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.", show_default=False)] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Minutes of training; as many steps as fit.", show_default=False)] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Training steps; every schedule shrinks in proportion.", show_default=False)] = None,
    rasterizer: Annotated[str | None, typer.Option(metavar="NAME", help="Default: gsplat where CUDA works, else cpu.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Head model: bust, flame, or a FLAME-topology .npz.", show_default=False)] = None,
    tracker: Annotated[str | None, typer.Option(metavar="NAME", help="For videos and images. Default: photometric, which starts from mediapipe.", show_default=False)] = None,
    segmenter: Annotated[str | None, typer.Option(metavar="NAME", help="Where labels come from. Default: head-regions.", show_default=False)] = None,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Side of the square crop around the head, pixels (videos and images).")] = 512,
    max_frames: Annotated[int | None, typer.Option("--max-frames", metavar="N", help="At most so many frames of a video, or of several together, spread evenly. Default: 600.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.", show_default=False)] = None,
    gpus: Annotated[int | None, typer.Option(min=1, metavar="N", help="Train on N GPUs of this machine; each takes its share of a step's views.", show_default=False)] = None,
    processes: Annotated[int | None, typer.Option(min=1, metavar="N", help="Train in N processes on this machine's cores. For several machines: torchrun … -m avatarkit recon ….", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run from its last checkpoint.")] = False,
    report: Annotated[bool, typer.Option(help="Write report.html into the run folder.")] = True,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on with a video that is cut short, shows several people or loses the face for long.")] = False,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the summary as JSON; - for stdout.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Reconstruct a head avatar.

    A video needs a tracker plugin (avatarkit-mediapipe). Every tenth frame and the last 15 % of a video are held out for the
    figures in the report.
    """
    if minutes is not None and iterations is not None:
        raise InputError("give --minutes or --iterations, not both")
    taken = frames_taken(max_frames)
    if not output.suffix:
        output = output.with_suffix(".avatar")
    from avatarkit.config import load_config, parse_overrides
    from avatarkit.events import Run
    from avatarkit.recon.config import ReconConfig

    overrides = parse_overrides(set_ or [])
    settings = load_config(ReconConfig, config, overrides)
    settings = _shortened(settings, minutes, iterations, seed)

    from avatarkit.cli.workers import lost
    from avatarkit.recon.ranks import joined, started_by_us, world_size

    if (gpus or processes) and not started_by_us():
        raise typer.Exit(_in_workers(context, settings, gpus, processes, rasterizer, overrides, resume))
    batch = settings.batch
    if not resume:
        settings = _a_view_each(settings, world_size(), "batch" in overrides)

    from avatarkit.recon.job import Job, run_job, train_along
    from avatarkit.registry import registry

    job = Job(inputs, output, settings, head, tracker, rasterizer, segmenter, size, resume, report, taken)
    sink = ProgressSink(quiet)
    run = Run(job.folder, seed=settings.seed, anyway=anyway)
    try:
        ranks = joined(lambda: registry().get("rasterizer", rasterizer or registry().default("rasterizer")).device)
        if not ranks.first:
            with ranks.named():
                train_along(job, run, ranks)
            return
        run.add_sink(sink)
        registry().connect(run)
        if settings.batch != batch:
            run.notice(f"{ranks.size} processes: {settings.batch} views a step instead of {batch}, one for each")
        summary = run_job(job, run, ranks)
    except LostProcess as error:
        if not started_by_us():
            raise
        raise typer.Exit(lost(error)) from error
    finally:
        sink.close()
    if not quiet:
        _print(summary)
    write_json(summary, json)
    if run.stopping:
        raise typer.Exit(130)


def _in_workers(
    context: typer.Context, settings: Any, gpus: int | None, processes: int | None, rasterizer: str | None,
    overrides: dict[str, Any], resume: bool,
) -> int:  # fmt: skip
    """This command line again in several processes; the exit code.  Everything that can be wrong beforehand is said here."""
    from avatarkit.cli.workers import core_places, gpu_places, run_workers
    from avatarkit.recon.ranks import world_size
    from avatarkit.registry import registry

    if gpus and processes:
        raise InputError("give --gpus or --processes, not both")
    if world_size() > 1:
        raise InputError("torchrun says how many processes there are: leave --gpus and --processes out")
    count = gpus or processes or 1
    if gpus:
        places = gpu_places(gpus)
        name = rasterizer or registry().default("rasterizer")
        if registry().get("rasterizer", name).device != "cuda":
            why = f"--gpus {gpus}: the rasterizer '{name}' works on cores; --processes {gpus} shares them out"
            if rasterizer:
                raise InputError(why)
            raise EnvironmentProblem(f"{why}, and pip install avatarkit-gsplat brings one for GPUs")
    else:
        places = core_places(count)
    if not resume:
        _a_view_each(settings, count, "batch" in overrides)
    return run_workers(context.obj or sys.argv[1:], places)


def _a_view_each(settings: Any, count: int, chosen: bool) -> Any:
    """The config with a batch of one view for each process at least; where the user chose one, InputError instead."""
    from dataclasses import replace

    if settings.batch >= count:
        return settings
    if chosen:
        raise InputError(
            f"batch is {settings.batch}: {count} processes need as many views a step at least; raise it, or use fewer processes"
        )
    return replace(settings, batch=count)


def _shortened(settings: Any, minutes: float | None, iterations: int | None, seed: int | None) -> Any:
    """The config with the command line's length and seed."""
    from dataclasses import replace

    if iterations is not None:
        settings = replace(settings, run_iterations=iterations, minutes=None)
    if minutes is not None:
        settings = replace(settings, minutes=minutes, run_iterations=None)
    return settings if seed is None else replace(settings, seed=seed)


def _print(summary: dict[str, Any]) -> None:
    console.print(f"[bold]{short(Path(summary['avatar']))}[/]  {summary['splats']} Gaussians, {summary['steps']} steps")
    for split, values in summary.get("metrics", {}).items():
        regions = "  ".join(f"{name} {metric(region['psnr'])}" for name, region in values["regions"].items())
        lpips = "LPIPS – (weights not on this machine)" if values["lpips"] is None else f"LPIPS {values['lpips']:.4f}"
        console.print(
            f"  {split:5} {metric(values['psnr'])} dB  SSIM {metric(values['ssim'], 4)}  {lpips}  [dim]{regions}[/]"
        )
    if "report" in summary:
        console.print(f"  report {short(Path(summary['report']))}")
