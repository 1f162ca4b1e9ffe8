"""What is said of a noun, put together word by word: colours, tones, sizes."""

from __future__ import annotations

import itertools

from avatarkit.edit.colours import mixed, oklab, shaded
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_records import Modifiers, Phrase
from avatarkit.edit.rules_text import Item

SHADED = {"lighter": "light", "darker": "dark", "brighter": "bright"}


TINGED = 0.4
"""How near to red something comes that becomes redder."""
GREY = (0.03, 0.3, 0.85)
"""Chroma below which a colour between these lightnesses (OKLab) is a grey."""


def add_colour(said: Modifiers, item: Item, *, blends: bool) -> None:
    """A colour with the shades before it.  blends: it follows another one directly ("blue green")."""
    value = item.value.get("colour", "")
    for shade in said.shades:
        value = shaded(value, *lexicon().shades[shade])
    word = item.value.get("material", item.text) if item.text in lexicon().material_nouns else item.text
    words = " ".join((*said.shades, word))
    said.shades = []
    if said.colours and blends:
        greyed = _is_grey(value) != _is_grey(said.colours[-1])  # "grey-blue" is a dull blue
        said.colours[-1] = shaded(mixed(said.colours[-1], value), 0.0, -0.5 if greyed else 0.0)
        said.colour_words[-1] += f" {words}"
    else:
        said.colours.append(value)
        said.colour_words.append(words)
    said.material = item.value.get("material", said.material)


def _is_grey(colour: str) -> bool:
    light, a, b = oklab(colour)
    chroma, least, most = GREY
    return a * a + b * b < chroma * chroma and least < light < most


def weakened(said: Modifiers, degree: float) -> None:
    """What is compared, by so much of it ("lighten the skin a little")."""
    if said.size is not None and said.compared:
        said.size = (said.size[0], round(said.size[1] ** degree, 3))
    said.tones = [(name, max(-1.0, min(1.0, round(degree * share, 3)))) for name, share in said.tones]
    if said.share != 1.0:
        said.share = round(min(1.0, degree * said.share), 3)


def add_size(said: Modifiers, dimension: str, factor: float, *, compared: bool) -> None:
    """A factor along a dimension; a second one multiplies."""
    before = said.size[1] if said.size else 1.0
    said.size = (dimension, round(factor, 3) if before == 1.0 else round(before * factor, 3))
    said.compared = compared


def share_size(size: tuple[str, float], percent: float) -> tuple[str, float]:
    """ "20 % bigger": a size that is compared, by that much instead of the usual."""
    share = percent / 100
    return size[0], round(1 + share if size[1] > 1 else max(0.05, 1 - share), 3)


def inherit(said: Modifiers, like: Modifiers, *, described: bool) -> None:
    """What "one" takes over from the noun that it stands for.  described: it is said to be otherwise, so that colour and what was
    compared are its own."""
    if not described and not said.colours:
        said.colours, said.colour_words = [*like.colours], [*like.colour_words]
        said.share = like.share
        said.shades, said.tones = said.shades or [*like.shades], said.tones or [*like.tones]
    if not said.material and (not described or not like.colours):
        said.material = like.material
    said.form = said.form or like.form
    if said.size is None and not (described and like.compared):
        said.size, said.compared = like.size, like.compared
    said.article = said.article or like.article
    said.count = said.count or like.count


def absorb(said: Modifiers, given: Modifiers) -> None:
    """What was said before a word that turned out to describe an earlier noun ("a tattoo of a red star")."""
    said.colours += given.colours
    said.colour_words += given.colour_words
    said.shades += given.shades
    said.tones += given.tones
    said.share = min(said.share, given.share)
    said.size = said.size or given.size
    said.material = said.material or given.material
    said.count = said.count or given.count


def share_modifiers(phrases: list[Phrase]) -> None:
    """ "black hair and eyebrows": a part that is joined to another and has nothing said of it shares what is."""
    for before, phrase in itertools.pairwise(phrases):
        both = phrase.kind in ("part", "paired") and before.kind in ("part", "paired")
        plain = phrase.said.says_nothing() and not phrase.said.article
        if phrase.joined and both and plain and phrase.verb not in ("delete", "keep") and not phrase.way:
            count = phrase.said.count
            inherit(phrase.said, before.said, described=False)
            phrase.said.count, phrase.said.article = count, ""
        near = phrase.joined and before.kind == phrase.kind == "paired" and not phrase.placed and not before.place
        if near and not phrase.said.article:  # "the left eye and eyebrow"
            phrase.said.side = before.said.side


def pair_singles(phrases: list[Phrase]) -> list[str]:
    """ "one blue eye and one green eye": which is which was not said, and a sentence says so."""
    singles: dict[tuple[str, str, str], list[Phrase]] = {}
    for phrase in phrases:
        if phrase.kind == "paired" and phrase.said.count == 1 and not phrase.said.side:
            singles.setdefault(phrase.names, []).append(phrase)
    for alike in singles.values():
        for phrase, side in zip(alike, ("left", "right"), strict=False):
            phrase.said.side = side
    return [f"which {alike[0].text} was not said; the left one was taken for the first" for alike in singles.values()]
