"""docs/errors.md has every error of an edit, and every warning: the source against the page, where ``test_error_page`` holds the page against
the source."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from .test_error_page import EXIT_CODES, ROOT, called, pattern, quoted, rows, texts_of

PLUGINS = ("ip2p", "openai-images", "hinge-gan", "gpt4", "claude")
COVERED = [
    ROOT / "avatarkit" / "edit",
    *(ROOT / "plugins" / f"avatarkit-{name}" / f"avatarkit_{name.replace('-', '_')}" for name in PLUGINS),
]
FROM_PYTHON = "what a caller in Python does wrong: no command line brings it about"
WITHIN = "said within another message, which has a row"
UNLISTED = {
    r"^views have shape": FROM_PYTHON,
    r"^… has shape …; expected": FROM_PYTHON,
    r"^the shape of (…|views) is": FROM_PYTHON,
    r"^unknown latent operation": FROM_PYTHON,
    r"^bindings lie in": FROM_PYTHON,
    r"the step has words for": FROM_PYTHON,
    r"^the step's noise is": FROM_PYTHON,
    r"^…: (views|…) have the shape": FROM_PYTHON,
    r"^…: … hold values that are not finite": FROM_PYTHON,
    r"^hinge-gan: (a focus|views …)": FROM_PYTHON,
    r"^operation …: the plan has …": FROM_PYTHON,
    r"the operation has no words for '…'": FROM_PYTHON,
    r"^a picture for the language model is neither": FROM_PYTHON,
    r"^the capture that the avatar was made from is not at": WITHIN,
    r"its frames are not those that the avatar was made": WITHIN,
    r"a mapping net that does not fit this avatar": WITHIN,
    r"not a mapping net of this version": WITHIN,
}
"""Messages without a row, and why."""
SAYING = {*EXIT_CODES, "PlanError"}
LEAST_WORDS = 3  # that a clause of a row has, to be told from those of others


def words_of(text: str) -> list[str]:
    return re.findall(r"[A-Za-z][\w'-]*", text)


def says(node: ast.Call) -> bool:
    """Whether a call makes an error or a notice that warns."""
    warns = any(isinstance(part, ast.Constant) and part.value == "warning" for part in node.args[1:])
    return called(node) in SAYING or (called(node) == "notice" and warns)


@functools.cache
def raised() -> tuple[tuple[str, str], ...]:
    """(place, message) of what ``COVERED`` says; without what only hands on the words of something else."""
    found = []
    for file in (file for folder in COVERED for file in sorted(folder.rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and says(node):
                message = next((text.text for text in texts_of(node.args[0])), "")
                if len(words_of(message)) >= 2:
                    found.append((f"{file.relative_to(ROOT)}:{node.lineno}", message))
    return tuple(found)


@functools.cache
def clauses_of_the_page() -> tuple[re.Pattern[str], ...]:
    """What the rows say: whole, and clause by clause where that is long enough."""
    found = []
    for message in (message for row in rows() for message in quoted(row)):
        whole = re.sub(r"^(…: )+|; …$", "", message)
        clauses = [clause for clause in re.split(r": |; | \(", whole) if len(words_of(clause)) >= LEAST_WORDS]
        found += [pattern(text) for text in (whole, *clauses) if len(words_of(text)) >= 2]
    return tuple(found)


def on_the_page(message: str) -> bool:
    return any(clause.search(message) for clause in clauses_of_the_page())


@pytest.mark.parametrize(("place", "message"), raised(), ids=lambda value: value.split("/")[-1])
def test_every_error_of_an_edit_is_on_the_page(place: str, message: str) -> None:
    known = on_the_page(message) or any(re.search(which, message) for which in UNLISTED)
    assert known, f"{place} says {message!r}: give it a row in docs/errors.md, or say in UNLISTED why it has none"


@pytest.mark.parametrize("which", UNLISTED)
def test_what_has_no_row_is_said_somewhere(which: str) -> None:
    alike = [message for _, message in raised() if re.search(which, message)]
    assert alike and not any(map(on_the_page, alike)), alike


def test_an_error_without_a_row_is_found_out() -> None:
    assert on_the_page("the … shows in none of the avatar's pictures")
    assert not on_the_page("the … shows in each of the avatar's pictures")
    assert not on_the_page("…: the hat is too small")
