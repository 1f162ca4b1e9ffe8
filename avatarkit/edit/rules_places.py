"""Where the rules put things, what of a part they mean, and what has to be done before.

Whatever of a phrase's places stands in the plan is marked as used, and so is what a note tells; the rest is told to the user.
"""

from __future__ import annotations

from avatarkit.edit.plan import Operation, Region
from avatarkit.edit.rules_records import Phrase, Place
from avatarkit.edit.rules_sides import OTHER
from avatarkit.edit.rules_things import HATS, class_of
from avatarkit.edit.vocabulary import ADDABLE, ANCHORS_OF, EARS, WORN, targets

SIDELESS = (*HATS, "glasses", "sunglasses", "necklace", "beard", "moustache")
WHOLE = ("head", "face")
"""Parts that say nothing of where a thing or a part is that they have anyway."""
ACROSS = ("left_of", "right_of")
PAINTED: dict[str, tuple[str, ...]] = {
    "lipstick": ("lips", "u_lip", "l_lip"),
    "blush": ("cheeks", "l_cheek", "r_cheek", "nose", "chin", "forehead", "jaw"),
    "eyeshadow": ("eyelids",),
    "eyeliner": ("eyelids", "lashes"),
    "makeup": ("lips", "u_lip", "l_lip", "eyelids", "lashes", "cheeks", "l_cheek", "r_cheek", "nose", "chin", "forehead", "jaw", "face"),
}  # fmt: skip
"""By style of makeup: the parts that it can be on by their own names."""


def target_of(phrase: Phrase) -> str:
    """The target that a part's name and its side mean; a place that only says the side ("the eye on the left of the face") is used up."""
    both, left, right = phrase.names
    said, place = phrase.said, phrase.place
    if left == both:
        return both
    if said.side:
        _use(said.side_word)
        return {"left": left, "right": right}[said.side]
    side = "" if place is None else _side_said(place, both)
    if place is None or not side:
        return both
    place.use()
    phrase.place = None
    return {"left": left, "right": right}[side]


def _side_said(place: Place, both: str) -> str:
    """The subject's side that a place says of one of two: by the part itself, or by the side of the head; "" where it says none."""
    if place.relation == "on" and place.side and (place.names[0] == both or place.names[0] in WHOLE):
        return place.side
    if place.relation in ACROSS and place.names[0] in WHOLE:
        side = place.relation.removesuffix("_of")
        return OTHER[side] if place.frame == "viewer" else side
    return ""


def region_of(kind: str, target: str, phrase: Phrase, notes: list[str], groups: tuple[str, ...]) -> Region | None:
    """The region of an operation on ``target``, which is there already; None where all of it is meant."""
    said, place = phrase.said, phrase.place
    region: Region | None = None
    if target == "earring" and (said.side or (place is not None and _side_said(place, "ears"))):
        side = said.side or _side_said(place, "ears")  # type: ignore[arg-type]
        if said.side:
            _use(said.side_word)
        elif place is not None:
            place.use()
        return Region("l_ear" if side == "left" else "r_ear")
    if place is not None and kind != "add" and place.relation == "on" and not place.side and place.anchor in WHOLE:
        place.use()
        place = None
    if place is not None:
        region = place_region(place, notes, groups)
    elif said.half:
        region = Region(target, said.half, said.half_frame if said.half in ACROSS else "subject")
        _use(said.half_word)
    elif said.side and phrase.names[0] == phrase.names[1]:
        if kind in ("delete", "move") and target in ("hat", "glasses", "necklace"):
            _sideless(phrase, notes)
            return None
        region = _own_side("nose" if target == "nose_ring" else target, phrase)
    whole = target not in (*WORN, *groups) or (place is not None and target not in ("earring", "hair"))
    if region is not None and kind in ("shape", "move") and whole:
        words = " ".join(word.text for word in phrase.words() if word not in phrase.way.words)
        how = "moved" if kind == "move" else "scaled"
        notes.append(f"'{words}' was passed over: the {phrase.text} can only be {how} as a whole")
        return None
    return region


def region_of_thing(phrase: Phrase, notes: list[str], groups: tuple[str, ...]) -> Region | None:
    """Where a new thing goes; None where its own place is meant.  Guesses go to ``notes``."""
    target, said, place = phrase.value["target"], phrase.said, phrase.place
    if target == "earring":
        return _ear(phrase, notes, groups)
    on_top = said.half_word is not None and said.half == "above" and said.half_word.text.startswith(("on ", "at "))
    if on_top and target in HATS and place is None:
        _use(said.half_word)  # where else
    across = place is not None and place.relation in ACROSS
    if place is not None and across and target in SIDELESS:
        place.use()
        notes.append(f"'{place.words[0].text}' was passed over: {phrase.text} cannot be on one side only")
        return None
    if place is not None and target == "nose_ring" and place.anchor not in ANCHORS_OF[target]:
        place.use()
        notes.append(f"'{place.words[0].text}' was passed over: {phrase.text} goes on the nose")
        return None
    if place is not None:
        return place_region(place, notes, groups)
    if said.side and target in SIDELESS:
        _sideless(phrase, notes)
        return None
    if said.side:
        return _own_side("nose" if target == "nose_ring" else "face", phrase)
    return Region(phrase.value["region"]) if "region" in phrase.value else None


