"""A prompt to items: phrases of the lexicon in the order in which they stand, and the words that it does not know.

Some phrases are found as a whole first (expressions, styles, "on the left of the picture"), since their words mean something else
alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from avatarkit.edit.rules_lexicon import THE, Lexicon, lexicon

NEGATION = re.compile(
    r"(?:do not|don't|doesn't|not|stop|never|no|without|isn't|less)(?: (?:a|any|the|look|looking|be|being|too|so))* $"
)
DEGREE = re.compile(
    r"(?P<degree>a little bit|a bit|a little|slightly|somewhat|subtly|subtle|very|really|extremely|much|more|super|so) (?:of a |more )?$"
)
AFTER = re.compile(
    r"^ (?P<degree>slightly|a bit|a little bit|a little|a lot|very much|subtly|somewhat|widely|broadly)\b"
)
PICTURE = r"(?:picture|image|photo|photograph|screen|frame|view)"
VIEWER = r"(?:the |my |our )?(?:viewer'?s?|observer'?s?|camera'?s?)"
_TOKEN = re.compile(r"\x02\d+\x03|#[0-9a-f]+|\d+(?:\.\d+)?%?|[^\W\d_]+(?:'[^\W\d_]+)*|[,;.!?:&]")


@dataclass
class Item:
    """kind and value as in the lexicon; text: the words as they stood; note: what had to be guessed."""

    kind: str
    value: Any
    text: str
    note: str = ""


class _Text:
    """A text in which whole phrases are replaced by marks that stand for finished items."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[Item] = []

    def mark(self, item: Item) -> str:
        self.items.append(item)
        return f" \x02{len(self.items) - 1}\x03 "

    def take(self, pattern: str | re.Pattern[str], make: Callable[[re.Match[str]], Item | str | None]) -> None:
        """Replace every match by the item that ``make`` returns, or by text; None leaves it."""

        def replaced(match: re.Match[str]) -> str:
            made = make(match)
            if made is None:
                return match[0]
            return made if isinstance(made, str) else self.mark(made)

        self.text = re.sub(pattern, replaced, self.text)


def read_items(prompt: str) -> list[Item]:
    """The items of ``prompt``."""
    known = lexicon()
    text = _Text(_normalised(prompt))
    _take_frames(text)
    _take_wholes(text, known)
    tokens = _TOKEN.findall(text.text)
    items: list[Item] = []
    k = 0
    while k < len(tokens):
        item, used = _phrase(tokens, k, text.items, known)
        items.append(item)
        k += used
    return _mended(items)


def _normalised(prompt: str) -> str:
    """Lower case, plain quotes, hyphens as spaces; invisible marks are dropped."""
    text = unicodedata.normalize("NFKC", prompt).lower()
    text = re.sub(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069]+", " ", text)
    text = re.sub(r"[\u2018\u2019\u02bc`]", "'", text)
    text = re.sub(r"[-\u2010-\u2015_/]", " ", text)
    text = re.sub(r"\bdont\b", "don't", text).replace("hair do ", "hairdo ")
    text = re.sub(r"\band then\b", " then ", text)
    return " ".join(text.split())


def _take_frames(text: _Text) -> None:
    """Sides and frames: phrases in which left, right and picture mean something else together."""
    rest = rf"(?: side)?(?: of{THE} {PICTURE})"

    def side(match: re.Match[str]) -> Item:
        # The subject faces the viewer: the picture's left is the subject's right.
        return Item("side", {"left": "right", "right": "left"}[match["side"]], match[0])

    text.take(rf"\b(?:on|in|at|to) the (?P<side>left|right)(?: hand)?{rest}", side)
    text.take(rf"\b(?:(?:on|in|at|to) )?{VIEWER} (?P<side>left|right)(?: side| hand side)?\b", side)
    text.take(rf"\b{PICTURE} (?P<side>left|right)\b", side)
    frame = r"\b(?:from (?:the front|my|our|the|a) ?(?:viewer'?s?|observer'?s?|camera'?s?)? ?(?:perspective|point of view|view|side)|as seen (?:by|from) the (?:viewer|camera|front)|as (?:i|we|you) see it|in the picture|in the image)\b"
    text.take(frame, lambda match: Item("viewer", None, match[0]))
    subject = r"\b(?:from|in) (?:her|his|their|the subject's|the person's|its) (?:own )?(?:perspective|point of view|view|frame)\b"
    text.take(subject, lambda match: " ")
    text.take(r"\b(?:the )?(?:subject|person)'s (?=left|right)", lambda match: " ")
    side_of = rf"\b(?:(?:on|to|at) )?the (?P<side>left|right)(?: hand)?(?: side)? of{THE} (?!them\b)"
    text.take(side_of, lambda match: Item("relation", f"{match['side']}_of", match[0]))
    between = rf"\b(?:in )?between{THE} (?:eyes|eyebrows|brows)\b"
    text.take(between, lambda match: Item("region", ("nose", "above"), match[0]))


