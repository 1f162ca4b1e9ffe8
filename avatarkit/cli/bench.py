"""``avatarkit bench``: measure the machine."""

from __future__ import annotations

from pathlib import Path

import typer

from avatarkit.cli.json_output import write_json
from avatarkit.cli.output import console

app = typer.Typer(help="Measure how fast this machine does the main jobs.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure how fast this machine does the main jobs."""


@app.command()
def raster(
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
    scene: list[str] = typer.Option(
        [], "--scenes", help='Only this scene, such as "50k r4" or garden; may be repeated.'
    ),
    quick: bool = typer.Option(False, "--quick", help="Two scenes only."),
    repeats: int = typer.Option(15, "--repeats", min=3, help="Frames of each scene; medians are shown."),
) -> None:
    """The CPU rasterizer: milliseconds a frame, and what it reaches of its own inner loop's peak."""
    from avatarkit.bench.raster import run, table

    with console.status("measuring") as status:
        result = run(quick=quick, repeats=repeats, only=tuple(scene), report=status.update)
    console.print(table(result))
    write_json(result, json)


@app.command()
def labels(
    out: Path = typer.Option(
        Path("bench-labels"), "--out", "-o", help="Where the synthetic capture goes; drawn once.", metavar="DIR"
    ),
    iterations: int = typer.Option(
        3000, "--iterations", min=50, help="Training steps before the Gaussians are labelled."
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of everything that is drawn."),
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
) -> None:
    """Labels on the synthetic subject, whose truth is known: mIoU on a held-out camera and held-out timesteps."""
    from avatarkit.bench.labels import class_table, run, table

    with console.status("measuring") as status:
        result = run(out, iterations=iterations, seed=seed, report=status.update)
    console.print(table(result))
    console.print(class_table(result))
    write_json(result, json)


@app.command()
def track(
    tracked: Path = typer.Argument(help="Folder that avatarkit track wrote.", metavar="SEQUENCE_DIR"),
    true: Path = typer.Argument(help="Data set with the true parameters of the same pictures.", metavar="TRUE_DIR"),
    head: str | None = typer.Option(
        None, "--head", help="Head model of both; default: found by its counts.", metavar="NAME|FILE"
    ),
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
) -> None:
    """A tracked sequence against true head parameters: rotation, face vertices and projected landmarks."""
    from avatarkit.bench.tracking import run, table

    result = run(tracked, true, head)
    console.print(table(result))
    write_json(result, json)


@app.command()
def render(
    rasterizer: str | None = typer.Option(
        None, "--rasterizer", help="Default: gsplat where CUDA works, else cpu.", metavar="NAME"
    ),
    device: str | None = typer.Option(None, "--device", help="cpu or cuda, in place of a name.", metavar="DEVICE"),
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
    quick: bool = typer.Option(False, "--quick", help="Tiny sizes: whether it runs."),
    repeats: int = typer.Option(15, "--repeats", min=3, help="Frames of each size; medians are shown."),
) -> None:
    """Frames a second from head parameters to a picture, and of the rasterizer alone."""
    from avatarkit.bench.device import chosen
    from avatarkit.bench.render import run, table

    with console.status("measuring") as status:
        result = run(chosen(rasterizer, device), quick=quick, repeats=repeats, report=status.update)
    console.print(table(result))
    write_json(result, json)


@app.command()
def recon(
    capture: Path | None = typer.Argument(
        None, help="GaussianAvatars/VHAP data set. Default: the synthetic subject at 512².", metavar="[CAPTURE]"
    ),
    rasterizer: str | None = typer.Option(
        None, "--rasterizer", help="Default: gsplat where CUDA works, else cpu.", metavar="NAME"
    ),
    device: str | None = typer.Option(None, "--device", help="cpu or cuda, in place of a name.", metavar="DEVICE"),
    config: str = typer.Option("recon", "--config", help="Shipped config or a YAML file.", metavar="NAME|FILE"),
    set_: list[str] = typer.Option([], "--set", help="Change one setting; may be repeated.", metavar="KEY=VALUE"),
    head: str | None = typer.Option(None, "--head", help="Head model of CAPTURE.", metavar="NAME|FILE"),
    splats: int = typer.Option(50_000, "--splats", min=100, help="Gaussians whose steps are measured."),
    iterations: int | None = typer.Option(
        None, "--iterations", min=1, help="Then train so many steps and measure the time to --target."
    ),
    target: float | None = typer.Option(
        None, "--target", help="Held-out PSNR to reach. Default: 0.3 dB below the last.", metavar="DB"
    ),
    out: Path = typer.Option(
        Path("bench-recon"), "--out", "-o", help="Where the synthetic capture goes; drawn once.", metavar="DIR"
    ),
    bars: Path | None = typer.Option(None, "--bars", help="Step time by part as a picture.", metavar="FILE"),
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
    quick: bool = typer.Option(False, "--quick", help="Tiny sizes: whether it runs."),
    repeats: int = typer.Option(20, "--repeats", min=3, help="Steps that are measured; medians are shown."),
) -> None:
    """Training: images a second, step time by part, peak memory, time to a quality."""
    from avatarkit.bench.device import chosen
    from avatarkit.bench.recon import bars as drawn
    from avatarkit.bench.recon import run, synthetic, table
    from avatarkit.config import parse_overrides

    if quick:
        splats, repeats, iterations = min(splats, 2000), 3, min(iterations or 20, 20)
    with console.status("measuring") as status:
        part = chosen(rasterizer, device)
        if capture is None:
            status.update("drawing the subject")
        result = run(
            synthetic(out, quick) if capture is None else capture, part, config=config, overrides=parse_overrides(set_),
            head=head, splats=splats, repeats=repeats, iterations=iterations, target=target, report=status.update,
        )  # fmt: skip
    console.print(table(result))
    if bars is not None:
        drawn({f"{result['rasterizer']}, {result['splats']} splats": result}, bars)
    write_json(result, json)


@app.command()
def edit(
    out: Path = typer.Option(
        Path("bench-edit"), "--out", "-o", help="Where avatars are made (once) and results kept; go on with the same.", metavar="DIR"
    ),
    only: list[str] = typer.Option(
        [], "--only", help="Only this part or case, such as spatial or attribute-03; may be repeated.", metavar="NAME"
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of everything that is drawn, made and edited."),
    sheets: Path | None = typer.Option(
        None, "--sheets", help="Only draw ten edits, before and after, as JPEGs into DIR.", metavar="DIR"
    ),
    metric: list[str] = typer.Option(
        [], "--metric", help="Also ask this learned metric (avatarkit plugins list); may be repeated.", metavar="NAME"
    ),
    metric_set: list[str] = typer.Option(
        [], "--metric-set", help="An option of the metric, such as model=FOLDER; may be repeated.", metavar="KEY=VALUE"
    ),
    json: str | None = typer.Option(None, "--json", help="Write the figures to PATH; - for stdout.", metavar="PATH"),
) -> None:  # fmt: skip
    """Edits of the synthetic subject against the same subject drawn again with that edit: who did what was asked?"""
    from avatarkit.bench.edit.parts import run, tables
    from avatarkit.bench.edit.running import QUICK, Sitters, with_settings
    from avatarkit.bench.edit.sheets import write_sheets
    from avatarkit.cli.options import part_options
    from avatarkit.errors import InputError
    from avatarkit.registry import registry

    if metric_set and not metric:
        raise InputError("--metric-set is an option of a metric; name one with --metric")
    judges = {}
    for name in metric:
        options = part_options("--metric-set", name, metric_set)
        told = ", ".join(f"{key}={value}" for key, value in sorted(options.items()))
        judges[f"{name} {told}".strip()] = registry().create("metric", name, options)
    if sheets is not None:
        with console.status("drawing") as status:
            config = with_settings(QUICK, seed=seed)
            drawn = write_sheets(sheets, Sitters(out, seed, status.update), config, status.update)
        write_json(drawn, json)
        for prompt, path in drawn.items():
            console.print(f"{prompt}: {path}", highlight=False, markup=False)
        return
    with console.status("measuring") as status:
        result = run(out, seed=seed, only=tuple(only), report=status.update, metrics=judges)
    for shown in tables(result):
        console.print(shown)
    write_json(result, json)
