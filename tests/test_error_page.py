"""docs/errors.md against the source: each error ends with the exit code that the page says; each message of the page is there, raised
as what ends with the code of its row; and the test that the row names looks for both."""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import pytest

from avatarkit import errors

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "errors.md"
SOURCES = [ROOT / "avatarkit", *sorted((ROOT / "plugins").glob("*/avatarkit_*"))]

# What a person sees, to the letter: the page's first table.
EXIT_CODES = {
    "AvatarkitError": 1, "DivergedError": 1, "LostProcess": 1,
    "InputError": 2, "FileFormatError": 2, "ConfigError": 2,
    "EnvironmentProblem": 3, "MissingDependency": 3, "MissingAsset": 3, "PluginError": 3,
}  # fmt: skip
# How a message reaches the user: what it is given to, and the exit code then.  ``doubt`` raises an InputError, ``unknown_name``
# makes one, a PlanError is one, ``_Failed`` is of cli/workers.py.
SAID_BY = {**EXIT_CODES, "PlanError": 2, "unknown_name": 2, "doubt": 2, "_Failed": 1, "notice": 0}


def rows() -> list[list[str]]:
    table = PAGE.read_text(encoding="utf-8").partition("| message |")[2]
    lines = [line for line in table.splitlines()[1:] if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]
    return [row for row in cells if not set(row[0]) <= {"-"}]


def source_files() -> list[Path]:
    return [file for folder in SOURCES for file in sorted(folder.rglob("*.py"))]


def name_of(row: list[str]) -> str:
    return row[4].strip("`").split("::")[-1]


def quoted(row: list[str]) -> list[str]:
    """The messages of a row; none where it describes them in words."""
    return re.findall(r"`([^`]+)`", row[0]) if row[0].startswith("`") else []


