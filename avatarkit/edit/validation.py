"""JSON to plans.  What a model or a person wrote is data: everything is checked, and every problem is named.

A problem is a sentence that its author can act on: ``operations[1].target: unknown target 'hairs'; did you mean 'hair'?``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from avatarkit.edit import plan as records
from avatarkit.edit import vocabulary as words
from avatarkit.edit.judging import judged
from avatarkit.edit.plan import Attributes, EditPlan, EditRequest, KeyframeText, Operation, Region, Weight
from avatarkit.errors import InputError, nearest
from avatarkit.head.arkit_names import ARKIT_NAMES

MAX_JSON = 256 * 1024  # bytes; sixteen full operations are 40 kB
SHOWN_PROBLEMS = 20
_ELSEWHERE = re.compile(
    r"""\w+://|\bwww\.|\b(?:data|file|javascript):|(?:^|[\s"'(=])(?:~|\.{1,2})?/[\w.~-]|\.\.[/\\]|\b[A-Za-z]:\\|\\\\|`|\$[({]|<\w""",
    re.IGNORECASE,
)
_NAME = re.compile(r"[\w' -]*")
_COLOUR = re.compile(r"#[0-9a-f]{6}")


class PlanError(InputError):
    """A plan is not what it has to be.  ``problems`` has every fault; the message is one line."""

    def __init__(self, where: str, problems: list[str]) -> None:
        self.problems = problems
        shown = problems[:SHOWN_PROBLEMS]
        more = f"; and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
        super().__init__(f"{where}: {'; '.join(shown)}{more}")


def parse_json(text: str, where: str = "the plan") -> Any:
    """JSON, also inside a fence of ``` or after a byte-order mark.  Raises PlanError: too long, too deep, not JSON."""
    if len(text) > MAX_JSON:
        raise PlanError(where, [f"is {len(text)} characters long; at most {MAX_JSON}"])
    text = text.strip().removeprefix("\ufeff").strip()
    fence = re.search(r"```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```", text, re.DOTALL)
    if not text.startswith(("{", "[")) and fence:
        text = fence[1]
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise PlanError(where, ["is nested too deeply"]) from None
    except ValueError as error:
        found = clean(text[:60]) or "nothing"
        raise PlanError(where, [f"is not JSON ({error}); it begins with '{found}'"]) from None


def read_plan(data: Any, request: EditRequest, *, refiner: str = "", where: str = "the plan") -> EditPlan:
    """The plan in ``data`` (parsed JSON), or PlanError with every problem.

    ``request`` supplies the prompt, and what the avatar shows: its groups are targets, and an operation on a class that it is
    known not to show is a problem.
    """
    reader = _Reader(request)
    plan = reader.plan(data, refiner)
    if reader.problems:
        raise PlanError(where, reader.problems)
    return plan


def read_final(data: Any, keyframes: Iterable[str], where: str = "the answer") -> tuple[KeyframeText, ...]:
    """The second turn's texts, one for each of ``keyframes`` and in their order.  Raises PlanError."""
    wanted = tuple(keyframes)
    reader = _Reader(EditRequest(""))
    found = reader.final(data, wanted)
    if not reader.problems:
        reader.problems += [f"keyframes: '{name}' is missing" for name in wanted if name not in found]
    if reader.problems:
        raise PlanError(where, reader.problems)
    return tuple(found[name] for name in wanted)


def clean(text: str) -> str:
    """One line without control characters, invisible marks or escapes."""
    kept = (" " if unicodedata.category(c)[0] in "ZC" and unicodedata.category(c) != "Cf" else c for c in text)
    return " ".join("".join(c for c in kept if unicodedata.category(c) != "Cf").split())


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


