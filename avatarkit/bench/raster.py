"""``avatarkit bench raster``: how fast the CPU rasterizer is, beside what its own inner loop could do at best."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatarkit.bench.peak import dense, typical
from avatarkit.bench.scenes import BenchScene, garden, random_splats
from avatarkit.errors import unknown_name
from avatarkit.render.compiled import kernels_first
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.render.lanes import WIDTH

if TYPE_CHECKING:
    from rich.table import Table

SIZES = ((256, 256), (512, 512), (550, 802))
COUNTS = (10_000, 50_000, 200_000)


@dataclass
class Sample:
    """One frame, seconds; ``times``: of its phases."""

    forward: float
    backward: float
    times: dict[str, float]


def scenes(quick: bool = False) -> Iterator[BenchScene]:
    """10k, 50k and 200k splats of radius 4 px at three sizes, 50k of radius 8, and the garden; two of them when ``quick``."""
    if quick:
        yield random_splats(10_000, 256, 256, 4)
        yield random_splats(50_000, 512, 512, 4)
        return
    for width, height in SIZES:
        for count in COUNTS:
            yield random_splats(count, width, height, 4)
    yield random_splats(50_000, 512, 512, 8)
    found = garden()
    if found is not None:
        yield found


@kernels_first()  # as training does: torch's idle workers would spin on the cores that are measured
def run(
    *,
    quick: bool = False,
    threads: tuple[int, ...] = (1, 2),
    repeats: int = 15,
    only: tuple[str, ...] = (),
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure every scene with every number of threads, peak and frames in turn; medians.

    ``only``: names of scenes ("50k r4", "garden").  Returns {"lanes", "peak_pairs_per_s_per_core",
    "peak_backward_pairs_per_s_per_core" (medians over scenes), "dense_peak_pairs_per_s_per_core",
    "dense_peak_backward_pairs_per_s_per_core", "peak_gain", "rows"}; a row's ``fraction_of_peak`` is evaluated pairs per second
    of the forward pass' blending against a typical tile of that scene, by as many threads (``peak_pairs_per_s``),
    ``fraction_of_dense_peak`` against the dense tile (see ``bench.peak``); the same with ``backward`` in the name.  Raises InputError for a scene that there is not.
    """
    known = {scene.name for scene in scenes(quick)}
    for name in only:
        if name not in known:
            raise unknown_name("scene", name, known)
    rows: list[dict[str, Any]] = []
    gains: dict[str, list[float]] = {"forward": [], "backward": []}
    full = dense()
    for scene in scenes(quick):
        if only and scene.name not in only:
            continue
        report(f"{scene.name} at {scene.cameras.width}x{scene.cameras.height}")
        rasterizers = {count: CpuRasterizer(count) for count in threads}
        samples: dict[int, list[Sample]] = {count: [] for count in threads}
        for count in threads:
            _frame(rasterizers[count], scene)
        last = rasterizers[threads[0]].last
        assert last is not None
        tile = typical(last.frames[0], scene.parameters[4].numpy())
        del last  # its frame owns buffers that the next call wants
        full.forget()
        for _ in range(repeats):
            for count in threads:
                tile.sample(count)
                full.sample(count, rounds=100)
                samples[count].append(_frame(rasterizers[count], scene))
        for count in threads:
            rows.append(_row(scene, count, samples[count], rasterizers[count], tile.rates(count), full.rates(count)))
        for k, name in enumerate(gains):
            gains[name].append(tile.rates(threads[-1])[k] / tile.rates(threads[0])[k])

    def median(name: str) -> float:
        return float(np.median([row[name] / threads[0] for row in rows if row["threads"] == threads[0]] or [0.0]))

    return {
        "lanes": WIDTH,
        "peak_pairs_per_s_per_core": median("peak_pairs_per_s"),
        "peak_backward_pairs_per_s_per_core": median("peak_backward_pairs_per_s"),
        "dense_peak_pairs_per_s_per_core": median("dense_peak_pairs_per_s"),
        "dense_peak_backward_pairs_per_s_per_core": median("dense_peak_backward_pairs_per_s"),
        "peak_gain": {"threads": threads[-1]} | {name: float(np.median(all_ or [1.0])) for name, all_ in gains.items()},
        "rows": rows,
    }


