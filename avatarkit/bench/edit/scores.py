"""What a probe says of an edit."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Score:
    """success; values: what was measured; why: the first thing that failed, in words."""

    success: bool
    values: dict[str, float] = field(default_factory=dict)
    why: str = ""