@pytest.mark.parametrize("row", rows(), ids=name_of)
def test_every_row_of_the_page_names_a_test_that_exists(row: list[str]) -> None:
    assert len(row) == 5 and all(row), row
    assert row[3] in {"0", "1", "2", "3", "130"}
    file, _, name = row[4].strip("`").partition("::")
    defined = {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in defined, f"{file} has no {name}"


def test_the_page_has_a_row_for_every_bad_input() -> None:
    causes = " ".join(row[1] for row in rows()).lower()
    for word in (
        "key", "size", "truncated video", "npz", "avatar", "foreground", "no face", "half", "nan", "two people", "empty folder",
        "plugin", "disk", "permission",
    ):  # fmt: skip
        assert word in causes, word


# Errors and exit codes ----------------------------------------------------------------------------------------------------------


def test_every_error_has_its_exit_code() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert kinds == set(EXIT_CODES)


@pytest.mark.parametrize("name", EXIT_CODES)
def test_an_error_ends_the_command_with_its_exit_code(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def broken(path: object) -> None:
        raise getattr(errors, name)("a.avatar: what\n  was wrong")

    monkeypatch.setattr("avatarkit.gaussians.avatar_file.load_avatar", broken)
    said = command("info", "a.avatar")
    assert (said.code, said.out, said.err) == (EXIT_CODES[name], "", "avatarkit: a.avatar: what was wrong\n")


@pytest.mark.parametrize(
    ("kind", "code"), [(RuntimeError, 1), (MemoryError, 1), (OSError, 1), (KeyboardInterrupt, 130)]
)
def test_what_is_no_error_of_ours_ends_with_its_exit_code(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], code: int
) -> None:
    def broken(path: object) -> None:
        raise kind("oh")

    monkeypatch.setattr("avatarkit.gaussians.avatar_file.load_avatar", broken)
    said = command("info", "a.avatar")
    assert said.code == code and said.out == "" and "Traceback" not in said.err
    assert said.err.startswith("avatarkit: this is a bug in avatarkit: ") == (code == 1), said.err


@pytest.mark.parametrize(
    "line", [("rekon",), ("info",), ("info", "a", "--jsn"), ("render", "a", "-o", "b", "--fps", "x")]
)
def test_a_line_that_cannot_be_read_ends_with_2(command: Callable[..., Any], line: tuple[str, ...]) -> None:
    assert command(*line).code == 2


def test_no_other_error_chooses_an_exit_code_of_its_own() -> None:
    """Those of other modules end as what they derive from; only what passes on the code of another process sets it."""
    for file in source_files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and file.name != "errors.py":
                for base in {getattr(base, "id", "") for base in node.bases} & set(EXIT_CODES):
                    assert SAID_BY.get(node.name) == EXIT_CODES[base], f"{file}: {node.name} is not in SAID_BY"
            if isinstance(node, ast.Assign) and any("exit_code" in ast.unparse(target) for target in node.targets):
                assert file.name in ("errors.py", "workers.py"), f"{file}:{node.lineno}"


def test_the_page_says_what_each_exit_code_means() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| exit code |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| (\d+) \|", table, re.MULTILINE)) == {"0", "130", *map(str, EXIT_CODES.values())}


# Messages are in the source ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """A string of the source, with ``…`` for what is filled in.  code: what the program ends with once it is said, if that shows."""

    text: str
    code: int | None


def called(node: ast.AST) -> str:
    return getattr(node.func, "id", "") or getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""


def texts_of(node: ast.AST, code: int | None = None) -> Iterator[Text]:
    """Strings below ``node``, but docstrings, joined where the source joins them."""
    code = SAID_BY.get(called(node), code)
    if isinstance(node, ast.Expr) and _is_text(node.value):
        return
    if _is_text(node):
        yield Text(" ".join(str(node.value).split()), code)
    if isinstance(node, ast.JoinedStr):
        pieces = [str(piece.value) if isinstance(piece, ast.Constant) else "…" for piece in node.values]
        yield Text(" ".join("".join(pieces).split()), code)
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from texts_of(child, code)


@functools.cache
def source_texts() -> frozenset[Text]:
    return frozenset(text for file in source_files() for text in texts_of(ast.parse(file.read_text(encoding="utf-8"))))


TOKENS = re.compile(r"…|\d+|'[^'… ]+'|\b[A-Z]+(?:_[A-Z0-9]+)+\b|[^…]")


def pattern(message: str) -> re.Pattern[str]:
    """``…`` is anything; a number, a name in quotes and a variable's name stand for themselves or for what is filled in."""
    tokens = ["" if token == "…" else re.escape(token) for token in TOKENS.findall(message)]
    whole = [rf"(?:{token}|'?…'?)" if len(token) > 2 or token.isdigit() else token or ".*" for token in tokens]
    return re.compile("".join(whole))


def in_source(message: str) -> list[Text]:
    """Where a message comes from: whole from one string, or each of its clauses from one (a place, what is wrong, what to do)."""

    def found(part: str) -> list[Text]:
        wanted = pattern(part)
        return [text for text in source_texts() if wanted.search(text.text)]

    whole = found(re.sub(r"^(…: )+|; …$", "", message))
    if whole:
        return whole
    clauses = [clause for clause in re.split(r": |; | \(", message) if re.search(r"\w", clause)]
    each = [found(clause.rstrip(")")) for clause in clauses]
    return [text for texts in each for text in texts] if all(each) else []


@pytest.mark.parametrize(
    ("row", "message"), [(row, text) for row in rows() for text in quoted(row)],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_every_message_is_in_the_source_and_ends_as_its_row_says(row: list[str], message: str) -> None:
    texts = in_source(message)
    assert texts, f"nothing says {message!r}"
    codes = {text.code for text in texts} - {None}
    code = 0 if row[3] == "130" else int(row[3])  # of Ctrl-C a notice is left, and the command ends with 130
    assert not codes or code in codes, f"{message!r} ends with {codes}"


@pytest.mark.parametrize(
    ("message", "there"),
    [
        ("…: the folder is empty", True),
        ("…: the folder is empyt", False),
        ("…: key '…' is missing; did you mean '…'?", True),
        ("setting '…' is …; expected … to …", True),
        ("setting '…' is …; wanted … to …", False),
        ("… fails (500, 4 attempts)", True),
        ("A config file or ``--set`` has an unknown key", False),  # a docstring has it
    ],
)
def test_a_message_that_nothing_says_is_found_out(message: str, there: bool) -> None:
    assert bool(in_source(message)) == there


# The named test looks for message and code --------------------------------------------------------------------------------------


def defined(file: str) -> dict[str, ast.AST]:
    """Functions and tables of a test module by name."""
    found: dict[str, ast.AST] = {}
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id: node for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


@functools.cache
def parts_of_test(place: str) -> tuple[ast.AST, ...]:
    """The test at ``file::name``, and of its module what it uses: helpers, fixtures, tables."""
    file, _, name = place.partition("::")
    known, seen, left = defined(file), dict[str, ast.AST](), [name]
    while left:
        name = left.pop()
        if name in known and name not in seen:
            seen[name] = known[name]
            for node in ast.walk(known[name]):
                left += [node.id] if isinstance(node, ast.Name) else [node.arg] if isinstance(node, ast.arg) else []
    return tuple(seen.values())


def expected_codes(node: ast.AST) -> set[int]:
    """Exit codes that a piece of a test expects: by an error's class, by a number beside ``code``, or in a table."""
    codes = set[Any]()
    for child in _without_raising(node):
        if isinstance(child, ast.Name) and child.id in SAID_BY and child.id != "AvatarkitError":
            codes.add(SAID_BY[child.id])
        elif _is_text(child):  # what another process is to print
            codes |= {EXIT_CODES[word] for word in re.findall(r"\b[A-Z]\w+", str(child.value)) if word in EXIT_CODES}
        elif isinstance(child, ast.Compare):
            sides = [child.left, *child.comparators]
            if any(
                getattr(side, "attr", getattr(side, "id", "")) in ("code", "returncode", "exit_code") for side in sides
            ):
                codes |= {side.value for side in sides if _is_code(side)}
        elif called(child) == "one_line":
            codes |= {argument.value for argument in child.args if _is_code(argument)}
        elif isinstance(child, ast.Tuple):  # a row of a table: (…), code, words
            for given, code, words in zip(child.elts, child.elts[1:], child.elts[2:], strict=False):
                codes |= {code.value} if isinstance(given, ast.Tuple) and _is_code(code) and _is_text(words) else set()
    return codes


def _without_raising(node: ast.AST) -> Iterator[Any]:
    """All that is below ``node``, but what it raises itself."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Raise):
            yield from _without_raising(child)


def _is_code(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value in {0, 1, 2, 3, 130}


def _is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def likeness(message: str, text: str) -> int:
    """How many pairs of words that stand together in the message do so in what a test looks for, regular expression or not."""
    words = re.findall(r"\w[\w'-]*", re.sub(r"\\(.)", r"\1", text))
    pairs = [pair for piece in message.split("…") for pair in _pairs(re.findall(r"\w[\w'-]*", piece))]
    both = len([pair for pair in pairs if pair in _pairs(words)])
    return both or int(not pairs and bool(pattern(message).search(" ".join(text.replace("\\", "").split()))))


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(words))


def looked_for(message: str, place: str) -> tuple[int, set[int], set[int]]:
    """How much of the message the test looks for; the exit codes expected in that statement; those expected nearest to it."""
    strings = [found for part in parts_of_test(place) for found in _strings(part, ())]
    alike = [(likeness(message, text), around) for text, around in strings]
    best = max((count for count, _ in alike), default=0)
    beside, nearest = set[int](), set[int]()
    for count, around in alike:
        if count == best > 0:
            statement = [isinstance(node, ast.stmt) for node in around].index(True)
            beside |= expected_codes(around[statement])
            nearest |= next(filter(None, map(expected_codes, around)), set())
    return best, beside, nearest


def _strings(node: ast.AST, around: tuple[ast.AST, ...]) -> Iterator[tuple[str, tuple[ast.AST, ...]]]:
    """Strings below ``node``, each with what it stands in, the nearest first."""
    if isinstance(node, ast.Expr) and _is_text(node.value):
        return
    if _is_text(node):
        yield str(node.value), (node, *around)
    for child in ast.iter_child_nodes(node):
        yield from _strings(child, (node, *around))


@pytest.mark.parametrize("row", rows(), ids=name_of)
def test_the_named_test_looks_for_the_message_and_the_exit_code(row: list[str]) -> None:
    place, code = row[4].strip("`"), int(row[3])
    anywhere = set[int]().union(*map(expected_codes, parts_of_test(place)))
    if not quoted(row):
        assert code in anywhere or (code == 0 and not anywhere), f"{place} expects {anywhere}"
    for message in quoted(row):
        alike, beside, nearest = looked_for(message, place)
        assert alike, f"{place} does not look for {message!r}"
        if code == 0:  # a notice
            assert beside <= {0}, f"{place} expects {beside} for {message!r}"
        else:
            assert code in (nearest or anywhere), f"{place} expects {nearest or anywhere} for {message!r}"
