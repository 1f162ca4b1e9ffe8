"""The noun phrases of a prompt while they are put together: what is open, and where a new noun or place goes."""

from __future__ import annotations

from dataclasses import replace

from avatarkit.edit.rules_ahead import DEFINITE, INDEFINITE, PARTS, ends_here, next_noun, noun_later
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_modifiers import inherit
from avatarkit.edit.rules_records import Modifiers, Phrase, Place, PlaceWord, Understood, Way
from avatarkit.edit.rules_text import Item
from avatarkit.edit.rules_things import merged_thing

PERSON = ("face", "head")
"""Parts that stand for the person: "a face with freckles" does not say where they are."""


class Assembly:
    """What is known between one item and the next.

    verb: what governs nouns now; way: of "move" before its noun; first_of_verb: no noun has followed the verb yet.
    pending: modifiers of a noun to come; group: nouns that a following modifier describes.
    distance: of a move whose direction comes next, in head widths.
    relation: of a place whose noun comes next; anchored: the place that was named last, for "… on the left"; early: a place that
    was named before its noun; along: the noun that comes is on the way ("down the nose").
    after_and: "and" or a comma stands directly before; joining: which of them does with nothing but modifiers and a relation between;
    bare: nothing but a verb stands between the last noun and here.
    """

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.result = Understood()
        self.verb = ""
        self.way = Way()
        self.first_of_verb = False
        self.pending = Modifiers()
        self.degree = 1.0
        self.distance = 0.0
        self.group: list[Phrase] = []
        self.relation: Item | None = None
        self.anchored: Place | None = None
        self.early: Place | None = None
        self.along = False
        self.after_and = False
        self.joining = ""
        self.bare = False
        self.negated = False

    @property
    def last(self) -> Phrase | None:
        """The noun that was named last, while it can still be described."""
        return self.group[-1] if self.group else None

    def word(self, text: str) -> PlaceWord:
        """Words that say where: kept, so that they are told if nothing comes of them."""
        made = PlaceWord(" ".join(text.split()))
        self.result.places.append(made)
        return made

    def noun_ahead(self, k: int, *, articles: bool = False) -> bool:
        """Whether a noun follows item ``k`` with nothing but modifiers before it."""
        return next_noun(self.items, k, articles=articles, shared=not self.group) is not None

    def holders(self, k: int, *, articles: bool = False) -> list[Modifiers]:
        """Whom a modifier describes: the pending noun where one follows item ``k`` directly, else the nouns before it."""
        waits = bool(self.group) and all(phrase.said.says_nothing() for phrase in self.group)
        if self.noun_ahead(k, articles=articles and not waits) or not self.group:
            return [self.pending]
        return [phrase.said for phrase in self.group]

    # --- nouns

    def noun(self, k: int, item: Item) -> Phrase:
        """The noun at ``k``: the anchor of a place, or a phrase of its own."""
        made, last = self.made(item), self.last
        relation, self.relation = self.relation, None
        along, self.along = self.along, False
        plain = made.said.says_nothing()
        if along and last is not None:
            return made
        if relation is not None and item.kind == "detail":  # "on the tip of the nose": the nose comes next
            self.result.notes.append(f"'{item.text}' was passed over: a plan names whole parts and halves of them")
            return made
        if relation is not None and (plain or last is not None) and not self.is_worn(relation, made):
            self.put(k, self.place(relation, made), both=relation.value == "both")
            return made
        if relation is not None and relation.value != "on":  # "in blue hair" is no place, "above blue hair" is one
            word = self.word(f"{relation.text} {item.text}")
            if tuple(relation.text.split()) not in lexicon().phrases:  # "green on the left side of the face"
                made.said.half, made.said.half_frame, made.said.half_word = relation.value, relation.frame, word
        if last is not None and plain and self.is_place_of(last, k, made):
            same = last.place.relation if last.place is not None else "on"
            self.put(k, self.place(Item("relation", same, "on"), made))
            return made
        if last is not None and self.items[k - 1].kind == "thing" and item.kind == "thing" and merged_thing(last, item):
            return last
        if last is not None and item.kind in ("thing", "makeup", "detail") and self.is_held_by(last, k):
            words = [*last.words(), self.word(last.text)]
            self.early = Place("on", last.names, last.said.side, "subject", last.said.side_frame, last, words)
            self.result.phrases.remove(last)
        return self.phrase(made)

    def made(self, item: Item) -> Phrase:
        """A phrase of a noun and what was said before it."""
        said, self.pending = self.pending, Modifiers()
        kind = "part" if item.kind == "nostril" else item.kind
        return Phrase(kind, item.value, self.verb, item.text, said, way=self.way)

    def phrase(self, made: Phrase) -> Phrase:
        """Take a noun up as a phrase of its own."""
        scope_ends = made.said.article in INDEFINITE or not made.said.says_nothing()
        if made.verb in ("delete", "keep") and not self.first_of_verb and scope_ends:
            self.verb = made.verb = ""
        if self.early is not None:
            made.place, self.early = self.early, None
        directly = self.after_and or (bool(self.joining) and made.said.says_nothing())
        made.joined = directly and bool(self.group)
        apart = bool(self.group) and self.group[-1].said.article in INDEFINITE and made.said.article in DEFINITE
        share = made.joined and not apart and self.group[-1].said.says_nothing() and self.group[-1].verb == made.verb
        self.group = [*self.group, made] if share else [made]
        self.anchored = None
        self.first_of_verb, self.joining, self.bare = False, "", True
        self.result.phrases.append(made)
        return made

    def alike(self, like: Phrase, *, described: bool, place: Place | None = None) -> Phrase:
        """The noun of an earlier phrase once more ("… and one on the right").  described: it is said to be otherwise; place: where."""
        joining = self.joining
        made = self.made(Item(like.kind, like.value, like.text))
        made.verb, made.pattern = self.verb or like.verb, like.place
        made = self.phrase(made)
        made.place = place or made.place
        inherit(made.said, like.said, described=described or bool(made.said.colours))
        self.joining = joining
        return made

    def is_worn(self, relation: Item, made: Phrase) -> bool:
        """Whether a thing after "in" is no place but what somebody has on: "long hair in a ponytail"."""
        return relation.text == "in" and made.kind == "thing" and made.said.article in INDEFINITE

    def is_place_of(self, last: Phrase, k: int, made: Phrase) -> bool:
        """Whether a part says where the thing before it is: "freckles on the nose and the cheeks", "gold earring, left ear"."""
        if (
            self.items[k].kind not in PARTS
            or last.kind not in ("thing", "makeup")
            or self.verb not in ("", "add", "set")
        ):
            return False
        if not ends_here(self.items, k):
            return False
        return bool(self.joining) if last.place is not None else bool(made.said.side) and self.joining != "and"

    def is_held_by(self, last: Phrase, k: int) -> bool:
        """Whether the part that was named last says where the thing at ``k`` is: "her left ear with a hoop", "neck tattoo"."""
        if last.kind not in ("part", "paired") or last is not self.result.phrases[-1] or not self.bare:
            return False
        plain = last.said.says_nothing() and last.place is None and not last.said.half
        beside = self.items[k - 1].kind in PARTS
        return plain and (beside or (last.value not in PERSON and self.verb in ("", "add", "set")))

    # --- places

    def place(self, relation: Item, made: Phrase) -> Place:
        """The place that a relation and its noun say."""
        said, last = made.said, self.last
        named = [said.article, *(w.text for w in (said.half_word, said.side_word) if w is not None), made.text]
        place = Place(str(relation.value), made.names, said.side, relation.frame, said.side_frame, made)
        place.words.append(self.word(" ".join((relation.text, *named))))
        if said.side_word is not None:
            said.side_word.used = True  # the words of the place hold it
        if said.half_word is not None and place.relation == "on":
            place.relation, place.frame, said.half_word.used = said.half, said.half_frame, True
        if relation.text == "over" and last is not None and last.kind == "thing":
            place.relation = "on" if last.value["target"] == "object" else "above"
        if place.relation == "beside":
            place.relation = "left_of"
            self.result.notes.append(f"'{relation.text}' does not say on which side; the left one was taken")
        if said.article == "each" and last is not None:
            last.said.count = 2 * max(1, last.said.count)
        return place

    def put(self, k: int, place: Place, *, both: bool = False) -> None:
        """Give a place to the noun before it; to one that follows if there is none, or if that has one already.

        both: the place is on both sides of its anchor, and so are two of the noun.
        """
        if both:
            place.relation = "left_of"
        self.anchored, last = place, self.last
        if last is None or (self.joining and noun_later(self.items, k)):
            self.early = place
        elif last.place is None:
            last.place = place
        elif self.joining:  # "on the chin and on the left cheek"
            last = self.alike(last, described=False, place=place)
        self.joining = ""
        if both and last is not None and last.place is place:
            self.alike(last, described=False, place=replace(place, relation="right_of"))
        elif both:
            self.result.notes.append(
                f"'{place.words[0].text}' was taken for the left side; say left and right one by one"
            )