def _take_wholes(text: _Text, known: Lexicon) -> None:
    """Expressions, styles, likenesses, and what only says that the rest stays."""
    rest = r"(?:,? ?(?:and |but )?(?:keep|leave|preserve|don't change|do not change|don't touch|without changing|change)(?:ing)? (?:everything|all|the rest|anything|nothing)(?: else)?(?: (?:the same|alone|unchanged|as is|as it is|untouched|intact))?)"
    text.take(rest, lambda match: " , ")
    text.take(r"\btake ((?:\S+ ){1,8}?)off\b", lambda match: f"remove {match[1]}")
    text.take(
        r"\b(?:replace|swap|exchange|switch|substitute)((?: \w+){1,5}?) (?:with|for|by) ",
        lambda match: _replaced(match[1], known),
    )
    text.take(
        r"\b(mouth|lips|eyes) (slightly|a bit|a little|half) (open|closed|parted|shut)\b",
        lambda m: f"{m[2]} {m[1]} {m[3]}",
    )
    text.take(r"\b(?:instead of|rather than) [\w' ]+?(?=$| and | with |[,;.])", lambda match: " ")
    text.take(
        r"\b(?:from|of) ((?:\w+ ){1,3}?)to\b", lambda match: " to " if _is_colour(match[1].strip(), known) else None
    )
    text.take(
        r"\b(?:twice|double|two times)(?: as| the)?(?: (?:big|large|size))(?: as)?\b",
        lambda m: Item("comparative", ("size", 2.0), m[0]),
    )
    text.take(
        r"\b(?:twice|double|two times) as (long|thick|wide|tall)\b",
        lambda m: Item("comparative", (_dimension(m[1]), 2.0), m[0]),
    )
    text.take(
        r"\bhalf(?: as| the)?(?: (?:big|large|size))(?: as)?\b", lambda m: Item("comparative", ("size", 0.5), m[0])
    )
    text.take(r"\b(?:by )?(\d+) ?(?:%|percent)", lambda m: Item("percent", float(m[1]), m[0]))
    text.take(r"\b(?:\w+ )years? (?=younger|older)", lambda m: " ")
    text.take(rf"\bin the style of{THE} (?P<name>[\w' ]+?)(?=$| with | and |[,;.])", _style_of)
    for pattern in known.patterns:
        if pattern.kind == "style":
            lead = r"(?:(?:as|into|like|in)(?: if (?:she|he|it) (?:is|was|were))?(?: an?| the)? )?"
            text.take(
                re.compile(lead + pattern.pattern.pattern),
                lambda match, p=pattern: _style(match, p.value),  # type: ignore[misc]
            )
    like = r"\b(?:look|looks|looking|appear) like(?: an?| the)? (?P<name>(?:(?!and\b|with\b|but\b)[^\W\d_]+ ?){1,3})"
    text.take(like, lambda match: Item("identity", match["name"].strip(), match[0]))
    into = r"\b(?:into|as)(?: an?| the) (?P<name>(?:(?!and\b|with\b|but\b)[^\W\d_]+ ?){1,3})"
    text.take(
        into,
        lambda match: (
            None if _known(match["name"].strip(), known) else Item("identity", match["name"].strip(), match[0])
        ),
    )
    alike = r"(?<!'d )(?<!would )(?<!\bi )(?<!we )\b(?:just )?like (?:an?|the|in|on)\b [\w' ]+?(?=$| and | with |[,;.])"
    text.take(alike, lambda match: Item("aside", None, match[0].strip()))
    for pattern in known.patterns:
        if pattern.kind == "expression":
            _take_expression(text, pattern.pattern, pattern.value, pattern.note)


