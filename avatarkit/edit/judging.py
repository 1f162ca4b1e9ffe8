"""What only a whole operation shows: fields that its kind or its target has no use for, so that nothing is passed over in silence.

A problem says what is allowed instead.  Defaults say nothing and are never a problem, nor is a region that is the target itself.
"""

from __future__ import annotations

from avatarkit.edit import vocabulary as words
from avatarkit.edit.plan import Attributes, EditRequest, Operation
from avatarkit.labels import LABELS

# Attributes that a kind of operation has a use for; any other must be left out.
USES: dict[str, tuple[str, ...]] = {
    "add": ("colour", "lightness", "saturation", "material", "form", "dimension", "size", "count", "name"),
    "delete": (),
    "move": ("offset",),
    "recolour": ("colour", "lightness", "saturation", "material"),
    "restyle": ("style", "colour", "amount", "name"),
    "expression": ("weights",),
    "shape": ("size", "dimension"),
    "identity": ("name", "amount"),
}
# Kinds that are nothing without one of these attributes.
NEEDS: dict[str, tuple[str, ...]] = {
    "move": ("offset",),
    "recolour": ("colour", "lightness", "saturation", "material"),
    "restyle": ("style",),
    "expression": ("weights",),
    "shape": ("size",),
    "identity": ("name",),
}
PERSON = ("head", "face")


def judged(operation: Operation, at: str, request: EditRequest, earlier: list[Operation]) -> list[str]:
    """The problems of ``operation``, which stands at ``at`` in its plan after the operations ``earlier``."""
    found = [*_attributes(operation), *_target(operation), *_region(operation, request.groups), *_rest(operation)]
    labels = request.labels
    added = {words.ADDABLE[o.target] for o in earlier if o.kind == "add" and o.target in words.ADDABLE}
    target = operation.target
    if labels is not None and operation.kind != "add" and target in LABELS and target not in labels | added:
        found.append(f".target: the avatar shows no '{target}' (it shows {', '.join(sorted(labels))})")
    return [f"{at}{problem}" for problem in found]


def _attributes(operation: Operation) -> list[str]:
    kind, target, attributes = operation.kind, operation.target, operation.attributes
    found = []
    blank = Attributes()
    given = [name for name, value in vars(attributes).items() if value != vars(blank)[name]]
    for name in given:
        if name not in USES[kind]:
            hint = _instead(operation) if name == "form" else ""
            found.append(f".attributes.{name}: '{kind}' has no use for it; leave it at its default{hint}")
    needs = NEEDS.get(kind, ("name",) if target == "object" else ())
    if needs and not set(needs) & set(given):
        found.append(f": '{kind} {target}' needs {' or '.join(f'attributes.{name}' for name in needs)}")
    if kind == "add":
        found += _added(target, attributes)
    if kind == "restyle" and attributes.style == "other" and not operation.prompt:
        found.append(": style 'other' needs a prompt that says what it is")
    return found


def _added(target: str, attributes: Attributes) -> list[str]:
    found = []
    forms = words.FORMS_OF[target]
    if attributes.form and attributes.form not in forms:
        known = f"use one of {', '.join(forms)}" if forms else "leave it empty"
        found.append(f".attributes.form: '{target}' has no form '{attributes.form}'; {known}")
    if attributes.count != 1 and target not in words.COUNTED:
        found.append(
            f".attributes.count: there is one '{target}' on a head; leave it at 1 (several: {', '.join(words.COUNTED)})"
        )
    if attributes.name and target != "object":
        found.append(
            f".attributes.name: 'add {target}' has no use for it; leave it empty, or add an 'object' of that name"
        )
    return found


def _instead(operation: Operation) -> str:
    """How another form of something that is there is planned."""
    forms = words.FORMS_OF.get(operation.target, ())
    if operation.kind != "shape" or not forms:
        return ""
    return f"; for another form plan 'delete {operation.target}' and 'add {operation.target}' with one of {', '.join(forms)}"


def _target(operation: Operation) -> list[str]:
    kind, target = operation.kind, operation.target
    if kind == "delete" and target in words.LASTING:
        return [f".target: '{target}' cannot be taken away; name what grows or lies on it, such as hair, beard or hat"]
    if kind == "expression" and target not in words.FACE_PARTS:
        return [f".target: an expression is of the face; use 'face', not '{target}'"]
    if kind == "identity" and target not in PERSON:
        return [f".target: an identity is of the whole person; use 'head', not '{target}'"]
    return []


def _region(operation: Operation, groups: tuple[str, ...]) -> list[str]:
    kind, target, region = operation.kind, operation.target, operation.region
    if region is None or (region.relation == "on" and region.anchor in (target, *PERSON)):
        return []
    if kind in ("expression", "identity"):
        return [f".region: '{kind}' has no use for it; leave the anchor empty"]
    if kind in ("move", "shape") and target not in (*words.WORN, *groups):
        how = "moved" if kind == "move" else "scaled"
        return [f".region: '{target}' can only be {how} as a whole; leave the anchor empty"]
    anchors = words.ANCHORS_OF.get(target, ()) if kind == "add" else ()
    if anchors and region.anchor not in anchors:
        return [f".region.anchor: '{target}' does not go on '{region.anchor}'; use one of {', '.join(anchors)}"]
    return []


def _rest(operation: Operation) -> list[str]:
    kind, target = operation.kind, operation.target
    found = []
    whole = kind == "delete" or (kind == "add" and target not in words.PAINTED)
    if operation.strength != 1.0 and whole:
        found.append(f".strength: '{kind} {target}' is done or not; leave it at 1")
    for name in operation.preserve:
        halves = words.HALVES.get(target, ())
        if name == target:
            found.append(f".preserve: '{name}' is the target itself")
        elif name in halves and operation.region is None:
            other = halves[1 - halves.index(name)]
            found.append(f".preserve: '{name}' is half of the target '{target}'; name '{other}' as the target")
    return found
