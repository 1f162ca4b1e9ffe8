"""Edits judged by learned models: pictures before and after, words, and a metric that a plugin brings (``contracts.EditMetric``)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from avatarkit.contracts import EditedViews, EditMetric, Measured
from avatarkit.edit.captions import with_texts
from avatarkit.edit.expectations import expected
from avatarkit.edit.plan import Operation
from avatarkit.errors import InputError, PluginError
from avatarkit.events import Run


def edited_views(
    before: Tensor, after: Tensor, operations: Sequence[Operation], *,
    azimuths: Sequence[float] | None = None, prompt: str = "", source_caption: str = "", target_caption: str = "",
) -> EditedViews:  # fmt: skip
    """What a metric is given of an edit.

    before, after (B, 3, H, W) in [0, 1], view by view from the same places; azimuths: of their cameras in the head's frame, radians
    (``Scene.direction``), all from the front where they are not given.  Captions that are not given are the operations' own.
    """
    if before.shape != after.shape or before.dim() != 4 or before.shape[1] != 3:
        raise InputError(
            f"pictures before and after an edit are {tuple(before.shape)} and {tuple(after.shape)}; expected (B, 3, H, W) of the same size"
        )
    turned = [0.0] * len(before) if azimuths is None else list(azimuths)
    if len(turned) != len(before):
        raise InputError(f"{len(turned)} azimuths for {len(before)} views; give one for each")
    said = [with_texts(operation) for operation in operations]
    changing = [one for one in said if one.source_caption != one.target_caption] or said
    return EditedViews(
        before, after,
        source_caption or ", ".join(dict.fromkeys(one.source_caption for one in changing)),
        target_caption or ", ".join(dict.fromkeys(one.target_caption for one in changing)),
        expected(operations, turned), prompt, tuple(said),
    )  # fmt: skip


def metric_rows(name: str, metric: EditMetric, edit: EditedViews, run: Run) -> list[dict[str, Any]]:
    """A row for each figure of one edit: {"figure", "value", "passed", "views"}; value: the mean of the views that could tell.

    name: of the provider, for messages.  Raises PluginError where the metric breaks its contract.
    """
    found = metric.score(edit, run)
    if not isinstance(found, tuple) or not all(isinstance(one, Measured) for one in found):
        raise PluginError(f"metric '{name}' returned {found!r:.80}, not a tuple of Measured records")
    rows = []
    for one in found:
        told = [value for value in one.views if value is not None]
        if len(one.views) != len(edit.before) or not told or not all(map(math.isfinite, told)):
            raise PluginError(
                f"metric '{name}': '{one.name}' has the values {one.views!r:.80}; expected {len(edit.before)}, finite or None, not all None"
            )
        rows.append(
            {"figure": one.name, "value": sum(told) / len(told), "passed": one.passed, "views": list(one.views)}
        )
    return rows


def summarised(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Over many edits, by figure: {"mean", "edits", "judged", "passed", "success"}.

    mean: of the values; judged: edits that have a threshold to pass; success: the share of those that passed, None where none is judged.
    """
    by_figure: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_figure.setdefault(row["figure"], []).append(row)
    return {name: _summary(some) for name, some in by_figure.items()}


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    judged = [row["passed"] for row in rows if row["passed"] is not None]
    return {
        "mean": sum(row["value"] for row in rows) / len(rows),
        "edits": len(rows),
        "judged": len(judged),
        "passed": sum(judged),
        "success": sum(judged) / len(judged) if judged else None,
    }
