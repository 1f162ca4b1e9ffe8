"""The CPU rasterizer: ``contracts.Rasterizer`` as one autograd function over Numba kernels.

Forward, for each camera: project, sort by depth, list per tile, blend.  Backward: blend again front to back, then reduce and
project back.  Work is spread over threads so that no result depends on how many there are: a tile, a Gaussian and a chunk of
Gaussians are each done by one thread in one order.  ``compiled.thread_count()`` threads are used unless told otherwise.
"""

from __future__ import annotations

import functools
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Render
from avatarkit.render import binning, blending, blending_backward, projection, tiles
from avatarkit.render.arguments import checked
from avatarkit.render.compiled import run_parts, thread_count
from avatarkit.render.projection_backward import project_backward, reduce

SHARES = 4
"""Threads that fill the tiles' lists at most: each keeps a place in every list, and every thread that counts counts for each."""
TABLES = (tiles.PIXEL_X, tiles.PIXEL_Y, tiles.BLOCK_X, tiles.BLOCK_Y)


@functools.cache
def _blend(three: bool, top: bool) -> Any:
    return blending.make_blend(three, top)[0]


@functools.cache
def _blend_backward(three: bool, extra: bool, absolute: bool) -> Any:
    return blending_backward.make_blend_backward(three, extra, absolute)[0]


class Workspace:
    """Buffers that are reused from call to call: growing them costs page faults, about a third of a small frame."""

    _idle: list[Workspace] = []  # noqa: RUF012
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._buffers: dict[str, Any] = {}

    @classmethod
    def take(cls) -> Workspace:
        with cls._lock:
            return cls._idle.pop() if cls._idle else cls()

    def give_back(self) -> None:
        with self._lock:
            if len(self._idle) < 16:
                self._idle.append(self)

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """An uninitialised array; valid until the same name is asked for again."""
        size = int(np.prod(shape))
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            room, item = max(size + size // 4, 16), np.dtype(dtype).itemsize
            raw = np.empty(room * item + 64, np.uint8)  # a record is one cache line, if it starts where a line does
            buffer = self._buffers[name] = raw[-raw.ctypes.data % 64 :][: room * item].view(dtype)
        return buffer[:size].reshape(shape)


@dataclass
class Frame:
    """What one camera's forward pass leaves for its backward pass; owns a workspace until it is forgotten."""

    work: Workspace
    camera: Any
    columns: int
    records: Any
    covariances: Any
    counts: Any
    offsets: Any
    slot_tiles: Any
    slot_positions: Any
    starts: Any
    entries: Any
    masks: Any
    evaluated: int = 0
    blended: int = 0
    evaluated_backward: int = 0

    def __del__(self) -> None:
        self.work.give_back()


@dataclass
class Job:
    """Options of a call, and what it learns: gradients of 2D means and times in seconds (see ``bench``)."""

    cameras: Cameras
    antialiased: bool
    top: bool
    absgrad: bool
    masks: Any
    threads: int
    mean2d_gradients: Any = None
    results: tuple[Any, ...] = ()
    times: dict[str, float] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)

    def clock(self, name: str, start: float) -> float:
        now = time.perf_counter()
        self.times[name] = self.times.get(name, 0.0) + now - start
        return now


class CpuRasterizer:
    """``contracts.Rasterizer`` on the CPU; ``threads``: how many (default: ``compiled.thread_count()``).

    Identical bits for any number of threads.  Safe to call from several Python threads at once.
    """

    name = "cpu"
    capabilities = frozenset({"top", "antialiased", "camera_gradients", "absgrad"})

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self.last: Job | None = None

    def render(
        self,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        features: Tensor,
        cameras: Cameras,
        *,
        background: Tensor | None = None,
        masks: Tensor | None = None,
        antialiased: bool = False,
        top: bool = False,
        absgrad: bool = False,
    ) -> Render:
        """See ``contracts.Rasterizer.render``.  Raises InputError for shapes, dtypes and cameras that do not fit."""
        scene = checked(means, quats, scales, opacities, features, cameras, background, masks)
        mask_array = None if masks is None else np.ascontiguousarray(masks.detach().numpy())
        job = Job(cameras, antialiased, top, absgrad, mask_array, max(1, self.threads or thread_count()))
        self.last = job
        image, alpha, depth = _Rasterize.apply(job, cameras.viewmats, cameras.Ks, scene.background, *scene.tensors)
        means2d, radii, sums, winners = job.results
        return Render(
            image, alpha, depth, means2d, radii, sums, winners,
            lambda: job.mean2d_gradients if job.mean2d_gradients is not None else torch.zeros_like(means2d),
        )  # fmt: skip


def _pack(viewmat: Any, K: Any) -> Any:
    camera = np.empty(projection.CAMERA, np.float64)
    camera[:9], camera[9:12] = viewmat[:3, :3].reshape(9), viewmat[:3, 3]
    camera[12:] = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    return camera


