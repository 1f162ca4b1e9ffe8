"""From an operation and what a batch shows to a brush that paints any view of it.

What is measured is measured here, once for a batch: typical colours, where decals lie, where eyes and lips are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from avatarkit.edit.paint import asked, decals, drawings, looks, makeup, paintings, tiles
from avatarkit.edit.paint.brief import Brief, gain_for
from avatarkit.edit.paint.canvas import Canvas
from avatarkit.edit.paint.learnt import shift_to_learnt
from avatarkit.edit.paint.lids import lids_of_marks, lids_of_masks
from avatarkit.edit.paint.marks import Marks, face_map, marks
from avatarkit.edit.paint.materials import ALIKE, MATERIALS, made_of
from avatarkit.edit.paint.oklab import lab_of
from avatarkit.edit.paint.placement import frames
from avatarkit.edit.paint.survey import survey
from avatarkit.edit.paint.tint import tinted, toned
from avatarkit.edit.plan import Operation
from avatarkit.errors import InputError
from avatarkit.types import Float32Array

Brush = Callable[[Canvas], Float32Array]
"""A canvas → (h, w, 3) OKLab."""
DRAWN: dict[str, Callable[[Canvas, Brief], Float32Array]] = {
    "cartoon": drawings.cartoon, "anime": drawings.anime, "comic": drawings.comic, "pop_art": drawings.pop_art,
    "sketch": drawings.sketch, "oil": paintings.oil, "watercolour": paintings.watercolour, "pixel_art": tiles.pixel_art,
    "mosaic": tiles.mosaic,
}  # fmt: skip
IN_MAKEUP = {"eyeshadow": 0.75, "blush": 0.8, "lipstick": 0.95, "eyeliner": 0.9}
"""In the order in which they are put on, and how strong each is as a part of ``makeup``."""


def brushes(
    operation: Operation, canvases: Sequence[Canvas | None], learnt: Float32Array | None, seed: int
) -> list[Brush | None]:
    """One brush for each view: views on the head share one, each of the others has its own."""
    together = [k for k, one in enumerate(canvases) if one is not None and one.surface.anchored]
    groups = [together] if together else []
    groups += [[k] for k, one in enumerate(canvases) if one is not None and k not in together]
    made: list[Brush | None] = [None] * len(canvases)
    for group in groups:
        members = [one for k in group if (one := canvases[k]) is not None]
        shown = None if learnt is None else [learnt[k] for k in group]
        brush = _brush(operation, members, shown, seed)
        for k in group:
            made[k] = brush
    return made


def _brush(operation: Operation, canvases: list[Canvas], learnt: list[Float32Array] | None, seed: int) -> Brush:
    style, look = operation.attributes.style, asked.look_of(operation)
    if operation.kind == "add":
        return _decal_brush(operation, canvases, learnt, seed)
    if style in makeup.COLOURS or style == "makeup":
        return _makeup_brush(operation, canvases)
    if operation.kind == "identity" and look != "statue":
        return _look_brush(look, canvases, seed)
    if style in DRAWN:
        face = _marks(canvases)
        brief = Brief(operation.attributes.colour, seed, gain_for(float(face.skin[0])) if face is not None else 1.0)
        return lambda one: DRAWN[style](one, brief)
    material = "stone" if look == "statue" else style or operation.attributes.material
    material = ALIKE.get(material, material)
    if material in MATERIALS:
        brief = Brief(operation.attributes.colour, seed)
        return lambda one: _toned(operation, made_of(one, MATERIALS[material], brief))
    typical, colour = survey(canvases).typical(), asked.colour_of(operation)
    if not colour:
        return lambda one: _toned(operation, one.lab)
    return lambda one: _toned(operation, tinted(one.lab, typical, lab_of(colour)))


def _toned(operation: Operation, lab: Float32Array) -> Float32Array:
    attributes = operation.attributes
    if not attributes.lightness and not attributes.saturation:
        return lab
    return toned(lab, attributes.lightness, attributes.saturation)


def _marks(canvases: list[Canvas]) -> Marks | None:
    face = face_map(canvases)
    return None if face is None else marks(face)


def _decal_brush(operation: Operation, canvases: list[Canvas], learnt: list[Float32Array] | None, seed: int) -> Brush:
    target, attributes = operation.target, operation.attributes
    seen = survey(canvases)
    typical = seen.typical()
    if target == "freckles" and attributes.count == 1:
        return lambda one: decals.freckled(one, attributes, typical, seed)
    pieces = frames(seen)
    placed = decals.placed(target, attributes, pieces, seed)
    for _ in range(0 if learnt is None else 2):  # once more from where it was found: on round skin planes differ
        assert learnt is not None
        shifts = [
            shift_to_learnt(canvases, learnt, piece, target, attributes.form, [one for one in placed if one.piece == k])
            for k, piece in enumerate(pieces)
        ]
        pieces = [piece.moved(*shift) if any(shift) else piece for piece, shift in zip(pieces, shifts, strict=True)]
        placed = decals.placed(target, attributes, pieces, seed)
    return lambda one: decals.painted(one, target, attributes, placed, typical)


def _makeup_brush(operation: Operation, canvases: list[Canvas]) -> Brush:
    style, target, attributes = operation.attributes.style, operation.target, operation.attributes
    face = _face(canvases, style) if target in asked.WHOLE else None
    seen = survey(canvases)
    typical = seen.typical() if face is None else face.skin
    lids = lids_of_marks(face) if face is not None else lids_of_masks(canvases) if target in asked.LIDS else []
    cheeks = makeup.cheeks_of_marks(face) if face is not None else makeup.cheeks_of_pieces(frames(seen))
    worn = {style: 1.0}
    if style == "makeup":
        worn = {name: amount for name, amount in IN_MAKEUP.items() if target in asked.MAKEUP_ON[name]}

    def share(one: Canvas, name: str) -> Float32Array:
        if name == "lipstick":
            return makeup.lipstick(one, face) if target != "whole_mouth" else makeup.lipstick_on(one, typical)
        if name == "blush":
            return makeup.blush(one, cheeks)
        return makeup.eyeshadow(one, lids) if name == "eyeshadow" else makeup.eyeliner(one, lids)

    def brush(one: Canvas) -> Float32Array:
        lab = one.lab[one.inside]
        for name, amount in worn.items():
            below = face.lips if face is not None and name == "lipstick" else typical
            colour = "" if style == "makeup" else attributes.colour
            lab = makeup.applied(lab, name, share(one, name), below, colour, amount)
        return one.spread(lab)

    return brush


def _look_brush(look: str, canvases: list[Canvas], seed: int) -> Brush:
    who = looks.sitter(_face(canvases, f"the look '{look}'"), canvases)
    return lambda one: one.spread(looks.LOOKS[look](one, who, seed))


def _face(canvases: list[Canvas], what: str) -> Marks:
    face = _marks(canvases)
    if face is None:
        raise InputError(
            f"{what} on a whole face needs correspondences that show it; without them eyes and lips cannot be found"
        )
    return face
