"""Score an avatar on frames of a sequence.

Head parameters come from the avatar's own motion where the sequence is the one that it was made from, else from the
sequence; region masks always from the sequence's, so that they do not depend on what is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from avatarkit.capture.capture import Capture
from avatarkit.contracts import HeadModel, Rasterizer
from avatarkit.evaluate.averages import METRICS, means
from avatarkit.evaluate.regions import Mask, RegionFinder
from avatarkit.evaluate.trivial import TrivialPredictors, psnr_of
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.camera_gains import tinted
from avatarkit.gaussians.draw import picture
from avatarkit.head.parameters import HeadParams
from avatarkit.losses.metrics import lpips_or_none, ssim
from avatarkit.track.sequence import Sequence
from avatarkit.types import ByteArray, Float32Array, FloatArray

Predict = Callable[[int], Float32Array]


@dataclass(frozen=True)
class Scored:
    """One frame: prediction and truth (H, W, 3) in [0, 1], its regions (H, W) bool, and its row of figures."""

    index: int
    predicted: Float32Array
    truth: Float32Array
    masks: dict[str, Mask]
    row: dict[str, Any]


def avatar_predictor(
    avatar: Avatar, sequence: Sequence, params: HeadParams, head: HeadModel, rasterizer: Rasterizer,
    gains: Mapping[str, FloatArray] | None = None,
) -> Predict:  # fmt: skip
    """frame index → the avatar's picture (H, W, 3), driven by ``params`` (T timesteps of ``sequence``).

    gains: name → (3,) of cameras whose colours are not the avatar's own (``gaussians.camera_gains``).
    """
    gains = gains or {}

    def predict(index: int) -> Float32Array:
        frame = sequence.capture.frames[index]
        with torch.no_grad():
            pose = avatar.posed(head, params[frame.timestep])
        gain = gains.get(sequence.capture.cameras[frame.camera].name)
        seen = avatar if gain is None else replace(avatar, gaussians=tinted(avatar.gaussians, gain))
        drawn = picture(seen, pose, head.faces, sequence.cameras([index]), rasterizer)
        return drawn.permute(1, 2, 0).numpy()

    return predict


def regions_of(sequence: Sequence, head: HeadModel) -> Callable[[int], dict[str, Mask]]:
    """frame index → its region masks."""
    finder = RegionFinder(head)
    return lambda index: region_masks(finder, sequence, head, index)


def score_frames(
    predict: Predict,
    capture: Capture,
    frames: list[int],
    background: Float32Array,
    regions: Callable[[int], dict[str, Mask]],
    *,
    perceptual: Any = None,
    masked: bool = False,
) -> Iterator[Scored]:
    """PSNR, SSIM and LPIPS of every frame, whole and by region (PSNR); ``masked``: also inside the capture's own mask."""
    for index in frames:
        frame = capture.frames[index]
        truth = capture.composited(index, background).astype(np.float32)
        predicted = predict(index)
        masks = regions(index)
        error = ((predicted - truth) ** 2).mean(-1)
        pair = [torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None] for x in (predicted, truth)]
        row: dict[str, Any] = {
            "frame": index,
            "source": frame.source,
            "timestep": frame.timestep,
            "camera": capture.cameras[frame.camera].name,
            "psnr": psnr_of(float(error.mean())),
            "ssim": float(ssim(pair[0], pair[1]).mean()),
            "lpips": None if perceptual is None else float(perceptual(pair[0], pair[1]).mean()),
            "regions": {
                name: {"psnr": psnr_of(float(error[mask].mean()))} if mask.any() else None
                for name, mask in masks.items()
            },
        }
        if masked:
            row["masked"] = _inside(capture.mask(index), pair, error, background, perceptual)
        yield Scored(index, predicted, truth, masks, row)


def _inside(
    mask: ByteArray | None, pair: list[torch.Tensor], error: FloatArray, background: Float32Array, perceptual: Any
) -> dict[str, float | None] | None:
    """Figures inside ``mask`` (H, W), which counts from 128 on: PSNR and SSIM over its pixels; LPIPS of pictures that show the
    background outside.  None where the frame has no mask."""
    if mask is None:
        return None
    inside = np.asarray(mask) >= 128
    if not inside.any():
        return None
    weight = torch.from_numpy(inside)[None, None]
    plain = torch.from_numpy(np.asarray(background, np.float32))[None, :, None, None]
    cut = [torch.where(weight, picture, plain) for picture in pair]
    return {
        "psnr": psnr_of(float(error[inside].mean())),
        "ssim": float(ssim(pair[0], pair[1], weight)),
        "lpips": None if perceptual is None else float(perceptual(cut[0], cut[1]).mean()),
    }


def region_masks(finder: RegionFinder, sequence: Sequence, head: HeadModel, index: int) -> dict[str, Mask]:
    """The regions of frame ``index`` by the sequence's own head parameters."""
    frame = sequence.capture.frames[index]
    camera = sequence.capture.cameras[frame.camera]
    with torch.no_grad():
        vertices = head.pose(sequence.params[frame.timestep]).vertices[0].numpy()
    view, K = sequence.viewmats[frame.camera].numpy(), sequence.Ks[frame.camera].numpy()
    return finder.masks(vertices, view, K, camera.width, camera.height)


def evaluate_split(
    predict: Predict,
    sequence: Sequence,
    head: HeadModel,
    split: str,
    background: Float32Array,
    *,
    lpips_net: str = "alex",
    masked: bool = False,
    keep: Callable[[Scored], None] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The figures of ``avatarkit eval`` for one split; ``keep`` sees every frame's pictures; masked: each row has figures inside the matte.

    Frames go camera by camera, since the trivial predictors hold one camera's training frames at a time.
    """
    capture = sequence.capture
    frames = sorted(capture.indices(split), key=lambda i: (capture.frames[i].camera, capture.frames[i].timestep))  # type: ignore[arg-type]
    perceptual = lpips_or_none(lpips_net)
    trivial = TrivialPredictors(sequence, background)
    rows = []
    for scored in score_frames(
        predict, capture, frames, background, regions_of(sequence, head), perceptual=perceptual, masked=masked
    ):
        trivial.add(scored.index, scored.truth, scored.masks)
        rows.append(scored.row)
        if keep is not None:
            keep(scored)
        if on_frame is not None:
            on_frame(len(rows), len(frames))
    averages = means(rows)
    return {
        "split": split,
        **{name: averages[name] for name in ("frames", *METRICS)},
        "lpips_net": lpips_net if perceptual is not None else None,
        "regions": averages["regions"],
        **({"masked": averages["masked"]} if masked else {}),
        "trivial": trivial.scores() if rows else {},
        "rows": rows,
    }
