"""Turns of phrase that mean something else than their words one by one, found in the text before its words are."""

from __future__ import annotations

import re

from avatarkit.edit.colours import oklab
from avatarkit.edit.rules_lexicon import THE, Lexicon, lexicon
from avatarkit.edit.rules_text import Item, MarkedText
from avatarkit.edit.vocabulary import ADDABLE

TATTOOS = "hearts, stars, dots, lines and drops"
HEAD_WIDTH = 0.15  # metres, of a grown-up's head without ears
UNITS = {"head": HEAD_WIDTH, "mm": 0.001, "millimet": 0.001, "cm": 0.01, "centimet": 0.01, "inch": 0.0254}
PAINTERS = (
    r"(?:vincent )?van gogh|(?:claude )?monet|rembrandt|(?:pablo )?picasso|vermeer|(?:gustav )?klimt|cezanne|renoir|(?:leonardo )?da vinci|leonardo|"
    r"michelangelo|caravaggio|(?:edvard )?munch|matisse|(?:salvador )?dali|botticelli|titian|velazquez|goya|degas|manet|modigliani|frida kahlo"
)
BEGINNINGS = "give|put|add|make|wear|turn|dye|paint|remove|let"
"""Verbs with which something else begins."""
PLACED = re.compile(r"\b(?:left|right|above|below|under|behind|front|back|top)\b")
JEWELS = {"pearls": "pearl", "diamonds": "diamond", "gemstones": "gemstone", "jewel": "gemstone", "jewels": "gemstone", "emeralds": "emerald",
          "rubies": "ruby", "sapphires": "sapphire"}  # fmt: skip
SHARES = {"half": 0.5, "a half": 0.5, "a third": 0.333, "one third": 0.333, "twice": 2.0, "a quarter": 0.25, "three times": 3.0, "3 times": 3.0,
          "four times": 4.0, "4 times": 4.0}  # fmt: skip
DIMENSIONS = {
    "big": "size", "large": "size", "long": "length", "thick": "thickness", "full": "thickness", "wide": "width", "broad": "width",
    "tall": "height", "high": "height",
}  # fmt: skip
LESS_SIZE, LESS_SHADE = 0.8, 0.3
GREY, LIGHT, DARK = 0.03, 0.8, 0.4
"""Chroma below which a colour is none, and lightness (OKLab) from which on it is white, up to which black."""
_POSSESSED = r"(?: (?:the|her|his|my|their|its|each|both|either|one|left|right|of|lower|upper))*"


def take_sayings(text: MarkedText, groups: tuple[str, ...]) -> None:
    """Replace them by items, or by plainer words."""
    known = lexicon()
    _take_groups(text, groups, known)
    _take_colours(text, known)
    _take_less(text, known)
    _take_shares(text, known)
    text.take(r"\b(?:on|to|at|in) our (left|right)(?: hand)?(?: side)?\b", lambda m: f"on the viewer's {m[1]}")
    _take_hair(text)
    text.take(
        rf"\b(pearls?|diamonds?|gemstones?|jewels?|emeralds?|sapphires?|ruby|rubies)(?= (?:in|on|to|for|into|onto|through){_POSSESSED} (?P<where>ears?|earlobes?|nose|nostrils?)\b)",
        lambda m: f"{JEWELS.get(m[1], m[1])} {'nose stud' if m['where'].startswith('no') else 'earring'}",
    )  # fmt: skip
    text.take(rf"\boff{THE} (?:face|head)\b", lambda m: " off ")
    figures = (
        r"(?P<{}>rose|flower|butterfly|skull|dragon|anchor|snake|cross|moon|sun|bird|cat|dog|wolf|lion|tribal|spider)"
    )
    text.take(
        rf"\b{figures.format('one')} tattoos?\b|\btattoos? of (?:an? |the )?(?:\w+ )??{figures.format('other')}s?\b",
        lambda m: Item(
            "thing",
            {"target": "tattoo"},
            m[0],
            f"a tattoo of a {m['one'] or m['other']} cannot be painted, only {TATTOOS}; a plain one was taken",
        ),
    )
    text.take(
        r"\b(?:by )?(?P<number>\d+(?:\.\d+)?|an?|half an?|one|two|three) ?(?P<unit>mm|millimet\w+|cm|centimet\w+|inch(?:es)?|head widths?)\b",
        _distance,
    )
    _take_instead(text, known)


