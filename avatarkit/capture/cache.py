"""Frames decoded once: a uint8 file that is memory-mapped, so that opening a frame costs a page fault.

A cache is a folder ``<key>/`` with ``frames.u8`` (image, then mask, of one frame after the other) and ``index.json``.  The key
hashes the source files' sizes and times and the options, so a changed source never meets an old cache.  A folder is built
under a temporary name, synced and renamed; a cut, foreign or altered one is noticed on opening and built again.  Every folder
here may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from avatarkit.errors import EnvironmentProblem, FileFormatError
from avatarkit.events import Finished, Progress, Run, Started
from avatarkit.paths import explained, home
from avatarkit.types import ByteArray, Json, PathArg

FORMAT = "avatarkit-frames/2"
CHECK_BYTES = 128 << 20  # a cache up to this size is checked whole on opening, a larger one in samples
CHECK_SAMPLES = 48

In = TypeVar("In")
Out = TypeVar("Out")


def cache_root(cache_dir: PathArg | None = None) -> Path:
    """The folder that holds frame caches: ``cache_dir`` or ``AVATARKIT_HOME/cache/frames``; made on first use."""
    root = Path(cache_dir) if cache_dir is not None else home() / "cache" / "frames"
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
    return root


def cache_key(files: Iterable[PathArg], options: Json) -> str:
    """32 hex digits of the absolute paths, sizes and modification times of ``files``, and of ``options`` (JSON)."""
    digest = hashlib.sha256(FORMAT.encode())
    for name in files:
        with explained(name):
            stat = os.stat(name)
        digest.update(f"\n{os.path.abspath(name)}|{stat.st_size}|{stat.st_mtime_ns}".encode())
    digest.update(json.dumps(options, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class FrameCache:
    """An open cache of F frames.  ``meta`` is what the builder returned; ``bytes`` is the size on disk."""

    folder: Path
    meta: Json
    bytes: int
    _pixels: ByteArray = field(repr=False)
    _rows: tuple[tuple[int, int, int, int, int], ...] = field(repr=False)  # offset, height, width, channels, crc32

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def masked(self) -> bool:
        """Whether every frame has a mask."""
        return bool(self._rows) and all(row[3] in (1, 4) for row in self._rows)

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of frame ``index``."""
        return self._rows[index][1], self._rows[index][2]

    def image(self, index: int) -> ByteArray:
        """(H, W, 3) uint8 RGB, a read-only view."""
        offset, height, width, _, _ = self._rows[index]
        return self._pixels[offset : offset + height * width * 3].reshape(height, width, 3)

    def mask(self, index: int) -> ByteArray | None:
        """(H, W) uint8 alpha, a read-only view, or None."""
        offset, height, width, channels, _ = self._rows[index]
        if channels == 3:
            return None
        start = offset + height * width * (channels - 1)
        return self._pixels[start : start + height * width].reshape(height, width)


