"""A refiner.  It begins with a plan without operations: put your language model in its place."""

from __future__ import annotations

from avatarkit.edit.plan import EditPlan, EditRequest
from avatarkit.events import Run


class Mine:
    """``avatarkit.contracts.Refiner``.

    ``avatarkit.edit.refining`` has what a networked one needs: words to ask with, a cache, a repair turn, a deadline.
    """

    def refine(self, request: EditRequest, run: Run) -> EditPlan:
        """Turn a prompt into the plan of an edit: a list of operations, and sentences about what was not understood."""
        return EditPlan(request.prompt, ambiguities=("this refiner plans nothing yet",))
