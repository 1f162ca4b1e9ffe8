"""Intersection over union against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.evaluate.label_scores import mean_iou


def test_mean_iou_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    found = np.array([[0, 1, 1, 1], [0, 0, 1, 2]])
    score = mean_iou([(found, truth)])
    assert score["classes"] == pytest.approx(
        {"background": 3 / 4, "skin": 3 / 5}
    )  # what is only found is no class of its own
    assert score["miou"] == pytest.approx((3 / 4 + 3 / 5) / 2)


def test_frames_count_together() -> None:
    one, two = np.zeros((2, 2), int), np.ones((2, 2), int)
    assert mean_iou([(one, one), (one, two)])["classes"] == pytest.approx({"background": 0.5, "skin": 0.0})
    assert mean_iou([(two, two)])["miou"] == 1.0
