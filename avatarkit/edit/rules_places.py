"""Where the rules put things, how many, and what has to be done before."""

from __future__ import annotations

from avatarkit.edit.plan import Operation, Region
from avatarkit.edit.rules_records import Phrase
from avatarkit.edit.vocabulary import ADDABLE, targets

HATS = ("hat", "cap", "beanie", "headband")
SIDELESS = (*HATS, "glasses", "sunglasses", "necklace", "beard", "moustache")


def class_of(target: str) -> str:
    """What a thing is called once it is on a head: a cap is a hat, sunglasses are glasses."""
    return "hat" if target in HATS else "glasses" if target == "sunglasses" else target


def usual_count(phrase: Phrase) -> int:
    """How many without a number: "earrings" are two unless one ear is named."""
    place = phrase.place
    one_ear = place is not None and place.names[0] != place.names[1] and bool(place.side)
    return 1 if phrase.said.side or one_ear else int(phrase.value.get("count", 1))


def region_of_thing(phrase: Phrase, notes: list[str], groups: tuple[str, ...]) -> Region | None:
    """Where a new thing goes; None where its own place is meant.  Guesses go to ``notes``."""
    target, side = phrase.value["target"], phrase.said.side
    if phrase.place is not None:
        region = region_of(phrase, notes, groups)
        beside = target == "earring" and region is not None and region.anchor not in ("l_ear", "r_ear", "ears")
        return Region("ears") if beside else region
    if target == "earring":
        if not side and phrase.value.get("count", 1) == 1 and phrase.said.count in (0, 1):
            notes.append("in which ear was not said; the left one was taken")
            side = "left"
        return Region({"left": "l_ear", "right": "r_ear", "": "ears"}[side])
    if side and target in SIDELESS:
        notes.append(f"a {phrase.text} has no side; '{side}' was passed over")
        return None
    if side:
        return Region("nose" if target == "nose_ring" else "face", f"{side}_of")
    return Region(phrase.value["region"]) if "region" in phrase.value else None


def region_of(phrase: Phrase, notes: list[str], groups: tuple[str, ...]) -> Region | None:
    """The region of a phrase's place."""
    place = phrase.place
    if place is None:
        return None
    both, left, right = place.names
    anchor = class_of({"left": left, "right": right, "": both}[place.side])
    if anchor not in targets(groups):
        notes.append(f"a place by '{anchor}' is not known; name a part of the head")
        return None
    relation = place.relation
    if place.side and left == both:  # a side of something that is one: "on the left of the nose"
        if relation == "on":
            relation = f"{place.side}_of"
        else:
            notes.append(f"'{place.side}' was passed over: the place is already said as {relation} the {anchor}")
    return Region(anchor, relation, place.frame if relation in ("left_of", "right_of") else "subject")


def depends_on(operation: Operation, earlier: list[Operation]) -> tuple[int, ...]:
    """Earlier operations that add or remove what this one acts on, takes the place of, or is placed by."""
    own = {operation.target, ADDABLE.get(operation.target, operation.target)}
    own |= {operation.region.anchor} if operation.region else set()
    depends = []
    for i, other in enumerate(earlier):
        changed = {other.target, ADDABLE.get(other.target, other.target)} - {"skin"}
        if other.kind in ("add", "delete", "shape", "move") and own & changed:
            depends.append(i)
    return tuple(depends)
