"""What a style is told besides the picture."""

from __future__ import annotations

from dataclasses import dataclass

LIT = 0.72  # lightness of well-lit fair skin in OKLab


@dataclass(frozen=True)
class Brief:
    """colour: "#rrggbb" that was asked for, or ""; seed: of what is random; gain: what lightness is multiplied by so that a face
    in the dark is drawn as one in the light, where faces show."""

    colour: str = ""
    seed: int = 0
    gain: float = 1.0


def gain_for(skin_lightness: float) -> float:
    """The gain for a face whose skin has this lightness."""
    return float(min(1.3, max(0.95, (LIT / max(skin_lightness, 0.05)) ** 0.8)))
