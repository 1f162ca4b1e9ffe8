"""What the `rules` refiner knows: ``lexicon.yaml`` and CSS' colour names, as phrases to look up."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarkit.edit.colours import css_colours

FILE = Path(__file__).with_name("lexicon.yaml")
THE = r"(?: (?:the|a|an|her|his|my|their|its|your))?"


@dataclass(frozen=True)
class Meaning:
    """One sense of a phrase: kind of word, and what it stands for."""

    kind: str
    value: Any = None


@dataclass(frozen=True)
class Pattern:
    """A whole phrase: an expression with its weights, a style, or what is impossible.  note: what had to be guessed, or why not."""

    pattern: re.Pattern[str]
    kind: str
    value: Any
    note: str = ""


@dataclass(frozen=True)
class Lexicon:
    """phrases: words → meaning; longest: words of the longest phrase; hair_colours: those that say hair by themselves;
    form_nouns: forms that stand for a thing where no noun follows (a star is a tattoo); material_nouns: materials that do where
    there is no noun at all (pearls are a necklace)."""

    phrases: dict[tuple[str, ...], Meaning]
    patterns: tuple[Pattern, ...]
    colours: dict[str, str]
    hair_colours: frozenset[str]
    shades: dict[str, tuple[float, float]]
    form_nouns: dict[str, str]
    material_nouns: dict[str, str]
    lowering: dict[str, tuple[int, int, int]]
    identities: dict[str, str]
    reforms: frozenset[str]
    other_words: frozenset[str]
    longest: int

    def names(self) -> list[str]:
        """Every phrase that changes something, for 'did you mean'."""
        silent = ("filler", "degree", "detail", "unplaced")
        return [" ".join(words) for words, meaning in self.phrases.items() if meaning.kind not in silent]


@functools.cache
def lexicon() -> Lexicon:
    """Read once."""
    import yaml

    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    colours = css_colours()
    for value, names in data["colours"].items():
        colours.update(dict.fromkeys(names, value))
    phrases: dict[tuple[str, ...], Meaning] = {}
    for word, meaning in _meanings(data, colours):
        phrases[tuple(word.split())] = meaning
    patterns = [_pattern("expression", row) for row in data["expressions"]]
    patterns += [_pattern("style", row) for row in data["styles"]]
    patterns += [_pattern("impossible", [row[0], None, row[1]]) for row in data["impossible"]]
    return Lexicon(
        phrases,
        tuple(patterns),
        colours,
        frozenset(data["hair_colours"]),
        {word: (row[0], row[1]) for word, row in data["shades"].items()},
        dict(data["form_nouns"]),
        dict(data["material_nouns"]),
        {word: tuple(row) for word, row in data["lowering"].items()},
        dict(data["identities"]),
        frozenset(data["reforms"]),
        frozenset(data["other_words"]),
        max(map(len, phrases)),
    )


def _meanings(data: dict[str, Any], colours: dict[str, str]) -> Iterator[tuple[str, Meaning]]:
    """(phrase, meaning); a later meaning of the same phrase replaces an earlier one."""
    yield from _same(data["fillers"], Meaning("filler"))
    for word, value in colours.items():
        yield word, Meaning("colour", {"colour": value})
    for kind, name in (("shade", "shades"), ("size", "sizes"), ("tone", "tones"), ("comparative", "comparatives")):
        for word, value in data[name].items():
            yield word, Meaning(kind, tuple(value))
    for word, value in data["materials"].items():
        yield word, Meaning("colour" if "colour" in value else "material", value)
    for word, value in data["tinges"].items():
        yield word, Meaning("tinge", {"colour": value})
    for kind, name in (
        ("form", "forms"),
        ("form", "reforms"),
        ("degree", "degrees"),
        ("number", "numbers"),
        ("identity", "identities"),
    ):
        for word, value in data[name].items():
            yield word, Meaning(kind, value)
    for word, value in data["relations"].items():
        yield word, Meaning("relation", value)
    for word, value in data["directions"].items():
        yield word, Meaning("direction", tuple(value))
    for verb, names in data["verbs"].items():
        yield from _same(names, Meaning("verb", verb))
    for target, names in data["parts"].items():
        yield from _same(names, Meaning("part", target))
    for word, value in data["paired"].items():
        yield word, Meaning("paired", tuple(value))
        if word not in ("eyebrow", "brow", "eye", "ear", "cheek", "iris"):
            yield f"{word}s", Meaning("part", value[0])
    for word, value in data["things"].items():
        yield word, Meaning("thing", value)
    for word in data["objects"]:
        yield word, Meaning("thing", {"target": "object", "name": word})
    for word, value in data["makeup"].items():
        yield word, Meaning("makeup", tuple(value))
    yield from _same(data["details"], Meaning("detail"))
    yield from _same(data["unplaced"], Meaning("unplaced"))
    yield from _same(["left", "left hand"], Meaning("side", "left"))
    yield from _same(["right", "right hand"], Meaning("side", "right"))
    yield from _same(["nostril"], Meaning("nostril", "nose"))
    yield from _same(["bald", "bald headed", "baldness"], Meaning("bald"))
    yield from _same(["clean shaven", "cleanshaven"], Meaning("shaven"))
    yield from _same(["not", "never", "don't", "do not", "isn't", "aren't"], Meaning("not"))
    yield from _same(["and", "plus", "&", "or"], Meaning("and"))
    yield from _same([",", ";", ".", "!", "?", ":", "but", "then"], Meaning("boundary"))


def _same(names: Iterable[str], meaning: Meaning) -> Iterator[tuple[str, Meaning]]:
    for name in names:
        yield name, meaning


def _pattern(kind: str, row: list[Any]) -> Pattern:
    source = row[0].replace("{the}", THE)
    return Pattern(re.compile(rf"\b(?:{source})(?![\w'])"), kind, row[1], row[2] if len(row) > 2 else "")
