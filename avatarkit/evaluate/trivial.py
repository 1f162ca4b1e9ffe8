"""Trivial predictors: what one scores without reconstructing anything.  An avatar that does not beat them learnt nothing.

mean_frame: the mean of the camera's training frames.  nearest_in_time: the training frame nearest in time.
best_training_frame: the one still picture that scores best over the whole split, chosen with the truth in hand, separately for
the whole frame and for each region.  oracle_training_frame: the best training frame chosen anew for every frame.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from avatarkit.evaluate.regions import REGIONS, Mask
from avatarkit.losses.metrics import PSNR_CAP
from avatarkit.render.compiled import kernel, run_parts, thread_count
from avatarkit.track.sequence import Sequence
from avatarkit.types import ByteArray, Float32Array, FloatArray

MAX_CANDIDATES = 400
PREDICTORS = ("mean_frame", "nearest_in_time", "best_training_frame", "oracle_training_frame")


def psnr_of(error: float) -> float:
    """Mean squared error → decibels, capped where nothing differs."""
    return PSNR_CAP if error <= 10 ** (-PSNR_CAP / 10) else float(-10 * np.log10(error))


class TrivialPredictors:
    """Scores of the trivial predictors over the frames of a split, gathered frame by frame with ``add``.

    A frame whose camera has no training frames is compared with those of all cameras of its size.
    """

    def __init__(self, sequence: Sequence, background: Float32Array) -> None:
        capture = sequence.capture
        train = capture.indices("train")
        step = max(1, len(train) // 2000)
        by_camera: dict[int, list[int]] = defaultdict(list)
        for index in train[::step]:
            by_camera[capture.frames[index].camera].append(index)
        self.sequence, self.background = sequence, background
        self._by_camera = dict(by_camera)
        self._stacks: dict[int, tuple[list[int], ByteArray, Float32Array]] = {}
        self._rows: list[dict[str, dict[str, float]]] = []
        self._stills: dict[str, dict[int, dict[int, float]]] = {}

    def add(self, index: int, truth: Float32Array, masks: dict[str, Mask]) -> None:
        """Score every predictor on frame ``index`` whose truth is (H, W, 3)."""
        camera = self.sequence.capture.frames[index].camera
        chosen, stack, mean = self._training(camera)
        if not chosen:
            return
        time = self.sequence.capture.frames[index].timestep
        nearest = int(np.argmin([abs(self.sequence.capture.frames[i].timestep - time) for i in chosen]))
        named = {"frame": np.ones(truth.shape[:2], bool), **masks}
        named = {name: mask for name, mask in named.items() if mask.any()}
        weights = np.stack([mask / (3.0 * mask.sum()) for mask in named.values()]).astype(np.float32)
        exact = np.ascontiguousarray(truth, np.float32)
        errors = still_errors(stack, exact, weights)
        mean_errors = ((mean - exact) ** 2).sum(-1)
        row: dict[str, dict[str, float]] = {}
        for column, name in enumerate(named):
            per_still = errors[:, column]
            row[name] = {
                "mean_frame": psnr_of(float((mean_errors * weights[column]).sum())),
                "nearest_in_time": psnr_of(float(per_still[nearest])),
                "oracle_training_frame": psnr_of(float(per_still.min())),
            }
            stills = self._stills.setdefault(name, {}).setdefault(camera, {})
            for still, error in zip(chosen, per_still, strict=True):
                stills[still] = stills.get(still, 0.0) + psnr_of(float(error))
        self._rows.append(row)

    def scores(self) -> dict[str, dict[str, object]]:
        """predictor → {"psnr", "regions": {region: {"psnr"}}}, means over the frames added."""
        return {
            name: {
                "psnr": self._mean(name, "frame"),
                "regions": {region: {"psnr": self._mean(name, region)} for region in REGIONS},
            }
            for name in PREDICTORS
        }

    def _mean(self, predictor: str, region: str) -> float | None:
        if predictor != "best_training_frame":
            values = [row[region][predictor] for row in self._rows if region in row and predictor in row[region]]
            return float(np.mean(values)) if values else None
        totals = self._stills.get(region, {})
        count = sum(1 for row in self._rows if region in row)
        return sum(max(stills.values()) for stills in totals.values()) / count if totals and count else None

    def _training(self, camera: int) -> tuple[list[int], ByteArray, Float32Array]:
        """Indices, uint8 pictures (n, H, W, 3) and their float mean for one camera, decoded once."""
        if camera not in self._stacks:
            capture = self.sequence.capture
            size = (capture.cameras[camera].width, capture.cameras[camera].height)
            same = [
                i
                for c, rows in self._by_camera.items()
                if (capture.cameras[c].width, capture.cameras[c].height) == size
                for i in rows
            ]
            rows = self._by_camera.get(camera) or same
            rows = rows[:: max(1, -(-len(rows) // MAX_CANDIDATES))]
            stack = [np.rint(capture.composited(i, self.background) * 255.0).astype(np.uint8) for i in rows]
            pictures = np.stack(stack) if stack else np.zeros((0, 1, 1, 3), np.uint8)
            mean = (pictures.mean(0) / 255.0 if rows else pictures).astype(np.float32)
            self._stacks = {camera: (rows, pictures, mean)}  # one camera at a time: pictures are large
        return self._stacks[camera]


def still_errors(stack: ByteArray, truth: Float32Array, weights: Float32Array) -> FloatArray:
    """Weighted squared errors (n, R) of pictures (n, H, W, 3) against a truth (H, W, 3); weights (R, H, W)."""
    count, height, width = stack.shape[:3]
    out = np.zeros((count, len(weights)))
    if out.size:
        rows = np.repeat(weights, 3, 2)  # by channel, as the pictures lie in memory
        flat = stack.reshape(count, height, 3 * width)
        run_parts(thread_count(), _still_errors, flat, truth.reshape(height, 3 * width), rows, rows.any(2), out)
    return out


@kernel
def _still_errors(part, parts, stack, truth, weights, weighs, out):  # type: ignore[no-untyped-def]
    count, height, width = stack.shape
    error = np.empty(width, np.float32)
    sums = np.empty((len(weights), width), np.float32)  # down each column, so that the inner loops have no sum
    for i in range(count * part // parts, count * (part + 1) // parts):
        sums[:] = np.float32(0.0)
        for row in range(height):
            for k in range(width):
                difference = np.float32(stack[i, row, k]) * np.float32(1.0 / 255.0) - truth[row, k]
                error[k] = difference * difference
            for r in range(len(weights)):
                if weighs[r, row]:
                    for k in range(width):
                        sums[r, k] += weights[r, row, k] * error[k]
        for r in range(len(weights)):
            total = 0.0
            for k in range(width):
                total += np.float64(sums[r, k])
            out[i, r] = total
