"""Slips of the pen: a word that nothing knows and that is one letter away from one word that counts is read as that one, and told."""

from __future__ import annotations

import functools
import re

from avatarkit.edit.rules_lexicon import Lexicon, Meaning, lexicon

LEAST = 4
"""Letters of a word that can be a slip; of a colour's one less may be left ("blu")."""
VERB = 5
"""Letters of a word that can be a slip of a verb or a relation: short ones are near too many others."""
MEANT = (
    "colour",
    "shade",
    "material",
    "tone",
    "comparative",
    "size",
    "form",
    "part",
    "paired",
    "thing",
    "makeup",
    "identity",
    "tinge",
)
"""Kinds of words that a slip may be of."""
GOVERNING = ("verb", "relation")
NAMING = re.compile(r"\b(?:like|as|into|be|become|style of)(?: an?| the)?(?: [^\W\d_]+){0,2} $")
"""What a name may follow: there only whom somebody can become, and colours, are taken for meant."""
PATTERN_WORDS = ("smile", "smiling", "surprised", "angry", "frown", "smirk", "laugh", "mouth", "cartoon", "painting", "sketch", "statue", "bronze", "marble")  # fmt: skip
_WORD = re.compile(r"(?<!['\w])[^\W\d_]+(?!['\w])")


def spelled(text: str) -> tuple[str, list[str]]:
    """``text`` with slips mended, and a sentence about each."""
    notes: list[str] = []

    def mended(match: re.Match[str]) -> str:
        word = match[0]
        meant = _meant(word, bool(NAMING.search(text[: match.start()])))
        if not meant:
            return word
        notes.append(f"'{word}' was read as '{meant}'")
        return meant

    return _WORD.sub(mended, text), notes


@functools.lru_cache(maxsize=4096)
def _meant(word: str, named: bool) -> str:
    """The only word that counts at one letter from ``word``; "" where it is known, or no slip.  named: it may be a name."""
    known = lexicon()
    if len(word) < LEAST - 1 or word in _all_words():
        return ""
    found = [other for other in _words_that_count() if _near(word, other) and _allowed(word, other, known, named)]
    nouns = [other for other in found if _kind(other, known) not in GOVERNING]
    found = nouns or found  # "earing" is no slip of "wearing"
    meanings = {str(known.phrases.get((other,), Meaning("", other))) for other in found}
    return min(found) if len(meanings) == 1 else ""


def _allowed(word: str, other: str, known: Lexicon, named: bool) -> bool:
    kind = _kind(other, known)
    if named and kind not in ("identity", "colour"):
        return False
    if len(word) < LEAST:
        return kind == "colour" and (len(other) == LEAST or sorted(word) == sorted(other))
    return len(word) >= VERB if kind in GOVERNING else True


def _kind(word: str, known: Lexicon) -> str:
    meaning = known.phrases.get((word,))
    return "" if meaning is None else meaning.kind


def _near(word: str, other: str) -> bool:
    """Whether one letter more, less or other, or two neighbours exchanged, make ``word`` of ``other``.  Few slips are in the first
    letter alone, and many words differ in it."""
    if abs(len(word) - len(other)) > 1 or word == other or word[0] not in other[:2] or other[0] not in word[:2]:
        return False
    same = next((i for i, (x, y) in enumerate(zip(word, other, strict=False)) if x != y), min(len(word), len(other)))
    if not same and word[:2] != other[1::-1]:
        return False
    rest, left = word[same:], other[same:]
    if len(word) == len(other):
        swapped = rest[:2] == left[1::-1] and len(rest) > 1
        return rest[1:] == left[1:] or (swapped and rest[2:] == left[2:])
    return rest[1:] == left if len(word) > len(other) else rest == left[1:]


@functools.cache
def _words_that_count() -> tuple[str, ...]:
    """Words by themselves, and those of names of two ("baseball cap")."""
    found = set(PATTERN_WORDS)
    for words, meaning in lexicon().phrases.items():
        if len(words) == 1 and meaning.kind in (*MEANT, *GOVERNING):
            found.add(words[0])
        elif meaning.kind in ("thing", "colour"):
            found |= {word for word in words if (word,) not in lexicon().phrases}
    return tuple(sorted(word for word in found if len(word) >= LEAST - 1 and word.isalpha()))


@functools.cache
def _all_words() -> frozenset[str]:
    """Every word of the lexicon and its patterns, and others that are no slips."""
    known = lexicon()
    found = {word for words in known.phrases for word in words}
    for pattern in known.patterns:
        found |= set(re.findall(r"[^\W\d_]{3,}", pattern.pattern.pattern))
    return frozenset(found | known.other_words)