def take_only(text: MarkedText) -> None:
    """ "don't touch anything but the hair: make it red"."""
    but = r"(?:but|except(?: for)?|other than|besides|apart from)"
    begins = r"(?=(?:make|paint|dye|turn|colou?r|add|give|put|remove)\b)"
    text.take(rf"\b(?:do not|don't) (?:touch|change|alter|modify|edit) anything,? but {begins}", lambda m: " ")
    it = r"(?=(?:make|paint|dye|turn|colou?r|change|give) (?:it|them)\b)"
    for lead in (
        rf"\b(?:do not|don't|without) (?:touch|change|alter|modify|edit)(?:ing)? anything {but}",
        rf"\b(?:keep|leave) everything {but}",
        rf"\b(?:change|touch) nothing {but}",
        r"\b(?:only change|change only|only touch|touch only)",
    ):
        text.take(
            rf"{lead} ((?:[\w']+ ?){{1,5}}?)(?: (?:alone|as it is|unchanged|the same))? ?(?:[:;,.]|and) ?{it}",
            lambda m: f"{m[1]} , ",
        )


def take_paintings(text: MarkedText) -> None:
    """A painting by whomever is painted in oil: that is the style that there is.  After the styles that have names."""

    def oil(match: re.Match[str]) -> Item:
        words = " ".join(match[0].split())
        note = f"'{words}' became an oil painting; for whose style it is say 'in the style of …' to an image editor such as ip2p"
        return Item("style", ("oil", ""), match[0], note)

    lead = r"\b(?:(?:look|looks|looking) )?(?:(?:like|as|into|by)(?: if)? (?:an? |the )?|an? )?"
    text.take(rf"{lead}(?:{PAINTERS})(?:'s?)?(?: (?:painting|portrait|picture|style|work|masterpiece))?\b(?!')", oil)
    lead = r"\b(?:(?:look|looks|looking) )?(?:like|as|into)(?: an?| the)? "
    text.take(rf"{lead}(?:(?!and |with )[^\W\d_]+ ){{0,3}}(?:painting|fresco|painted portrait)\b", oil)


def _take_groups(text: MarkedText, groups: tuple[str, ...], known: Lexicon) -> None:
    """ "glasses 2": what an earlier edit added, by its name."""
    things = "|".join(sorted((name.replace("_", " ") for name in ADDABLE), key=len, reverse=True))

    def numbered(match: re.Match[str]) -> Item:
        name = f"{match[1]} {match[2]}"
        target = match[1].replace(" ", "_")
        if name in {group.lower() for group in groups}:
            return Item("thing", {"target": target, "group": name}, name)
        there = f"; it has {', '.join(groups)}" if groups else ""
        return Item("impossible", f"the avatar has no group '{name}'{there}", name)

    text.take(
        rf"\b({things}) (?:number )?(\d{{1,2}})\b(?!\.\d)(?! ?(?:%|head |percent|cm\b|mm\b|inch|centi|milli|times|years?|[a-z]+s\b))",
        numbered,
    )


def _take_colours(text: MarkedText, known: Lexicon) -> None:
    """rgb(120, 30, 200), and six digits without their sign."""

    def rgb(match: re.Match[str]) -> Item | None:
        channels = [int(channel) for channel in match.groups()]
        if max(channels) > 255:
            return None
        return Item("colour", {"colour": "#" + "".join(f"{channel:02x}" for channel in channels)}, match[0])

    text.take(r"\brgba? ?\(? ?(\d{1,3}) ?[, ] ?(\d{1,3}) ?[, ] ?(\d{1,3})(?: ?, ?[\d.]+)? ?\)?(?![\w.])", rgb)
    text.take(r"(?<![#\w])(?=[a-f]*\d)[0-9a-f]{6}(?!\w)", lambda m: Item("colour", {"colour": f"#{m[0]}"}, f"#{m[0]}"))


