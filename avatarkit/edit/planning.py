"""From a prompt to a plan that can be carried out: ask the refiner, check what it says, fall back only when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from avatarkit.edit.captions import keyframe_texts
from avatarkit.edit.plan import MAX_PROMPT, EditPlan, EditRequest, FinalRequest, KeyframeText, plan_json
from avatarkit.edit.validation import MAX_JSON, clean, parse_json, read_final, read_plan
from avatarkit.errors import AvatarkitError, FileFormatError, InputError, PluginError
from avatarkit.events import Run
from avatarkit.paths import explained
from avatarkit.registry import registry

RULES = "rules"
KNOWN = (
    "name a part (hair, eyes, lips, skin, nose …) or a thing (glasses, hat, earrings, beard …) and what it should be"
)


def make_plan(
    request: EditRequest,
    run: Run,
    *,
    refiner: str = RULES,
    options: Mapping[str, Any] | None = None,
    fallback: bool = False,
    look: Callable[[], tuple[bytes, ...]] | None = None,
) -> EditPlan:
    """The plan of ``request`` by the refiner of that name; with ``fallback`` by the rules where that one fails.

    look: makes the pictures for a refiner that uses the network, once it is sure that there is one to show them to.

    Raises InputError for an empty or too long prompt and for a plan without operations, with what was not understood.
    """
    request = replace(request, prompt=clean(request.prompt))
    if not request.prompt:
        raise InputError("the prompt is empty; say what to change, such as 'green hair' or 'add a hat'")
    if len(request.prompt) > MAX_PROMPT:
        raise InputError(f"the prompt has {len(request.prompt)} characters; at most {MAX_PROMPT}")
    try:
        part = registry().create("refiner", refiner, options)
        if look is not None and registry().get("refiner", refiner).network:
            request = replace(request, images=look())
        plan = _planned(part, refiner, request, run)
    except AvatarkitError as error:
        if not fallback or refiner == RULES:
            raise
        run.notice(f"{error}; planned by the rules instead (--llm-fallback)", "warning")
        plan = _planned(registry().create("refiner", RULES), RULES, request, run)
    if not plan.operations:
        said = "; ".join(plan.ambiguities) or "it names nothing to change"
        hint = "" if "did you mean" in said or "such as" in said else f"; {KNOWN}"
        raise InputError(f"nothing of the prompt became an edit: {said}{hint}")
    return plan


def _planned(part: Any, name: str, request: EditRequest, run: Run) -> EditPlan:
    """A refiner is a plugin: its plan is checked like a file's."""
    plan = part.refine(request, run)
    if not isinstance(plan, EditPlan):
        raise PluginError(f"refiner '{name}' returned {type(plan).__name__}, not an EditPlan")
    return read_plan(plan_json(plan), request, refiner=plan.refiner or name, where=f"the plan of refiner '{name}'")


def final_texts(part: Any, request: FinalRequest, run: Run) -> tuple[KeyframeText, ...]:
    """The second turn: by the refiner where it takes one, else by the core; one text for each keyframe, in their order."""
    if not 0 <= request.operation < len(request.plan.operations):
        raise InputError(f"operation {request.operation}: the plan has {len(request.plan.operations)}")
    finalise = getattr(part, "finalise", None)
    texts = keyframe_texts(request) if finalise is None else finalise(request, run)
    names = [keyframe.name for keyframe in request.keyframes]
    return read_final({"keyframes": [dict(vars(text)) for text in texts]}, names, "the final texts")


@dataclass
class SecondTurn:
    """The refiner of a name as the second turn needs it: made when it is first asked, for most edits never are.

    fallback: where it cannot be made or fails, the core writes the texts, says so, and does not ask it again.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fallback: bool = False
    _part: Any = None
    _failed: bool = False

    def finalise(self, request: FinalRequest, run: Run) -> tuple[KeyframeText, ...]:
        """One text for each keyframe, in their order.  Raises what the refiner raises, without ``fallback``."""
        if self._failed:
            return keyframe_texts(request)
        try:
            if self._part is None:
                self._part = registry().create("refiner", self.name, self.options)
            return final_texts(self._part, request, run)
        except AvatarkitError as error:
            if not self.fallback or self.name == RULES:
                raise
            self._failed = True
            run.notice(f"{error}; the words for the editor are the rules' (--llm-fallback)", "warning")
            return keyframe_texts(request)


def load_plan(path: Path, request: EditRequest) -> EditPlan:
    """A plan file, as ``--json`` wrote it or a person changed it.  Raises FileFormatError with every problem."""
    with explained(path):
        if path.stat().st_size > MAX_JSON:
            raise FileFormatError(f"{path}: {path.stat().st_size} bytes; a plan has at most {MAX_JSON}")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise FileFormatError(f"{path}: not a text file; expected a plan in JSON (docs/editing.md)") from None
    plan = read_plan(parse_json(text, str(path)), request, where=str(path))
    if not plan.operations:
        raise FileFormatError(f"{path}: the plan has no operations")
    return plan