class CacheWriter:
    """Appends frames to a cache that is being built."""

    def __init__(self, folder: Path, run: Run | None, total: int | None, stage: str) -> None:
        self._stream = (folder / "frames.u8").open("wb")
        self._run, self._total, self._stage = run, total, stage
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.offset = 0

    def add(self, image: ByteArray | None, mask: ByteArray | None = None) -> int:
        """Append one frame: image (H, W, 3) uint8, mask (H, W) uint8, or both.  Returns its index."""
        planes = [np.ascontiguousarray(plane) for plane in (image, mask) if plane is not None]
        height, width = planes[0].shape[:2]
        for plane, shape in ((image, (height, width, 3)), (mask, (height, width))):
            if plane is not None and (plane.shape != shape or plane.dtype != np.uint8):
                raise ValueError(f"{plane.shape} {plane.dtype}; expected {shape} uint8")
        checksum = 0
        for plane in planes:
            checksum = zlib.crc32(plane.reshape(-1).data, checksum)
            self._stream.write(plane.reshape(-1).data)
        channels = (0 if image is None else 3) + (0 if mask is None else 1)
        self.rows.append((self.offset, height, width, channels, checksum))
        self.offset += sum(plane.nbytes for plane in planes)
        if self._run is not None:
            if self._run.stopping:
                raise KeyboardInterrupt
            if len(self.rows) % 20 == 0:
                self._run.emit(Progress(self._stage, len(self.rows), self._total))
        return len(self.rows) - 1

    def close(self) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def abandon(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()


def open_cache(folder: PathArg) -> FrameCache | None:
    """The cache in ``folder``, or None where there is none or it is damaged (size, format or checksum)."""
    path = Path(folder)
    try:
        index = json.loads((path / "index.json").read_text())
        size = (path / "frames.u8").stat().st_size
        rows = tuple((int(o), int(h), int(w), int(n), int(c)) for o, h, w, n, c in index["frames"])
        ends = [0, *(o + h * w * n for o, h, w, n, _ in rows)]
        if index["format"] != FORMAT or not rows or size != ends[-1] or [row[0] for row in rows] != ends[:-1]:
            return None
        pixels: ByteArray = np.asarray(np.memmap(path / "frames.u8", np.uint8, mode="r"))
        meta = dict(index["meta"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    count = len(rows) if size <= CHECK_BYTES else min(CHECK_SAMPLES, len(rows))
    for i in np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int)):
        if zlib.crc32(pixels[ends[i] : ends[i + 1]].data) != rows[i][4]:
            return None
    return FrameCache(path, meta, size, pixels, rows)


def cached(
    key: str,
    build: Callable[[CacheWriter], Json],
    *,
    cache_dir: PathArg | None = None,
    run: Run | None = None,
    total: int | None = None,
    needed: int = 0,
    stage: str = "decode",
) -> FrameCache:
    """The cache of ``key``: opened where it is there and whole, else built by ``build(writer)``, whose result is its meta.

    ``total`` frames and ``needed`` bytes are for progress and for asking the disk beforehand.  Nothing is left behind, and
    nothing that was there is lost, when ``build`` raises.  Raises EnvironmentProblem on a full disk or a folder that cannot
    be written.
    """
    root = cache_root(cache_dir)
    folder = root / key
    found = open_cache(folder)
    if found is not None:
        return found
    if folder.exists() and run is not None:
        run.notice(f"{folder}: this frame cache is damaged and is built again", "warning")
    with explained(root):
        _ask_disk(root, needed)
        started = time.monotonic()
        if run is not None:
            run.emit(Started(stage, total, "frame"))
        temporary = Path(tempfile.mkdtemp(dir=root, prefix=f".{key}."))
        try:
            writer = CacheWriter(temporary, run, total, stage)
            try:
                meta = build(writer)
                writer.close()
            except BaseException:
                writer.abandon()
                raise
            _write_index(temporary, {"format": FORMAT, "frames": writer.rows, "meta": meta})
            _install(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    made = open_cache(folder)
    if made is None:
        raise EnvironmentProblem(
            f"{folder}: the frame cache cannot be read back; check the disk, or choose --cache-dir"
        )
    if run is not None:
        run.emit(Finished(stage, time.monotonic() - started, {"frames": len(made), "megabytes": made.bytes / 1e6}))
    return made


def _ask_disk(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise EnvironmentProblem(
            f"{root}: the disk is full: the frames need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; free some "
            "space, choose --cache-dir, or take fewer frames"
        )


def _write_index(folder: Path, index: Json) -> None:
    with (folder / "index.json").open("w") as stream:
        json.dump(index, stream)
        stream.flush()
        os.fsync(stream.fileno())


def _install(temporary: Path, folder: Path) -> None:
    """Rename into place.  Another process may have been faster, with the same frames: then its folder stays."""
    if folder.exists() and open_cache(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        os.rename(temporary, folder)
    except OSError:
        if open_cache(folder) is None:
            raise


def in_order(work: Callable[[In], Out], items: Iterable[In], *, threads: int = 4) -> Iterator[Out]:
    """``map`` on threads, results in order, at most ``2 * threads`` in flight, so that memory is bounded."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Out]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def decode_picture(path: PathArg, size: tuple[int, int] | None = None) -> tuple[ByteArray, ByteArray | None]:
    """(H, W, 3) uint8 RGB, and the (H, W) uint8 alpha channel where the file has one.  EXIF rotation is applied.

    ``size``: the (width, height) that it must have.  Raises FileFormatError when it is not a picture, is cut short or has
    another size.
    """
    picture = _open_picture(path, size)
    alpha: ByteArray | None = None
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        alpha = np.asarray(picture.getchannel("A"))
    elif picture.mode.startswith("I"):  # 16 bit grey: Pillow's own conversion clips
        grey = (np.asarray(picture, np.float64) / 257.0 + 0.5).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2), None
    return np.asarray(picture.convert("RGB")), alpha


def decode_mask(path: PathArg, size: tuple[int, int]) -> ByteArray:
    """(H, W) uint8 alpha of a mask file: its alpha channel, else its grey values.  Raises FileFormatError without foreground."""
    picture = _open_picture(path, size)
    if picture.mode in ("RGBA", "LA"):
        mask = np.asarray(picture.getchannel("A"))
    elif picture.mode.startswith("I"):
        mask = (np.asarray(picture, np.float64) / 257.0 + 0.5).clip(0, 255).astype(np.uint8)
    else:
        mask = np.asarray(picture.convert("L"))
    return require_foreground(mask, path)


def require_foreground(mask: ByteArray, path: PathArg) -> ByteArray:
    """``mask`` itself; raises FileFormatError when no pixel of it is at least half foreground."""
    if int(mask.max(initial=0)) < 128:
        brightest = int(mask.max(initial=0))
        raise FileFormatError(
            f"{path}: the mask has no foreground (largest value {brightest} of 255); expected 255 on the head and 0 on the "
            "background; mend the file or take the frame out"
        )
    return mask


def _open_picture(path: PathArg, size: tuple[int, int] | None) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    with explained(path):
        try:
            with Image.open(path) as opened:
                opened.load()
                picture = ImageOps.exif_transpose(opened)
        except UnidentifiedImageError as error:
            raise FileFormatError(f"{path}: not a picture that can be read; expected PNG or JPEG") from error
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise FileFormatError(f"{path}: the picture is damaged or cut short ({error}); write it again") from error
    if size is not None and picture.size != size:
        raise FileFormatError(
            f"{path}: the picture is {picture.width}x{picture.height}; expected {size[0]}x{size[1]} (width x height)"
        )
    return picture
