"""What a fit to landmarks ends with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from avatarkit.head.parameters import HeadParams
from avatarkit.track.observations import part_of
from avatarkit.types import FloatArray, IntArray


@dataclass(frozen=True)
class LandmarkFit:
    """What the fit found.

    params T timesteps; viewmats (C, 4, 4), Ks (C, 3, 3) float32; indices (L,) MediaPipe numbers of the fitted landmarks;
    fitted (T, C, L, 2) pixels; errors (T, C, L) pixels, NaN where nothing was seen; offsets (L, 3) metres: where on the head
    the detector's landmarks lie, beside the embedding's; iterations, seconds.
    """

    params: HeadParams
    viewmats: Tensor
    Ks: Tensor
    indices: IntArray
    fitted: FloatArray
    errors: FloatArray
    offsets: FloatArray
    iterations: int
    seconds: float

    def summary(self) -> dict[str, float]:
        """Median and 95th percentile of the reprojection error, pixels, over all and by part of the face."""
        seen = self.errors[np.isfinite(self.errors)]
        values = {"median_px": float(np.median(seen)), "p95_px": float(np.percentile(seen, 95))}
        parts = np.array(part_of(self.indices))
        for part in sorted(set(parts)):
            some = self.errors[..., parts == part]
            values[f"{part}_median_px"] = float(np.nanmedian(some))
        values["focal_px"] = float(self.Ks[0, 0, 0])
        return values
