"""A prompt to items: phrases of the lexicon in the order in which they stand, and the words that it does not know.

Some phrases are found as a whole first (expressions, styles, likenesses, "on the left of the picture"), since their words mean
something else alone.
"""

from __future__ import annotations

import difflib
import re

from avatarkit.edit.rules_ahead import INDEFINITE, MODIFIERS, next_noun
from avatarkit.edit.rules_exchanges import exchanged
from avatarkit.edit.rules_lexicon import THE, Lexicon, lexicon
from avatarkit.edit.rules_sayings import BEGINNINGS, PLACED, take_only, take_paintings, take_sayings
from avatarkit.edit.rules_sides import framed, take_sides
from avatarkit.edit.rules_spelling import spelled
from avatarkit.edit.rules_text import Item, MarkedText, normalised

NEGATION = re.compile(
    r"\b(?:do not|don't|doesn't|not|stop|never|no|no more|without|isn't|(?:turn|switch|wipe|take) (?:off|away)|wipe|remove|lose|drop|delete|"
    r"get rid of|take away)(?: (?:a|any|the|her|his|my|their|that|look|looking|be|being|too|so))* $"
)
REMOVED = re.compile(r"(?:(?:turn|switch|wipe|take) (?:off|away)|remove|lose|drop|delete|get rid of|take away)\b")
ALSO = re.compile(r" *(?:,|and)(?: and)? (?:the|her|his|my|their|your)\b")
WEAKER = re.compile(
    r"\b(?:less of|less|(?:not|isn't|aren't) (?:so|as|that|too|quite so)|weaken|reduce|tone down|decrease|soften)(?: (?:a|an|the|her|his|my|their|of a|look|looking))* $"
)
DEGREE = re.compile(
    r"(?P<degree>a little bit|a bit|a little|slightly|somewhat|subtly|subtle|very|really|extremely|much|more|super|so) (?:of a |more )?$"
)
AFTER = re.compile(
    r"^ (?P<degree>slightly|a bit|a little bit|a little|a lot|very much|subtly|somewhat|widely|broadly|less|so much|as much|off)\b"
)
WEAKENED = 0.5
"""Of an expression of which there should be less, and not none."""
DEGREES = {
    "": 1.0, "more": 1.0, "so": 1.0, "so much": 1.0, "as much": 1.0, "very": 1.4, "really": 1.4, "much": 1.4, "super": 1.4, "a lot": 1.4,
    "widely": 1.4, "broadly": 1.4, "very much": 1.4, "extremely": 1.6, "less": -WEAKENED, "off": -1.0,
}  # fmt: skip
"""Factor of an expression's weights by what is said of it; 0.5 by anything else that says how much."""
# A noun after "like a", "into a" …: up to three words, none of which begins something else.
NAME = (
    r"(?P<name>(?!(?:bit|tad|touch|lot|few|way)\b)(?:(?!(?:and|with|but|who|that|in|on|at|from|please|now|too|or|wearing|having|without|plus|then|while|instead|as|to|left|right|above|below|under|behind)\b)"
    r"[^\W\d_]+ ?){1,3})"
)
MISSPELT = 0.85  # likeness to a word of the lexicon from which on a name is taken for a slip of the pen
_TOKEN = re.compile(r"\x02\d+\x03|#[0-9a-f]+|\d+(?:\.\d+)?%?|[^\W\d_]+(?:'[^\W\d_]+)*|[,;.!?:&]")


def read_items(prompt: str, groups: tuple[str, ...] = ()) -> list[Item]:
    """The items of ``prompt``; groups: names of what earlier edits added, such as "glasses 2"."""
    known = lexicon()
    words, slips = spelled(normalised(prompt))
    text = MarkedText(words)
    take_only(text)
    for pattern in known.patterns:
        if pattern.kind == "impossible":
            text.take(pattern.pattern, lambda match, p=pattern: Item("impossible", p.note, match[0]))  # type: ignore[misc]
    take_sayings(text, groups)
    take_sides(text)
    _take_wholes(text, known)
    tokens = _TOKEN.findall(text.text)
    items: list[Item] = []
    k = 0
    while k < len(tokens):
        item, used = _phrase(tokens, k, text.items, known)
        items.append(item)
        k += used
    items = framed(_mended(exchanged(items)))
    return items + [Item("filler", None, "", note) for note in slips]


