"""What a probe says of an edit."""

from __future__ import annotations

from dataclasses import dataclass, field

HOLD = 0.9  # share of the pictures in which a predicate has to hold


@dataclass(frozen=True)
class Score:
    """success; values: what was measured; why: the first thing that failed, in words."""

    success: bool
    values: dict[str, float] = field(default_factory=dict)
    why: str = ""
