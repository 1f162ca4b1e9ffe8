"""``avatarkit bench render``: frames a second, from head parameters to a picture, and of the rasterizer alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.bench.clock import Stopwatch, median_seconds, peak_mib, reset_peak
from avatarkit.bench.device import described
from avatarkit.cameras import Cameras, intrinsics, look_at
from avatarkit.contracts import HeadModel, Rasterizer
from avatarkit.gaussians.binding import Posed, pose_gaussians
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.frames import with_frames
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.initial import bound_gaussians
from avatarkit.recon.placing import placed_head
from avatarkit.render.compiled import kernels_first
from avatarkit.render.hosted import device_of

if TYPE_CHECKING:
    from rich.table import Table

COUNTS = (20_000, 100_000, 164_000)
SIZES = ((512, 512), (550, 802))
BATCHES = (1, 16)
PARTS = ("skinning", "binding", "raster", "image")
TIMESTEPS = 32


@dataclass(frozen=True)
class Subject:
    """What is filmed: a moving ``bust`` covered with Gaussians, all on one device."""

    head: HeadModel
    params: HeadParams
    gaussians: Gaussians
    cameras: Cameras

    def params_at(self, frame: int, batch: int) -> HeadParams:
        start = frame * batch % (len(self.params) - batch + 1)
        return self.params[slice(start, start + batch)]


def subject(count: int, width: int, height: int, device: str, batch: int, seed: int = 0) -> Subject:
    """``count`` Gaussians evenly over the head, at rest the size of what they cover; the head fills the picture."""
    head = with_frames(load_head("bust"), "skin")
    random = np.random.default_rng([seed, count])
    faces = len(head.faces)
    each = math.ceil(count / faces)
    colours = torch.from_numpy(random.random((faces, 3))).float()
    gaussians = bound_gaussians(colours, ReconConfig(gaussians_per_triangle=each), random)
    gaussians = gaussians.select(torch.from_numpy(np.sort(random.permutation(len(gaussians))[:count])))
    params = HeadParams.zeros(TIMESTEPS, head.num_shape, head.num_expr)
    moved = {
        "expr": 0.5 * random.random((TIMESTEPS, head.num_expr)),
        "rotation": 0.1 * random.normal(size=(TIMESTEPS, 3)),
        "jaw_pose": 0.05 * random.random((TIMESTEPS, 3)),
    }
    for name, value in moved.items():
        getattr(params, name)[:] = torch.from_numpy(value).float()
    focal = 3.0 * min(width, height)
    view = torch.from_numpy(look_at(np.array([0.0, 0.0, 1.25]), np.array([0.0, -0.014, -0.005]))).float()
    K = torch.from_numpy(intrinsics(focal, focal, width / 2, height / 2)).float()
    cameras = Cameras(view.expand(batch, 4, 4).contiguous(), K.expand(batch, 3, 3).contiguous(), width, height)
    return Subject(placed_head(head, device), params.to(device), gaussians.to(device), cameras.to(device))


class Pipeline:
    """parameters → skinning → binding → raster → uint8 picture, for a batch of timesteps."""

    def __init__(self, filmed: Subject, rasterizer: Rasterizer) -> None:
        self.filmed, self.rasterizer = filmed, rasterizer
        self.batch = len(filmed.cameras)
        self.background = torch.ones(3, device=filmed.gaussians.means.device)
        self.frame = 0

    def skinned(self) -> HeadPose:
        self.frame += 1
        return self.filmed.head.pose(self.filmed.params_at(self.frame, self.batch))

    def bound(self, pose: HeadPose) -> Posed:
        filmed = self.filmed
        made = [
            pose_gaussians(
                filmed.gaussians,
                pose.vertices[t],
                pose.joints[t],
                filmed.head.faces,
                sh_degree=0,
                skin=pose.skin,
            )
            for t in range(self.batch)
        ]
        return made[0] if self.batch == 1 else Posed(*(torch.stack(parts) for parts in zip(*made, strict=True)))

    def drawn(self, posed: Posed) -> Tensor:
        return self.rasterizer.render(*posed, self.filmed.cameras, background=self.background).features

    def image(self, drawn: Tensor) -> Tensor:
        return (drawn.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def __call__(self) -> Tensor:
        """(B, H, W, 3) uint8 on the device."""
        return self.image(self.drawn(self.bound(self.skinned())))

    def by_part(self, rounds: int) -> dict[str, float]:
        """Median seconds of each part."""
        watch = Stopwatch(device_of(self.rasterizer))
        for _ in range(rounds + 1):
            value: Any = None
            for name, work in zip(PARTS, (self.skinned, self.bound, self.drawn, self.image), strict=True):
                with watch.part(name):
                    value = work() if value is None else work(value)  # type: ignore[operator]
        return watch.medians(skip=1)


@kernels_first()
def run(
    rasterizer: Rasterizer,
    *,
    quick: bool = False,
    repeats: int = 15,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Every count, size and batch; medians after a warm-up.

    Returns {"rasterizer", "device", "machine", "rows"}; a row has ``frames_per_s`` of the whole, ``raster_frames_per_s`` of the
    rasterizer alone on one set of posed Gaussians, ``parts_ms`` a frame and ``peak_mib``.
    """
    device = device_of(rasterizer)
    counts, sizes, batches = ((500,), ((64, 48),), (1, 2)) if quick else (COUNTS, SIZES, BATCHES)
    rows = []
    with torch.no_grad():
        for count in counts:
            for width, height in sizes:
                for batch in batches:
                    report(f"{count} splats at {width}x{height}, {batch} at a time")
                    pipeline = Pipeline(subject(count, width, height, device, batch), rasterizer)
                    reset_peak(device)
                    whole = median_seconds(pipeline, device, repeats)
                    posed = pipeline.bound(pipeline.skinned())
                    alone = median_seconds(lambda p=pipeline, q=posed: p.drawn(q), device, repeats)  # type: ignore[misc]
                    parts = pipeline.by_part(repeats)
                    rows.append({
                        "splats": count, "width": width, "height": height, "batch": batch,
                        "frames_per_s": batch / whole, "raster_frames_per_s": batch / alone,
                        "parts_ms": {name: 1e3 * seconds / batch for name, seconds in parts.items()},
                        "peak_mib": peak_mib(device),
                    })  # fmt: skip
    return {"rasterizer": rasterizer.name, "device": device, "machine": described(device), "rows": rows}


def table(result: dict[str, Any]) -> Table:
    """The result for the eye, in 80 columns."""
    from rich import box
    from rich.table import Table

    title = f"rasterizer {result['rasterizer']} on {result['machine']}; frames a second, milliseconds a frame"
    shown = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1)
    )
    for name in ("splats", "image", "batch", "whole\n1/s", "raster\n1/s", *(f"{part}\nms" for part in PARTS)):
        shown.add_column(name, justify="left" if name == "image" else "right", no_wrap=True)
    for row in result["rows"]:
        shown.add_row(
            str(row["splats"]), f"{row['width']}x{row['height']}", str(row["batch"]), f"{row['frames_per_s']:.1f}",
            f"{row['raster_frames_per_s']:.1f}", *(f"{row['parts_ms'][part]:.2f}" for part in PARTS),
        )  # fmt: skip
    return shown
