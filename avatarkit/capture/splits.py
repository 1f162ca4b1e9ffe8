"""What a capture without splits of its own holds out: every tenth frame (``val``) and the last 15 % (``test``)."""

from __future__ import annotations

import math

from avatarkit.capture.capture import Split

VAL_EVERY = 10
TEST_SHARE = 0.15


def held_out(count: int) -> list[Split]:
    """The split of each of ``count`` timesteps in time order.  The first frame always trains; a single one is all there is."""
    first_test = count if count < 4 else math.ceil((1.0 - TEST_SHARE) * count)
    return ["test" if i >= first_test else "val" if i % VAL_EVERY == VAL_EVERY - 1 else "train" for i in range(count)]
