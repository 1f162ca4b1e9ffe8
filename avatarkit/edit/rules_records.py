"""What the rules read of a prompt before it has a meaning: nouns, what is said of them, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class PlaceWord:
    """Words of the prompt that say where.  used: an operation of the plan says the same, or a sentence about it why not; those that
    no one used are told to the user, so that no place is lost in silence."""

    text: str
    used: bool = False


@dataclass
class Modifiers:
    """What is said of a noun.  size: (dimension, factor); tones: (attribute, share); share: how near to its colour it comes
    ("redder").

    side: the subject's, side_frame: whose it was said as; half: a relation to the middle of the noun itself ("the top half of"), in
    half_frame; each with the word that said it.
    """

    colours: list[str] = field(default_factory=list)
    colour_words: list[str] = field(default_factory=list)
    shades: list[str] = field(default_factory=list)
    tones: list[tuple[str, float]] = field(default_factory=list)
    size: tuple[str, float] | None = None
    compared: bool = False
    share: float = 1.0
    material: str = ""
    form: str = ""
    count: int = 0
    article: str = ""
    side: str = ""
    side_frame: str = "subject"
    side_word: PlaceWord | None = None
    half: str = ""
    half_frame: str = "subject"
    half_word: PlaceWord | None = None

    def says_nothing(self) -> bool:
        """Whether nothing but number, article and place is said."""
        return not (self.colours or self.shades or self.tones or self.size or self.material or self.form)


@dataclass
class Place:
    """A relation to a noun: (target of both, left, right), its side (the subject's), whose left and right a relation means, and as
    whose the side was said; noun: what names it, words: by which words."""

    relation: str
    names: tuple[str, str, str]
    side: str = ""
    frame: str = "subject"
    side_frame: str = "subject"
    noun: Phrase | None = None
    words: list[PlaceWord] = field(default_factory=list)

    @property
    def paired(self) -> bool:
        """Whether it is by one of two: an eye, a cheek."""
        return self.names[0] != self.names[1]

    @property
    def one_of_two(self) -> bool:
        """Whether it is by one of two, and which one was not said: "in her ear"."""
        noun = self.noun
        return (
            self.paired
            and not self.side
            and noun is not None
            and noun.kind == "paired"
            and noun.said.article != "each"
            and not noun.said.count
        )

    @property
    def anchor(self) -> str:
        """The target of the side that is meant."""
        both, left, right = self.names
        return {"left": left, "right": right, "": both}[self.side]

    def use(self) -> None:
        for word in self.words:
            word.used = True


@dataclass
class Way:
    """Where something is moved to: to the subject's left, up, forward; each −1, 0 or 1.  words: by which words."""

    direction: tuple[int, int, int] = (0, 0, 0)
    words: list[PlaceWord] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(self.direction)

    def and_also(self, direction: tuple[int, int, int], word: PlaceWord | None = None) -> Way:
        """This way and another one ("up and to the left"); where both say the same axis the later one counts."""
        across = any(x and y for x, y in zip(self.direction, direction, strict=True))
        x, y, z = (new or old for old, new in zip(self.direction, direction, strict=True))
        return Way((x, y, z), [*([] if across else self.words), *([word] if word is not None else [])])


@dataclass
class Phrase:
    """A noun with what is said of it, or something that needs no noun (expression, style, identity, bald, shaven).

    pattern: the place of the noun that it stands for ("one on the right"), whose other side may be meant.
    distance: of a move along each axis, in head widths, 0 where none was said.
    """

    kind: str
    value: Any
    verb: str
    text: str
    said: Modifiers = field(default_factory=Modifiers)
    place: Place | None = None
    pattern: Place | None = None
    way: Way = field(default_factory=lambda: Way())
    degree: float = 1.0
    distance: tuple[float, ...] = (0.0, 0.0, 0.0)
    joined: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, str, str]:
        """(both, left, right) of what it names."""
        if self.kind == "paired":
            return tuple(self.value)  # type: ignore[return-value]
        if self.kind == "thing":
            target = self.value["target"]
            return (target, target, target)
        if self.kind == "makeup":
            return (self.value[0],) * 3
        sides = {"eyes": "eye", "brows": "brow", "ears": "ear", "cheeks": "cheek"}.get(str(self.value))
        return (self.value, f"l_{sides}", f"r_{sides}") if sides else (self.value, self.value, self.value)

    @property
    def placed(self) -> bool:
        """Whether a side, a half or a place was said of it."""
        return bool(self.said.side or self.said.half or self.place)

    def words(self) -> list[PlaceWord]:
        """All words that say where it is, or where it goes."""
        own = [word for word in (self.said.side_word, self.said.half_word) if word is not None]
        return [*own, *(self.place.words if self.place else ()), *self.way.words]

    def go(self, distance: float, direction: tuple[int, int, int]) -> None:
        """Let the move be of that distance along the axes of ``direction`` that have none yet."""
        self.distance = tuple(
            own or (distance if axis else 0.0) for own, axis in zip(self.distance, direction, strict=True)
        )


@dataclass
class Understood:
    """phrases in the order of the prompt; unwanted: words after "not"; unknown: what the lexicon does not have; places: every word
    that says where."""

    phrases: list[Phrase] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    places: list[PlaceWord] = field(default_factory=list)
