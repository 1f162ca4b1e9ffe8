"""What is asked of an accessory: its attributes with the defaults of the thing filled in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.edit.accessories.materials import Material, material
from avatarkit.edit.colours import shaded
from avatarkit.edit.plan import Operation
from avatarkit.types import FloatArray


@dataclass(frozen=True)
class Wish:
    """colour (3,): sRGB in [0, 1]; form: "" for the usual one; dimension, size: as in the plan; anchor, relation: of the
    region, "" and "on" without one; side: the subject's, "l", "r" or ""."""

    target: str
    colour: FloatArray
    material: Material
    form: str
    count: int
    dimension: str
    size: float
    anchor: str
    relation: str
    side: str

    def factor(self, *dimensions: str) -> float:
        """The factor of the plan where it is meant for one of ``dimensions``, or for the whole thing; else 1."""
        return self.size if self.dimension in ("", "size", *dimensions) else 1.0

    def only(self, *dimensions: str) -> float:
        """The factor of the plan where it is meant for one of ``dimensions`` alone; else 1."""
        return self.size if self.dimension in dimensions else 1.0


def wish(operation: Operation, usual: str, colour: str) -> Wish:
    """What ``operation`` asks; ``usual`` material and "#rrggbb" ``colour`` of the thing where it says none.

    A colour that is asked for goes before the material's, the material's before the thing's; lightness and saturation change
    whichever it is.  Raises InputError for a material without a recipe.
    """
    asked = operation.attributes
    chosen = material(asked.material or usual)
    plain = asked.colour or (chosen.colour if asked.material else "") or colour or chosen.colour
    if asked.lightness or asked.saturation:
        plain = shaded(plain, asked.lightness, asked.saturation)
    return Wish(
        operation.target, rgb(plain), chosen, asked.form, asked.count, asked.dimension, asked.size, *_place(operation)
    )


def _place(operation: Operation) -> tuple[str, str, str]:
    """Anchor, relation and the subject's side that they name."""
    region = operation.region
    if region is None:
        return "", "on", ""
    if region.anchor[:2] in ("l_", "r_") and region.anchor != "l_lip":  # that is the lower lip
        return region.anchor, region.relation, region.anchor[0]
    side = {"left_of": "l", "right_of": "r"}.get(region.relation, "")
    if side and region.frame == "viewer":
        side = "r" if side == "l" else "l"
    return region.anchor, region.relation, side


def rgb(colour: str) -> FloatArray:
    """ "#rrggbb" → (3,) in [0, 1]."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
