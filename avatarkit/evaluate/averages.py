"""Means of figures over frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatarkit.evaluate.regions import REGIONS

METRICS = ("psnr", "ssim", "lpips")


def means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over frames; None where nothing was measured."""
    masked = [row["masked"] for row in rows if row.get("masked")]
    return {
        "frames": len(rows),
        **{name: mean([row[name] for row in rows]) for name in METRICS},
        "masked": {name: mean([each[name] for each in masked]) for name in METRICS} if masked else None,
        "regions": {
            name: {"psnr": mean([row["regions"][name]["psnr"] for row in rows if row["regions"].get(name)])}
            for name in REGIONS
        },
    }


def mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
