"""Pieces in space are counted, whatever they are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarkit.bench.edit.solid import pieces


def _ring(centre: float, radius: float, count: int) -> np.ndarray:
    turn = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    return np.stack([centre + radius * np.cos(turn), radius * np.sin(turn), np.zeros(count)], 1)


@pytest.mark.parametrize("rings", [1, 2, 3])
def test_rings_that_do_not_touch_are_as_many_as_they_are(rings: int) -> None:
    points = np.concatenate([_ring(0.03 * k, 0.008, 60) for k in range(rings)])
    scales = np.full((len(points), 3), 0.0004)
    assert pieces(torch.from_numpy(points), torch.from_numpy(scales)) == rings


def test_what_touches_is_one_and_a_speck_is_none() -> None:
    points = np.concatenate([_ring(0.0, 0.008, 60), _ring(0.016, 0.008, 60), [[0.1, 0.0, 0.0]]])
    assert pieces(torch.from_numpy(points), torch.full((len(points), 3), 0.0004)) == 1
