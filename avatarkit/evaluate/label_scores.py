"""How well labels stand where they should: intersection over union, class by class."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from avatarkit.labels import LABELS, NUM_LABELS

ClassMap = NDArray[np.integer]


def mean_iou(pairs: Iterable[tuple[ClassMap, ClassMap]]) -> dict[str, object]:
    """(found, truth) class maps (H, W), all frames together → {"miou", "classes": {label: IoU}}.

    The mean is over the classes that the truth has, background among them; a class that is only found counts in what it takes
    from others.
    """
    counts = np.zeros((NUM_LABELS, NUM_LABELS), np.int64)
    for found, truth in pairs:
        np.add.at(counts, (truth.ravel(), found.ravel()), 1)
    both, union = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
    classes = {LABELS[k]: float(both[k] / union[k]) for k in range(NUM_LABELS) if counts[k].sum() > 0}
    return {"miou": float(np.mean(list(classes.values()))) if classes else 0.0, "classes": classes}