def _take_expression(text: _Text, pattern: re.Pattern[str], weights: dict[str, float], note: str) -> None:
    """Replace matches of one expression, with the negation and the degree around it."""
    place = 0
    while match := pattern.search(text.text, place):
        before, after = text.text[: match.start()], text.text[match.end() :]
        factor, degree = 1.0, ""
        if found := DEGREE.search(before):
            degree, before = found["degree"], before[: found.start()]
        elif found := AFTER.search(after):
            degree, after = found["degree"], after[found.end() :]
        if found := NEGATION.search(before):
            before, factor = before[: found.start()], -1.0
        factor *= {
            "": 1.0,
            "very": 1.4,
            "really": 1.4,
            "much": 1.4,
            "more": 1.0,
            "extremely": 1.6,
            "super": 1.4,
            "so": 1.0,
            "a lot": 1.4,
        }.get(degree, 0.5)
        if degree in ("widely", "broadly", "very much"):
            factor = 1.4
        given = match.groupdict()
        side = given.get("side") or given.get("side2")
        kept = {name: w for name, w in weights.items() if not side or name.endswith(side.capitalize())}
        kept = {name: max(-1.0, min(1.0, round(w * factor, 3))) for name, w in kept.items()}
        mark = text.mark(Item("expression", kept, match[0], note))
        text.text = before + mark + after
        place = len(before) + len(mark)


def _style_of(match: re.Match[str]) -> Item | None:
    name = match["name"].strip()
    for pattern in lexicon().patterns:
        if pattern.kind == "style" and pattern.pattern.fullmatch(name):
            return Item("style", (pattern.value, ""), match[0])
    return Item("style", ("other", name), match[0])


def _style(match: re.Match[str], style: str) -> Item:
    return Item("style", (style, ""), match[0])


def _is_colour(words: str, known: Lexicon) -> bool:
    return words in known.colours or words.rpartition(" ")[2] in known.colours


def _known(words: str, known: Lexicon) -> bool:
    """Whether the lexicon has a sense for any of the words ("into a blonde")."""
    return any((word,) in known.phrases and known.phrases[word,].kind != "filler" for word in words.split())


def _replaced(words: str, known: Lexicon) -> str:
    """ "replace the hat with …": one thing goes and another comes; a part stays and changes."""
    noun = known.phrases.get((words.split()[-1],))
    return f"remove{words} and add " if noun is not None and noun.kind == "thing" else f"change{words} to "


def _dimension(word: str) -> str:
    return {"long": "length", "thick": "thickness", "wide": "width", "tall": "height"}[word]


def _phrase(tokens: list[str], k: int, marked: list[Item], known: Lexicon) -> tuple[Item, int]:
    """The item at token ``k``, and how many tokens it takes: the longest phrase that is known."""
    token = tokens[k]
    if token.startswith("\x02"):
        return marked[int(token[1:-1])], 1
    if token.startswith("#"):
        digits = token[1:]
        if len(digits) in (3, 6):
            full = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
            return Item("colour", {"colour": f"#{full}"}, token), 1
        return Item("unknown", None, token), 1
    for count in range(min(known.longest, len(tokens) - k), 0, -1):
        words = tuple(tokens[k : k + count])
        meaning = known.phrases.get(words)
        if meaning is not None:
            return Item(meaning.kind, meaning.value, " ".join(words)), count
        if count > 1 and "".join(words) in known.colours:  # CSS writes its names in one word
            return Item("colour", {"colour": known.colours["".join(words)]}, " ".join(words)), count
    if token[0].isdigit():
        return Item("number", int(float(token.rstrip("%"))), token), 1
    return Item("unknown", None, token), 1


def _mended(items: list[Item]) -> list[Item]:
    """ "the right one", "a big one in the left ear": a pronoun, not a number."""
    described = ("side", "size", "colour", "comparative", "form")
    for k, item in enumerate(items[1:], 1):
        after = items[k + 1].kind if k + 1 < len(items) else "boundary"
        before = items[k - 1].kind
        noun_comes = after in ("part", "paired", "thing", "makeup", "nostril")
        if item.text == "one" and (before == "side" or (before in described and not noun_comes)):
            item.kind = "pronoun"
    return items