class _Reader:
    """Reads values, gathers problems; after a problem a default stands in, so that reading goes on to the next one."""

    def __init__(self, request: EditRequest) -> None:
        self.request = request
        self.targets = words.targets(request.groups)
        self.addable = tuple(words.ADDABLE)
        self.problems: list[str] = []

    def plan(self, data: Any, refiner: str) -> EditPlan:
        values = self.table(data, "", ("version", "prompt", "refiner", "operations", "ambiguities"))
        version = values.get("version", records.PLAN_VERSION)
        if version != records.PLAN_VERSION or isinstance(version, bool):
            self.problems.append(f"version: expected {records.PLAN_VERSION}; got {_shown(version)}")
        if isinstance(data, dict) and "operations" not in data:
            self.problems.append("operations: missing")
        rows = self.rows(values.get("operations", []), "operations", records.MAX_OPERATIONS)
        operations: list[Operation] = []
        for i, row in enumerate(rows):
            operations.append(self.operation(row, f"operations[{i}]", i, operations))
        said = [
            self.text(row, f"ambiguities[{i}]", records.MAX_TEXT)
            for i, row in enumerate(self.rows(values.get("ambiguities", []), "ambiguities", records.MAX_AMBIGUITIES))
        ]
        prompt = self.request.prompt or self.text(values.get("prompt", ""), "prompt", records.MAX_PROMPT, free=True)
        who = refiner or self.text(values.get("refiner", ""), "refiner", records.MAX_NAME * 2)
        return EditPlan(prompt, tuple(operations), tuple(line for line in said if line), who)

    def operation(self, data: Any, at: str, index: int, earlier: list[Operation]) -> Operation:
        fields = tuple(Operation.__dataclass_fields__)
        values = self.table(data, at, fields)
        kind = self.word(values.get("kind"), f"{at}.kind", tuple(words.KINDS), "kind")
        targets = self.addable if kind == "add" else self.targets if kind else (*self.targets, *self.addable)
        target = self.word(values.get("target"), f"{at}.target", targets, "target")
        attributes = self.attributes(values.get("attributes", {}), f"{at}.attributes")
        preserve = self.rows(values.get("preserve", []), f"{at}.preserve", len(self.targets))
        kept = [self.word(row, f"{at}.preserve[{i}]", self.targets, "label") for i, row in enumerate(preserve)]
        depends = self.rows(values.get("depends_on", []), f"{at}.depends_on", records.MAX_OPERATIONS)
        operation = Operation(
            kind,
            target,
            self.region(values.get("region", {}), f"{at}.region"),
            attributes,
            **{
                name: self.text(values.get(name, ""), f"{at}.{name}", records.MAX_TEXT)
                for name in ("prompt", "source_caption", "target_caption", "negative")
            },
            preserve=tuple(dict.fromkeys(word for word in kept if word)),
            strength=self.number(values.get("strength", 1.0), f"{at}.strength", "strength"),
            depends_on=tuple(dict.fromkeys(self.position(row, f"{at}.depends_on[{i}]", index) for i, row in enumerate(depends))),
        )  # fmt: skip
        if kind and target:
            self.problems += judged(operation, at, self.request, earlier)
        return operation

    def region(self, data: Any, at: str) -> Region | None:
        values = self.table(data if data is not None else {}, at, ("anchor", "relation", "frame"))
        if values.get("anchor", "") == "":
            return None
        anchor = self.word(values["anchor"], f"{at}.anchor", self.targets, "anchor")
        relation = self.word(values.get("relation", "on"), f"{at}.relation", tuple(words.RELATIONS), "relation")
        frame = self.word(values.get("frame", "subject"), f"{at}.frame", tuple(words.FRAMES), "frame")
        return Region(anchor, relation, frame)

    def attributes(self, data: Any, at: str) -> Attributes:
        values = self.table(data, at, tuple(Attributes.__dataclass_fields__))
        read: dict[str, Callable[[Any, str], Any]] = {
            "colour": self.colour,
            "material": lambda value, where: self.word(value, where, ("", *words.MATERIALS), "material"),
            "form": lambda value, where: self.word(value, where, ("", *words.FORMS), "form"),
            "style": lambda value, where: self.word(value, where, ("", *words.STYLES), "style"),
            "dimension": lambda value, where: self.word(value, where, ("", *words.DIMENSIONS), "dimension"),
            "count": lambda value, where: int(self.number(value, where, "count", whole=True)),
            "offset": self.offset,
            "weights": self.weights,
            "name": self.noun,
        }
        made: dict[str, Any] = {}
        for name, value in values.items():
            where = f"{at}.{name}"
            made[name] = read[name](value, where) if name in read else self.number(value, where, name)
        return Attributes(**made)

    def final(self, data: Any, keyframes: tuple[str, ...]) -> dict[str, KeyframeText]:
        values = self.table(data, "", ("keyframes",))
        found: dict[str, KeyframeText] = {}
        for i, row in enumerate(self.rows(values.get("keyframes", []), "keyframes", len(keyframes))):
            at = f"keyframes[{i}]"
            cells = self.table(row, at, ("keyframe", "instruction", "caption", "negative"))
            name = self.word(cells.get("keyframe"), f"{at}.keyframe", keyframes, "keyframe")
            texts = [
                self.text(cells.get(key, ""), f"{at}.{key}", records.MAX_TEXT)
                for key in ("instruction", "caption", "negative")
            ]
            if not texts[0]:
                self.problems.append(f"{at}.instruction: is empty")
            found[name] = KeyframeText(name, *texts)
        return found

    # --- values

    def table(self, data: Any, at: str, known: tuple[str, ...]) -> dict[str, Any]:
        said = at or "it"
        if not isinstance(data, dict):
            self.problems.append(f"{said}: expected an object; got {_shown(data)}")
            return {}
        for key in data:
            if key not in known:
                place = f"{at}." if at else ""
                name = clean(str(key)[:200])[:40]
                listed = ", ".join(known)
                self.problems.append(f"{place}{name}: unknown key; use {listed}{nearest(name, known)}")
        return {key: value for key, value in data.items() if key in known}

    def rows(self, data: Any, at: str, most: int) -> list[Any]:
        if not isinstance(data, list):
            self.problems.append(f"{at}: expected a list; got {_shown(data)}")
            return []
        if len(data) > most:
            self.problems.append(f"{at}: has {len(data)} entries; at most {most}")
        return data[:most]

    def word(self, value: Any, at: str, known: tuple[str, ...], kind: str) -> str:
        """One of ``known``, else a problem and ""."""
        if isinstance(value, str) and value in known:
            return value
        listed = ", ".join(word if word else repr(word) for word in known)
        if value is None:
            self.problems.append(f"{at}: missing; use one of {listed}")
        elif not isinstance(value, str):
            self.problems.append(f"{at}: expected a word; got {_shown(value)}")
        else:
            shown = clean(value)[:40]
            near = nearest(shown.lower(), known)
            self.problems.append(f"{at}: unknown {kind} '{shown}'; use one of {listed}{near}")
        return ""

    def text(self, value: Any, at: str, most: int, *, free: bool = False) -> str:
        """One line of at most ``most`` characters; what points out of the text is a problem unless it is ``free``."""
        if not isinstance(value, str):
            self.problems.append(f"{at}: expected text; got {_shown(value)}")
            return ""
        line = clean(value)
        if len(line) > most:
            self.problems.append(f"{at}: has {len(line)} characters; at most {most}")
            line = line[:most]
        if not free and _ELSEWHERE.search(line):
            self.problems.append(f"{at}: plain words only; URLs, paths, commands and markup are not allowed")
            return ""
        return line

    def noun(self, value: Any, at: str) -> str:
        line = self.text(value, at, records.MAX_NAME)
        if not _NAME.fullmatch(line):
            self.problems.append(f"{at}: expected a short noun of letters, digits, spaces and hyphens; got '{line}'")
            return ""
        return line

    def number(self, value: Any, at: str, name: str, *, whole: bool = False) -> float:
        low, high = records.RANGES[name]
        said = f"{'a whole number' if whole else 'a number'} from {low:g} to {high:g}"
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or (whole and value != int(value)):  # NaN is not between
            self.problems.append(f"{at}: expected {said}; got {_shown(value)}")
            return min(high, max(low, 1.0))
        return int(value) if whole else float(value)

    def position(self, value: Any, at: str, index: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < index:
            return value
        expected = (
            f"the position of an earlier operation, 0 to {index - 1}" if index else "nothing: no operation is earlier"
        )
        self.problems.append(f"{at}: expected {expected}; got {_shown(value)}")
        return 0

    def colour(self, value: Any, at: str) -> str:
        if value == "":
            return ""
        if isinstance(value, str) and _COLOUR.fullmatch(value.lower()):
            return value.lower()
        hint = ""
        if isinstance(value, str):
            from avatarkit.edit.colours import css_colours

            known = css_colours().get(value.lower().replace(" ", ""))
            hint = f"; '{value.lower()}' is '{known}'" if known else ""
        self.problems.append(f"{at}: expected '#rrggbb'; got {_shown(value)}{hint}")
        return ""

    def offset(self, value: Any, at: str) -> tuple[float, float, float]:
        rows = self.rows(value, at, 3)
        if isinstance(value, list) and len(value) != 3:
            self.problems.append(f"{at}: expected three numbers: to the subject's left, up, forward; got {len(value)}")
            return 0.0, 0.0, 0.0
        numbers = [self.number(row, f"{at}[{i}]", "offset") for i, row in enumerate(rows)]
        return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else (0.0, 0.0, 0.0)

    def weights(self, value: Any, at: str) -> tuple[Weight, ...]:
        made: dict[str, Weight] = {}
        for i, row in enumerate(self.rows(value, at, records.MAX_WEIGHTS)):
            cells = self.table(row, f"{at}[{i}]", ("name", "weight"))
            name = self.word(cells.get("name"), f"{at}[{i}].name", ARKIT_NAMES, "expression")
            if name in made:
                self.problems.append(f"{at}[{i}].name: '{name}' is there twice")
            made[name] = Weight(name, self.number(cells.get("weight"), f"{at}[{i}].weight", "weight"))
        return tuple(made.values())


def _shown(value: Any) -> str:
    """A value in a message: short, on one line, harmless."""
    if isinstance(value, str):
        return f"'{clean(value[:200])[:40]}'"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else clean(repr(value)[:40])
