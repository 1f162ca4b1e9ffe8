"""Checks of a refiner.  One that uses the network is looked at and not called: it sends the prompt away and costs money."""

from __future__ import annotations

from typing import Any

from avatarkit.contracts import FinalisingRefiner, Refiner
from avatarkit.edit.plan import EditPlan, EditRequest, FinalRequest, Keyframe, KeyframeText, Operation, plan_json
from avatarkit.edit.validation import PlanError, read_final, read_plan
from avatarkit.events import Run
from avatarkit.testing.conformance import Check, Skipped, require
from avatarkit.testing.signatures import takes_the_contracts_arguments

PROMPTS = ("make the hair blue", "remove the glasses", "xyzzy")


def its_method_fits(part: Any) -> str:
    seen = takes_the_contracts_arguments(part, Refiner, "refine")
    if hasattr(part, "finalise"):
        seen += f", {takes_the_contracts_arguments(part, FinalisingRefiner, 'finalise')}"
    return seen


def its_plans_are_valid(part: Any) -> str:
    """Plans that the validator takes; one without operations says why."""
    found = []
    for prompt in PROMPTS:
        request = EditRequest(prompt, frozenset({"skin", "hair", "glasses"}))
        plan = part.refine(request, Run())
        require(isinstance(plan, EditPlan), f"refine returned {type(plan).__name__}, not avatarkit.edit.plan.EditPlan")
        try:
            read_plan(plan_json(plan), request)
        except PlanError as error:
            require(False, f"the plan of '{prompt}' is not valid: {error}")
        require(plan.operations or plan.ambiguities, f"'{prompt}' became nothing, and the plan does not say why")
        found.append(f"{len(plan.operations)}")
    return f"operations of {len(PROMPTS)} prompts: {', '.join(found)}"


def its_final_texts_are_one_for_each_keyframe(part: Any) -> str:
    if not hasattr(part, "finalise"):
        raise Skipped("it takes no second turn")
    keyframes = tuple(Keyframe(f"k{i}", 0.5 * i, 0.0, (0.2, 0.1, 0.6, 0.4)) for i in range(2))
    plan = EditPlan("a red hat", (Operation("add", "hat", prompt="add a red hat"),))
    texts = part.finalise(FinalRequest(plan, 0, keyframes), Run())
    require(all(isinstance(text, KeyframeText) for text in texts), "finalise must return KeyframeText records")
    rows = [dict(vars(text)) for text in texts]
    try:
        read_final({"keyframes": rows}, [keyframe.name for keyframe in keyframes])
    except PlanError as error:
        require(False, f"its texts are not valid: {error}")
    return texts[0].instruction


CHECKS: tuple[Check, ...] = (its_method_fits, its_plans_are_valid, its_final_texts_are_one_for_each_keyframe)
