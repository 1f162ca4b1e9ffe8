"""What is said of a noun, put together word by word: colours, tones, sizes."""

from __future__ import annotations

from avatarkit.edit.colours import mixed, shaded
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_records import Modifiers
from avatarkit.edit.rules_text import Item

SHADED = {"lighter": "light", "darker": "dark", "brighter": "bright"}


def add_colour(said: Modifiers, item: Item, *, blends: bool) -> None:
    """A colour with the shades before it.  blends: it follows another one directly ("blue green")."""
    value = item.value.get("colour", "")
    for shade in said.shades:
        value = shaded(value, *lexicon().shades[shade])
    word = item.value.get("material", item.text) if item.text in lexicon().material_nouns else item.text
    words = " ".join((*said.shades, word))
    said.shades = []
    if said.colours and blends:
        said.colours[-1] = mixed(said.colours[-1], value)
        said.colour_words[-1] += f" {words}"
    else:
        said.colours.append(value)
        said.colour_words.append(words)
    said.material = item.value.get("material", said.material)


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
    said.size = said.size or given.size
    said.material = said.material or given.material
    said.count = said.count or given.count
