"""Options of the plugin's parts; no torch here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PointOptions:
    """brightness: multiplies every feature.  layers: how many to blend."""

    brightness: float = 1.0
    layers: int = 1
