"""Sides, halves and frames: phrases in which left, right, top, back and picture mean a place, found in the text before its words are.

What is said of the picture ("on the viewer's left") is marked so and kept as it was said; where it picks one of two parts, and so the
name of a label, it is turned round here: the subject faces the viewer, so the picture's left is the subject's right.
"""

from __future__ import annotations

import re

from avatarkit.edit.rules_lexicon import THE
from avatarkit.edit.rules_text import Item, MarkedText

OTHER = {"left": "right", "right": "left"}
UPRIGHT = {"top": "above", "upper": "above", "bottom": "below", "lower": "below", "front": "in_front", "back": "behind", "rear": "behind"}  # fmt: skip

_PICTURE = r"(?:picture|image|photo|photograph|screen|frame|view)"
_VIEWER = r"(?:the |my |our )?(?:viewer|observer|camera)(?:'s|s)?"
_AT = r"(?:(?P<at>on|in|at|to|from|across|over|onto) )?"
_DET = r"(?P<det>(?:the|her|his|my|their|its|your) )?"
_SIDE = r"(?P<side>left|right)(?: hand)?"
_HALF = r"(?: (?:half|side|part|portion|section|area|end|edge|corner))"
_WAY = r"(?P<way>top|upper|bottom|lower|front|back|rear)"
_OF = rf" of{THE} (?!them\b)"
_PAIRED = r"(?:eye|iris|eyebrow|brow|ear|earlobe|cheek|cheekbone|earring)"
_HALVED = r"(?:teeth|eyelids?|lids?|eyelash(?:es)?|lashes|hair|face|forehead|beard)"
_FRAME = (
    rf"\b(?:from (?:{_VIEWER}(?: (?:perspective|point of view|view|side|angle))?"
    r"|(?:the front|a frontal|my|our) (?:perspective|point of view|view|side|angle))"
    r"|as seen (?:by|from) (?:the |a )?(?:viewer|observer|camera|front)|as (?:i|we|you) see it"
    r"|(?:in|on) the (?:picture|image|photo|photograph|screen))\b"
)
_OWN = r"\b(?:from|in) (?:her|his|their|the subject's|the person's|its) (?:own )?(?:perspective|point of view|view|frame)\b"


def take_sides(text: MarkedText) -> None:
    """Replace what says sides, halves and frames by items of the kinds side, half, relation, both, region and viewer."""
    _take_picture(text)
    text.take(_FRAME, lambda match: Item("viewer", None, match[0]))
    text.take(_OWN, lambda match: " ")
    text.take(
        r"\b(?:upper|top) and(?: the)? (?:lower|bottom) lips?\b|\b(?:lower|bottom) and(?: the)? (?:upper|top) lips?\b",
        lambda match: "lips",
    )
    text.take(r"\b(?:the )?(?:subject|person)'s (?=left|right)", lambda match: " ")
    _take_both(text)
    _take_halves(text)
    text.take(rf"\b(?:in )?between{THE} (?:eyes|eyebrows|brows)\b", lambda m: Item("region", ("nose", "above"), m[0]))
    # "right above the eye": the adverb
    places = r"(?:above|below|under|underneath|beneath|over|next|behind|beside|between|on|in|at|near)\b"
    text.take(rf"(?<!\bthe )(?<!\bher )(?<!\bhis )(?<!'s )\bright (?={places})", lambda match: "")


def framed(items: list[Item]) -> list[Item]:
    """``items`` without those of kind viewer: "from the viewer's perspective" is said of the sides before it in its sentence,
    else of those that follow."""
    kept: list[Item] = []
    begin, waits = 0, False
    for item in items:
        if item.kind == "viewer":
            sides = [earlier for earlier in kept[begin:] if _names_side(earlier)]
            waits = waits or not sides
            if len(sides) > 1:
                sides[0].note = f"'{item.text}' was taken of every side in its sentence"
            for side in sides:
                _seen(side)
            continue
        if item.kind == "boundary" and item.text in (".", ";", "!", "?"):
            begin = len(kept) + 1
        if waits and _names_side(item):
            _seen(item)
        kept.append(item)
    return kept


def own_side(item: Item) -> str:
    """The subject's side that an item of kind side names."""
    return OTHER[item.value] if item.frame == "viewer" else str(item.value)


def _names_side(item: Item) -> bool:
    if item.kind == "expression":
        return bool(re.search(r"\b(?:left|right)\b", item.text))
    return item.value in ("left", "right", "left_of", "right_of")


def _seen(item: Item) -> None:
    """Mark what an item says of left and right as said of the picture."""
    if item.kind == "expression" and item.frame == "subject":
        item.value = {_mirrored(name): weight for name, weight in item.value.items()}
    item.frame = "viewer"


def _mirrored(name: str) -> str:
    """An ARKit name's other side."""
    for one, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(one):
            return name.removesuffix(one) + other
    return name


