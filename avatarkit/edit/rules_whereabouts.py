"""Sides, halves, relations and directions: to which noun each of them belongs."""

from __future__ import annotations

from dataclasses import replace

from avatarkit.edit.rules_ahead import ARTICLES, DEFINITE, PARTS, described_ahead, is_noun, next_noun
from avatarkit.edit.rules_assembly import Assembly
from avatarkit.edit.rules_records import Phrase, Place, PlaceWord
from avatarkit.edit.rules_sides import own_side
from avatarkit.edit.rules_text import Item

MIRRORED = ("earring", "nose_ring")  # "on both sides" means two of them


def on_side(now: Assembly, k: int, item: Item) -> None:
    word, side = now.word(item.text), own_side(item)
    if now.noun_ahead(k):
        said = now.pending
    elif now.verb == "move" and not _stands(now, k):
        _moved(now, {"left": (1, 0, 0), "right": (-1, 0, 0)}[side], word)
        return
    elif now.anchored is not None and not now.anchored.side:
        now.anchored.side, now.anchored.side_frame = side, item.frame
        now.anchored.words.append(word)
        return
    else:
        last = _placeable(now, k)
        if last is not None and last.pattern is not None and last.pattern.paired and last.place is None:
            last.place = replace(last.pattern, side=side, side_frame=item.frame, words=[word])
            return
        said = last.said if last is not None else now.pending
    if not said.side:
        said.side, said.side_frame, said.side_word = side, item.frame, word


def on_half(now: Assembly, k: int, item: Item) -> None:
    word = now.word(item.text)
    last = None if now.noun_ahead(k) else _placeable(now, k)
    said = last.said if last is not None else now.pending
    if not said.half:
        said.half, said.half_frame, said.half_word = item.value, item.frame, word


def _placeable(now: Assembly, k: int) -> Phrase | None:
    """The noun before, or that noun once more if it has its place already: "the left one red and the right blue"."""
    if now.last is not None and now.last.placed and now.joining:
        return now.alike(now.last, described=described_ahead(now.items, k))
    return now.last


def on_both(now: Assembly, k: int, item: Item) -> None:
    last = now.last
    if last is not None and last.kind == "thing":
        if last.value["target"] in MIRRORED:
            last.said.count = 2 * max(1, last.said.count)
        else:
            now.word(item.text)


def on_direction(now: Assembly, k: int, item: Item) -> None:
    word = now.word(item.text)
    if now.verb == "move":
        following = now.items[k + 1 : k + 3]
        now.along = bool(now.group) and bool(following) and following[0].text in DEFINITE and is_noun(following[-1])
        _moved(now, item.value, word)


def _moved(now: Assembly, direction: tuple[int, int, int], word: PlaceWord) -> None:
    for phrase in now.group:
        phrase.way = phrase.way.and_also(direction, word)
        phrase.go(now.distance, direction)
    now.distance = 0.0
    if not now.group:
        now.way = now.way.and_also(direction, word)


def _stands(now: Assembly, k: int) -> bool:
    """Whether a side says where the thing is that moves ("the earring on the left"), not where to ("to the left")."""
    before = [item for item in now.items[:k] if item.text not in ARTICLES]
    words = now.items[k].text.split()
    return words[0] in ("on", "at", "in") or bool(before and before[-1].kind == "relation")


def on_relation(now: Assembly, k: int, item: Item) -> None:
    settle(now)
    if now.noun_ahead(k, articles=True):
        now.relation = item
    elif item.value != "on":  # "put a hat on" says no more than "put a hat"
        now.word(item.text)


def on_region(now: Assembly, k: int, item: Item) -> None:
    settle(now)
    anchor, relation = item.value
    now.put(k, Place(relation, (anchor,) * 3, words=[now.word(item.text)]))


def leads_to_place(now: Assembly, k: int) -> bool:
    """Whether the filler at ``k`` ("to", "from", "of" …) leads to the part that the noun before it is on: "to her left ear"."""
    word, last = now.items[k].text, now.last
    following = next_noun(now.items, k, articles=True)
    if last is None or following is None or now.relation is not None:
        return False
    if word == "of":
        return following.kind in PARTS and is_noun(now.items[k - 1])
    if word == "to" and now.verb in ("", "add", "move"):
        thing = following.kind == "thing" and now.verb == "add"
        return (following.kind in PARTS or thing) and (last.kind in ("thing", "makeup", "detail") or now.verb == "move")
    if word in ("from", "off"):
        return following.kind in PARTS and now.verb == "delete"
    return word in ("for", "by") and following.kind in PARTS and last.kind == "thing" and now.verb in ("", "add")


def settle(now: Assembly) -> None:
    """At the end of a stretch: a place and modifiers without a noun describe that place ("blue on the left ear")."""
    place = now.early
    if place is None or place.noun is None or now.pending.says_nothing() or now.group:
        return
    now.early = None
    noun = place.noun
    phrase = now.phrase(now.made(Item(noun.kind, noun.value, noun.text)))
    own, others = place.words[0] if place.words else None, place.words[1:]
    for word in others:
        word.used = True  # the first one tells
    if place.relation != "on":
        phrase.said.half, phrase.said.half_frame, phrase.said.half_word = place.relation, place.frame, own
    if place.side and place.relation != "on" and not place.paired:
        now.word(place.side)  # "above the left mouth": a place has one of the two
    elif place.side:
        phrase.said.side, phrase.said.side_frame = place.side, place.side_frame
        phrase.said.side_word = own if place.relation == "on" else None
