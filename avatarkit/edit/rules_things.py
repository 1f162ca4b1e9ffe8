"""Things that can be added: what they are called once they are on a head, how many, and with which attributes."""

from __future__ import annotations

from typing import Any

from avatarkit.edit import plan as records
from avatarkit.edit.plan import Attributes
from avatarkit.edit.rules_ahead import DEFINITE
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_records import Phrase
from avatarkit.edit.rules_text import Item

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


def usual_count(phrase: Phrase) -> int:
    """How many without a number: "earrings" are two unless one ear is named, and so is a stud in both ears."""
    place = phrase.place
    one_ear = place is not None and place.paired and bool(place.side)
    if phrase.said.side or one_ear:
        return 1
    both_ears = phrase.value["target"] == "earring" and place is not None and place.names[0] == "ears"
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
    tones: dict[str, Any] = dict(said.tones)
    if said.shades and form != "stubble":
        tones["lightness"] = round(0.8 * lexicon().shades[said.shades[0]][0], 3)
    return Attributes(
        colour=said.colours[0] if said.colours else "",
        material=said.material,
        form=form,
        size=bounded("size", size, notes),
        dimension=dimension,
        count=int(bounded("count", said.count or usual_count(phrase), notes)),
        name=value.get("name", ""),
        **tones,
    )


def bounded(name: str, value: float, notes: list[str]) -> float:
    """``value`` within the plan's range of that name; a note where it was not."""
    low, high = records.RANGES[name]
    if not low <= value <= high:
        notes.append(f"{name} {value:g} is out of bounds; {min(high, max(low, value)):g} was taken")
    return min(high, max(low, value))
