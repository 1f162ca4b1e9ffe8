"""What a bench found, as one JSON object and as a table for the eye."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from avatarkit.evaluate.edit_metrics import summarised

if TYPE_CHECKING:
    from rich.table import Table

Z = 1.959964  # 0.975 quantile of the normal distribution: intervals of 95 %
AVERAGED = ("attribute", "spatial")
"""Kinds whose mean is ``average``, as in the paper's Table 2."""
MANY: tuple[str, ...] = ("faults", "ablation")
"""Parts whose result is a list: empty where they were not run; null stands for all others."""


def wilson(successes: int, n: int, z: float = Z) -> tuple[float, float]:
    """The interval of a share, of which ``n`` ≥ 1 tries saw ``successes`` (Wilson, JASA 22, 1927)."""
    share = successes / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1.0 - share) / n + z * z / (4 * n * n))
    scale = 1.0 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def rate(rows: Iterable[Mapping[str, Any]]) -> dict[str, float] | None:
    """{"success", "n", "low", "high"} of rows of cases; None where there are none."""
    found = [bool(row["success"]) for row in rows]
    if not found:
        return None
    low, high = wilson(sum(found), len(found))
    return {"success": sum(found) / len(found), "n": len(found), "low": round(low, 4), "high": round(high, 4)}


def average(rates: Mapping[str, Any]) -> float | None:
    """The mean of the success rates of ``AVERAGED``; None unless all were measured."""
    found = [rates.get(kind) for kind in AVERAGED]
    return None if any(row is None for row in found) else sum(row["success"] for row in found if row) / len(found)


def summary(
    results: Mapping[str, Any], kinds: Iterable[str], parts: Iterable[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole result.  results: by kind the rows of its cases, by part what it returned; what was not run is null or empty.

    settings: seed and the like, put in front.
    """
    kinds = tuple(kinds)
    rates = {kind: rate(results.get(kind, ())) for kind in kinds}
    others = {name: results.get(name, [] if name in MANY else None) for name in parts if name not in kinds}
    rows = [row for kind in kinds for row in results.get(kind, ())]
    learned = summarised(told for row in rows for told in row.get("metrics", ()))
    return {
        **settings, **rates, "average": average(rates), **others, "time": over_time(rows), "metrics": learned or None, "prompts": rows
    }  # fmt: skip


def over_time(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How still what was added stays on the head, over all added things: medians and the worst of each figure."""
    found: dict[str, Any] = {}
    rows = list(rows)
    for name in ("drift", "flicker"):
        values = sorted(row["values"][name] for row in rows if name in row["values"])
        if values:
            found[name] = {"median": values[len(values) // 2], "worst": values[-1], "n": len(values)}
    return found or None


def table(result: Mapping[str, Any], kinds: Iterable[str], title: str) -> Table:
    """The success rates as the paper's Table 2 has them, with their intervals."""
    from rich import box
    from rich.table import Table

    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("", "success", "95 % interval", "prompts"):
        shown.add_column(name, justify="right" if name else "left")
    for kind in kinds:
        row = result.get(kind)
        if row is not None:
            span = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
            shown.add_row(kind, f"{100 * row['success']:.1f} %", span, str(row["n"]))
    if result.get("average") is not None:
        shown.add_row("average", f"{100 * result['average']:.1f} %", "", "")
    return shown


def learned_table(result: Mapping[str, Any]) -> Table | None:
    """What learned metrics say, by figure; None where none was asked."""
    from rich import box
    from rich.table import Table

    if not result.get("metrics"):
        return None
    shown = Table(title="learned metrics", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("", "mean", "passed", "edits"):
        shown.add_column(name, justify="right" if name else "left")
    for name, row in result["metrics"].items():
        passed = f"{row['passed']} of {row['judged']}" if row["judged"] else "-"
        shown.add_row(name, f"{row['mean']:.4f}", passed, str(row["edits"]))
    return shown


def failures(result: Mapping[str, Any]) -> Table | None:
    """The prompts that failed and why; None where all did what they should."""
    from rich import box
    from rich.table import Table

    rows = [row for row in (*result["prompts"], *(result.get("oracle") or {}).get("prompts", ())) if not row["success"]]
    if not rows:
        return None
    shown = Table(title="failed", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("case", "subject", "prompt", "why"):
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(row["name"], row["subject"], row["prompt"], row["why"])
    return shown
