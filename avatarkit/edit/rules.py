"""The `rules` refiner: prompts to plans without a model, a key or a network.  The same prompt gives the same plan.

It reads what ``lexicon.yaml`` knows, and says what it did not understand: a plan of it is never a guess that is not mentioned.
"""

from __future__ import annotations

from dataclasses import replace

from avatarkit.edit import plan as records
from avatarkit.edit.captions import keyframe_texts, said, with_texts
from avatarkit.edit.plan import (
    Attributes,
    EditPlan,
    EditRequest,
    FinalRequest,
    KeyframeText,
    Operation,
    Weight,
)
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_modifiers import pair_singles, share_modifiers
from avatarkit.edit.rules_persons import identity_of, style_of
from avatarkit.edit.rules_phrases import assemble
from avatarkit.edit.rules_places import makeup_place, region_of, region_of_thing, target_of
from avatarkit.edit.rules_reading import read_items
from avatarkit.edit.rules_records import Phrase, Understood
from avatarkit.edit.rules_renewal import finished, is_renewed, new_hair, new_thing
from avatarkit.edit.rules_things import (
    bounded,
    changes_what_is_there,
    class_of,
    drop_strange_form,
    is_definite,
    is_meant_to_be_there,
    is_named_alone,
    place_ring,
    thing_attributes,
)
from avatarkit.edit.vocabulary import ADDABLE, FORMS_OF, GROUPS, LASTING, PAINTED, targets
from avatarkit.errors import nearest
from avatarkit.events import Run
from avatarkit.labels import LABELS

STEP = 0.1  # head widths: "move it up"


class RulesRefiner:
    """``avatarkit.contracts.Refiner``: deterministic, offline."""

    def refine(self, request: EditRequest, run: Run) -> EditPlan:
        """The plan; without operations, and with a sentence about it, where nothing was understood."""
        return read_prompt(request)

    def finalise(self, request: FinalRequest, run: Run) -> tuple[KeyframeText, ...]:
        """Instruction and caption for each keyframe: the operation's, with the view and the region's place."""
        return keyframe_texts(request)


def read_prompt(request: EditRequest) -> EditPlan:
    """The plan of a prompt, by the rules."""
    understood = assemble(read_items(request.prompt[: records.MAX_PROMPT], request.groups))
    return _Meaning(request, understood).plan()