def _take_picture(text: MarkedText) -> None:
    """Sides that are said of the picture."""
    of_picture = rf"the {_SIDE}{_HALF}? of{THE} {_PICTURE}"
    seen = rf"(?:{_VIEWER} {_SIDE}(?: hand)?(?: side)?|{of_picture.replace('P<side>', 'P<side2>')})"

    def other(match: re.Match[str]) -> str:
        return OTHER[match["side"] or match.groupdict().get("side2") or ""]

    # Where a label or a weight carries the side, that is the subject's.
    look = r"\b(?P<verb>looks?|looking|glances?|glancing|gazes?|gazing)(?: to| at| towards?)?"
    text.take(rf"{look} {seen}", lambda m: f"{m['verb']} to the {other(m)}")
    shut = r"\b(?P<verb>(?:close|shut|open|raise|lift|arch|wink(?:ing)? with)(?: (?:the|her|his|their|my))? )(?P<noun>eye|eyebrow|brow) (?:on|at|to)"
    text.take(rf"{shut} {seen}", lambda m: f"{m['verb']}{other(m)} {m['noun']}")
    own = rf"(?:the|her|his|their|my) {_SIDE}{_HALF}?(?=$|[,;.!?]| (?:and|but|then|a|slightly)\b)"
    text.take(rf"{shut} {own}", lambda m: f"{m['verb']}{m['side']} {m['noun']}")
    text.take(rf"\b{_VIEWER} {_SIDE} (?={_PAIRED}\b)", lambda m: f"the {OTHER[m['side']]} ")
    text.take(rf"\b{_AT}{_VIEWER} {_SIDE}{_HALF}?{_OF}", lambda m: _side_of(m, "viewer"))
    for pattern in (
        rf"(?:(?:on|in|at|to) )?{of_picture}",
        rf"(?:(?:on|in|at|to) )?{_VIEWER} {_SIDE}{_HALF}?",
        rf"{_PICTURE} {_SIDE}",
    ):
        text.take(rf"\b{pattern}\b", lambda m: Item("side", m["side"], m[0], frame="viewer"))
    text.take(
        rf"\b(?:(?:on|in|at) )?the {_WAY}{_HALF}? of{THE} {_PICTURE}\b", lambda m: Item("half", UPRIGHT[m["way"]], m[0])
    )


def _take_both(text: MarkedText) -> None:
    """ "both sides", "left and right"."""
    both = r"(?:the )?(?:left and(?: the)? right|right and(?: the)? left)"
    text.take(rf"\b{both}(?: hand)?(?: (?:sides?|halves|half))?(?= of\b)", lambda m: "both sides")
    text.take(rf"\b{both}(?: hand)? (?:sides?|halves|half)\b", lambda m: "both sides")
    text.take(rf"\b{both} (?=(?:{_PAIRED}|nostril)s?\b)", lambda m: "both ")
    text.take(rf"\b(?:on|at) {both}\b", lambda m: "on both sides")
    sides = r"(?:both|each|either)(?: of the)? (?:sides?|halves|half)"
    text.take(rf"\b(?:on|at|to) {sides}{_OF}", lambda m: Item("relation", "both", m[0]))
    text.take(rf"\b{sides}{_OF}", lambda m: "the ")
    text.take(rf"\b(?:(?:on|at) )?{sides}\b", lambda m: Item("both", None, m[0]))


def _take_halves(text: MarkedText) -> None:
    """Left, upper, back … half of something: a half where it is the thing itself, a relation after "on", "to" and the like."""
    text.take(rf"\b{_AT}{_DET}{_WAY}(?: most)?(?: {_SIDE})?(?P<half>{_HALF})?{_OF}", _upright_of)
    text.take(rf"\b{_AT}{_DET}{_SIDE}(?P<half>{_HALF})?{_OF}", lambda m: _side_of(m) if m["det"] or m["half"] else None)
    text.take(
        rf"\b(?:(?:on|in|at|to|from) )?(?:(?:the|her|his|my|their) )?{_SIDE}{_HALF}\b(?! of\b)",
        lambda m: Item("side", m["side"], m[0]),
    )
    half = rf"\b(?:(?:on|in|at) )?(?:(?:the|her|his|my|their) )?{_WAY}{_HALF}\b(?! of\b)"
    text.take(half, lambda m: Item("half", UPRIGHT[m["way"]], m[0]))
    alone = rf"\b(?! of\b| (?:{_HALVED}|lips?)\b)"
    for ends in (
        r"\b(?:on|in|at)(?: the)? (?P<way>top|bottom|front|back|rear)",
        r"(?<!\bto )\bthe (?P<way>bottom|front|rear|back)",
    ):
        text.take(rf"{ends}{alone}", lambda m: Item("half", UPRIGHT[m["way"]], m[0]))
    text.take(rf"\b{_WAY} (?={_HALVED}\b)", lambda m: Item("half", UPRIGHT[m["way"]], m[0]))

    middle = r"(?:in|at|on) the (?:very |exact )?(?:middle|cent(?:er|re))"
    text.take(rf"\b{middle}{_OF}", lambda m: Item("relation", "on", m[0]))


def _side_of(match: re.Match[str], frame: str = "subject") -> Item:
    return _part_of(match, f"{match['side']}_of", frame=frame)


def _upright_of(match: re.Match[str]) -> Item | None:
    way, side, half = match["way"], match["side"], match["half"]
    if not half and not side and (way in ("upper", "lower") or (match["at"] and not match["det"])):
        return None  # "on top of" and "in front of" are relations of their own
    if side:
        note = f"'{way} {side}' names two halves and a place has one; the {side} one is in the plan"
        return _part_of(match, f"{side}_of", note)
    return _part_of(match, UPRIGHT[way])


def _part_of(match: re.Match[str], relation: str, note: str = "", frame: str = "subject") -> Item:
    if match["at"]:
        return Item("relation", relation, match[0], note, frame)
    return Item("half", relation, match[0].partition(" of ")[0], note, frame)
