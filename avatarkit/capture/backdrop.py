"""Images that stand before one flat colour already: a renderer's white, a keyed studio.

Such an image is I = α·F + (1 − α)·c.  Laid over another colour as α·I + (1 − α)·b its soft edges would be thinned a second time,
to α²; with c known it is I + (1 − α)·(b − c), exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from avatarkit.capture.capture import Capture
from avatarkit.types import ByteArray, FloatArray

SAMPLE = 8  # frames that are looked at
EVEN = 2.0  # levels of 255 by which a flat colour may stray: rounding, mild compression
SHARE = 0.995  # of the pixels that must agree


def with_backdrop(capture: Capture) -> Capture:
    """``capture`` with its ``backdrop`` found; as it is where frames have no masks."""
    if not capture.masked:
        return capture
    return replace(capture, backdrop=flat_backdrop(capture.image, capture.mask, len(capture)))


def flat_backdrop(
    image: Callable[[int], ByteArray], mask: Callable[[int], ByteArray | None], count: int
) -> FloatArray | None:
    """The colour (3,) in [0, 1] behind the head in all of ``count`` frames, or None where it is not one flat colour.

    Where the mask is 0 the image must be that colour; where it is soft, no farther from it than the mask allows, which
    tells composites from pictures whose colour is not mixed with anything at the edge (straight alpha).
    """
    outside, soft = [], []
    for index in np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).round().astype(int)).tolist():
        alpha = mask(index)
        if alpha is None:
            return None
        picture = image(index)
        outside.append(picture[alpha == 0].astype(np.float32))
        rim = (alpha > 0) & (alpha < 128)
        soft.append(np.concatenate([picture[rim].astype(np.float32), alpha[rim, None].astype(np.float32)], 1))
    away, edge = np.concatenate(outside), np.concatenate(soft)
    if not len(away):
        return None
    colour = np.median(away, 0)
    if float((np.abs(away - colour).max(1) <= EVEN).mean()) < SHARE:
        return None
    if len(edge) and float((np.abs(edge[:, :3] - colour).max(1) <= edge[:, 3] + 2 * EVEN).mean()) < SHARE:
        return None
    return np.asarray(colour / 255.0, np.float64)
