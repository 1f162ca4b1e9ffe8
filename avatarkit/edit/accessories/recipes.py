"""One recipe for each thing that can be put on a head without an image editor; ``accessory`` makes it."""

from __future__ import annotations

from avatarkit.contracts import HeadModel
from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.edit.accessories.glasses import glasses
from avatarkit.edit.accessories.light import Light
from avatarkit.edit.accessories.painting import painted
from avatarkit.edit.accessories.riding import on_joint, ride
from avatarkit.edit.accessories.wishes import wish
from avatarkit.edit.plan import Operation
from avatarkit.edit.vocabulary import ADDABLE
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX


def accessory(operation: Operation, anatomy: Anatomy, head: HeadModel, light: Light, seed: int) -> Gaussians:
    w = wish(operation, "plastic", "#17171a")
    made = painted(glasses(w, anatomy), light, LABEL_INDEX[ADDABLE[operation.target]], seed)
    return ride(made, on_joint(len(made), anatomy.skull_joint), anatomy.pose, head.faces)
