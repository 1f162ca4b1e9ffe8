"""Regions lie where the features are, from every side."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.evaluate.regions import RegionFinder
from avatarkit.head.loading import load_head
from avatarkit.synthetic.capture import camera_at


@pytest.fixture(scope="module")
def finder() -> tuple[RegionFinder, np.ndarray]:
    head = load_head("bust")
    return RegionFinder(head), head.template.numpy()


@pytest.mark.parametrize("azimuth", [-0.4, 0.0, 0.4])
def test_mouth_below_eyes_within_the_head(finder: tuple[RegionFinder, np.ndarray], azimuth: float) -> None:
    camera = camera_at(azimuth, 0.0, 128, 128)
    masks = finder[0].masks(finder[1], camera.viewmat, camera.K, 128, 128)
    rows = {name: np.flatnonzero(mask.any(1)) for name, mask in masks.items()}
    assert rows["eyes"].max() < rows["mouth"].min()
    for name in ("mouth", "eyes"):
        assert (masks[name] & masks["head"]).sum() / masks[name].sum() > 0.8
        assert masks[name].sum() < 0.35 * masks["head"].sum()
    shoulders = masks["head"][118:]
    assert shoulders.mean() < 0.5, "neck and shoulders are not the head"


def test_eyes_are_two_boxes_from_the_front(finder: tuple[RegionFinder, np.ndarray]) -> None:
    camera = camera_at(0.0, 0.0, 128, 128)
    columns = finder[0].masks(finder[1], camera.viewmat, camera.K, 128, 128)["eyes"].any(0).astype(int)
    assert (np.diff(columns) == 1).sum() == 2, "left and right, with the nose between"


def test_from_behind_there_is_no_mouth(finder: tuple[RegionFinder, np.ndarray]) -> None:
    camera = camera_at(np.pi, 0.0, 128, 128)
    masks = finder[0].masks(finder[1], camera.viewmat, camera.K, 128, 128)
    assert not masks["mouth"].any() and not masks["eyes"].any() and masks["head"].any()
