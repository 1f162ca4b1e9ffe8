"""One thing for another: "turn the hat into a crown", "swap the earrings for pearls", "exchange his glasses for round ones"."""

from __future__ import annotations

from dataclasses import replace

from avatarkit.edit.rules_ahead import INDEFINITE, MODIFIERS, is_noun
from avatarkit.edit.rules_text import Item

INTO = ("into", "to")
STANDS_FOR = ("one", "ones", "some")
INSTEAD = "instead"
ENDS = ("boundary", "and", "verb")


def exchanged(items: list[Item]) -> list[Item]:
    """``items`` in which what takes the place of another thing is said as a removal and an addition."""
    return _completed(_turned(items))


def _turned(items: list[Item]) -> list[Item]:
    """ "make the hat a fedora" as "remove the hat and add a fedora"; "turn the hat into a red hat" as "turn the hat red"."""
    made = list(items)
    for k, item in enumerate(items):
        if item.kind != "verb" or item.value != "set":
            continue
        old = _noun_after(made, k)
        if old is None or made[old].kind != "thing" or made[old].value["target"] == "object":
            continue
        new = _noun_after(made, old)
        between = [] if new is None else made[old + 1 : new]
        if new is None or not (any(word.text in (*INTO, *INDEFINITE) for word in between) or _ends_at(made, k, new)):
            continue
        if made[new].kind != "thing" and not is_thing_form(made[new]):
            continue
        if made[new].text == made[old].text:
            made[old + 1 : new + 1] = [word for word in between if word.kind != "filler"]
        else:
            note = _unpainted(made[old], made[new])
            add = [Item("and", None, "and"), Item("verb", "add", "add", note)]
            made[k] = replace(made[k], value="delete", text="remove")
            made[old + 1 : new] = add + [word for word in between if word.text not in INTO]
        return _turned(made)
    return made


def _ends_at(items: list[Item], k: int, new: int) -> bool:
    """ "make the earrings hoops": nothing more is said; "make the beanie hat red" describes what has two nouns."""
    following = items[new + 1] if new + 1 < len(items) else None
    return items[k].text in ("make", "turn") and (following is None or following.kind in ("boundary", "and"))


def is_thing_form(item: Item) -> bool:
    """Whether a form stands for a thing: "into hoops", "into a stud"."""
    return item.kind == "form" and is_noun(item)


def _unpainted(old: Item, new: Item) -> str:
    if new.kind != "thing" or new.value["target"] != "object":
        return ""
    return f"a {new.text} is a thing that only an image editor such as ip2p can make; without one the {old.text} goes and no {new.text} comes"


def _noun_after(items: list[Item], k: int) -> int | None:
    """Where the noun after ``k`` stands, with nothing but modifiers, articles and the like before it."""
    for j in range(k + 1, len(items)):
        if is_noun(items[j]):
            return j
        if items[j].kind != "filler" and items[j].kind not in MODIFIERS:
            return None
    return None


def _completed(items: list[Item]) -> list[Item]:
    """ "remove the glasses and add round (ones)": round glasses."""
    made: list[Item] = []
    old: Item | None = None
    governed = ""
    for k, item in enumerate(items):
        if item.kind == "verb":
            adds = item.value == "add" and governed == "delete"
            governed = str(item.value)
            made.append(item)
            if not adds or old is None:
                continue
            if k + 1 < len(items) and items[k + 1].text == INSTEAD:
                new = _noun_after(items, k)
                made[-1] = replace(item, note=item.note or ("" if new is None else _unpainted(old, items[new])))
            stop = next(
                (j for j in range(k + 1, len(items)) if items[j].kind in ENDS or items[j].text in STANDS_FOR),
                len(items),
            )
            between = items[k + 1 : stop]
            ones = stop < len(items) and items[stop].text in STANDS_FOR
            if not between or any(
                is_noun(word) or (word.kind != "filler" and word.kind not in MODIFIERS) for word in between
            ):
                continue
            if ones:
                items[stop] = replace(old, text=old.text)
            else:
                items[stop - 1 : stop] = [items[stop - 1], replace(old)]
            return made + _completed(items[k + 1 :])
        if item.kind == "thing" and governed == "delete":
            old = item
        if item.kind == "boundary" and item.text != ",":
            governed, old = "", None
        made.append(item)
    return made