def _at(array: Any, b: int) -> Any:
    return array[b if len(array) > 1 else 0]


class _Rasterize(torch.autograd.Function):
    """(job, viewmats, Ks, background, means, quats, scales, opacities, features) → (image, alpha, depth)."""

    @staticmethod
    def forward(
        ctx: Any, job: Job, viewmats: Tensor, Ks: Tensor, background: Tensor | None, *parameters: Tensor
    ) -> Any:
        arrays = [np.ascontiguousarray(t.detach().numpy()) for t in parameters]
        batch, count, channels = len(job.cameras), arrays[0].shape[1], arrays[4].shape[2]
        width, height = job.cameras.width, job.cameras.height
        image, alpha = torch.empty(batch, channels, height, width), torch.empty(batch, 1, height, width)
        depth = torch.empty(batch, 1, height, width)
        winners = torch.empty((batch, height, width) if job.top else (batch, 1, 1), dtype=torch.int32)
        means2d, radii = torch.empty(batch, count, 2), torch.empty(batch, count, dtype=torch.int32)
        behind = np.zeros((1, channels, 1, 1), np.float32)
        if background is not None:
            behind = np.ascontiguousarray(background.detach().numpy())
        views, intrinsics = viewmats.detach().numpy(), Ks.detach().numpy()
        outputs = [t.numpy() for t in (image, alpha, depth, winners, means2d, radii)]
        for b in range(batch):
            frame = _bin(job, [_at(a, b) for a in arrays], _pack(views[b], intrinsics[b]), outputs[4][b], outputs[5][b])
            start = time.perf_counter()
            statistics = np.zeros((job.threads, 8), np.int64)
            run_parts(
                job.threads, _blend(channels == 3, job.top), frame.starts, frame.entries, frame.records, _at(arrays[4], b),
                _at(behind, b), background is not None, frame.masks, TABLES, frame.columns,
                outputs[0][b], outputs[1][b, 0], outputs[2][b, 0], outputs[3][b], statistics,
            )  # fmt: skip
            frame.evaluated, frame.blended = int(statistics[:, 0].sum()), int(statistics[:, 1].sum())
            job.clock("blend", start)
            job.frames.append(frame)
        sums = _sums(job, count) if job.masks is not None else None
        job.results = (means2d, radii, sums, winners if job.top else None)
        ctx.job, ctx.has_background = job, background is not None
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(image, alpha, depth, background, *parameters)
        return image, alpha, depth

    @staticmethod
    def backward(ctx: Any, d_image: Tensor | None, d_alpha: Tensor | None, d_depth: Tensor | None) -> Any:
        job: Job = ctx.job
        image, alpha, depth, background, *parameters = ctx.saved_tensors
        arrays = [np.ascontiguousarray(t.detach().numpy()) for t in parameters]
        needs_background = ctx.needs_input_grad[3]
        moving = bool(ctx.needs_input_grad[1] or ctx.needs_input_grad[2])  # a quarter of the chain rule's time
        batch, count, channels = len(image), arrays[0].shape[1], arrays[4].shape[2]
        extra = d_alpha is not None or d_depth is not None
        # NumPy for the plumbing: torch's own threads would wait for each other over these small arrays.
        d_images = [
            np.zeros(like.shape, np.float32) if given is None else np.ascontiguousarray(given.detach().numpy())
            for like, given in ((image, d_image), (alpha, d_alpha), (depth, d_depth))
        ]
        forward_images = [t.numpy() for t in (image, alpha, depth)]
        gradients = [np.zeros(a.shape, np.float32) for a in arrays]
        mean2d_gradients = torch.empty(batch, count, 2)
        d_viewmats, d_Ks = torch.zeros(batch, 4, 4), torch.zeros(batch, 3, 3)
        run = _blend_backward(channels == 3, extra, job.absgrad)
        chunks = np.zeros((-(-count // projection.CHUNK), projection.CAMERA), np.float64)
        for b, frame in enumerate(job.frames):
            start = time.perf_counter()
            partials = frame.work.array(
                "partials",
                (len(frame.entries), blending_backward.partial_size(channels, extra, job.absgrad)),
                np.float32,
            )
            statistics = np.zeros((job.threads, 8), np.int64)
            run_parts(
                job.threads, run, frame.starts, frame.entries, frame.records, _at(arrays[4], b), frame.masks, TABLES,
                frame.columns, forward_images[0][b], forward_images[1][b, 0], forward_images[2][b, 0],
                d_images[0][b], d_images[1][b, 0], d_images[2][b, 0], partials, statistics,
            )  # fmt: skip
            frame.evaluated_backward = int(statistics[:, 0].sum()) * blending.WIDTH
            start = job.clock("blend_backward", start)
            sums = frame.work.array("sums", (count, partials.shape[1]), np.float64)
            run_parts(
                job.threads,
                reduce,
                frame.columns,
                frame.records,
                frame.counts,
                frame.offsets,
                frame.slot_tiles,
                frame.slot_positions,
                partials,
                sums,
            )
            start = job.clock("reduce", start)
            run_parts(
                job.threads, project_backward, *(_at(a, b) for a in arrays[:4]), frame.camera, job.cameras.width,
                job.cameras.height, job.antialiased, extra, job.absgrad, moving,
                frame.records, frame.covariances,
                frame.counts, sums, *(_at(g, b) for g in gradients),
                mean2d_gradients[b].numpy(), chunks,
            )  # fmt: skip
            packed = torch.from_numpy(chunks.sum(0))
            d_viewmats[b, :3, :3], d_viewmats[b, :3, 3] = packed[:9].view(3, 3), packed[9:12]
            d_Ks[b, 0, 0], d_Ks[b, 1, 1], d_Ks[b, 0, 2], d_Ks[b, 1, 2] = packed[12:]
            job.clock("project_backward", start)
        job.mean2d_gradients = mean2d_gradients
        d_background = None
        if needs_background:
            d_background = (torch.from_numpy(d_images[0]) * (1 - alpha)).sum_to_size(background.shape)
        return None, d_viewmats, d_Ks, d_background, *(torch.from_numpy(g) for g in gradients)


def _bin(job: Job, arrays: list[Any], camera: Any, means2d: Any, radii: Any) -> Frame:
    """Project and list one camera's Gaussians."""
    work, count = Workspace.take(), len(arrays[0])
    width, height, threads = job.cameras.width, job.cameras.height, job.threads
    columns, rows = -(-width // projection.TILE), -(-height // projection.TILE)
    start = time.perf_counter()
    records = work.array("records", (count, projection.RECORD), np.float64)
    covariances = work.array("covariances", (count, 3), np.float64)
    rects = work.array("rects", (count, 4), np.int32)
    counts = work.array("counts", (count,), np.int32)
    run_parts(
        threads, projection.project, *arrays, camera, width, height, job.antialiased, records, covariances, rects, counts, radii,
        means2d,
    )  # fmt: skip
    start = job.clock("project", start)
    offsets, order = work.array("offsets", (count + 1,), np.int64), work.array("order", (count,), np.int32)
    visible = binning.sort_by_depth(
        counts, records, offsets, order, work.array("keys", (count,), np.int64), work.array("spare", (count,), np.int64)
    )
    start = job.clock("sort", start)
    total, shares = int(offsets[count]), min(threads, SHARES)
    share = work.array("shares", (count,), np.int32)
    slot_tiles = work.array("slot_tiles", (total,), np.int32)
    histograms = work.array("histograms", (threads, shares, columns * rows), np.int32)
    positions = work.array("positions", (shares, columns * rows), np.int64)
    starts = work.array("starts", (columns * rows + 1,), np.int64)
    entries, slot_positions = (work.array(name, (total,), np.int32) for name in ("entries", "slot_positions"))
    binning.share_out(visible, order, share, shares)
    run_parts(
        threads, binning.list_tiles, counts, offsets, records, covariances, rects, height, columns, share, slot_tiles, histograms
    )  # fmt: skip
    binning.start_lists(histograms, positions, starts)
    run_parts(shares, binning.fill_lists, visible, order, offsets, slot_tiles, positions, entries, slot_positions)
    job.clock("bin", start)
    masks = work.array("masks", (total,), np.int64)
    return Frame(
        work, camera, columns, records, covariances, counts, offsets, slot_tiles, slot_positions, starts, entries, masks
    )  # fmt: skip


def _sums(job: Job, count: int) -> Tensor:
    """(B, M, N) Σ mask·α·T: the gradient of ⟨mask, image⟩ by a feature, from the backward kernel."""
    batch, channels, height, width = job.masks.shape
    sums = torch.empty(batch, channels, count)
    nothing = np.zeros((count, channels), np.float32)
    blank, flat = np.zeros((channels, height, width), np.float32), np.zeros((height, width), np.float32)
    run = _blend_backward(channels == 3, False, False)
    for b, frame in enumerate(job.frames):
        partials = frame.work.array(
            "partials", (len(frame.entries), blending_backward.partial_size(channels, False, False)), np.float32
        )
        run_parts(
            job.threads, run, frame.starts, frame.entries, frame.records, nothing, frame.masks, TABLES, frame.columns,
            blank, flat, flat, job.masks[b], flat, flat, partials, np.zeros((job.threads, 8), np.int64),
        )  # fmt: skip
        per_slot = np.zeros((len(partials) + 1, channels))
        own = partials[frame.slot_positions, blending_backward.MOMENTS :]
        np.cumsum(own, axis=0, dtype=np.float64, out=per_slot[1:])
        ends = per_slot[frame.offsets]
        sums[b] = torch.from_numpy((ends[1:] - ends[:-1]).T)
    return sums
