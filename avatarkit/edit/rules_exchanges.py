"""One thing for another: "turn the hat into a crown", "swap the earrings for pearls", "exchange his glasses for round ones"."""

from __future__ import annotations

from dataclasses import replace

from avatarkit.edit.rules_ahead import INDEFINITE, MODIFIERS, is_noun
from avatarkit.edit.rules_text import Item
from avatarkit.edit.rules_things import class_of

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
        new = None if old is None else _noun_after(made, old)
        if old is None or new is None:
            continue
        between = made[old + 1 : new]
        led = any(word.text in (*INTO, *INDEFINITE) for word in between)
        if led and made[new].text == made[old].text:
            made[old + 1 : new + 1] = [word for word in between if word.kind != "filler"]
            return _turned(made)
        things = made[old].kind == "thing" and (made[new].kind == "thing" or is_thing_form(made[new]))
        if not things or made[old].value["target"] == "object" or not (led or _ends_at(made, k, old, new)):
            continue
        add = [Item("and", None, "and"), Item("verb", "add", "add"), Item("filler", None, INSTEAD)]
        made[k] = replace(made[k], value="delete", text="remove")
        made[old + 1 : new] = add + [word for word in between if word.text not in INTO]
        return _turned(made)
    return made


def _ends_at(items: list[Item], k: int, old: int, new: int) -> bool:
    """ "make the earrings hoops": nothing more is said; "make the beanie hat red" describes what has two nouns."""
    following = items[new + 1] if new + 1 < len(items) else None
    general = items[new].kind == "thing" and items[new].value["target"] == class_of(items[old].value["target"])
    twice = general and items[old].value["target"] != items[new].value["target"]
    return items[k].text in ("make", "turn") and not twice and (following is None or following.kind in ENDS)


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
    """ "remove the glasses and add round (ones)": round glasses; what comes instead goes where the other one was."""
    made: list[Item] = []
    old: Item | None = None
    sides: list[Item] = []
    governed = ""
    for k, item in enumerate(items):
        made.append(item)
        if item.kind == "verb":
            adds = item.value == "add" and governed == "delete"
            governed = str(item.value)
            if adds and old is not None:
                rest, note = _instead(items[k + 1 :], old, sides)
                made[-1] = replace(item, note=note)
                return made + _completed(rest)
            sides = []
        elif item.kind == "side" and governed == "delete" and old is None:
            sides.append(item)
        elif item.kind == "thing" and governed == "delete":
            old = item
        elif item.kind == "boundary" and item.text != ",":
            governed, old, sides = "", None, []
    return made


def _instead(rest: list[Item], old: Item, sides: list[Item]) -> tuple[list[Item], str]:
    """What follows "remove the … and add", where a noun left out is the one that went, and a note."""
    instead = bool(rest) and rest[0].text == INSTEAD
    new = _noun_after([Item("verb", "add", "add"), *rest], 0)
    if new is not None:
        new -= 1
        note = _unpainted(old, rest[new]) if instead else ""
        if instead and not any(word.kind in ("side", "both") for word in rest[:new]):
            rest = [*rest[:new], *(replace(side) for side in sides), _of_the_nose(rest[new], old), *rest[new + 1 :]]
        return rest, note
    stop = next((j for j, word in enumerate(rest) if word.kind in ENDS or word.text in STANDS_FOR), len(rest))
    if not rest[:stop] or any(word.kind != "filler" and word.kind not in MODIFIERS for word in rest[:stop]):
        return rest, ""
    ones = stop < len(rest) and rest[stop].text in STANDS_FOR
    return [*rest[:stop], *(replace(side) for side in sides), replace(old), *rest[stop + ones :]], ""


def _of_the_nose(new: Item, old: Item) -> Item:
    """A stud in place of a nose ring is one, too."""
    if old.value["target"] != "nose_ring":
        return new
    if is_thing_form(new) and new.value in ("stud", "hoop"):
        return replace(new, kind="thing", value={"target": "nose_ring", "form": new.value})
    if new.kind == "thing" and new.value["target"] == "earring":
        return replace(new, value={**new.value, "target": "nose_ring"})
    return new