class _Meaning:
    """Phrases to operations."""

    def __init__(self, request: EditRequest, understood: Understood) -> None:
        self.request = request
        self.understood = understood
        self.operations: list[Operation] = []
        self.preserve: list[str] = []
        self.notes: list[str] = list(understood.notes)

    def plan(self) -> EditPlan:
        share_modifiers(self.understood.phrases)
        self.notes += pair_singles(self.understood.phrases)
        for phrase in self.understood.phrases:
            self.notes += phrase.notes
            before = len(self.operations), len(self.notes)
            if phrase.kind in ("part", "paired"):
                self.part(phrase)
            else:
                getattr(self, phrase.kind)(phrase)
            if len(self.operations) == before[0] and len(self.notes) > before[1]:
                for word in phrase.words():  # why nothing comes of it is said already
                    word.used = True
        self.words_left_over()
        kept = tuple(dict.fromkeys(self.preserve))
        operations = finished(self.operations, kept, self.request.labels, self.understood.unwanted, self.notes)
        notes = [note[: records.MAX_TEXT] for note in dict.fromkeys(self.notes)][: records.MAX_AMBIGUITIES]
        return EditPlan(self.request.prompt, tuple(operations), tuple(notes), "rules")

    def words_left_over(self) -> None:
        """What was not understood: words, and places that no operation took up."""
        known = lexicon().names()
        for place in self.understood.places:
            if not place.used:
                self.notes.append(f"'{place.text[:80]}' says where, but no operation of the plan is placed by it")
        unknown = dict.fromkeys(self.understood.unknown)
        for word in unknown:
            self.notes.append(f"'{word[:40]}' was not understood{nearest(word[:40], known)}")
        for text in dict.fromkeys(self.understood.asides):
            self.notes.append(f"'{text[:80]}' was passed over; say what it should look like")
        if not self.operations and not self.notes:
            what = "what is kept says nothing of what changes" if self.preserve else "it names nothing to change"
            self.notes.append(
                f"{what}; name a part or thing and what it should be, such as 'green hair' or 'add a hat'"
            )

    # --- parts

    def part(self, phrase: Phrase) -> None:
        said, target = phrase.said, target_of(phrase)
        if phrase.verb == "keep":
            self.preserve.append(target)
            return
        if phrase.verb == "delete":
            if said.tones or said.compared:
                self.describe(target, phrase)
            elif target in LASTING:
                self.notes.append(f"the {target} cannot be removed")
            else:
                self.act("delete", target, phrase)
            return
        if phrase.way:
            self.move(target, phrase)
            return
        self.describe(target, phrase)

    def detail(self, phrase: Phrase) -> None:
        self.notes.append(
            f"a plan cannot say '{phrase.text}', only whole parts and halves of them, such as 'the left half of the hair'; for "
            "anything finer paint the place with --mask"
        )

    def describe(self, target: str, phrase: Phrase) -> None:
        """Colour, tone and size of something that is there."""
        said = phrase.said
        before = len(self.operations)
        if target == "hair" and self.grows_hair(phrase):
            self.renew(new_hair(phrase, True, self.notes), phrase)
            return
        if said.form and (phrase.kind != "thing" or "group" in phrase.value):
            if target == "hair" and said.form in FORMS_OF["hair"]:
                self.renew(new_hair(phrase, self.is_here("hair") is False, self.notes), phrase)
                return
            self.notes.append(f"'{said.form}' was passed over: the {phrase.text} cannot get another form")
        if said.size is not None:
            self.sized(target, phrase)
        if said.colours:
            self.recolour(target, phrase)
        tones = dict(said.tones)
        if said.shades:  # "dark hair", "bright eyes": no colour is named
            lightness, chroma = lexicon().shades[said.shades[0]]
            tones.update({"lightness": round(0.8 * lightness, 3)} if abs(lightness) > 0.1 else {"saturation": chroma})
        if tones:
            self.act("recolour", target, phrase, Attributes(**tones))  # type: ignore[arg-type]
        if len(self.operations) == before and target not in ("head", "face") and phrase.place is None:
            self.notes.append(f"what the {phrase.text} should be was not said")

    def grows_hair(self, phrase: Phrase) -> bool:
        """Whether hair is wanted where none is: "add long hair" on a bald head."""
        here = self.is_here("hair")
        for operation in self.operations:
            if operation.target == "hair" and operation.kind in ("add", "delete") and operation.region is None:
                here = operation.kind == "add"
        plain = phrase.said.says_nothing()
        return (here is False and phrase.verb == "add") or (
            here is None and phrase.verb == "add" and plain and not is_definite(replace(phrase, verb="set"))
        )

    def sized(self, target: str, phrase: Phrase) -> None:
        assert phrase.said.size is not None
        dimension, factor = phrase.said.size
        if factor == 1.0:
            self.notes.append(f"bigger and smaller were both said of the {target}")
            return
        if dimension == "length" and target in ("lips", "whole_mouth", "eyes", "brows"):
            dimension = "width"
        if dimension == "size":
            dimension = ""
        self.act("shape", target, phrase, Attributes(size=bounded("size", factor, self.notes), dimension=dimension))

    def recolour(self, target: str, phrase: Phrase) -> None:
        said = phrase.said
        if len(said.colours) > 1:
            self.notes.append(f"two colours were named for the {phrase.text}; the first is in the plan")
        material = said.material if phrase.kind == "thing" else ""
        attributes = Attributes(colour=said.colours[0], material=material)
        self.act("recolour", target, phrase, attributes, said.colour_words[0], said.share)

    # --- things

    def thing(self, phrase: Phrase) -> None:
        place_ring(phrase)
        value, said = phrase.value, phrase.said
        target = value["target"]
        named = value.get("group") or class_of(target)
        here = self.is_here(target)
        groups = self.request.groups
        if phrase.verb not in ("delete", "keep") and any(
            (o.kind, o.target, o.region) == ("delete", named, None) for o in self.operations
        ):
            here = False  # it goes before
        if phrase.verb == "keep":
            self.preserve.append(named if named in (*LABELS, *GROUPS, *groups) else "skin")
        elif phrase.verb == "delete" and "both" in value:
            self.shaven(phrase)
        elif phrase.verb == "delete":
            self.delete(named, phrase, here)
        elif phrase.way or phrase.verb == "move":
            if named in targets(groups):
                self.move(named, phrase)
            else:
                self.notes.append(f"moving the {phrase.text} needs its name as a group of this avatar")
        elif target == "hair" or "group" in value:
            self.describe(named, phrase)
        elif target in (*PAINTED, "object") and is_meant_to_be_there(phrase):
            if named not in groups:
                self.notes.append(
                    f"no edit of this avatar added the {phrase.text}, so what should change is not known; 'add' makes a new one"
                )
                return
            if len([group for group in groups if group.startswith(named)]) > 1:
                self.notes.append(
                    f"all of {', '.join(g for g in groups if g.startswith(named))} are meant; name one of them"
                )
            self.describe(named, phrase)
        elif is_named_alone(phrase) and (here or (here is None and phrase.verb == "set")):
            self.notes.append(f"what the {phrase.text} should be was not said")
        elif not drop_strange_form(phrase, self.notes) and (here or is_definite(phrase)) and said.says_nothing():
            return  # "make the hat square"
        elif named in targets(groups) and is_renewed(phrase, here):
            self.renew(new_thing(phrase, self.notes, groups), phrase)
        elif named in targets(groups) and changes_what_is_there(phrase, here, self.notes):
            self.describe(named, phrase)
        else:
            if here is False and phrase.verb == "set" and said.article not in ("", "a", "an"):
                self.notes.append(f"the avatar shows no {phrase.text}; one is added")
            self.add(target, phrase)

    def is_here(self, target: str) -> bool | None:
        """Whether the avatar shows it; None where its labels are not known."""
        if self.request.labels is None:
            return None
        shown = self.request.labels | set(self.request.groups)
        return bool(shown & {target, class_of(target)})

    def add(self, target: str, phrase: Phrase) -> None:
        attributes = thing_attributes(target, phrase, self.notes)
        words = phrase.said.colour_words[0] if phrase.said.colour_words else ""
        region = region_of_thing(phrase, self.notes, self.request.groups)
        self.add_operation(Operation("add", target, region, attributes), words)

    def delete(self, target: str, phrase: Phrase, here: bool | None) -> None:
        if here is False and target in LABELS:
            self.notes.append(f"the avatar shows no {phrase.text}: nothing to remove")
            return
        if target in ("tattoo", "mole", "scar", "freckles", "object"):
            if target in self.request.groups:
                self.act("delete", target, phrase)
            else:
                self.notes.append(
                    f"removing the {phrase.text} needs its name as a group of this avatar (none is called so)"
                )
            return
        self.act("delete", target, phrase)

    # --- the rest

    def move(self, target: str, phrase: Phrase) -> None:
        if not phrase.way and phrase.place is not None:
            where = " ".join(word.text for word in phrase.place.words)
            self.notes.append(
                f"a move goes up, down, left, right, forward or back, not '{where}'; remove the {phrase.text} and add one there"
            )
            return
        if not phrase.way:
            self.notes.append(f"where the {phrase.text} should be moved to was not said; say up, down, left or right")
            return
        for word in phrase.way.words:
            word.used = True
        steps = [distance or STEP * phrase.degree for distance in phrase.distance]
        x, y, z = (
            bounded("offset", round(step * share, 3), self.notes)
            for step, share in zip(steps, phrase.way.direction, strict=True)
        )
        self.act("move", target, phrase, Attributes(offset=(x, y, z)))

    def makeup(self, phrase: Phrase) -> None:
        target, style = phrase.value
        if phrase.verb == "delete":
            self.notes.append(
                f"{phrase.text} is part of the skin's colour; say the colour that the {target} should have"
            )
            return
        if phrase.verb == "keep":
            self.preserve.append(target)
            return
        said = phrase.said
        if said.tones:
            self.notes.append(f"more or less of {phrase.text} cannot be said, only its colour")
        colour = said.colours[0] if said.colours else ""
        words = said.colour_words[0] if said.colour_words else ""
        target, region = makeup_place(phrase, self.notes, self.request.groups)
        self.add_operation(Operation("restyle", target, region, Attributes(style=style, colour=colour)), words)

    def expression(self, phrase: Phrase) -> None:
        weights = tuple(Weight(name, weight) for name, weight in phrase.value.items())
        if phrase.verb == "keep":
            self.notes.append(f"'{phrase.text}' is kept by saying nothing of it")
            return
        earlier = next((o for o in self.operations if o.kind == "expression"), None)
        if earlier is None:
            self.add_operation(Operation("expression", "face", None, Attributes(weights=weights)))
            return
        together = {weight.name: weight for weight in (*earlier.attributes.weights, *weights)}
        place = self.operations.index(earlier)
        attributes = Attributes(weights=tuple(together.values())[: records.MAX_WEIGHTS])
        self.operations[place] = with_texts(Operation("expression", "face", None, attributes))

    def style(self, phrase: Phrase) -> None:
        self.add_operation(style_of(phrase))

    def identity(self, phrase: Phrase) -> None:
        self.add_operation(identity_of(phrase))

    def bald(self, phrase: Phrase) -> None:
        if phrase.verb == "delete":
            self.hairy(phrase)
        elif phrase.verb == "keep":
            self.notes.append(f"'{phrase.text}' is kept by saying nothing of it")
        else:
            self.add_operation(Operation("delete", "hair"))

    def hairy(self, phrase: Phrase) -> None:
        """ "not bald"."""
        if self.is_here("hair"):
            self.notes.append(f"'{phrase.text}': the avatar has hair already")
        else:
            self.add_operation(Operation("add", "hair"))

    def shaven(self, phrase: Phrase) -> None:
        """Beard and moustache; only the one that there is, where only one is."""
        shown = [target for target in ("beard", "moustache") if self.is_here(target)]
        for target in shown or ("beard", "moustache"):
            self.delete(target, replace(phrase, text=target), self.is_here(target))

    shave = shaven

    # --- operations

    def act(
        self,
        kind: str,
        target: str,
        phrase: Phrase,
        attributes: Attributes | None = None,
        words: str = "",
        strength: float = 1.0,
    ) -> None:
        region = region_of(kind, target, phrase, self.notes, self.request.groups)
        target = _tinted(target) if kind == "recolour" else target
        self.add_operation(Operation(kind, target, region, attributes or Attributes(), strength=strength), words)

    def renew(self, operations: list[Operation], phrase: Phrase) -> None:
        """What is there goes and another comes; where it cannot go, nothing comes."""
        words = phrase.said.colour_words[0] if phrase.said.colour_words else ""
        for operation in operations:
            self.add_operation(operation, words if operation.kind == "add" else "")

    def add_operation(self, operation: Operation, colour_words: str = "") -> None:
        if operation.kind != "add" and not self.can_change(operation.target):
            return
        operation = with_texts(operation, colour_words)
        if operation not in self.operations:
            self.operations.append(operation)

    def can_change(self, target: str) -> bool:
        """Whether the avatar has it, or will have it by an earlier operation; if not, that is noted."""
        labels = self.request.labels
        added = {ADDABLE[o.target] for o in self.operations if o.kind == "add"}
        if target not in targets(self.request.groups):
            self.notes.append(f"the {target} cannot be changed; only what is added can be described")
        elif labels is not None and target in LABELS and target not in labels | added:
            self.notes.append(f"the avatar shows no {said(target)}")
        else:
            return True
        return False


def _tinted(target: str) -> str:
    """Colour of a mouth is that of its lips, of a head that of its skin."""
    return {"whole_mouth": "lips", "head": "skin", "face": "skin", "jaw": "skin"}.get(target, target)
