"""``avatarkit eval``: figures of avatars, or of another system's pictures, on held-out frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.output import ProgressSink, console, metric, short
from avatarkit.errors import unknown_name

if TYPE_CHECKING:
    from avatarkit.evaluate.scoring import Request


def evaluate(
    paths: Annotated[list[Path], typer.Argument(metavar="[A.avatar]… [CAPTURE]…", help="Avatars, and data sets or tracked folders: one for all, or one for each. Default: what each avatar was made from.", show_default=False)],
    split: Annotated[str | None, typer.Option(help="val, test or train. Default: test; with --protocol or several avatars val and test.", show_default=False)] = None,
    protocol: Annotated[str | None, typer.Option(metavar="NAME", help="vhap: camera 8, else the last; last 30 % of the timesteps. gaussianavatars: the data set's own val and test files. Default: the capture's own splits.", show_default=False)] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Score these pictures of another system instead of an avatar.", show_default=False)] = None,
    worst: Annotated[int, typer.Option(metavar="N", min=0, max=32, help="How many of the worst frames are shown.")] = 6,
    pictures: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the worst frames are shown. Default: beside the JSON.", show_default=False)] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the figures as JSON; - for stdout.", show_default=False)] = None,
    lpips_net: Annotated[str, typer.Option(help="Backbone of LPIPS: alex or vgg.")] = "alex",
    rasterizer: Annotated[str | None, typer.Option(metavar="NAME", help="Default: gsplat where CUDA works, else cpu.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Where the avatar's head model is, if it was moved.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:  # fmt: skip
    """PSNR, SSIM and LPIPS on held-out frames, in the head, mouth and eyes, beside trivial predictors.

    With several avatars, --protocol or --images: a table of systems, whole frame and masked, with figures for every camera and
    timestep in the JSON.
    """
    if split not in (None, "val", "test", "train"):
        raise unknown_name("split", str(split), ("val", "test", "train"))
    if lpips_net not in ("alex", "vgg"):
        raise unknown_name("LPIPS net", lpips_net, ("alex", "vgg"))

    from avatarkit.evaluate.protocols import PROTOCOLS
    from avatarkit.evaluate.scoring import Request, one_avatar, paired, table_of
    from avatarkit.events import Run
    from avatarkit.registry import registry

    if protocol is not None and protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    run = Run(sinks=(ProgressSink(quiet),))
    registry().connect(run)
    request = Request(
        paired(paths, images), images, split, protocol, head, rasterizer, lpips_net, worst, _beside(pictures, json)
    )
    if images is None and protocol is None and len(request.pairs) == 1:
        result = one_avatar(request, run)
        if not quiet:
            _print(result, lpips_net)
        write_json(result, json)
        return
    table = table_of(request, run)
    if not quiet:
        _print_table(table, request)
    write_json(table, json)


def _beside(pictures: Path | None, json: str | None) -> Path | None:
    if pictures is not None or json in (None, "-"):
        return pictures
    return Path(str(json)).with_name(Path(str(json)).stem + "-worst")


def _print(result: dict[str, Any], lpips_net: str) -> None:
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
    inside = "" if result["masked"] is None else f"; inside the matte {metric(result['masked']['psnr'])}"
    console.print(f"[dim]{result['frames']} frames of '{result['split']}'; PSNR in dB{inside}[/]")
    _say_pictures(result["pictures"])
    if result["lpips_net"] is None:
        _no_lpips(lpips_net)


def _print_table(table: dict[str, Any], request: Request) -> None:
    from rich.table import Table

    from avatarkit.evaluate.protocols import TITLES

    for split, rows in table["table"].items():
        shown = Table(title=TITLES[split], title_justify="left", box=None, header_style="bold", pad_edge=False)
        for name in ("", "frames", "PSNR ↑", "SSIM ↑", "LPIPS ↓", "masked PSNR ↑", "SSIM ↑", "LPIPS ↓"):
            shown.add_column(name, justify="left" if not name else "right")
        best = max((row["psnr"] for row in rows.values() if row["psnr"] is not None), default=None)
        for name, row in rows.items():
            style = "bold green" if len(rows) > 1 and row["psnr"] == best else ""
            inside = row["masked"] or {"psnr": None, "ssim": None, "lpips": None}
            figures = [metric(each[key], digits) for each in (row, inside) for key, digits in (("psnr", 2), ("ssim", 4), ("lpips", 4))]  # fmt: skip
            shown.add_row(name, str(row["frames"]), *figures, style=style)
        console.print(shown)
    console.print(
        f"[dim]protocol: {table['protocol'] or 'the splits of the capture'}; PSNR in dB, means over frames[/]"
    )
    _say_pictures(table["pictures"])
    if table["lpips_net"] is None:
        _no_lpips(request.lpips_net)


def _say_pictures(files: list[str]) -> None:
    if files:
        console.print(f"[dim]worst frames: {short(Path(files[0]).parent)}[/]")


def _no_lpips(net: str) -> None:
    console.print(
        f"[dim]LPIPS was not measured: the weights of its backbone are not on this machine (avatarkit assets get lpips-{net})[/]"
    )
