"""Videos: one clip, or several clips of one person.

Rotation flags and non-square pixels are undone, timestamps are kept (phones write variable frame rates), frames are decoded in
order and only the chosen ones are kept, so memory does not grow with length or resolution.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avatarkit.capture.cache import CacheWriter, cache_key, cached
from avatarkit.capture.capture import Capture, CaptureCamera, Crop, Frame
from avatarkit.capture.crop import Locate, cut, locate_faces, plan_crop, scaled_size
from avatarkit.capture.splits import held_out
from avatarkit.errors import EnvironmentProblem, FileFormatError, InputError
from avatarkit.events import Run
from avatarkit.paths import explained
from avatarkit.types import ByteArray, Json, PathArg

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".3gp", ".mts", ".m2ts")
MAX_FRAMES = 600
USABLE = 8  # a damaged clip with fewer frames is refused
PROBES = 32  # frames that are shown to the face locator
PROBE_AHEAD = 24  # frames decoded past a key frame to come nearer to a probe's time


@dataclass(frozen=True)
class Clip:
    """What a video file holds: upright size with square pixels, frames that its header promises and that are there."""

    path: Path
    width: int
    height: int
    promised: int
    packets: int
    rate: float  # frames a second, on average
    seconds: float

    def chosen(self, max_frames: int, every: int | None) -> list[int]:
        """Frame numbers to keep: each ``every``-th, or all; thinned evenly to at most ``max_frames``."""
        numbers = np.arange(0, self.packets, every or 1)
        if len(numbers) > max_frames:
            numbers = numbers[np.linspace(0, len(numbers) - 1, max_frames).round().astype(int)]
        return [int(n) for n in numbers]


def read_video(
    paths: PathArg | Sequence[PathArg],
    *,
    size: int | None = 512,
    max_frames: int = MAX_FRAMES,
    every: int | None = None,
    locate: Locate | None = None,
    cache_dir: PathArg | None = None,
    run: Run | None = None,
) -> Capture:
    """A capture of one or several clips: a camera per clip, timesteps one after the other.

    size: side of the square images (never enlarged), or None for whole frames; max_frames: at most so many over all clips;
    every: take each n-th frame; locate: ``images → face boxes`` for the crop (else the centre square).  Intrinsics are unknown.
    Raises FileFormatError for a file that is no video or is damaged beyond use, InputError for options out of range.
    """
    files = [
        Path(p).absolute() for p in ([paths] if isinstance(paths, str) or not isinstance(paths, Sequence) else paths)
    ]
    if not files:
        raise InputError("no video was given")
    if max_frames < 1 or (every is not None and every < 1):
        raise InputError(f"max_frames is {max_frames} and every is {every}; expected whole numbers of at least 1")
    locator = (
        None if locate is None else getattr(locate, "name", getattr(locate, "__qualname__", type(locate).__qualname__))
    )
    options = {"reader": "video 2", "size": size, "max_frames": max_frames, "every": every, "locator": locator}
    key = cache_key(files, options)

    def build(writer: CacheWriter) -> Json:
        clips = [probe(file) for file in files]
        share = _shares(clips, max_frames, every)
        crops = [_crop(clip, size, locate, run) for clip in clips]
        sizes = [scaled_size(crop) for crop in crops]
        if size is not None:
            sizes = [min(sizes)] * len(sizes)
            crops = [replace(c, scale=c.width / sizes[0][0]) for c in crops]
        told = [_decode(writer, i, *parts) for i, parts in enumerate(zip(clips, crops, sizes, share, strict=True))]
        return {"clips": told}

    cache = cached(key, build, cache_dir=cache_dir, run=run)
    cameras: list[CaptureCamera] = []
    frames: list[Frame] = []
    for index, clip in enumerate(cache.meta["clips"]):
        if clip["damage"]:
            (run or Run()).doubt(clip["damage"], "copy or export it again")
        taken, shown = len(clip["numbers"]), max(clip["numbers"], default=0) + 1
        if every is None and taken < shown and run is not None:
            run.notice(
                f"{files[index].name}: {taken} of its {shown} frames are taken, spread evenly; take more with --max-frames, or cut "
                "the clip to take more of less"
            )
        height, width = cache.size(len(frames))
        crop = Crop(**{**clip["crop"], "source": tuple(clip["crop"]["source"])})
        name = files[index].stem if len({f.stem for f in files}) == len(files) else f"{files[index].stem}-{index + 1}"
        cameras.append(CaptureCamera(name, width, height, crop=crop))
        for number, time, split in zip(clip["numbers"], clip["times"], held_out(len(clip["numbers"])), strict=True):
            frames.append(Frame(len(frames), index, split, f"{files[index].name}, frame {number}", time))
    names = tuple(f"{i:05d}" for i in range(len(frames)))
    source = ", ".join(str(file) for file in files)
    return Capture(
        files[0].stem, tuple(cameras), tuple(frames), names, cache.image, cache.mask, False, True, source, key,
        str(cache.folder.parent),
    )  # fmt: skip


def _shares(clips: list[Clip], max_frames: int, every: int | None) -> list[list[int]]:
    """The frame numbers of each clip; several clips share ``max_frames`` by their length."""
    total = sum(clip.packets for clip in clips)
    return [clip.chosen(max(1, math.floor(max_frames * clip.packets / total)), every) for clip in clips]


def probe(path: PathArg) -> Clip:
    """Open ``path`` and count its frames without decoding them.  Raises FileFormatError when it is no usable video."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        promised, rate = int(stream.frames), float(stream.average_rate or stream.guessed_rate or 30)
        first = next(_frames(container, []), None)
        if first is None:
            raise FileFormatError(f"{path}: no frame of the video can be decoded; it is damaged or cut short")
        height, width = _upright(first, stream).shape[:2]
    import av

    packets = trimmed = 0
    with _opened(path) as container, contextlib.suppress(av.FFmpegError, EOFError):
        for packet in container.demux(container.streams.video[0]):
            shown = packet.size > 0 and not packet.is_discard
            packets += shown
            trimmed += packet.size > 0 and not shown  # cut away by an edit list: in the file, never decoded
    packets = max(packets, 1)
    return Clip(Path(path), width, height, max(promised - trimmed, packets), packets, rate, packets / rate)


