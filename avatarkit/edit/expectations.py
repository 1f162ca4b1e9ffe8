"""What a picture should show once an edit is done, in words that an open-vocabulary detector takes.

The kinds are those of the benchmark of Lian et al. (LLM-grounded diffusion, TMLR 2024) by which Wu et al. score self-correcting
diffusion (CVPR 2024).  A detector knows the picture alone, so that the subject's left and right become those of each view.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from avatarkit.edit.captions import colour_name, said, thing_said
from avatarkit.edit.plan import Operation
from avatarkit.edit.vocabulary import MAKEUP

Kind = Literal["attribute", "spatial", "number", "negation"]
SIDES = ("left", "right")
OPPOSITE = {"left_of": "right_of", "right_of": "left_of"}
SIDEWAYS = 0.35  # cosine of the azimuth below which a view has no left and right of the head
FRONTAL = 0.85  # cosine from which a view shows both sides of the head, and so as many of a thing as there are
WHOLE = "a face"  # what sides are sides of


@dataclass(frozen=True)
class Expectation:
    """attribute: ``thing`` ("a red hat") is seen; negation: it is not; number: ``count`` of it are, exactly; spatial: the middle of its box
    lies ``relation`` (left_of, right_of, above, below: of the picture) the middle of the box of ``anchor``."""

    kind: Kind
    thing: str
    relation: str = ""
    anchor: str = ""
    count: int = 1


def expected(operations: Sequence[Operation], azimuths: Sequence[float]) -> tuple[tuple[Expectation, ...], ...]:
    """For each view what it should show.  azimuths: of the cameras in the head's frame, radians, 0 from the front, positive on the
    subject's left."""
    return tuple(tuple(e for operation in operations for e in expectations(operation, a)) for a in azimuths)


def expectations(operation: Operation, azimuth: float = 0.0) -> tuple[Expectation, ...]:
    """What one operation should make a view show; nothing where a detector could not tell (an expression, a style, a change of size)."""
    if operation.kind == "delete":
        if operation.region is not None or _side(operation.target):
            return ()  # its twin stays
        return (Expectation("negation", with_article(said(operation.target))),)
    thing = _thing(operation)
    if not thing:
        return ()
    facing = math.cos(azimuth)
    count = operation.attributes.count if operation.kind == "add" else 1
    numbered = count > 1 and facing > FRONTAL
    found = [Expectation("number", thing, count=count) if numbered else Expectation("attribute", thing)]
    place = _place(operation)
    if place is not None:
        relation, anchor = place
        if relation in OPPOSITE:
            if abs(facing) < SIDEWAYS:
                return tuple(found)
            relation = OPPOSITE[relation] if facing > 0 else relation  # whoever faces us has their left on our right
        found.append(Expectation("spatial", thing, relation, anchor))
    return tuple(found)


def with_article(words: str) -> str:
    """ "a red hat", "an earring", "blue hair", "red lips"."""
    if words.rpartition(" ")[2] in ("hair", "skin", "teeth") or words.endswith("s"):
        return words
    return f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"


def _thing(operation: Operation) -> str:
    """What should be seen, "" where it has no name or looks as before.  In the words of the caption where it is one of the rules', which
    keep what the user called a colour."""
    thing = _plainly(operation)
    noun = re.escape(thing.rpartition(" ")[2])
    caption = re.match(rf"a photo of a person with ((?!the )(?:[\w-]+ ){{0,5}}?{noun})\b", operation.target_caption)
    if not (thing and caption) or operation.attributes.count > 1:
        return thing
    words = re.sub(r"\b(left|right) ", "", caption[1])  # a place, and no look
    return words if words.startswith(("a ", "an ")) else with_article(words)


def _plainly(operation: Operation) -> str:
    a = operation.attributes
    if operation.kind == "add":
        return thing_said(replace(operation, attributes=replace(a, count=1)))
    looks = colour_name(a.colour) if a.colour else said(a.material)
    if operation.kind == "recolour" and looks:
        return with_article(f"{looks} {_unsided(operation.target)}")
    if operation.kind == "restyle" and a.style in MAKEUP:
        return f"{looks} {a.style}".strip()
    return ""


def _place(operation: Operation) -> tuple[str, str] | None:
    """(relation, anchor in words), left and right the subject's; None where it has no place that boxes can tell."""
    region = operation.region
    own = _side(operation.target if region is None else region.anchor)
    if region is None or region.relation == "on":
        return (f"{own}_of", WHOLE) if own else None
    same = region.anchor == operation.target
    if region.relation in ("above", "below"):
        return None if same else (region.relation, with_article(_unsided(region.anchor)))
    if region.relation not in OPPOSITE:
        return None
    relation = region.relation if region.frame == "subject" else OPPOSITE[region.relation]
    if own:
        return (relation, WHOLE) if relation == f"{own}_of" else None
    return relation, WHOLE if same else with_article(said(region.anchor))


def _side(word: str) -> str:
    """ "left" for l_ear and its like; "" for what has no side, the lower lip (l_lip) too."""
    first = said(word).partition(" ")[0]
    return first if first in SIDES else ""


def _unsided(word: str) -> str:
    return said(word).removeprefix(f"{_side(word)} ").strip()
