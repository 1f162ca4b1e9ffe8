"""Items to noun phrases: which colour, size, side and place belongs to which thing, and which verb governs it.

A modifier belongs to the noun that follows it directly ("black glasses"), else to the noun before it ("make the glasses black"),
and nouns that are joined share what is said of one of them ("make the hair and the eyebrows black").
"""

from __future__ import annotations

from collections.abc import Callable

from avatarkit.edit import rules_descriptions as descriptions
from avatarkit.edit import rules_whereabouts as whereabouts
from avatarkit.edit.rules_ahead import ARTICLES, described_ahead, next_noun
from avatarkit.edit.rules_assembly import Assembly
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_records import Phrase, Understood, Way
from avatarkit.edit.rules_text import Item

SENTENCE_ENDS = (".", ";", "!", "?", "then", "but")
AFTERWARDS = ("removed", "deleted", "erased", "taken off", "gone")
"""Verbs that stand behind what they govern."""


def assemble(items: list[Item]) -> Understood:
    """The phrases of ``items``."""
    now = Assembly(items)
    for k, item in enumerate(items):
        if item.note and item.kind != "expression":
            now.result.notes.append(item.note)
        HANDLERS[item.kind](now, k, item)
        if item.kind not in ("filler", "and", "boundary"):
            now.after_and = False
    whereabouts.settle(now)
    if now.relation is not None:
        now.word(now.relation.text)
    pending = now.pending
    if not pending.says_nothing() and not now.group:
        words = pending.colour_words or pending.shades or [pending.form or pending.material]
        said = words[0] or ("that size" if pending.size else "that change")
        now.result.notes.append(f"'{said}' was said of nothing that is known")
    return now.result


# --- structure


def on_filler(now: Assembly, k: int, item: Item) -> None:
    if item.text in (*ARTICLES, "each"):
        now.pending.article = item.text
    elif item.text in ("to", "into", "from", "off", "of", "for", "by"):
        if whereabouts.leads_to_place(now, k):
            now.relation = Item("relation", "beside" if item.text == "by" else "on", item.text)
        now.bare = now.bare and item.text == "of"


def on_and(now: Assembly, k: int, item: Item) -> None:
    now.after_and, now.joining, now.bare = True, "and", False


def on_boundary(now: Assembly, k: int, item: Item) -> None:
    whereabouts.settle(now)
    if item.text in SENTENCE_ENDS:
        now.verb, now.way = "", Way()
        now.group, now.early, now.anchored = [], None, None
    now.after_and = item.text == ","
    now.joining = "," if item.text == "," else ""
    now.bare = now.negated = False


def on_verb(now: Assembly, k: int, item: Item) -> None:
    whereabouts.settle(now)
    verb = item.value
    if verb == "add" and item.text in ("with", "has", "have", "having") and now.verb == "keep":
        return
    if now.negated and verb in ("add", "set"):
        verb = "delete" if verb == "add" else "keep"
    now.negated = False
    alone = next_noun(now.items, k, articles=True) is None
    for phrase in now.group if alone else ():  # "the hat should be red", "the hat should be removed"
        if item.text in AFTERWARDS or (verb == "set" and not phrase.verb):
            phrase.verb = verb
    now.verb, now.first_of_verb = verb, True
    now.way = Way(lexicon().lowering.get(item.text, (0, 0, 0)) if verb == "move" else (0, 0, 0))
    if item.text in ("shave", "shave off") and alone:
        _single(now, "shave", item)
    if verb in ("delete", "keep", "move"):
        now.group, now.bare = [], False


def on_not(now: Assembly, k: int, item: Item) -> None:
    now.negated = True


def on_unknown(now: Assembly, k: int, item: Item) -> None:
    now.result.unknown.append(item.text)


def on_aside(now: Assembly, k: int, item: Item) -> None:
    now.result.asides.append(item.text)


def on_impossible(now: Assembly, k: int, item: Item) -> None:
    now.result.notes.append(str(item.value).replace("{text}", item.text[:80]))


def on_unplaced(now: Assembly, k: int, item: Item) -> None:
    now.result.notes.append(f"'{item.text}' does not say which; say the left, right, upper, lower, front or back half")


# --- nouns


def on_noun(now: Assembly, k: int, item: Item) -> None:
    now.noun(k, item)


def on_pronoun(now: Assembly, k: int, item: Item) -> None:
    """ "one": the noun before once more; after a relation the part that was a place before ("below the right one")."""
    relation, phrases = now.relation, now.result.phrases
    if relation is not None:
        noun = next((p.place.noun for p in reversed(phrases) if p.place is not None and p.place.noun is not None), None)
        if noun is not None:
            now.noun(k, Item(noun.kind, noun.value, noun.text))
            return
        now.word(f"{relation.text} {item.text}")
    before = next((p for p in reversed(phrases) if p.kind in ("part", "paired", "thing", "detail")), None)
    now.relation = None
    if before is None:
        now.result.unknown.append(item.text)
        return
    now.pending.count = now.pending.count or 1
    now.alike(before, described=described_ahead(now.items, k))


# --- what needs no noun


def _single(now: Assembly, kind: str, item: Item) -> None:
    phrase = Phrase(kind, item.value, now.verb, item.text, degree=now.degree)
    if item.note:
        phrase.notes.append(item.note)
    now.degree = 1.0
    now.result.phrases.append(phrase)


def on_single(now: Assembly, k: int, item: Item) -> None:
    _single(now, item.kind, item)


def on_identity(now: Assembly, k: int, item: Item) -> None:
    """ "an old woman" and "a zombie" are identities; "old hat" is not, and "zombie skin" says nothing that a plan could."""
    known = lexicon().phrases.get(tuple(item.text.split()))
    if known is not None and now.noun_ahead(k):
        if item.value == "older":
            return
        if item.value not in ("younger", "masculine", "feminine"):
            now.result.asides.append(item.text)
            return
    _single(now, "identity", item)


HANDLERS: dict[str, Callable[[Assembly, int, Item], None]] = {
    "filler": on_filler, "and": on_and, "boundary": on_boundary, "verb": on_verb, "not": on_not, "unknown": on_unknown,
    "aside": on_aside, "impossible": on_impossible, "unplaced": on_unplaced,
    "colour": descriptions.on_colour, "shade": descriptions.on_shade, "material": descriptions.on_material,
    "form": descriptions.on_form, "size": descriptions.on_size, "comparative": descriptions.on_comparative,
    "percent": descriptions.on_percent, "tinge": descriptions.on_tinge, "distance": descriptions.on_distance, "hairy": on_single, "tone": descriptions.on_tone, "degree": descriptions.on_degree, "number": descriptions.on_number,
    "side": whereabouts.on_side, "half": whereabouts.on_half, "both": whereabouts.on_both, "direction": whereabouts.on_direction,
    "relation": whereabouts.on_relation, "region": whereabouts.on_region,
    "part": on_noun, "paired": on_noun, "thing": on_noun, "makeup": on_noun, "nostril": on_noun, "detail": on_noun,
    "pronoun": on_pronoun, "expression": on_single, "style": on_single, "bald": on_single, "shaven": on_single, "identity": on_identity,
}  # fmt: skip
