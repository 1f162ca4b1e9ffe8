"""Items to noun phrases: which colour, size, side and place belongs to which thing, and which verb governs it.

A modifier belongs to the noun that follows it directly ("black glasses"), else to the noun before it ("make the glasses black"),
and nouns that are joined share what is said of one of them ("make the hair and the eyebrows black").
"""

from __future__ import annotations

from dataclasses import replace

from avatarkit.edit.colours import mixed, shaded
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_reading import Item
from avatarkit.edit.rules_records import Modifiers, Phrase, Place, Understood

INDEFINITE = ("a", "an", "some", "another")
DEFINITE = ("the", "her", "his", "my", "their", "its", "your", "our", "this", "that", "these", "those")
MODIFIERS = (
    "colour",
    "shade",
    "material",
    "form",
    "size",
    "comparative",
    "tone",
    "degree",
    "side",
    "number",
    "percent",
)
NOUNS = ("part", "paired", "thing", "makeup", "nostril", "pronoun")


def assemble(items: list[Item]) -> Understood:
    """The phrases of ``items``."""
    return _Assembly(items).run()


class _Assembly:
    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.result = Understood()
        self.verb = ""
        self.direction: tuple[float, float, float] | None = None
        self.first_of_verb = False
        self.pending = Modifiers()
        self.degree = 1.0
        self.group: list[Phrase] = []  # nouns that a following modifier describes
        self.anchored: Place | None = None  # the place that was named last, for "… on the left"
        self.relation: tuple[str, str] | None = None
        self.early: Place | None = None  # a place that was named before its noun
        self.after_and = False
        self.noun_ended = False
        self.negated = False

    def run(self) -> Understood:
        for k, item in enumerate(self.items):
            getattr(self, f"on_{item.kind}")(k, item)
            if item.kind not in ("filler", "and", "boundary"):
                self.after_and = False
        self.close()
        return self.result

    # --- structure

    def on_filler(self, k: int, item: Item) -> None:
        if item.text in INDEFINITE or item.text in DEFINITE:
            self.pending.article = item.text

    def on_and(self, k: int, item: Item) -> None:
        self.after_and = True

    def on_boundary(self, k: int, item: Item) -> None:
        self.settle()
        if item.text in (".", ";", "!", "?", "then", "but"):
            self.verb, self.direction = "", None
            self.group = []
        self.after_and = item.text == ","
        self.negated = False

    def on_verb(self, k: int, item: Item) -> None:
        self.settle()
        lowering = lexicon().lowering
        verb = item.value
        if verb == "add" and item.text in ("with", "has", "have", "having") and self.verb == "keep":
            return
        if self.negated and verb in ("add", "set"):
            verb = "delete" if verb == "add" else "keep"
        self.negated = False
        self.verb, self.first_of_verb = verb, True
        self.direction = lowering.get(item.text) if verb == "move" else None
        if item.text in ("shave", "shave off") and not self.noun_ahead(k, articles=True):
            self.single("shave", item)
        if verb in ("delete", "keep", "move"):
            self.group = []

    def on_not(self, k: int, item: Item) -> None:
        self.negated = True

    def on_unknown(self, k: int, item: Item) -> None:
        self.result.unknown.append(item.text)

    def on_aside(self, k: int, item: Item) -> None:
        self.result.asides.append(item.text)

    # --- modifiers

    def on_colour(self, k: int, item: Item) -> None:
        if self.negated and not self.noun_ahead(k):
            self.result.unwanted.append(item.text)
            self.negated = False
            return
        holders = self.holders(k)
        hair = item.text in lexicon().hair_colours
        if (
            hair
            and not self.noun_ahead(k)
            and not any(h.colours == [] and p.value == "hair" for p, h in self.described())
        ):
            phrase = self.noun(Item("part", "hair", item.text))
            holders = [phrase.said]
        for said in holders:
            self.colour(said, item)

    def colour(self, said: Modifiers, item: Item) -> None:
        value = item.value.get("colour", "")
        for shade in said.shades:
            value = shaded(value, *lexicon().shades[shade])
        words = " ".join((*said.shades, item.text))
        said.shades = []
        if said.colours and not self.after_and:
            said.colours[-1] = mixed(said.colours[-1], value)
            said.colour_words[-1] += f" {words}"
        else:
            said.colours.append(value)
            said.colour_words.append(words)
        said.material = item.value.get("material", said.material)

    def on_shade(self, k: int, item: Item) -> None:
        for said in self.holders(k):
            said.shades.append(item.text)

    def on_material(self, k: int, item: Item) -> None:
        for said in self.holders(k):
            said.material = item.value["material"]

    def on_form(self, k: int, item: Item) -> None:
        alone = lexicon().form_nouns.get(item.value)
        if alone and not self.noun_ahead(k):
            self.noun(Item("thing", {"target": alone}, item.text)).said.form = item.value
            return
        for said in self.holders(k):
            said.form = item.value

    def on_size(self, k: int, item: Item) -> None:
        self.sized(self.holders(k), item.value, compared=False)

    def on_comparative(self, k: int, item: Item) -> None:
        self.sized(self.holders(k, articles=True), item.value, compared=True)

    def sized(self, holders: list[Modifiers], value: tuple[str, float], *, compared: bool) -> None:
        dimension, factor = value
        factor = factor**self.degree
        self.degree = 1.0
        for said in holders:
            before = said.size[1] if said.size else 1.0
            said.size = (dimension, round(factor, 3) if before == 1.0 else round(before * factor, 3))
            said.compared = compared

    def on_percent(self, k: int, item: Item) -> None:
        """ "20 % bigger", and "bigger by 20 %": the exponent that makes the usual factor that one."""
        share = item.value / 100
        for _, said in self.described():
            if said.size and said.compared:
                grows = said.size[1] > 1
                said.size = (said.size[0], round(1 + share if grows else max(0.05, 1 - share), 3))
                return
        following = next((later for later in self.items[k + 1 : k + 3] if later.kind == "comparative"), None)
        if following is not None:
            grows = following.value[1] > 1
            following.value = (following.value[0], 1 + share if grows else max(0.05, 1 - share))

    def on_tone(self, k: int, item: Item) -> None:
        following = self.items[k + 1] if k + 1 < len(self.items) else None
        if following is not None and following.kind == "colour" and item.text in ("lighter", "darker", "brighter"):
            for said in self.holders(k):
                said.shades.append({"lighter": "light", "darker": "dark", "brighter": "bright"}[item.text])
            return
        attribute, share = item.value
        share = max(-1.0, min(1.0, round(share * self.degree, 3)))
        self.degree = 1.0
        for said in self.holders(k, articles=True):
            said.tones.append((attribute, share))

    def on_degree(self, k: int, item: Item) -> None:
        last = self.result.phrases[-1] if self.result.phrases else None
        ahead = next((later for later in self.items[k + 1 :] if later.kind not in ("filler", "degree")), None)
        if ahead is None or ahead.kind in ("and", "boundary", "verb"):
            if last is not None:
                last.degree *= item.value  # "move it up a bit"
            return
        self.degree *= item.value

    def on_number(self, k: int, item: Item) -> None:
        self.pending.count = int(item.value)

    def on_side(self, k: int, item: Item) -> None:
        if self.verb == "move" and not self.noun_ahead(k):
            self.moved({"left": (1, 0, 0), "right": (-1, 0, 0)}[item.value])
        elif self.noun_ahead(k):
            self.pending.side = item.value
        elif self.anchored is not None and not self.anchored.side:
            self.anchored.side = item.value
        elif self.group and not self.group[-1].said.side:
            self.group[-1].said.side = item.value
        else:
            self.pending.side = item.value

    def on_viewer(self, k: int, item: Item) -> None:
        if self.anchored is not None:
            self.anchored.frame = "viewer"
        elif self.group and self.group[-1].said.side:
            said = self.group[-1].said
            said.side = {"left": "right", "right": "left"}[said.side]

    def on_direction(self, k: int, item: Item) -> None:
        if self.verb == "move":
            self.moved(item.value)

    def moved(self, direction: tuple[float, float, float]) -> None:
        if self.group:
            for phrase in self.group:
                phrase.direction = direction
        else:
            self.direction = direction

    # --- places

    def on_relation(self, k: int, item: Item) -> None:
        self.settle()
        if not self.noun_ahead(k, articles=True):
            return
        self.relation = (item.value, item.text)

    def on_region(self, k: int, item: Item) -> None:
        self.settle()
        anchor, relation = item.value
        self.placed(Place(relation, (anchor,) * 3))

    def placed(self, place: Place) -> None:
        self.anchored = place
        if self.group and self.group[-1].place is None:
            self.group[-1].place = place
        else:
            self.early = place

    # --- nouns

    def on_part(self, k: int, item: Item) -> None:
        self.noun(item)

    on_paired = on_thing = on_makeup = on_nostril = on_part

    def on_pronoun(self, k: int, item: Item) -> None:
        before = next((p for p in reversed(self.result.phrases) if p.kind in ("part", "paired", "thing")), None)
        if before is None:
            self.result.unknown.append(item.text)
        else:
            made = self.noun(Item(before.kind, before.value, before.text))
            if before.kind == "thing" and not made.said.colours:
                made.said.colours, made.said.colour_words = [*before.said.colours], [*before.said.colour_words]
                made.said.material = made.said.material or before.said.material
            made.said.form = made.said.form or before.said.form

    def noun(self, item: Item) -> Phrase:
        """A noun: an anchor after a relation, else a phrase of its own."""
        said, self.pending = self.pending, Modifiers()
        made = Phrase(item.kind, item.value, self.verb, item.text, said, direction=self.direction)
        if item.kind == "nostril":
            made.kind = "part"
        if self.relation is not None:
            relation, text = self.relation
            self.relation = None
            place = Place(relation, made.names, said.side)
            if item.kind == "nostril" and said.side:
                place = Place(f"{said.side}_of", made.names)
            if relation == "above" and text == "over" and self.group and self.group[-1].kind == "thing":
                place.relation = "on" if self.group[-1].value["target"] == "object" else "above"
            if relation == "beside":
                place.relation = "left_of"
                self.result.notes.append(f"'{text}' does not say on which side; the left one was taken")
            self.placed(place)
            rest = replace(said, side="", article="", count=0)
            if rest.says_nothing():
                made.said = rest
                return made
            if not self.group:  # "in blue hair": not a place after all
                self.early = None
            else:
                return made
        scope_ends = made.said.article in INDEFINITE or not made.said.says_nothing()
        if made.verb in ("delete", "keep") and not self.first_of_verb and scope_ends:
            self.verb = made.verb = ""
        if self.early is not None:
            made.place, self.early = self.early, None
        made.joined = self.after_and and bool(self.group)
        share = made.joined and self.group[-1].said.says_nothing() and self.group[-1].verb == made.verb
        self.group = [*self.group, made] if share else [made]
        self.anchored = None
        self.first_of_verb = False
        self.result.phrases.append(made)
        return made

    # --- what needs no noun

    def single(self, kind: str, item: Item) -> None:
        phrase = Phrase(kind, item.value, self.verb, item.text, degree=self.degree)
        if item.note:
            phrase.notes.append(item.note)
        self.degree = 1.0
        self.result.phrases.append(phrase)

    def on_expression(self, k: int, item: Item) -> None:
        self.single("expression", item)

    def on_style(self, k: int, item: Item) -> None:
        self.single("style", item)

    def on_identity(self, k: int, item: Item) -> None:
        if item.value == "older" and self.noun_ahead(k):
            return  # "an old woman" is an identity; "old hat" is not
        self.single("identity", item)

    def on_bald(self, k: int, item: Item) -> None:
        self.single("bald", item)

    def on_shaven(self, k: int, item: Item) -> None:
        self.single("shaven", item)

    # --- whom a modifier describes

    def holders(self, k: int, *, articles: bool = False) -> list[Modifiers]:
        """The pending noun where one follows item ``k`` directly, else the nouns before it."""
        if self.noun_ahead(k, articles=articles and not self.group_waits()) or not self.group:
            return [self.pending]
        return [phrase.said for phrase in self.group]

    def group_waits(self) -> bool:
        """Whether nothing has been said yet of the nouns before."""
        return bool(self.group) and all(phrase.said.says_nothing() for phrase in self.group)

    def described(self) -> list[tuple[Phrase, Modifiers]]:
        return [(phrase, phrase.said) for phrase in self.group]

    def noun_ahead(self, k: int, *, articles: bool = False) -> bool:
        """Whether a noun follows with nothing but modifiers before it."""
        colours_only = self.items[k].kind in ("colour", "material", "form", "shade")
        later = self.items[k + 1 :]
        for i, item in enumerate(later):
            if item.kind in NOUNS or (item.kind == "form" and item.value in lexicon().form_nouns):
                return True
            if item.kind == "filler" and (
                articles or item.text not in (*INDEFINITE, *DEFINITE, "to", "as", "for", "of", "off")
            ):
                continue
            if (
                item.kind == "and"
                and colours_only
                and not self.group
                and i + 1 < len(later)
                and later[i + 1].kind == "colour"
            ):
                continue
            if item.kind not in MODIFIERS:
                return False
        return False

    def settle(self) -> None:
        """At the end of a stretch: a place and modifiers without a noun describe that place ("the left side of the hair blue")."""
        if self.early is not None and not self.pending.says_nothing() and not self.group:
            place, self.early = self.early, None
            phrase = self.noun(Item("part", place.names[0], place.names[0]))
            phrase.place = place

    def close(self) -> None:
        self.settle()
        if not self.pending.says_nothing() and not self.group:
            words = self.pending.colour_words or self.pending.shades or [self.pending.form or self.pending.material]
            said = words[0] if words[0] else "that size"
            self.result.notes.append(f"'{said}' was said of nothing that is known")