def _take_wholes(text: MarkedText, known: Lexicon) -> None:
    """Expressions, styles, forms, likenesses, and what only says that the rest stays."""
    rest = r"(?:,? ?(?:and |but )?(?:keep|leave|preserve|don't change|do not change|don't touch|without changing|without touching|change)(?:ing)? (?:everything|all|the rest|anything|nothing)(?: else)?(?: (?:the same|alone|unchanged|as is|as it is|untouched|intact))?)"
    text.take(rest, lambda match: " , ")
    text.take(r"\bbut not(?= (?:the|her|his|their|my) )", lambda match: "except")
    text.take(
        r"\btake ((?:\S+ ){1,8}?)(?:off|out)\b(?: of\b)?(?P<place> (?:the|her|his|my|their) )?",
        lambda match: f"remove {match[1]}{'from' if match['place'] else ''}{match['place'] or ''}",
    )
    text.take(
        r"\b(?:with(?: an?| the)? )?(?:wide|broad|big|large|huge) (?:brim|brims|brimmed)\b",
        lambda match: Item("form", "wide_brim", match[0]),
    )
    text.take(r"\b(?:shaped like|in the (?:shape|form) of)(?= an? \w| \w)", lambda match: "of")
    text.take(
        r"\bsubstitute((?: \w+){1,5}?) for((?: \w+){1,4}?)(?=$| (?:and|with|on)\b| ?[,;.!?])",
        lambda match: f"replace{match[2]} with{match[1]}",
    )
    text.take(
        r"\b(?:replace|swap|exchange|switch|substitute|trade)(?: out)?((?: \w+){1,5}?) (?:with|for|by) ",
        lambda match: _replaced(match[1], known),
    )
    text.take(
        r"\b(mouth|lips|eyes) (slightly|a bit|a little|half) (open|closed|parted|shut)\b",
        lambda m: f"{m[2]} {m[1]} {m[3]}",
    )
    text.take(
        rf"\b(?:instead of|rather than) [\w' ]+?(?=$| (?:and|with|on|in|to|at|{BEGINNINGS})\b|[,;.]| \x02)",
        lambda match: Item("aside", None, match[0]) if PLACED.search(match[0]) else " ",
    )
    text.take(
        r"\b(?:from|of) ((?:\w+ ){1,3}?)to\b",
        lambda m: " to " if _is_colour(m[1].strip(), known) and not PLACED.search(m[1]) else None,
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
    text.take(r"\b(\w+) years? (?=younger|older)", lambda m: " " if _is_number(m[1], known) else None)
    text.take(rf"\bin the style of{THE} (?P<name>[\w' ]+?)(?=$| (?:with|and|on|at)\b|\x02|[,;.])", _style_of)
    for pattern in known.patterns:
        if pattern.kind == "style":
            lead = r"(?:(?:as|into|like|in)(?: if (?:she|he|it) (?:is|was|were))?(?: an?| the)? )?"
            text.take(
                re.compile(lead + pattern.pattern.pattern),
                lambda match, p=pattern: _style(match, p.value),  # type: ignore[misc]
            )
    take_paintings(text)
    _take_likenesses(text, known)
    for pattern in known.patterns:
        if pattern.kind == "expression":
            _take_expression(text, pattern.pattern, pattern.value, pattern.note)


def _take_likenesses(text: MarkedText, known: Lexicon) -> None:
    """Whom the person should resemble; beside a part ("red like a clown" of the nose) it is an aside."""

    def likeness(match: re.Match[str]) -> Item | str | None:
        name = match["name"].strip()
        if _of_a_part(match, known):
            return Item("aside", None, match[0])
        if name not in known.identities and _all_known(name, known):
            return f" {name} "  # "look like an old man"
        return Item("identity", known.identities.get(name, name), match[0])

    def becoming(match: re.Match[str]) -> Item | None:
        name = match["name"].strip()
        if name in known.identities:
            return Item("identity", known.identities[name], match[0])
        if _known(name, known) or _expressive(name, known):
            return None  # "into a blonde"
        return Item("aside", None, match[0]) if _of_a_part(match, known) else Item("identity", name, match[0])

    def being(match: re.Match[str]) -> Item | None:
        name = match["name"].strip()
        words = [word for word in name.split() if (word,) not in known.phrases]
        misspelt = any(difflib.get_close_matches(word, known.names(), 1, MISSPELT) for word in words)
        return None if not words or misspelt or _of_a_part(match, known) else becoming(match)

    text.take(rf"\b(?:look|looks|looking|appear|appears) like(?: an?| the)? {NAME}", likeness)
    text.take(rf"\b(?:into|as)(?: an?| the) {NAME}", becoming)
    would = r"(?<!'d )(?<!would )(?<!\bi )(?<!we )"
    text.take(rf"{would}\b(?:just )?like (?:an?|the) {NAME}", likeness)
    text.take(
        rf"{would}\b(?:just )?like (?:an?|the|in|on)\b [\w' ]+?(?=$| and | with |[,;.])",
        lambda m: Item("aside", None, m[0]),
    )
    text.take(rf"\b(?:be|become|becomes|becoming) an? {NAME}", being)
    text.take(rf"(?<=\bmake )(?:him|her|them|me|it) an? {NAME}(?=$|[,;.!?]|and |with )", being)


def _take_expression(text: MarkedText, pattern: re.Pattern[str], weights: dict[str, float], note: str) -> None:
    """Replace matches of one expression, with the negation and the degree around it."""
    place = 0
    while match := pattern.search(text.text, place):
        before, after = text.text[: match.start()], text.text[match.end() :]
        factor, degree = 1.0, ""
        if found := DEGREE.search(before):
            degree, before = found["degree"], before[: found.start()]
        elif found := AFTER.search(after):
            degree, after = found["degree"], after[found.end() :]
        removed = None
        if found := WEAKER.search(before):
            before, factor = before[: found.start()], -WEAKENED
        elif removed := NEGATION.search(before):
            so = removed[0].endswith(("so ", "too ", "that ")) or degree in ("so much", "as much", "so")
            before, factor = before[: removed.start()], -WEAKENED if so else -1.0
        factor *= DEGREES.get(degree, 0.5)
        given = match.groupdict()
        side = given.get("side") or given.get("side2")
        kept = {name: w for name, w in weights.items() if not side or name.endswith(side.capitalize())}
        kept = {name: max(-1.0, min(1.0, round(w * factor, 3))) for name, w in kept.items()}
        mark = text.mark(Item("expression", kept, match[0], note))
        if removed is not None and REMOVED.match(removed[0]) and ALSO.match(after):  # "lose the smile and the hat"
            mark += "remove "
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


def _of_a_part(match: re.Match[str], known: Lexicon) -> bool:
    """Whether a part or thing was named before in the same clause: what follows is said of that, not of the person."""
    clause = re.split(r"[,;.!?]| and | but | then ", match.string[: match.start()])[-1].split()
    nouns = (known.phrases.get(tuple(clause[k : k + n])) for n in (1, 2) for k in range(len(clause)))
    return any(
        noun and noun.kind in ("part", "paired", "thing") and noun.value not in ("face", "head") for noun in nouns
    )


def _all_known(words: str, known: Lexicon) -> bool:
    """Whether every word has a sense, and one of them changes the person ("an old man", "a redhead")."""
    meanings = [known.phrases.get((word,)) for word in words.split()]
    return all(meanings) and any(m and m.kind in ("identity", "colour", "bald") for m in meanings)


def _expressive(words: str, known: Lexicon) -> bool:
    """Whether an expression is among the words ("into a smiling man")."""
    return any(pattern.kind == "expression" and pattern.pattern.search(words) for pattern in known.patterns)


def _known(words: str, known: Lexicon) -> bool:
    """Whether the lexicon has a sense for any of the words ("into a blonde")."""
    return any((word,) in known.phrases and known.phrases[word,].kind != "filler" for word in words.split())


def _replaced(words: str, known: Lexicon) -> str:
    """ "replace the hat with …": one thing goes and another comes; a part stays and changes."""
    noun = known.phrases.get((words.split()[-1],))
    if noun is not None and noun.kind in ("part", "paired"):  # "the blue eyes"
        words = "".join(f" {word}" for word in words.split() if word not in known.colours)
    return f"remove{words} and add instead " if noun is not None and noun.kind == "thing" else f"change{words} to "


def _is_number(word: str, known: Lexicon) -> bool:
    """Whether a word counts: "20", "twenty", "a few"."""
    meaning = known.phrases.get((word,))
    return word.isdigit() or (meaning is not None and meaning.kind in ("number", "filler"))


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
    if token.endswith("'s") and (token[:-2],) in known.phrases:  # "the hat's colour"
        meaning = known.phrases[token[:-2],]
        return Item(meaning.kind, meaning.value, token[:-2]), 1
    if token[0].isdigit():
        return Item("number", int(float(token.rstrip("%"))), token), 1
    return Item("unknown", None, token), 1


def _mended(items: list[Item]) -> list[Item]:
    """ "the right one", "a big one in the left ear", "another on the right": a pronoun, not a number.  "a rose" is a flower."""
    for k, item in enumerate(items):
        if item.text == "rose" and item.kind == "colour" and _is_flower(items, k):
            item.kind, item.value = "thing", {"target": "object", "name": "rose"}
        if item.text == "ones" and item.kind == "unknown":
            item.kind = "filler"
        if item.text in ("one", "another") and k and next_noun(items, k) is None:
            item.kind = "pronoun"
    return items


def _is_flower(items: list[Item], k: int) -> bool:
    """Whether a rose has an article, and is not the colour of something."""
    after = items[k + 1].text if k + 1 < len(items) else ""
    before = next((item for item in reversed(items[:k]) if item.kind not in MODIFIERS), None)
    named = before is not None and before.text in INDEFINITE
    return named and next_noun(items, k) is None and after not in ("colour", "color", "shade", "tone", "hue", "tint")
