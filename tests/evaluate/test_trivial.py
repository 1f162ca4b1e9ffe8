"""Trivial predictors on a capture whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarkit.capture.capture import Capture, CaptureCamera, Frame
from avatarkit.evaluate.trivial import TrivialPredictors
from avatarkit.head.parameters import HeadParams
from avatarkit.track.sequence import Sequence


def grey_sequence(train: list[int], test: list[int]) -> Sequence:
    """One camera; every picture is one grey value."""
    values = train + test
    frames = tuple(Frame(t, 0, "train" if t < len(train) else "test", f"frame {t}") for t in range(len(values)))
    capture = Capture(
        "grey", (CaptureCamera("0", 6, 4),), frames, tuple(map(str, range(len(values)))),
        image=lambda i: np.full((4, 6, 3), values[i], np.uint8),
    )  # fmt: skip
    return Sequence(capture, HeadParams.zeros(len(values), 1, 1), torch.eye(4)[None], torch.eye(3)[None], {})


def decibels(a: float, b: float) -> float:
    return -10 * np.log10(((a - b) / 255) ** 2)


def test_each_predictor_scores_what_it_should() -> None:
    sequence = grey_sequence([100, 120, 200], [110, 190])
    trivial = TrivialPredictors(sequence, np.ones(3, np.float32))
    for index in (3, 4):
        truth = sequence.capture.composited(index, np.ones(3))
        trivial.add(
            index,
            truth,
            {"head": np.ones((4, 6), bool), "mouth": np.zeros((4, 6), bool), "eyes": np.ones((4, 6), bool)},
        )
    scores = trivial.scores()
    assert scores["mean_frame"]["psnr"] == pytest.approx((decibels(140, 110) + decibels(140, 190)) / 2, abs=1e-3)
    assert scores["nearest_in_time"]["psnr"] == pytest.approx((decibels(200, 110) + decibels(200, 190)) / 2, abs=1e-3)
    stills = [(decibels(v, 110) + decibels(v, 190)) / 2 for v in (100, 120, 200)]
    assert scores["best_training_frame"]["psnr"] == pytest.approx(max(stills), abs=1e-3)
    assert scores["oracle_training_frame"]["psnr"] == pytest.approx(
        (decibels(100, 110) + decibels(200, 190)) / 2, abs=1e-3
    )
    assert scores["mean_frame"]["regions"]["head"]["psnr"] == pytest.approx(scores["mean_frame"]["psnr"])
    assert scores["mean_frame"]["regions"]["mouth"]["psnr"] is None
