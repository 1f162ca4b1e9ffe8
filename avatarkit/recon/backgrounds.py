"""Which steps have another colour behind the head, and which.

Over one background only, whatever is painted in its colour is invisible, wherever it is.  Over others it costs, so that opacity
becomes what the matte says.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatarkit.recon.config import ReconConfig

PERIOD = 4099  # steps; a prime, so that no rhythm of views or of other losses falls together with it


class Backgrounds:
    """Drawn once from the seed and kept on the device, so that a step asks nothing of it and a resumed run goes on the same."""

    def __init__(self, config: ReconConfig, device: str = "cpu") -> None:
        random = np.random.default_rng([config.seed, 6])
        self._other: list[bool] = (random.random(PERIOD) < config.random_background).tolist()
        self._colours = torch.from_numpy(random.random((PERIOD, 3)).astype(np.float32)).to(device)

    def at(self, step: int) -> Tensor | None:
        """(3,) in [0, 1]; None where the step has the usual one."""
        position = step % PERIOD
        return self._colours[position] if self._other[position] else None
