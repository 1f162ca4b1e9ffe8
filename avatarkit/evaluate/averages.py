"""Means of figures over frames."""

from __future__ import annotations

from collections import defaultdict
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


def grouped(rows: list[dict[str, Any]], key: str) -> dict[Any, dict[str, Any]]:
    """``means`` of the rows that have one value of ``key``, by that value."""
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return {value: means(group) for value, group in sorted(groups.items())}


def by_camera_and_timestep(rows: list[dict[str, Any]], timestep_names: tuple[str, ...]) -> dict[str, Any]:
    """{"cameras", "timesteps"}: ``means`` by name."""
    steps = {timestep_names[step]: each for step, each in grouped(rows, "timestep").items()}
    return {"cameras": grouped(rows, "camera"), "timesteps": steps}


def mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
