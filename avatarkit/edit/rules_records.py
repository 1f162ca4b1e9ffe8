"""What the rules read of a prompt before it has a meaning: nouns, what is said of them, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Modifiers:
    """What is said of a noun.  size: (dimension, factor); tones: (attribute, share); side: the subject's."""

    colours: list[str] = field(default_factory=list)
    colour_words: list[str] = field(default_factory=list)
    shades: list[str] = field(default_factory=list)
    tones: list[tuple[str, float]] = field(default_factory=list)
    size: tuple[str, float] | None = None
    compared: bool = False
    material: str = ""
    form: str = ""
    side: str = ""
    count: int = 0
    article: str = ""

    def says_nothing(self) -> bool:
        return not (self.colours or self.shades or self.tones or self.size or self.material or self.form)


@dataclass
class Place:
    """A relation to a noun: (target of both, left, right), its side, and whose left and right are meant."""

    relation: str
    names: tuple[str, str, str]
    side: str = ""
    frame: str = "subject"


@dataclass
class Phrase:
    """A noun with what is said of it, or something that needs no noun (expression, style, identity, bald, shaven)."""

    kind: str
    value: Any
    verb: str
    text: str
    said: Modifiers = field(default_factory=Modifiers)
    place: Place | None = None
    direction: tuple[float, float, float] | None = None
    degree: float = 1.0
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


@dataclass
class Understood:
    """phrases in the order of the prompt; unwanted: words after "not"; unknown: what the lexicon does not have."""

    phrases: list[Phrase] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