def _take_less(text: MarkedText, known: Lexicon) -> None:
    """ "less wide", "not so big", "less red": the opposite of what is said."""
    with_size = "|".join(sorted(_sizes(known), key=len, reverse=True))
    not_so = r"(?:less|not (?:quite )?(?:so|as|that|too)|(?:isn't|aren't) (?:so|as|that|too)|not such an?)"

    def smaller(match: re.Match[str]) -> Item:
        dimension, factor = known.phrases[match["size"],].value
        return Item("comparative", (dimension, LESS_SIZE if factor > 1 else 1 / LESS_SIZE), match[0])

    text.take(rf"\b{not_so} (?P<size>{with_size})\b(?! (?:set|spaced|apart)\b)", smaller)
    text.take(rf"\b{not_so} full\b", lambda m: Item("comparative", ("thickness", LESS_SIZE), m[0]))
    text.take(r"\b(?:less|not (?:so|as|that)) (?:dark|deep)\b", lambda m: Item("tone", ("lightness", LESS_SHADE), m[0]))
    text.take(
        r"\b(?:less|not (?:so|as|that)) (?:light|pale|bright)\b",
        lambda m: Item("tone", ("lightness", -LESS_SHADE), m[0]),
    )
    text.take(r"\b(?:less|not (?:so|as|that)) (?:vivid|neon|rich|strong|intense|gaudy)(?: in colou?r)?\b", lambda m: Item("tone", ("saturation", -0.4), m[0]))  # fmt: skip
    makeup = "|".join(" ".join(words) for words, meaning in known.phrases.items() if meaning.kind == "makeup")
    text.take(rf"\bless (?={makeup})\b", lambda m: "remove the ")
    colours = "|".join(sorted((name for name in known.colours if " " not in name), key=len, reverse=True))
    text.take(rf"\bless (?P<colour>{colours})\b", lambda m: _less_coloured(m, known))


def _sizes(known: Lexicon) -> list[str]:
    return [words[0] for words, meaning in known.phrases.items() if meaning.kind == "size" and len(words) == 1]


def _less_coloured(match: re.Match[str], known: Lexicon) -> Item:
    light, a, b = oklab(known.colours[match["colour"]])
    if a * a + b * b > GREY * GREY:
        tone, said = ("saturation", -0.4), "less saturated"
    elif light > LIGHT:
        tone, said = ("lightness", -LESS_SHADE), "darker"
    elif light < DARK:
        tone, said = ("lightness", LESS_SHADE), "lighter"
    else:
        tone, said = ("saturation", 0.4), "more saturated"
    return Item("tone", tone, match[0], f"'{match[0]}' was taken for {said}; name a colour for another one")


def _take_shares(text: MarkedText, known: Lexicon) -> None:
    """ "half as thick", "three times as long", "halve the width of"."""
    shares = "|".join(sorted(SHARES, key=len, reverse=True))
    words = "|".join(DIMENSIONS)
    text.take(
        rf"\b(?P<share>{shares}) as (?P<what>{words})\b(?: as\b)?",
        lambda m: Item("comparative", (DIMENSIONS[m["what"]], SHARES[m["share"]]), m[0]),
    )
    numbers = {"two": 2.0, "three": 3.0, "four": 4.0}

    def times(match: re.Match[str]) -> Item:
        dimension, factor = known.phrases[match["what"],].value
        number = max(0.1, numbers[match["number"]] if match["number"] in numbers else float(match["number"]))
        return Item("comparative", (dimension, number if factor > 1 else round(1 / number, 3)), match[0])

    compared = "|".join(words[0] for words, meaning in known.phrases.items() if meaning.kind == "comparative")
    text.take(rf"\b(?P<number>two|three|four|\d+(?:\.\d+)?) times (?:as )?(?P<what>{compared})\b", times)
    text.take(
        rf"\b(?P<how>double|halve|triple){THE} (?P<what>size|length|width|height|thickness|depth)(?= of\b)",
        lambda m: Item("comparative", (m["what"], {"double": 2.0, "halve": 0.5, "triple": 3.0}[m["how"]]), m[0]),
    )


