"""What refiners that ask a language model share: cache, deadline, one repair turn, and saying what leaves the machine.

No SDK here: a plugin brings an ``Asker``, which sends one question and returns the answer's text.  Retries are the SDK's; over
the question and its repair there are at most ``attempts`` requests.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from avatarkit.edit.asking import Question, final_question, plan_question, repair
from avatarkit.edit.plan import PLAN_VERSION, EditPlan, EditRequest, FinalRequest, KeyframeText, plan_json
from avatarkit.edit.servers import MAX_ANSWER, shown_address
from avatarkit.edit.validation import PlanError, clean, parse_json, read_final, read_plan
from avatarkit.errors import EnvironmentProblem
from avatarkit.events import Run
from avatarkit.paths import atomic_write_text, home
from avatarkit.types import Json

MAX_ATTEMPTS = 4
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """text: what the model wrote; attempts: requests that it took."""

    text: str
    attempts: int = 1


class Asker(Protocol):
    """One language model behind one address.

    name: the refiner's; model; address: where data goes, without credentials; settings: whatever else changes answers.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def settings(self) -> Json: ...

    def ask(self, question: Question, attempts: int, stopped: threading.Event) -> Answer:
        """Send ``question`` in at most ``attempts`` requests.  Raises AvatarkitError in words; gives up once ``stopped``."""
        ...

    def close(self) -> None:
        """Drop connections: called when the deadline has passed.  What is asked later opens new ones."""
        ...


def refine_by_model(
    asker: Asker, request: EditRequest, run: Run, *, deadline: float, cache: bool = True, pictures: bool = True,
    attempts: int = MAX_ATTEMPTS,
) -> EditPlan:  # fmt: skip
    """A valid plan from a model; from the cache where the same was asked before.  deadline: seconds for everything; attempts: requests
    at most, over the question and its repair.

    pictures: false keeps the request's pictures here.

    Raises PlanError where neither the answer nor its repair is a plan, and what ``ask`` raises.
    """
    request = request if pictures else replace(request, images=())
    who = f"{asker.name}:{clean(asker.model)}"[:80]

    def read(data: Any, where: str) -> EditPlan:
        return read_plan(data, request, refiner=who, where=where)

    return _answered(asker, plan_question(request), read, plan_json, run, deadline, cache, attempts)


def finalise_by_model(
    asker: Asker, request: FinalRequest, run: Run, *, deadline: float, cache: bool = True, pictures: bool = True,
    attempts: int = MAX_ATTEMPTS,
) -> tuple[KeyframeText, ...]:  # fmt: skip
    """The second turn by a model: one text for each keyframe.  As ``refine_by_model``."""
    if not pictures:
        request = replace(request, keyframes=tuple(replace(k, image=None) for k in request.keyframes))
    names = [keyframe.name for keyframe in request.keyframes]

    def read(data: Any, where: str) -> tuple[KeyframeText, ...]:
        return read_final(data, names, where)

    def write(texts: tuple[KeyframeText, ...]) -> Json:
        return {"keyframes": [dict(vars(text)) for text in texts]}

    return _answered(asker, final_question(request), read, write, run, deadline, cache, attempts)


def _answered(
    asker: Asker, question: Question, read: Callable[[Any, str], T], write: Callable[[T], Json], run: Run, deadline: float, cache: bool,
    attempts: int,
) -> T:  # fmt: skip
    file = cache_folder() / f"{cache_key(asker, question)}.json"
    if cache:
        kept = _cached(file, read)
        if kept is not None:
            run.notice(f"{asker.name}: answered from the cache, nothing is sent")
            return kept
    run.notice(leaving(asker, question))
    ends = time.monotonic() + deadline
    where = f"{asker.name} ({clean(asker.model)})"
    answer = within(ends, asker, question, attempts, run)
    try:
        result = read(parse_json(answer.text, where), where)
    except PlanError as error:
        left = attempts - answer.attempts
        if left < 1:
            raise
        run.notice(f"{asker.name}: its answer cannot be used ({len(error.problems)} problems); asking it to mend it")
        again = within(ends, asker, repair(question, answer.text, error.problems), left, run)
        mended = f"{where}, asked twice"
        result = read(parse_json(again.text, mended), mended)
    if cache:
        atomic_write_text(file, json.dumps(write(result)))
    return result


def leaving(asker: Asker, question: Question) -> str:
    """What is about to leave the machine, in one line."""
    count, size = len(question.images), sum(map(len, question.images))
    pictures = ""
    if count:
        pictures = f" and {'a picture' if count == 1 else f'{count} pictures'} of the avatar ({size / 1000:.0f} kB)"
    place = shown_address(asker.address)
    return f"{asker.name}: sending {question.content}{pictures} to {place} (model {clean(asker.model)})"


def cache_folder() -> Path:
    """Where answers are kept."""
    return home() / "refiners"


def cache_key(asker: Asker, question: Question) -> str:
    """A hash of everything that an answer depends on.  No key of any account is part of it."""
    parts = {
        "plan version": PLAN_VERSION,
        "refiner": asker.name,
        "model": asker.model,
        "address": asker.address,
        "settings": asker.settings,
        "system": question.system,
        "turns": question.turns,
        "schema": question.schema,
        "images": [hashlib.sha256(image).hexdigest() for image in question.images],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _cached(file: Path, read: Callable[[Any, str], T]) -> T | None:
    """A kept answer, checked as any other; one that cannot be read any more counts as none."""
    try:
        if file.stat().st_size > MAX_ANSWER:
            return None
        return read(parse_json(file.read_text(encoding="utf-8"), str(file)), str(file))
    except (OSError, ValueError, PlanError):
        return None


def within(ends: float, asker: Asker, question: Question, attempts: int, run: Run) -> Answer:
    """``asker.ask`` in a thread of its own, so that no server can hold the command longer than until ``ends``.

    An SDK's timeout counts from byte to byte, and its waits between attempts are the server's choice; this clock is ours.
    Raises EnvironmentProblem when it has run out, KeyboardInterrupt when the run is asked to stop.
    """
    done: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        try:
            done.put(asker.ask(question, attempts, stopped))
        except BaseException as error:
            done.put(error)

    began = time.monotonic()
    threading.Thread(target=work, name=f"ask {asker.name}", daemon=True).start()
    try:
        while True:
            left = ends - time.monotonic()
            try:
                outcome = done.get(timeout=max(0.0, min(0.2, left)))
                break
            except queue.Empty:
                if run.stopping:
                    raise KeyboardInterrupt from None
                if left <= 0:
                    waited = time.monotonic() - began
                    raise EnvironmentProblem(
                        f"{asker.name}: no whole answer from {shown_address(asker.address)} within {waited:.3g} s; "
                        "try again, raise the option 'deadline', or use --llm rules"
                    ) from None
    except BaseException:
        stopped.set()
        asker.close()
        raise
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
