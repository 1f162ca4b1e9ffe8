"""What gets another form: new hair, new glasses in place of those that are there; and what a plan's operations leave alone."""

from __future__ import annotations

from dataclasses import replace

from avatarkit.edit import plan as records
from avatarkit.edit.captions import said as word
from avatarkit.edit.captions import with_texts
from avatarkit.edit.plan import Operation
from avatarkit.edit.rules_ahead import DEFINITE
from avatarkit.edit.rules_places import depends_on, region_of, region_of_thing
from avatarkit.edit.rules_records import Phrase
from avatarkit.edit.rules_things import SEVERAL, class_of, thing_attributes
from avatarkit.edit.vocabulary import ANCHORS_OF, FORMS_OF, HALVES, PAINTED
from avatarkit.labels import LABELS


def new_hair(phrase: Phrase, bald: bool, notes: list[str]) -> list[Operation]:
    """ "pink curly hair": hair of a form is grown anew, after the present hair is gone.  bald: there is none to go."""
    if phrase.placed:
        form = phrase.said.form or "new hair"
        for place in phrase.words():
            place.used = True
        notes.append(f"only all of the hair can become {form}, not a part of it")
        return []
    attributes = thing_attributes("hair", replace(phrase, value={"target": "hair"}), notes)
    added = Operation("add", "hair", None, replace(attributes, material="", count=1))
    if bald:
        return [added]
    colour = "" if phrase.said.colours else ", in the colour of the eyebrows unless one is named"
    notes.append(f"{phrase.said.form} hair is new hair in place of the present one{colour}")
    return [Operation("delete", "hair"), added]


def is_renewed(phrase: Phrase, here: bool | None) -> bool:
    """Whether a thing that is there gets another form: "make the glasses round", "rounder glasses"."""
    said, target = phrase.said, phrase.value["target"]
    if target in (*PAINTED, "object") or said.form not in FORMS_OF[target] or here is False:
        return False
    definite = said.article in DEFINITE
    if here and target not in SEVERAL and phrase.verb != "add" and said.article != "another":
        return True
    return said.compared or (phrase.verb == "set" and definite)


def new_thing(phrase: Phrase, notes: list[str], groups: tuple[str, ...]) -> list[Operation]:
    """The thing that is there goes and one of the form that is said comes."""
    target, said = phrase.value["target"], phrase.said
    gone = Operation("delete", class_of(target), region_of("delete", class_of(target), phrase, notes, groups))
    if gone.region is None and target == "earring":  # both of them
        phrase.value = {"count": 2, **phrase.value}
    attributes = thing_attributes(target, phrase, notes)
    colour = "" if said.colours else ", in the usual colour unless one is named"
    notes.append(f"{word(said.form)} {phrase.text}: new, in place of what is there{colour}")
    region = gone.region
    if region is None or region.anchor not in ANCHORS_OF.get(target, (region.anchor,)):
        region = region_of_thing(phrase, notes, groups)
    return [gone, Operation("add", target, region, attributes)]


def finished(
    operations: list[Operation],
    kept: tuple[str, ...],
    labels: frozenset[str] | None,
    unwanted: list[str],
    notes: list[str],
) -> list[Operation]:
    """The operations with what they leave alone, what must not appear and what they wait for; at most as many as a plan has."""
    negative = ", ".join(unwanted)[: records.MAX_TEXT]
    operations = [
        changed for one in operations for changed in [_other_half(one, kept, labels, notes)] if changed is not None
    ]
    made = [
        replace(
            operation,
            preserve=tuple(label for label in kept if label != operation.target),
            negative=negative,
            depends_on=depends_on(operation, operations[:i]),
        )
        for i, operation in enumerate(operations)
    ]
    if len(made) > records.MAX_OPERATIONS:
        notes.append(f"{len(made)} edits were asked for; the first {records.MAX_OPERATIONS} are in the plan")
    return made[: records.MAX_OPERATIONS]


def _other_half(
    operation: Operation, kept: tuple[str, ...], labels: frozenset[str] | None, notes: list[str]
) -> Operation | None:
    """ "blue eyes, but keep the left one": of the right one; None where both are kept."""
    halves = HALVES.get(operation.target, ())
    staying = [name for name in halves if name in kept]
    if not staying or operation.region is not None or operation.kind == "add":
        return operation
    if len(staying) == 2:
        notes.append(f"the {word(operation.target)} are to change and to stay; they stay")
        return None
    other = halves[1 - halves.index(staying[0])]
    if labels is not None and other in LABELS and other not in labels:
        notes.append(f"the avatar shows no {word(other)}")
        return None
    return with_texts(replace(operation, target=other, prompt="", source_caption="", target_caption=""))