def _ear(phrase: Phrase, notes: list[str], groups: tuple[str, ...]) -> Region:
    """The ear that an earring goes to; where none is said, of a single one the left."""
    said, place = phrase.said, phrase.place
    if place is not None and place.anchor in EARS:
        if not place.side and said.side and place.relation == "on":
            _use(said.side_word)
            place.side, place.side_frame = said.side, said.side_frame
        if place.one_of_two and place.relation == "on" and said.count in (0, 1):
            notes.append("in which ear was not said; the left one was taken")
            place.side = "left"
        return place_region(place, notes, groups) or Region("ears")
    side = said.side
    if side:
        _use(said.side_word)
    elif place is not None:
        side = _side_said(place, "ears")
        if not side and place.names[0] not in WHOLE:
            notes.append(f"an earring goes on an ear; '{' '.join(word.text for word in place.words)}' was passed over")
        place.use()
    if not side and phrase.value.get("count", 1) == 1 and said.count in (0, 1):
        notes.append("in which ear was not said; the left one was taken")
        side = "left"
    return Region({"left": "l_ear", "right": "r_ear", "": "ears"}[side])


def makeup_place(phrase: Phrase, notes: list[str], groups: tuple[str, ...]) -> tuple[str, Region | None]:
    """Target and region of paint: on its usual part, or where it is said to be ("on the lower lip", "on the left eye")."""
    target, style = phrase.value
    said, place = phrase.said, phrase.place
    if place is not None:
        anchor = "lips" if place.anchor == "whole_mouth" else place.anchor
        eyes = target in ("eyelids", "lashes") and place.names[0] in ("eyes", "brows")
        if place.relation == "on" and anchor in PAINTED[style] and not (place.side and not place.paired):
            place.use()
            return anchor, None
        if (
            place.relation == "on"
            and not place.side
            and (anchor in WHOLE or (anchor == "eyes" and (eyes or style == "makeup")))
        ):
            place.use()
            return "eyelids" if anchor == "eyes" else target, None
        fitting = eyes or place.names[0] in (*PAINTED[style], "lips", *WHOLE, "skin") or style == "makeup"
        return target, place_region(place, notes, groups) if fitting else None
    if said.half:
        _use(said.half_word)
        return target, Region(target, said.half, said.half_frame if said.half in ACROSS else "subject")
    if said.side and target == "cheeks":
        _use(said.side_word)
        return ("l_cheek" if said.side == "left" else "r_cheek"), None
    if said.side and target in ("eyelids", "lashes"):
        _use(said.side_word)
        return target, Region("l_eye" if said.side == "left" else "r_eye")
    return target, _own_side(target, phrase) if said.side else None


def place_region(place: Place, notes: list[str], groups: tuple[str, ...]) -> Region | None:
    """A place as a region; None, and a note, where its anchor is no part."""
    place.use()
    anchor = class_of(place.anchor)
    if anchor not in targets(groups):
        notes.append(f"a place by '{anchor}' is not known; name a part of the head")
        return None
    relation, frame = place.relation, place.frame
    if place.side and not place.paired:  # a side of something that is one: "on the left of the nose"
        if relation == "on":
            relation, frame = _across(place.side, place.side_frame)
        else:
            notes.append(f"'{place.side}' was passed over: the place is already said as {relation} the {anchor}")
    return Region(anchor, relation, frame if relation in ACROSS else "subject")


def _sideless(phrase: Phrase, notes: list[str]) -> None:
    """Say that a thing is not on one side."""
    word = phrase.said.side_word
    _use(word)
    words = phrase.said.side if word is None else word.text
    notes.append(f"'{words}' was passed over: {phrase.text} cannot be on one side only")


def _own_side(anchor: str, phrase: Phrase) -> Region:
    """A side of something that is one: "the left eyelids", "hair on the viewer's left"."""
    _use(phrase.said.side_word)
    return Region(anchor, *_across(phrase.said.side, phrase.said.side_frame))


def _across(side: str, frame: str) -> tuple[str, str]:
    """The relation of the subject's ``side`` as it was said in ``frame``, and that frame."""
    return f"{OTHER[side] if frame == 'viewer' else side}_of", frame


def _use(word: object) -> None:
    if word is not None:
        word.used = True  # type: ignore[attr-defined]


def depends_on(operation: Operation, earlier: list[Operation]) -> tuple[int, ...]:
    """Earlier operations that add or remove what this one acts on, takes the place of, or is placed by."""
    own = {operation.target, ADDABLE.get(operation.target, operation.target)}
    own |= {operation.region.anchor} if operation.region else set()
    depends = []
    for i, other in enumerate(earlier):
        changed = {other.target, ADDABLE.get(other.target, other.target)} - {"skin"}
        if other.kind in ("add", "delete", "shape", "move") and own & changed:
            depends.append(i)
    return tuple(depends)
