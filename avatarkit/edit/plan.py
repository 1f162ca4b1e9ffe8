"""The plan: the structured edit that a refiner makes of a prompt, and what a refiner is asked.

Everything here is data: frozen records of bounded numbers, words of ``vocabulary`` and capped text.  ``validation.read_plan``
makes a plan of JSON that somebody else wrote; ``plan_json`` writes one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from avatarkit.types import Json

PLAN_VERSION = 1

# (least, greatest), both allowed; what each number means stands at its field.
RANGES: dict[str, tuple[float, float]] = {
    "size": (0.25, 4.0),
    "lightness": (-1.0, 1.0),
    "saturation": (-1.0, 1.0),
    "amount": (-1.0, 1.0),
    "count": (1, 10),
    "offset": (-1.0, 1.0),
    "weight": (-1.0, 1.0),
    "strength": (0.0, 1.0),
}
MAX_OPERATIONS = 16
MAX_WEIGHTS = 20
MAX_AMBIGUITIES = 16
MAX_PROMPT = 2000  # characters of what a person writes
MAX_TEXT = 300  # characters of an instruction or caption
MAX_NAME = 40


@dataclass(frozen=True)
class Region:
    """Where: a relation to an anchor, in the subject's frame or the viewer's (``vocabulary.RELATIONS``)."""

    anchor: str
    relation: str = "on"
    frame: str = "subject"


@dataclass(frozen=True)
class Weight:
    """One ARKit expression name and what is added to its weight."""

    name: str
    weight: float


@dataclass(frozen=True)
class Attributes:
    """What it is to be like; a default says nothing about that attribute.

    colour: sRGB "#rrggbb".  lightness, saturation: change by that share of the way to white or full (−1: to black or grey);
    material, form, style, dimension: words of ``vocabulary``; size: factor along ``dimension``, 1 is as it is;
    count: how many.  offset: of ``move``, in head widths: to the subject's left, up, forward.  amount: how far towards ``name``
    (older 0.5).  weights: of ``expression``.  name: what an ``object`` is, or whom an identity resembles.
    """

    colour: str = ""
    lightness: float = 0.0
    saturation: float = 0.0
    material: str = ""
    form: str = ""
    style: str = ""
    dimension: str = ""
    size: float = 1.0
    count: int = 1
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    amount: float = 0.0
    weights: tuple[Weight, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Operation:
    """One step.

    kind, target: words of ``vocabulary``; for ``add`` the target is what is added.  region: where, None is the target itself.
    prompt: the instruction to an image editor; source_caption, target_caption: a picture before and after; negative: what must
    not appear.  preserve: what must stay as it is.  strength: 1 is the full edit.  depends_on: earlier operations, by position.
    """

    kind: str
    target: str
    region: Region | None = None
    attributes: Attributes = field(default_factory=Attributes)
    prompt: str = ""
    source_caption: str = ""
    target_caption: str = ""
    negative: str = ""
    preserve: tuple[str, ...] = ()
    strength: float = 1.0
    depends_on: tuple[int, ...] = ()


@dataclass(frozen=True)
class EditPlan:
    """What will be done, in order.  ambiguities: what was not understood, or was guessed, in sentences for the user."""

    prompt: str
    operations: tuple[Operation, ...] = ()
    ambiguities: tuple[str, ...] = ()
    refiner: str = ""
    version: int = PLAN_VERSION


@dataclass(frozen=True)
class EditRequest:
    """What a refiner is asked.

    labels: the classes and sub-labels that the avatar shows, None where that is not known; groups: the names of what earlier
    edits added; images: PNG files of the avatar, for refiners that look; history: the prompts of earlier edits, oldest first.
    """

    prompt: str
    labels: frozenset[str] | None = None
    groups: tuple[str, ...] = ()
    images: tuple[bytes, ...] = field(default=(), repr=False)
    history: tuple[str, ...] = ()


# --- the second turn (the paper's Figure 6) ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelBox:
    """Where a label or group lies in a picture: (left, top, right, bottom) as shares of its width and height."""

    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Keyframe:
    """A (timestep, camera) pair that an operation will edit: its name, and where things lie in it.

    azimuth, elevation: of the camera in the head's frame, radians; at positive azimuth it stands on the subject's left.
    region: the box of what the operation may touch, None where it is hidden; boxes: of labels.
    """

    name: str
    azimuth: float
    elevation: float
    region: tuple[float, float, float, float] | None
    boxes: tuple[LabelBox, ...] = ()
    image: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FinalRequest:
    """The second turn: one operation of the plan, and the keyframes in which its region was located."""

    plan: EditPlan
    operation: int
    keyframes: tuple[Keyframe, ...]


@dataclass(frozen=True)
class KeyframeText:
    """The final words for one keyframe: the instruction and the caption that its image editor gets."""

    keyframe: str
    instruction: str
    caption: str
    negative: str = ""


def plan_json(plan: EditPlan) -> Json:
    """The plan as JSON: everything, defaults too, so that a person sees what can be changed."""
    return {
        "version": plan.version,
        "prompt": plan.prompt,
        "refiner": plan.refiner,
        "operations": [operation_json(operation) for operation in plan.operations],
        "ambiguities": list(plan.ambiguities),
    }


def operation_json(operation: Operation) -> Json:
    """One operation as JSON; no region is an empty anchor, so that every field has one type."""
    region = operation.region or Region("", "on", "subject")
    attributes: dict[str, Any] = dict(vars(operation.attributes))
    attributes["offset"] = list(operation.attributes.offset)
    attributes["weights"] = [{"name": w.name, "weight": w.weight} for w in operation.attributes.weights]
    values: dict[str, Any] = dict(vars(operation))
    values["region"] = dict(vars(region))
    values["attributes"] = attributes
    values["preserve"] = list(operation.preserve)
    values["depends_on"] = list(operation.depends_on)
    return values
