"""One recipe for each thing that can be put on a head without an image editor; ``accessory`` makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from avatarkit.contracts import HeadModel
from avatarkit.edit.accessories import facial_hair, hair
from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.caps import beanies, caps, headbands
from avatarkit.edit.accessories.earrings import earrings
from avatarkit.edit.accessories.glasses import glasses
from avatarkit.edit.accessories.hats import hats
from avatarkit.edit.accessories.light import Light
from avatarkit.edit.accessories.necklace import necklace
from avatarkit.edit.accessories.nose_ring import nose_rings
from avatarkit.edit.accessories.painting import Piece, painted
from avatarkit.edit.accessories.riding import on_joint, ride, usable_triangles
from avatarkit.edit.accessories.wishes import Wish, wish
from avatarkit.edit.plan import Operation
from avatarkit.edit.vocabulary import ADDABLE
from avatarkit.errors import unknown_name
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX
from avatarkit.types import IntArray

Made = tuple[list[Piece], IntArray | None]
"""Pieces at rest, and the triangle that carries each disc where the skin does."""


@dataclass(frozen=True)
class Recipe:
    """make: of a wish, an anatomy and a seed; material and colour ("#rrggbb", "" for the material's own) where the plan says
    none; carrier: what it rides on; forms: those that it tells apart, any other has its usual form."""

    make: Callable[[Wish, Anatomy, int], Made]
    material: str
    colour: str
    carrier: Literal["skull", "torso", "skin"]
    forms: tuple[str, ...] = ()


OWN_HAIR = "own hair"  # in place of a colour: the avatar's own, where its labels show it
UNKNOWN_HAIR = "#4a382a"
_LENSES = ("round", "square", "oval", "cat_eye", "heart", "star", "drop", "dot", "line", "full", "wide_brim")
_PENDANTS = ("round", "square", "oval", "heart", "star", "drop", "line", "straight")


def _still(make: Callable[[Wish, Anatomy], list[Piece]]) -> Callable[[Wish, Anatomy, int], Made]:
    """A recipe that leaves nothing to chance but the grain of its material."""
    return lambda wanted, anatomy, seed: (make(wanted, anatomy), None)


RECIPES: dict[str, Recipe] = {
    "glasses": Recipe(_still(glasses), "plastic", "#17171a", "skull", _LENSES),
    "sunglasses": Recipe(_still(glasses), "plastic", "#17171a", "skull", _LENSES),
    "hat": Recipe(_still(hats), "felt", "#5a4534", "skull", ("round", "wide_brim")),
    "cap": Recipe(_still(caps), "cotton", "#2b3f63", "skull"),
    "beanie": Recipe(_still(beanies), "wool", "#7d2f38", "skull"),
    "headband": Recipe(_still(headbands), "cotton", "#33507a", "skull"),
    "earring": Recipe(
        _still(earrings), "gold", "", "skull", ("hoop", "stud", "dot", "chain", "pearls", *_PENDANTS)
    ),
    "necklace": Recipe(_still(necklace), "gold", "", "torso", ("chain", "pearls", "dot", "stud", *_PENDANTS)),
    "nose_ring": Recipe(
        lambda w, a, seed: nose_rings(w, a), "silver", "", "skin", ("stud", "dot", "square", "oval", "heart", "star")
    ),
    "beard": Recipe(
        facial_hair.beards, "hair", OWN_HAIR, "skin", ("full", "short", "stubble", "goatee", "curly", "wavy")
    ),
    "moustache": Recipe(
        facial_hair.moustaches, "hair", OWN_HAIR, "skin",
        ("full", "short", "stubble", "line", "dot", "square", "curly", "wavy"),
    ),
    "hair": Recipe(
        lambda w, a, seed: (hair.hair(w, a, seed), None), "hair", OWN_HAIR, "skull",
        ("short", "full", "straight", "wavy", "curly"),
    ),
}  # fmt: skip


def accessory(operation: Operation, anatomy: Anatomy, head: HeadModel, light: Light, seed: int) -> Gaussians:
    """The thing that an ``add`` operation asks for, on the head of ``anatomy``.

    Coordinates are local: free on the joint that carries the skull or the shoulders, or bound to triangles in the frames that
    ``anatomy.pose`` says (of the same ``head``).  Colours are baked (SH degree 0) as ``light`` falls; label logits are those of
    the class in ``vocabulary.ADDABLE``; ids and parents count from 0, groups are 0.  The same seed gives the same Gaussians.
    Raises InputError for a target without a recipe, and for a material without one.
    """
    if operation.target not in RECIPES:
        raise unknown_name("accessory", operation.target, RECIPES)
    recipe = RECIPES[operation.target]
    wanted = wish(operation, recipe.material, _colour(recipe, anatomy))
    pieces, triangles = recipe.make(wanted, anatomy, seed)
    made = painted(pieces, light, LABEL_INDEX[ADDABLE[operation.target]], seed)
    if triangles is not None:
        binding = torch.from_numpy(usable_triangles(anatomy, triangles))
    else:
        joint = anatomy.skull_joint if recipe.carrier == "skull" else anatomy.torso_joint
        binding = on_joint(len(made), joint)
    return ride(made, binding, anatomy.pose, head.faces)


def _colour(recipe: Recipe, anatomy: Anatomy) -> str:
    if recipe.colour != OWN_HAIR:
        return recipe.colour
    if anatomy.hair_colour is None:
        return UNKNOWN_HAIR
    return "#" + "".join(f"{round(255 * float(channel)):02x}" for channel in anatomy.hair_colour)