def _frame(rasterizer: CpuRasterizer, scene: BenchScene) -> Sample:
    means, quats, scales, opacities, features = (p.detach().requires_grad_() for p in scene.parameters)
    start = time.perf_counter()
    render = rasterizer.render(means, quats, scales, opacities, features, scene.cameras, background=torch.ones(3))
    forward = time.perf_counter() - start
    upstream = torch.ones_like(render.features)
    start = time.perf_counter()
    render.features.backward(upstream)
    assert rasterizer.last is not None
    return Sample(forward, time.perf_counter() - start, dict(rasterizer.last.times))


def _row(
    scene: BenchScene,
    threads: int,
    samples: list[Sample],
    rasterizer: CpuRasterizer,
    peak: tuple[float, float],
    full: tuple[float, float],
) -> dict[str, Any]:
    assert rasterizer.last is not None
    frame = rasterizer.last.frames[0]

    def median(name: str) -> float:
        return float(np.median([s.times[name] for s in samples]))

    forward, backward = (float(np.median([getattr(s, name) for s in samples])) for name in ("forward", "backward"))
    around = median("sort") + median("bin")
    rate, rate_backward = frame.evaluated / median("blend"), frame.evaluated_backward / median("blend_backward")
    return {
        "scene": scene.name,
        "splats": len(scene.parameters[0]),
        "width": scene.cameras.width,
        "height": scene.cameras.height,
        "threads": threads,
        "forward_ms": 1e3 * forward,
        "backward_ms": 1e3 * backward,
        "forward_ms_min": 1e3 * min(s.forward for s in samples),
        "backward_ms_min": 1e3 * min(s.backward for s in samples),
        "bin_sort_ms": 1e3 * around,
        "project_ms": 1e3 * median("project"),
        "blend_ms": 1e3 * median("blend"),
        "blend_backward_ms": 1e3 * median("blend_backward"),
        "reduce_ms": 1e3 * median("reduce"),
        "project_backward_ms": 1e3 * median("project_backward"),
        "evaluated_pairs": frame.evaluated,
        "blended_pairs": frame.blended,
        "peak_pairs_per_s": peak[0],
        "peak_backward_pairs_per_s": peak[1],
        "dense_peak_pairs_per_s": full[0],
        "dense_peak_backward_pairs_per_s": full[1],
        "fraction_of_peak": rate / peak[0],
        "fraction_of_peak_backward": rate_backward / peak[1],
        "fraction_of_dense_peak": rate / full[0],
        "fraction_of_dense_peak_backward": rate_backward / full[1],
    }


def table(result: dict[str, Any]) -> Table:
    """The result for the eye, in 80 columns."""
    from rich import box
    from rich.table import Table

    peaks = [result[k] / 1e9 for k in ("peak_pairs_per_s_per_core", "peak_backward_pairs_per_s_per_core")]
    title = f"{result['lanes']} lanes; peak {peaks[0]:.2f} forward, {peaks[1]:.2f} backward, G pairs/s and core"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    heads = (
        "scene",
        "image",
        "threads",
        "forward\nms",
        "backward\nms",
        "sort\nms",
        "pairs\nM",
        "blended",
        "of peak\nforward",
        "\nbackward",
    )
    for name in heads:
        shown.add_column(name, justify="left" if name in ("scene", "image") else "right", no_wrap=True)
    for row in result["rows"]:
        shown.add_row(
            row["scene"], f"{row['width']}x{row['height']}", str(row["threads"]), f"{row['forward_ms']:.1f}",
            f"{row['backward_ms']:.1f}", f"{row['bin_sort_ms']:.1f}", f"{row['evaluated_pairs'] / 1e6:.1f}",
            f"{row['blended_pairs'] / max(row['evaluated_pairs'], 1):.2f}", f"{row['fraction_of_peak']:.2f}",
            f"{row['fraction_of_peak_backward']:.2f}",
        )  # fmt: skip
    return shown
