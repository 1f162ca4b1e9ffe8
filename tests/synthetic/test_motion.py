"""Motion: deterministic, bounded, smooth enough, and the held-out end is like the rest."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.errors import InputError
from avatarkit.synthetic.motion import natural_motion, posed
from avatarkit.synthetic.subject import bust


def stack(name: str, steps: int, seed: int = 0) -> np.ndarray:
    return np.stack([getattr(p, name) for p in natural_motion(steps, seed=seed)])


def test_same_seed_same_motion_and_another_seed_another() -> None:
    np.testing.assert_array_equal(stack("expr", 20), stack("expr", 20))
    assert np.abs(stack("expr", 20) - stack("expr", 20, seed=1)).max() > 0.1


def test_ranges() -> None:
    expr = stack("expr", 240)
    assert expr.shape == (240, bust().num_expr) and expr.min() >= 0 and expr.max() <= 1
    assert np.abs(stack("neck_pose", 240)).max() < 0.3 and np.abs(stack("eyes_pose", 240)).max() <= 0.30001
    assert 0.02 < stack("jaw_pose", 240)[:, 0].max() < 0.2


def test_eyes_are_mostly_open_and_sometimes_shut() -> None:
    blink = stack("expr", 40)[:, bust().expr_names.index("eyeBlinkLeft")]
    assert 3 <= (blink > 0.7).sum() <= 12 and np.median(blink) < 0.25


def test_it_is_continuous_in_time() -> None:
    fine = stack("neck_pose", 600)
    assert np.abs(np.diff(fine, axis=0)).max() < 0.02


def test_the_held_out_end_is_like_the_rest_but_not_in_it() -> None:
    expr = stack("expr", 40)
    train, test = expr[:28], expr[28:]
    nearest = np.linalg.norm(test[:, None] - train[None], axis=-1).min(1)
    assert nearest.min() > 0.01
    assert (test.max(0) <= train.max(0) + 0.45).all()  # nothing far beyond what training saw


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        natural_motion(0)
    with pytest.raises(InputError, match="mouthGrin"):
        posed(mouthGrin=1.0)