def _take_hair(text: MarkedText) -> None:
    """Shaving, baldness and curls."""
    text.take(rf"\bshave(?: off)?{THE} (?:head|scalp)(?: (?:bald|clean))?\b", lambda m: " bald ")
    text.take(rf"\bshave{THE} face(?: clean)?\b", lambda m: " shave ")
    bald = r"(?:a bit |so |completely |totally |quite )?(?:bald|hairless)"
    text.take(
        rf"\b(?:not|isn't|aren't|no longer|never|without being|stop being|less)(?: be| being)? {bald}(?: (?:any ?more|any longer))?\b",
        lambda m: Item("hairy", None, m[0]),
    )
    negated = r"(?:not|isn't|aren't|less|never)(?: (?:so|as|too|that|be))?"
    for form, other in (("curly", "straight"), ("wavy", "straight"), ("straight", "wavy")):
        note = f"'not {form}' was taken for {other}"
        text.take(rf"\b{negated} {form}\b", lambda m, other=other, note=note: Item("form", other, m[0], note))  # type: ignore[misc]
    text.take(
        rf"\b{negated} (?P<form>round|circular|square|rectangular|oval|heart shaped|star shaped)\b",
        lambda m: Item("impossible", "'{text}' does not say which form it should be; name one, such as 'round'", m[0]),
    )
    text.take(r"\bcurls\b(?! (?:hair|up))", lambda m: "curly hair")
    text.take(rf"\b(?P<how>straighten|curl|perm)(?P<whose>{THE} hair)\b", lambda m: f"make{m['whose']} {'straight' if m['how'] == 'straighten' else 'curly'}")  # fmt: skip


def _distance(match: re.Match[str]) -> Item:
    numbers = {"a": 1.0, "an": 1.0, "half a": 0.5, "half an": 0.5, "one": 1.0, "two": 2.0, "three": 3.0}
    number = numbers[match["number"]] if match["number"] in numbers else float(match["number"])
    unit = next(metres for name, metres in UNITS.items() if match["unit"].startswith(name))
    return Item("distance", number * unit / HEAD_WIDTH, match[0])


def _take_instead(text: MarkedText, known: Lexicon) -> None:
    """ "a goatee instead of a beard": the one that is worn goes first."""
    text.take(r"\bin place of\b", lambda m: "instead of")
    pattern = re.compile(
        rf"\b(?:instead of|rather than) (?P<what>[\w' ]+?)(?=$| (?:and|with|on|in|to|at|{BEGINNINGS})\b| ?[,;.!?]| \x02)"
    )
    place = 0
    while match := pattern.search(text.text, place):
        place = match.end()
        words = match["what"].split()
        begin = max(text.text.rfind(end, 0, match.start()) for end in ".;!?") + 1
        before = text.text[begin : match.start()]
        noun = next((words[k:] for k in range(len(words)) if tuple(words[k:]) in known.phrases), [])
        meaning = known.phrases.get(tuple(noun))
        worn = meaning is not None and meaning.kind == "thing" and meaning.value["target"] != "object"
        changed = re.search(r"\b(?:make|paint|dye|recolou?r|turn|change|tint|colou?r)\b", before)
        if not worn or changed or PLACED.search(match["what"]) or re.search(rf"\b{' '.join(noun)}\b", before):
            continue
        rest = text.text[match.end() :]
        text.text = f"{text.text[:begin]} remove the {' '.join(noun)} . {before} "
        place = len(text.text)
        text.text += rest
