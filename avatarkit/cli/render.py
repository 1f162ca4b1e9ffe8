"""``avatarkit render``: films and pictures of an avatar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.options import frames_taken
from avatarkit.cli.output import ProgressSink, console, short
from avatarkit.errors import InputError

if TYPE_CHECKING:
    from avatarkit.events import Event

FILMS, PICTURES = (".mp4", ".mov", ".mkv"), (".png", ".jpg", ".jpeg")


def render(
    avatar: Annotated[Path, typer.Argument(metavar="A.avatar", help="The avatar.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help=".mp4 for a film, .png for a picture or a contact sheet.", show_default=False)],
    motion: Annotated[str | None, typer.Option(metavar="SOURCE", help="Another avatar, a data set or tracked folder, an expression track (.npz) or a video. Default: its own motion.", show_default=False)] = None,
    camera: Annotated[str, typer.Option(metavar="CAMERA", help="capture, capture:NAME, front, left, right, back, sway, turntable, AZ,EL[,DISTANCE] (degrees, metres) or a cameras .json.")] = "capture",
    frame: Annotated[int | None, typer.Option(metavar="N", help="One timestep, as a picture.", show_default=False)] = None,
    sheet: Annotated[int | None, typer.Option(metavar="N", min=1, help="A contact sheet of N moments.", show_default=False)] = None,
    labels: Annotated[bool, typer.Option("--labels", help="Paint the semantic labels.")] = False,
    size: Annotated[str | None, typer.Option(metavar="W[xH]", help="Pixels. Default: the capture camera's, or 512.", show_default=False)] = None,
    fps: Annotated[float, typer.Option(min=1.0, max=240.0, help="Frames a second of a film.")] = 25.0,
    background: Annotated[str | None, typer.Option(metavar="COLOUR", help="A CSS colour name or #rrggbb. Default: the avatar's own.", show_default=False)] = None,
    rasterizer: Annotated[str | None, typer.Option(metavar="NAME", help="Default: gsplat where CUDA works, else cpu.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Where the avatar's head model is, if it was moved.", show_default=False)] = None,
    max_frames: Annotated[int | None, typer.Option("--max-frames", metavar="N", help="At most so many frames of a driving video, spread evenly. Default: 600.", show_default=False)] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on with a driving video that is cut short, shows several people or loses the face for long.")] = False,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write what was rendered as JSON, with jitter and identity drift; - for stdout.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Film an avatar: driven by its own motion, another avatar's, a capture's, an expression track's or a video's."""
    suffix = output.suffix.lower()
    if suffix not in (*FILMS, *PICTURES):
        raise InputError(f"{output}: the suffix must be one of {', '.join((*FILMS, *PICTURES))}")
    if suffix in FILMS and (frame is not None or sheet is not None):
        raise InputError(f"{output}: --frame and --sheet make pictures; use a .png")
    pixels, colour, taken = _size(size), _colour(background), frames_taken(max_frames)

    from avatarkit.drive.filming import film
    from avatarkit.evaluate.reenactment import measure
    from avatarkit.events import Notice, Run, Started
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.gaussians.head_of import head_of
    from avatarkit.pictures.film import write_film
    from avatarkit.pictures.sheet import contact_sheet, write_picture
    from avatarkit.registry import registry
    from avatarkit.render.hosted import hosted
    from avatarkit.track.motion import at_own_pace, driven, read_motion, resampled

    sink = ProgressSink(quiet)
    heard: list[Event] = []
    run = Run(sinks=(sink, heard.append), anyway=anyway)
    registry().connect(run)
    subject = load_avatar(avatar)
    model = head_of(subject.head, head)
    part = hosted(registry().create("rasterizer", rasterizer or registry().default("rasterizer")))
    moves, driver = subject.motion, None
    if motion is not None:
        source = read_motion(motion, model, run, max_frames=taken)
        moves = driven(source, model, shape=subject.motion.shape, fps=fps, like=subject.motion)
        driver = source.driver
        if driver is not None and source.time is not None:
            driver = driver[0], resampled(driver[1], source.time, fps)
    elif suffix in FILMS:
        moves = at_own_pace(subject, fps)
    carried = measure(subject, model, moves, fps, driver) if motion is not None or json is not None else None
    if suffix in PICTURES:
        chosen = _moments(len(moves), frame, sheet)
        moves = moves[chosen]
    run.emit(Started("rendering", len(moves), "frame"))
    frames = film(subject, model, part, moves, run, camera=camera, size=pixels, background=colour, labels=labels)
    if suffix in FILMS:
        count = write_film(output, frames, fps)
    else:
        pictures = list(frames)
        count = len(pictures)
        columns = max(1, min(6, count))
        rows = [pictures[i : i + columns] for i in range(0, count, columns)]
        write_picture(output, pictures[0] if count == 1 else contact_sheet(rows))
    sink.close()
    if not quiet:
        console.print(f"[bold]{short(output)}[/]  {count} frame{'s' if count != 1 else ''}")
        if carried is not None:
            beyond = "" if carried.excess_jitter is None else f", {carried.excess_jitter:.2f} beyond its driver's"
            console.print(
                f"  [dim]jitter {carried.jitter:.2f} m/s²{beyond}; identity drift "
                f"{1000 * carried.shape_drift:.2f} mm of the skull, {255 * carried.colour_drift:.2f} of 255 levels of colour[/]"
            )
    if carried is not None:
        notices = [event.text for event in heard if isinstance(event, Notice)]
        summary = {"output": str(output), "frames": count, "motion": motion, "notices": notices}
        write_json(summary | {"reenactment": carried.row()}, json)


def _moments(steps: int, frame: int | None, sheet: int | None) -> list[int]:
    if frame is not None and sheet is not None:
        raise InputError("give --frame or --sheet, not both")
    if frame is not None:
        if not 0 <= frame < steps:
            raise InputError(f"--frame {frame}: the motion has timesteps 0 to {steps - 1}")
        return [frame]
    count = min(steps, sheet or 1)
    return [round(i * (steps - 1) / max(1, count - 1)) for i in range(count)]


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if not match:
        raise InputError(f"--size {text}: expected W or WxH in pixels")
    width = int(match[1])
    height = int(match[2] or width)
    if not (16 <= width <= 8192 and 16 <= height <= 8192):
        raise InputError(f"--size {text}: each side must be between 16 and 8192 pixels")
    return width, height


def _colour(text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise InputError(f"--background {text}: expected a CSS colour name or #rrggbb") from None
    return red / 255.0, green / 255.0, blue / 255.0
