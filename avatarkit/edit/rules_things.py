"""Things that can be added: what they are called once they are on a head, how many, and with which attributes."""

from __future__ import annotations

from typing import Any

from avatarkit.edit import plan as records
from avatarkit.edit.plan import Attributes
from avatarkit.edit.rules_ahead import DEFINITE
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_records import Phrase
from avatarkit.edit.rules_text import Item
from avatarkit.edit.vocabulary import COUNTED, FORMS_OF

HATS = ("hat", "cap", "beanie", "headband")
SEVERAL = ("earring", "necklace", "nose_ring", "tattoo", "object")
"""Of which a head may have more than one."""


def class_of(target: str) -> str:
    """What a thing is called once it is on a head: a cap is a hat, sunglasses are glasses."""
    return "hat" if target in HATS else "glasses" if target == "sunglasses" else target


def merged_thing(before: Phrase, item: Item) -> bool:
    """Whether ``item`` names the thing directly before it once more, which then has taken it up: "chain necklace", "beanie hat"."""
    one, other = before.value, item.value
    if before.kind != "thing" or class_of(one["target"]) != class_of(other["target"]) or one["target"] == "object":
        if before.kind != "thing" or "form" not in one or other["target"] == "object":
            return False
        before.said.form = before.said.form or one["form"]  # "teardrop earrings"
        before.value = other
    else:
        general = one["target"] == class_of(one["target"])
        before.value = {**one, **other, "target": other["target"] if general else one["target"]}
        if "form" in one:
            before.value["form"] = one["form"]
    before.text = f"{before.text} {item.text}"
    return True


def place_ring(phrase: Phrase) -> None:
    """Take a ring, a stud or a hoop for what it is where it hangs: in the nose, in a lip, in an eyebrow; else it is of an ear."""
    place, value = phrase.place, phrase.value
    if value["target"] != "earring" or place is None:
        return
    part = place.names[0]
    if part == "nose":
        phrase.value = {**value, "target": "nose_ring"}
        if phrase.verb in ("delete", "keep", "move") and not place.side and place.relation == "on":
            place.use()  # where else
            phrase.place = None
    elif "ring" in value and part in ("lips", "u_lip", "l_lip", "whole_mouth", "brows"):
        phrase.value = {"target": "object", "name": "eyebrow ring" if part == "brows" else "lip ring"}


def drop_strange_form(phrase: Phrase, notes: list[str]) -> bool:
    """Whether a thing can have the form that is said of it, or none is; one that it cannot have is told and left out."""
    said, forms = phrase.said, FORMS_OF[phrase.value["target"]]
    if not said.form or said.form in forms:
        return True
    known = f"; it has {', '.join(forms)}" if forms else ""
    notes.append(f"'{said.form}' was passed over: {phrase.text} has no such form{known}")
    said.form = ""
    return False


def is_definite(phrase: Phrase) -> bool:
    """Whether a thing is described that is there already, as far as words tell: "make the hat …"."""
    return phrase.verb == "set" and phrase.said.article in DEFINITE


def is_named_alone(phrase: Phrase) -> bool:
    """Whether what is there is only named: "… the beard"."""
    said = phrase.said
    return phrase.verb in ("", "set") and said.article in DEFINITE and said.says_nothing() and not phrase.placed


def is_meant_to_be_there(phrase: Phrase) -> bool:
    """Whether a mark or an object is described that the avatar has already: "make the star tattoo blue"."""
    said = phrase.said
    described = said.colours or said.tones or said.shades or (said.size is not None and said.compared)
    return bool(described) and is_definite(phrase) and phrase.place is None and not said.side


def usual_count(phrase: Phrase) -> int:
    """How many without a number: "earrings" are two unless one ear is named, and so is a stud in both ears."""
    place = phrase.place
    one_ear = place is not None and place.paired and bool(place.side)
    if phrase.said.side or one_ear:
        return 1
    both_ears = phrase.value["target"] == "earring" and place is not None and place.names[0] == "ears"
    if both_ears and place is not None and place.one_of_two:
        return 1
    return 2 if both_ears else int(phrase.value.get("count", 1))


def changes_what_is_there(phrase: Phrase, here: bool | None, notes: list[str]) -> bool:
    """Whether a thing that is described is meant to be there already: "make the glasses red", "red glasses" where some are."""
    said = phrase.said
    if here is False or said.says_nothing():
        return False
    definite = said.article in DEFINITE
    if phrase.verb == "add" and not definite:
        if here and phrase.value["target"] not in SEVERAL:
            notes.append(
                f"the avatar has a {phrase.text} already and one is added; say 'make the {phrase.text} …' to change it"
            )
        return False
    plain = not said.form and (said.colours or said.tones or said.size or said.shades)
    if here:
        return bool(plain) and said.article != "another"
    return bool(plain) and ((phrase.verb == "set" and definite) or said.compared or bool(said.tones))


def thing_attributes(target: str, phrase: Phrase, notes: list[str]) -> Attributes:
    """The attributes of a thing that is added.  What is out of bounds or said twice goes to ``notes``."""
    said, value = phrase.said, phrase.value
    form = said.form or value.get("form", "")
    size, dimension = 1.0, ""
    if said.size is not None:
        dimension, size = said.size
        if target == "beard" and (dimension, size) == ("length", 0.6):
            form, size, dimension = form or "short", 1.0, ""
        dimension = "" if dimension == "size" else dimension
    if len(said.colours) > 1:
        notes.append(f"two colours were named for the {phrase.text}; the first is in the plan")
    if form not in FORMS_OF[target]:  # "a star nose ring", where the noun has its form by itself
        form = ""
    count = said.count or usual_count(phrase)
    if count > 1 and target not in COUNTED:
        notes.append(f"a head has one {target.replace('_', ' ')}, not {count}; one is added")
        count = 1
    tones: dict[str, Any] = dict(said.tones)
    if said.shades and form != "stubble":
        tones["lightness"] = round(0.8 * lexicon().shades[said.shades[0]][0], 3)
    return Attributes(
        colour=said.colours[0] if said.colours else "",
        material=said.material,
        form=form,
        size=bounded("size", size, notes),
        dimension=dimension,
        count=int(bounded("count", count, notes)),
        name=value.get("name", ""),
        **tones,
    )


def bounded(name: str, value: float, notes: list[str]) -> float:
    """``value`` within the plan's range of that name; a note where it was not."""
    low, high = records.RANGES[name]
    if not low <= value <= high:
        notes.append(f"{name} {value:g} is out of bounds; {min(high, max(low, value)):g} was taken")
    return min(high, max(low, value))
