"""``avatarkit bench recon``: images a second of training, where a step's time goes, memory, and the time to a quality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch

from avatarkit.bench.clock import Stopwatch, median_seconds, peak_mib, reset_peak
from avatarkit.bench.device import described
from avatarkit.config import load_config
from avatarkit.contracts import HeadModel, Rasterizer, Render
from avatarkit.errors import InputError
from avatarkit.events import Event, Run, Scalars
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.head.frames import with_frames
from avatarkit.recon import density, step
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.loop import colour_aids, prior_colours, reconstruct, several_sides, start, weights_of
from avatarkit.recon.placing import placed, placed_head
from avatarkit.recon.prepare import read_known
from avatarkit.recon.schedule import Schedule, view_order
from avatarkit.recon.step import TrainState, fresh_state, train_step
from avatarkit.recon.views import Views
from avatarkit.render.compiled import kernels_first
from avatarkit.render.hosted import device_of
from avatarkit.synthetic.capture import make_capture
from avatarkit.track.sequence import Sequence

if TYPE_CHECKING:
    from rich.table import Table

PARTS = ("binding", "raster forward", "loss", "backward", "Adam", "rest")
WITHIN = 0.3  # decibels below the last value that count as reached
CURVE = 40  # held-out evaluations over a run


def synthetic(folder: Path, quick: bool = False) -> Path:
    """The synthetic subject at 512² from 8 cameras, drawn where it is not there."""
    side = 48 if quick else 512
    capture = folder / f"subject-{side}"
    if not (capture / "transforms_train.json").is_file():
        cameras, timesteps = (3, 4) if quick else (8, 12)
        make_capture(capture, cameras=cameras, timesteps=timesteps, width=side, height=side, samples=2)
    return capture


@kernels_first()
def run(
    capture: Path,
    rasterizer: Rasterizer,
    *,
    config: str = "recon",
    overrides: dict[str, str] | None = None,
    head: str | None = None,
    splats: int = 50_000,
    repeats: int = 20,
    iterations: int | None = None,
    target: float | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Steps with ``splats`` Gaussians on ``capture``; then, with ``iterations``, a training and its time to ``target`` decibels on held-out
    frames (default: 0.3 below what it ends with).

    Returns {"capture", "rasterizer", "device", "machine", "splats", "width", "height", "batch", "step_ms", "images_per_s", "parts_ms",
    "bare_raster_ms", "over_bare", "peak_mib", "training"}.  ``bare_raster_ms``: the rasterizer forward and backward on the same Gaussians
    and views, nothing else.
    """
    settings = load_config(ReconConfig, config, overrides or {})
    settings = replace(settings, max_splats=splats, label_views=0)
    sequence, model = read_known(capture, head, Run())
    model = with_frames(model, settings.frames)
    report("measuring steps")
    steps = measured_steps(sequence, model, settings, rasterizer, splats, repeats)
    trained = None
    if iterations is not None:
        report(f"training {iterations} steps")
        trained = measured_training(sequence, model, settings, rasterizer, iterations, target)
    device = device_of(rasterizer)
    about = {"capture": capture.name, "rasterizer": rasterizer.name, "device": device, "machine": described(device)}
    return about | {"config": config} | steps | {"training": trained}


def grown(state: TrainState, count: int, seed: int) -> TrainState:
    """A fresh state of ``count`` Gaussians, by splitting at random."""
    gaussians, random = state.gaussians.detach(), np.random.default_rng([seed, 4])
    while len(gaussians) < count:
        score = torch.from_numpy(random.random(len(gaussians)).astype(np.float32))
        gaussians = density.split_worst(
            gaussians, score, min(count - len(gaussians), len(gaussians)), state.next_id, random
        ).gaussians
    if len(gaussians) > count:
        gaussians = gaussians.select(torch.from_numpy(np.sort(random.permutation(len(gaussians))[:count])))
    return fresh_state(gaussians, state.head, state.adam.free_unit)


