"""What follows an item of a prompt: whether a noun, a description or a place comes next, and so to what a word belongs."""

from __future__ import annotations

from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_text import Item

INDEFINITE = ("a", "an", "some", "another")
DEFINITE = ("the", "her", "his", "my", "their", "its", "your", "our", "this", "that", "these", "those")
ARTICLES = (*INDEFINITE, *DEFINITE)
LINKS = ("to", "as", "for", "of", "off", "from")
DESCRIBES = ("colour", "shade", "material", "size", "comparative", "tone", "tinge", "percent")
MODIFIERS = (*DESCRIBES, "form", "degree", "side", "half", "number")
NOUNS = ("part", "paired", "thing", "makeup", "nostril", "pronoun", "detail")
PARTS = ("part", "paired", "nostril")


def is_noun(item: Item) -> bool:
    """Whether an item is a noun, or a form that stands for one (a star)."""
    return item.kind in NOUNS or (item.kind == "form" and item.value in lexicon().form_nouns)


def next_noun(items: list[Item], k: int, *, articles: bool = False, shared: bool = False) -> Item | None:
    """The noun after item ``k`` with nothing but modifiers before it; None where something else comes first.

    articles: whether articles may stand between; shared: whether "and" may between two colours ("red and blue hair").
    """
    colours_only = items[k].kind in ("colour", "material", "form", "shade")
    later = items[k + 1 :]
    for i, item in enumerate(later):
        if is_noun(item):
            return item
        if item.kind == "filler" and (articles or item.text not in (*ARTICLES, *LINKS)):
            continue
        joins = item.kind == "and" and colours_only and shared and i + 1 < len(later)
        if joins and later[i + 1].kind == "colour":
            continue
        if item.kind not in MODIFIERS:
            return None
    return None


def described_ahead(items: list[Item], k: int) -> bool:
    """Whether what follows item ``k`` describes what stands before it: "the right one green", "the right should be green"."""
    for j in range(k + 1, len(items)):
        item = items[j]
        if item.kind in DESCRIBES:
            return next_noun(items, j) is None
        if (
            is_noun(item)
            or item.kind in ("boundary", "and", "relation")
            or (item.kind == "verb" and item.value != "set")
        ):
            return False
    return False


def place_ahead(items: list[Item], k: int) -> bool:
    """Whether a place follows item ``k`` before anything else is named: "blue on the left", "green above the ear"."""
    for j in range(k + 1, len(items)):
        item = items[j]
        if item.kind in ("side", "half"):
            return next_noun(items, j) is None
        if item.kind == "relation" and next_noun(items, j, articles=True) is not None:
            return True
        if is_noun(item) or item.kind in ("boundary", "and", "verb"):
            return False
    return False


def ends_here(items: list[Item], k: int) -> bool:
    """Whether nothing is said any more of the noun at ``k``: the stretch ends, or a verb or "and" follows."""
    following = next((item for item in items[k + 1 :] if item.kind != "filler"), None)
    return (
        following is None
        or following.kind in ("boundary", "and")
        or (following.kind == "verb" and following.value != "set")
    )


def noun_later(items: list[Item], k: int) -> bool:
    """Whether another noun follows the one at ``k`` in the same stretch: "on the left cheek a star"."""
    for item in items[k + 1 :]:
        if is_noun(item):
            return True
        if item.kind in ("boundary", "verb", "relation", "and"):
            return False
    return False