def _crop(clip: Clip, size: int | None, locate: Locate | None, run: Run | None) -> Crop:
    if size is None or locate is None:
        return plan_crop(clip.width, clip.height, size)
    boxes = locate_faces(_sample(clip, PROBES), locate, str(clip.path), run)
    found = sum(box is not None for box in boxes)
    if not found and run is not None:
        run.notice(
            f"{clip.path}: no face in {len(boxes)} frames spread over the clip; the centre square is taken", "warning"
        )
    return plan_crop(clip.width, clip.height, size, boxes)


def _sample(clip: Clip, count: int) -> list[ByteArray]:
    """About ``count`` upright frames spread over the clip; seeks, so that a long clip is not decoded for it."""
    with _opened(clip.path) as container:
        stream = container.streams.video[0]
        if clip.packets <= 8 * count:
            wanted = set(np.linspace(0, clip.packets - 1, min(count, clip.packets)).round().astype(int).tolist())
            return [_upright(f, stream) for i, f in enumerate(_frames(container, [])) if i in wanted]
        import av

        base = float(stream.time_base or 1)
        start = float(stream.start_time or 0) * base
        images = []
        for when in np.linspace(start, start + clip.seconds, count, endpoint=False):
            try:
                container.seek(int(when / base), stream=stream)
            except av.FFmpegError:
                continue
            nearest = None
            for ahead, frame in enumerate(_frames(container, [])):
                nearest = frame
                if ahead >= PROBE_AHEAD or frame.pts is None or frame.pts * base >= when:
                    break
            if nearest is not None:
                images.append(_upright(nearest, stream))
        return images


