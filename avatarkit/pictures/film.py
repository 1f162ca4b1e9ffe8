"""Write films: H.264 mp4 where the ffmpeg that PyAV brings has an encoder for it, else MPEG-4."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.paths import atomic_path
from avatarkit.types import ByteArray, PathArg

ENCODERS = ("libx264", "libopenh264", "mpeg4")


def write_film(path: PathArg, frames: Iterable[ByteArray], fps: float) -> int:
    """Encode (H, W, 3) uint8 RGB ``frames`` of one size at ``fps``; returns how many there were.

    Odd sizes lose their last row or column, which yuv420p cannot hold.  The file appears only when complete.
    Raises InputError when there is no frame, EnvironmentProblem without an encoder.
    """
    count = 0

    def encode(temporary: Path) -> None:
        nonlocal count
        rate = Fraction(fps).limit_denominator(1001)
        with av.open(str(temporary), "w", options={"movflags": "faststart"}) as container:
            stream = None
            for frame in frames:
                even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
                if stream is None:
                    stream = container.add_stream(_encoder(), rate=rate)
                    stream.height, stream.width, stream.pix_fmt = even.shape[0], even.shape[1], "yuv420p"
                    stream.options = {"crf": "17"} if stream.codec_context.name == "libx264" else {}
                    if not stream.options:
                        stream.bit_rate = int(even.shape[0] * even.shape[1] * float(rate) * 0.3)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
                count += 1
            if stream is None:
                raise InputError(f"{path}: no frames to write")
            container.mux(stream.encode(None))

    atomic_path(path, encode)
    return count


def _encoder() -> str:
    for name in ENCODERS:
        try:
            return str(av.codec.Codec(name, "w").name)
        except av.codec.codec.UnknownCodecError:
            continue
    raise EnvironmentProblem("PyAV here has no mp4 encoder (libx264, libopenh264, mpeg4); reinstall it: pip install av")
