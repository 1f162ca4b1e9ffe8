"""``avatarkit track``: head parameters for a capture."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.options import frames_taken
from avatarkit.cli.output import ProgressSink, console, metric, short
from avatarkit.errors import InputError
from avatarkit.paths import atomic_path


def track(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="A video (or several of one person), a folder of images, or a data set whose head parameters are refined.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write, in GaussianAvatars/VHAP layout.", show_default=False)],
    tracker: Annotated[str | None, typer.Option(metavar="NAME", help="Default: photometric, which starts from mediapipe.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Head model: bust, flame, or a FLAME-topology .npz. Default: flame if registered, else bust.", show_default=False)] = None,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Side of the square crop around the head, pixels.")] = 512,
    max_frames: Annotated[int | None, typer.Option("--max-frames", metavar="N", help="At most so many frames of a video, or of several together, spread evenly. Default: 600.", show_default=False)] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on with a video that is cut short, shows several people or loses the face for long.")] = False,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the summary as JSON; - for stdout.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Track a head: shape, expression, pose and camera for every frame.

    Writes a folder that `avatarkit recon` and other systems read, with masks where the camera stands still, and in it
    tracking.png: the fit over some frames. A data set that has head parameters already is tracked from these on.
    """
    from avatarkit.capture.dataset import is_dataset
    from avatarkit.capture.reading import read_capture, require_inputs
    from avatarkit.events import Finished, Picture, Run
    from avatarkit.head.loading import default_head, load_head
    from avatarkit.recon.prepare import read_known, with_mattes
    from avatarkit.registry import registry
    from avatarkit.track.sequence_files import refuse_foreign_folder, save_sequence
    from avatarkit.track.torso import with_torso

    taken = frames_taken(max_frames)
    refuse_foreign_folder(output)
    require_inputs(inputs)
    given = len(inputs) == 1 and is_dataset(inputs[0])
    if given and inputs[0].resolve() == output.resolve():
        raise InputError(f"{output}: tracking does not write over what it starts from; name another folder")
    model = None if given else load_head(head or default_head(), teeth=True)
    part = registry().create("tracker", tracker or registry().default("tracker"))
    seen: list[Any] = []
    sink = ProgressSink(quiet)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch), sinks=(sink, seen.append), anyway=anyway)
        registry().connect(run)
        if model is None:
            initial, model = read_known(inputs[0], head, run)
            capture = initial.capture
        else:
            initial, locate = None, getattr(part, "locate", None)
            source = inputs if len(inputs) > 1 else inputs[0]
            capture = read_capture(source, size=size, max_frames=taken, run=run, locate=locate)
        sequence = part.track(capture, model, run, initial)
        if not capture.masked:
            try:
                sequence = with_mattes(sequence, model, run)
            except InputError as error:
                run.notice(f"no masks are written: {error}", "warning")
        if initial is None:  # a given root is better than what shoulders tell
            sequence = with_torso(sequence, model, run)
        folder = save_sequence(sequence, output)
        sink.close()
        pictures = {}
        for event in seen:
            if isinstance(event, Picture):
                target = folder / event.path.name
                atomic_path(target, functools.partial(shutil.copyfile, event.path))
                pictures[event.name] = str(target)
    fitted = next(
        (event.values for event in reversed(seen) if isinstance(event, Finished) and event.stage == "track"), {}
    )
    summary = {
        "sequence": str(folder), "head": model.reference, "timesteps": capture.num_timesteps,
        "cameras": len(capture.cameras), "masks": sequence.capture.masked, "fit": fitted, "pictures": pictures,
    }  # fmt: skip
    if not quiet:
        _print(summary)
    write_json(summary, json)


def _print(summary: dict[str, Any]) -> None:
    console.print(
        f"[bold]{short(Path(summary['sequence']))}[/]  {summary['timesteps']} timesteps, head model {summary['head']['name']}"
    )
    fit = summary["fit"]
    if fit:
        parts = "  ".join(f"{name[:-10]} {metric(value)}" for name, value in fit.items() if name.endswith("_median_px"))
        console.print(
            f"  reprojection {metric(fit['median_px'])} px median, {metric(fit['p95_px'])} px at the 95th percentile  [dim]{parts}[/]"
        )
    for name, path in summary["pictures"].items():
        console.print(f"  picture of {name}: {short(Path(path))}")