def _decode(writer: CacheWriter, index: int, clip: Clip, crop: Crop, size: tuple[int, int], numbers: list[int]) -> Json:
    """Write the frames ``numbers`` of ``clip``; what was written, and what is wrong where the file is damaged."""
    wanted = set(numbers)
    faults: list[str] = []
    kept, times = [], []
    count = 0
    with _opened(clip.path) as container:
        stream = container.streams.video[0]
        base = float(stream.time_base or 1)
        for number, frame in enumerate(_frames(container, faults)):
            count = number + 1
            if number not in wanted:
                continue
            upright = _upright(frame, stream)
            if upright.shape[:2] != (clip.height, clip.width):
                faults.append(f"its size changes at frame {number}")
                break
            writer.add(cut(upright, crop, size))
            kept.append(number)
            times.append(number / clip.rate if frame.pts is None else float(frame.pts) * base)
            if number >= numbers[-1]:
                break
    complete = not faults and clip.packets >= clip.promised
    if not complete and len(kept) < min(USABLE, clip.promised):
        raise FileFormatError(
            f"{clip.path}: only {len(kept)} of {clip.promised} frames can be read; it is damaged or cut short; copy or export it again"
        )
    damage = ""
    if not complete:
        why = f" ({faults[0]})" if faults else ""
        damage = (
            f"{clip.path}: damaged or cut short{why}: {min(count, clip.promised)} of {clip.promised} frames can be read"
        )
    first = times[0]
    return {
        "crop": asdict(crop),
        "numbers": kept,
        "times": [t - first for t in times],
        "damage": damage,
        "rate": clip.rate,
    }


class _opened:
    """A PyAV container with a video stream that decodes on several threads; failures are one line."""

    def __init__(self, path: PathArg) -> None:
        self.path = path

    def __enter__(self) -> Any:
        import av

        with explained(self.path):
            with open(self.path, "rb") as stream:  # the operating system's word on it, before FFmpeg's
                empty = not stream.read(1)
            if empty:
                raise FileFormatError(f"{self.path}: the file is empty")
        try:
            self.container = av.open(str(self.path))
        except MemoryError as error:
            raise EnvironmentProblem(f"{self.path}: not enough memory to open it") from error
        except (av.FFmpegError, ValueError) as error:
            raise FileFormatError(
                f"{self.path}: not a video that can be read ({getattr(error, 'strerror', error)}); it is damaged, cut short or of "
                "another kind; export it again, as H.264 in mp4 for example"
            ) from error
        if not self.container.streams.video:
            self.container.close()
            raise FileFormatError(f"{self.path}: it has no video stream")
        stream = self.container.streams.video[0]
        if stream.codec_context is None:
            self.container.close()
            raise FileFormatError(f"{self.path}: the video's codec is not supported here; export it as H.264 in mp4")
        stream.thread_type = "AUTO"
        return self.container

    def __exit__(self, *exception: object) -> None:
        self.container.close()


def _frames(container: Any, faults: list[str]) -> Iterator[Any]:
    """Decoded frames in order.  A packet that cannot be decoded is skipped and said in ``faults``."""
    import av

    packets = container.demux(container.streams.video[0])
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, EOFError) as error:
            faults.append(str(getattr(error, "strerror", error)))
            return
        try:
            decoded = packet.decode()
        except (av.FFmpegError, EOFError) as error:
            if packet.size:  # the last, empty packet only flushes
                faults.append(str(getattr(error, "strerror", error)))
            continue
        for frame in decoded:
            if frame.is_corrupt:
                faults.append("a frame is corrupt")
                continue
            yield frame


def _upright(frame: Any, stream: Any) -> ByteArray:
    """(H, W, 3) uint8 RGB with square pixels, turned as the file's display matrix says (multiples of 90 degrees)."""
    ratio = float(stream.sample_aspect_ratio or 1)
    if ratio > 0 and abs(ratio - 1.0) > 1e-3:
        image = frame.to_ndarray(format="rgb24", width=max(1, round(frame.width * ratio)), height=frame.height)
    else:
        image = frame.to_ndarray(format="rgb24")
    turns = round((frame.rotation or 0) / 90) % 4  # counter-clockwise, as numpy's
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