def measured_steps(
    sequence: Sequence, head: HeadModel, config: ReconConfig, rasterizer: Rasterizer, splats: int, repeats: int
) -> dict[str, Any]:
    """What full-size steps cost."""
    device = device_of(rasterizer)
    config = config.seen_from(several_sides(sequence))
    others = config.random_background > 0
    views = Views(sequence, sequence.capture.indices("train"), config.background, device, through=others)
    colours = prior_colours(sequence, head, config)
    state = placed(
        grown(start(sequence, head, config, colours, weights_of(sequence, config)), splats, config.seed), device
    )
    aids = colour_aids(config, colours, device)
    head = placed_head(head, device)
    schedule, background = Schedule(config, config.iterations), torch.tensor(config.background, device=device)
    for position in range(len(views)):
        views.view(position)
    reset_peak(device)
    taken = 0

    def one(part: Rasterizer = rasterizer) -> None:
        nonlocal taken
        batch = [views.view(i) for i in view_order(len(views), config.seed, taken, config.batch)]
        train_step(state, batch, head, config, schedule, part, background, aids=aids)
        taken += 1

    seconds = median_seconds(one, device, repeats)
    peak = peak_mib(device)
    watch = Stopwatch(device)
    with watched(watch, state, rasterizer) as part:
        for _ in range(repeats + 1):
            with watch.part("step"):
                one(part)
    per_step = watch.medians(skip=config.batch)
    whole = per_step.pop("step")
    times = {name: per_step[name] * (1 if name == "Adam" else config.batch) for name in per_step}
    times["rest"] = max(0.0, whole - sum(times.values()))
    bare = bare_seconds(state, views, head, config, rasterizer, background, repeats) * config.batch
    size = views.view(0).cameras
    return {
        "splats": len(state.gaussians), "width": size.width, "height": size.height, "batch": config.batch,
        "step_ms": 1e3 * seconds, "images_per_s": config.batch / seconds,
        "parts_ms": {name: 1e3 * times[name] for name in PARTS}, "bare_raster_ms": 1e3 * bare, "over_bare": seconds / bare,
        "peak_mib": peak,
    }  # fmt: skip


def bare_seconds(
    state: TrainState, views: Views, head: HeadModel, config: ReconConfig, rasterizer: Rasterizer, background: torch.Tensor,
    repeats: int,
) -> float:  # fmt: skip
    """The rasterizer's forward and backward for one view, of Gaussians that were posed beforehand."""
    pose = state.head.pose
    ready = []
    for i in range(min(len(views), 4)):
        view = views.view(i)
        with torch.no_grad():
            posed = pose_gaussians(
                state.gaussians,
                pose.vertices[view.timestep],
                pose.joints[view.timestep],
                head.faces,
                sh_degree=0,
                skin=pose.skin,
                weights=None if pose.weights is None else pose.weights[view.timestep],
            )
        upstream = torch.full_like(view.target, 1.0 / view.target.numel())
        ready.append(([value.detach().requires_grad_(True) for value in posed], view.cameras, upstream))
    taken = 0

    def one() -> None:
        nonlocal taken
        leaves, cameras, upstream = ready[taken % len(ready)]
        taken += 1
        means, quats, scales, opacities, colours = leaves
        made = rasterizer.render(
            means, quats, scales, opacities, colours, cameras, background=background, antialiased=config.antialiased
        )
        torch.autograd.grad(made.features, leaves, upstream)

    return median_seconds(one, device_of(rasterizer), repeats)


class _Timed:
    """A rasterizer whose calls are counted."""

    def __init__(self, inner: Rasterizer, watch: Stopwatch) -> None:
        self.inner, self.watch = inner, watch
        self.name, self.capabilities, self.device = inner.name, inner.capabilities, device_of(inner)

    def render(self, *arguments: Any, **options: Any) -> Render:
        with self.watch.part("raster forward"):
            return self.inner.render(*arguments, **options)


