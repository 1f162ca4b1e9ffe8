"""Table 1: systems in rows; novel view and self-reenactment, whole frame and masked, in columns.

Every mean is over frames.  Beside it the same figures by camera and by timestep, and the worst frames as pictures.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avatarkit.capture.capture import Capture
from avatarkit.evaluate.averages import METRICS, by_camera_and_timestep, mean, means
from avatarkit.evaluate.evaluation import Predict, Scored, score_frames
from avatarkit.evaluate.regions import Mask
from avatarkit.losses.metrics import lpips_or_none
from avatarkit.pictures.sheet import contact_sheet, error_picture, to_bytes, write_picture
from avatarkit.types import ByteArray, Float32Array


class WorstFrames:
    """The ``count`` frames with the least PSNR, as they are scored: the truth, what was predicted, and where it differs."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._heap: list[tuple[float, int, str, list[ByteArray]]] = []

    def add(self, scored: Scored) -> None:
        psnr = float(scored.row["psnr"])
        if self.count < 1 or (len(self._heap) == self.count and -self._heap[0][0] <= psnr):
            return
        name = f"{Path(scored.row['source']).stem}  {psnr:.2f} dB"
        pictures = [
            to_bytes(scored.truth),
            to_bytes(scored.predicted),
            error_picture(scored.truth, scored.predicted),
        ]
        put = heapq.heapreplace if len(self._heap) == self.count else heapq.heappush
        put(self._heap, (-psnr, -scored.index, name, pictures))

    def write(self, path: Path) -> bool:
        """One sheet, the worst first; False where there is nothing to show."""
        if not self._heap:
            return False
        rows = sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))
        sheet = contact_sheet([row[3] for row in rows], ("truth", "predicted", "error"), [row[2] for row in rows])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, sheet)
        return True


def score_split(
    predict: Predict,
    capture: Capture,
    split: str,
    background: Float32Array,
    regions: Callable[[int], dict[str, Mask]],
    *,
    lpips_net: str = "alex",
    keep: Callable[[Scored], None] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The figures of one system on one split: {"frames", "psnr", "ssim", "lpips", "masked", "regions", "cameras", "timesteps", "rows"}."""
    frames = sorted(capture.indices(split), key=lambda i: (capture.frames[i].camera, capture.frames[i].timestep))  # type: ignore[arg-type]
    perceptual = lpips_or_none(lpips_net)
    rows = []
    for scored in score_frames(predict, capture, frames, background, regions, perceptual=perceptual, masked=True):
        rows.append(scored.row)
        if keep is not None:
            keep(scored)
        if on_frame is not None:
            on_frame(len(rows), len(frames))
    return {
        **means(rows),
        "lpips_net": lpips_net if perceptual is not None else None,
        **by_camera_and_timestep(rows, capture.timestep_names),
        "rows": rows,
    }


def pooled(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Several captures of one system together: the mean over captures of their means, as tables over subjects have it."""
    if not results:
        return {"captures": 0, "frames": 0, **dict.fromkeys(METRICS), "masked": None}
    masked = [each["masked"] for each in results if each["masked"]]
    return {
        "captures": len(results),
        "frames": sum(each["frames"] for each in results),
        **{name: mean([each[name] for each in results]) for name in METRICS},
        "masked": {name: mean([each[name] for each in masked]) for name in METRICS} if masked else None,
    }
