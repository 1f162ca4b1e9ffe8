"""``avatarkit eval``: figures of an avatar on held-out frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avatarkit.cli.output import ProgressSink, console, metric, write_json
from avatarkit.errors import InputError, unknown_name


def evaluate(
    avatar: Annotated[Path, typer.Argument(metavar="A.avatar", help="The avatar.", show_default=False)],
    capture: Annotated[Path | None, typer.Argument(metavar="[CAPTURE]", help="A data set or tracked folder. Default: what the avatar was made from.", show_default=False)] = None,
    split: Annotated[str, typer.Option(help="val, test or train.")] = "test",
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the figures as JSON; - for stdout.", show_default=False)] = None,
    lpips_net: Annotated[str, typer.Option(help="Backbone of LPIPS: alex or vgg.")] = "alex",
    rasterizer: Annotated[str | None, typer.Option(metavar="NAME", help="Default: gsplat where CUDA works, else cpu.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Where the avatar's head model is, if it was moved.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:  # fmt: skip
    """PSNR, SSIM and LPIPS on held-out frames, in the head, mouth and eyes, beside trivial predictors."""
    if split not in ("val", "test", "train"):
        raise unknown_name("split", split, ("val", "test", "train"))
    if lpips_net not in ("alex", "vgg"):
        raise unknown_name("LPIPS net", lpips_net, ("alex", "vgg"))

    import time

    from avatarkit.evaluate.evaluation import avatar_predictor, evaluate_split
    from avatarkit.events import Finished, Progress, Run, Started
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.gaussians.head_of import head_of
    from avatarkit.registry import registry
    from avatarkit.track.sequence_files import load_sequence

    subject = load_avatar(avatar)
    model = head_of(subject.head, head)
    source = subject.source
    where = capture or (Path(source) if source else None)
    if where is None or not where.is_dir():
        raise InputError(
            f"{avatar}: the capture it was made from is not at {where}; name it: avatarkit eval {avatar} CAPTURE"
        )
    sequence = load_sequence(where, model)
    own = (
        source is not None and where.resolve() == Path(source).resolve() and len(subject.motion) == len(sequence.params)
    )
    params = subject.motion if own else sequence.params
    frames = sequence.capture.indices(split)  # type: ignore[arg-type]
    if not frames:
        raise InputError(f"{where}: it has no frames in split '{split}'")
    part = registry().create("rasterizer", rasterizer or registry().default("rasterizer"))
    sink = ProgressSink(quiet)
    run = Run(sinks=(sink,))
    registry().connect(run)
    run.emit(Started(f"evaluating {split}", len(frames), "frame"))
    began = time.monotonic()
    result = evaluate_split(
        avatar_predictor(subject, sequence, params, model, part), sequence, model, split,
        subject.background.numpy(), lpips_net=lpips_net,
        on_frame=lambda done, total: run.emit(Progress(f"evaluating {split}", done, total)),
    )  # fmt: skip
    run.emit(Finished(f"evaluating {split}", time.monotonic() - began))
    if not quiet:
        _print(result)
    write_json(result, json)


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    lpips = f"LPIPS ({result['lpips_net']})" if result["lpips_net"] else "LPIPS"
    for name in ("", "PSNR", "SSIM", lpips, "head", "mouth", "eyes"):
        table.add_column(name, justify="left" if not name else "right")
    cells = [metric(result["psnr"]), metric(result["ssim"], 4), metric(result["lpips"], 4)]
    table.add_row(
        "this avatar",
        *cells,
        *(metric(result["regions"][r]["psnr"]) for r in ("head", "mouth", "eyes")),
        style="bold green",
    )
    for name, score in result["trivial"].items():
        regions = [metric(score["regions"][r]["psnr"]) for r in ("head", "mouth", "eyes")]
        table.add_row(name.replace("_", " "), metric(score["psnr"]), "", "", *regions)
    console.print(table)
    console.print(f"[dim]{result['frames']} frames of '{result['split']}'; PSNR in dB[/]")
    if result["lpips_net"] is None:
        console.print(
            "[dim]LPIPS was not measured: the weights of its backbone are not on this machine (avatarkit assets get lpips-alex)[/]"
        )