@contextmanager
def watched(watch: Stopwatch, state: TrainState, rasterizer: Rasterizer) -> Iterator[Rasterizer]:
    """Steps inside the block are counted by part; give them the rasterizer that this yields."""

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with watch.part(name):
                return work(*arguments, **options)

        return call

    with (
        patch.object(step, "pose_gaussians", timed("binding", step.pose_gaussians)),
        patch.object(step, "picture_losses", timed("loss", step.picture_losses)),
        patch.object(torch.Tensor, "backward", timed("backward", torch.Tensor.backward)),
        patch.object(state.adam, "step", timed("Adam", state.adam.step)),
    ):
        yield _Timed(rasterizer, watch)  # type: ignore[misc]


def measured_training(
    sequence: Sequence,
    head: HeadModel,
    config: ReconConfig,
    rasterizer: Rasterizer,
    iterations: int,
    target: float | None,
) -> dict[str, Any]:
    """A run of ``iterations`` and its curve; seconds include the evaluations that make the curve."""
    if not (sequence.capture.indices("val") or sequence.capture.indices("test")):
        raise InputError(f"{sequence.capture.name}: no held-out frames to measure a quality on")
    shown: list[Scalars] = []
    config = replace(config, run_iterations=iterations, minutes=None)
    every = max(1, config.iterations // CURVE)
    run = Run(seed=config.seed, sinks=(lambda event: _keep(event, shown),))
    state = reconstruct(sequence, head, replace(config, eval_every=every), run, rasterizer)
    final = state.curve[-1]["val_psnr"]
    wanted = final - WITHIN if target is None else target
    reached = next((point["seconds"] for point in state.curve if point["val_psnr"] >= wanted), None)
    return {
        "iterations": iterations, "seconds": state.seconds, "images_per_s": iterations * config.batch / state.seconds,
        "splats": len(state.gaussians), "final_psnr": final, "target_psnr": wanted, "seconds_to_target": reached,
        "skipped": sum(event.values.get("skipped", 0.0) for event in shown), "curve": state.curve,
    }  # fmt: skip


def _keep(event: Event, shown: list[Scalars]) -> None:
    if isinstance(event, Scalars):
        shown.append(event)


def table(result: dict[str, Any]) -> Table:
    """The result for the eye, in 80 columns."""
    from rich import box
    from rich.table import Table

    title = (
        f"rasterizer {result['rasterizer']} on {result['machine']}: {result['splats']} splats, "
        f"{result['width']}x{result['height']}, {result['batch']} a step"
    )
    shown = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_header=False
    )
    shown.add_column("what")
    shown.add_column("figure", justify="right", no_wrap=True)
    rows = [("images a second", f"{result['images_per_s']:.1f}"), ("a step, ms", f"{result['step_ms']:.2f}")]
    rows += [(f"  {name}", f"{result['parts_ms'][name]:.2f}") for name in PARTS]
    rows += [
        ("bare raster forward + backward, ms", f"{result['bare_raster_ms']:.2f}"),
        ("a step over it", f"{result['over_bare']:.2f}"),
        ("peak memory, MiB", f"{result['peak_mib']:.0f}"),
    ]
    trained = result["training"]
    if trained is not None:
        reached = trained["seconds_to_target"]
        rows += [
            (f"held-out PSNR after {trained['iterations']} steps, dB", f"{trained['final_psnr']:.2f}"),
            (f"seconds to {trained['target_psnr']:.2f} dB", "–" if reached is None else f"{reached:.1f}"),
        ]
    for row in rows:
        shown.add_row(*row)
    return shown


def bars(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Step time by part, one bar for each of ``results`` by its name, as a picture (.png, .svg, .pdf)."""
    from matplotlib.figure import Figure

    from avatarkit.paths import atomic_write

    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise InputError(f"{path}: the suffix must be .png, .svg or .pdf")
    figure = Figure(figsize=(8.0, 1.6 + 0.5 * len(results)), layout="constrained")
    axes = figure.add_subplot()
    left = np.zeros(len(results))
    for k, name in enumerate(PARTS):
        widths = np.array([result["parts_ms"][name] for result in results.values()])
        axes.barh(list(results), widths, left=left, label=name, color=f"C{k}")
        left += widths
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a step")
    axes.legend(ncols=len(PARTS), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_write(path) as stream:
        figure.savefig(stream, format=kind, dpi=150)
