"""A metric of edits.  It begins by measuring how much changed: put your model in its place, and name it there."""

from __future__ import annotations

from avatarkit.contracts import EditedViews, Measured
from avatarkit.events import Run


class Mine:
    """``avatarkit.contracts.EditMetric``."""

    def score(self, edit: EditedViews, run: Run) -> tuple[Measured, ...]:
        """One figure of the edit: the mean change of each view, 0 to 1."""
        change = (edit.after - edit.before).abs().mean((1, 2, 3))
        return (Measured("mine", tuple(change.tolist())),)
