"""A refiner.  It begins with a plan without operations: put your language model in its place."""

from __future__ import annotations

from typing import Any

from avatarkit.events import Run


class Mine:
    """``avatarkit.contracts.Refiner``.  What a model writes is data: the core validates it before anything is done."""

    def refine(self, request: Any, run: Run) -> Any:
        """Turn a prompt into the plan of an edit: a list of operations."""
        run.notice("this refiner plans nothing yet")
        return {"operations": []}
