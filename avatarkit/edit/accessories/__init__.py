"""Things to wear, made by code: what `add` puts on a head without an image editor.

anatomy = measure(head, avatar.motion, avatar.gaussians)
made = accessory(operation, anatomy, head, estimate(anatomy, avatar.gaussians), seed)
hidden = poking_through(made, avatar.gaussians, anatomy, head)      # after headwear: the hair that would stick out
"""

from avatarkit.edit.accessories.anatomy import Anatomy, measure
from avatarkit.edit.accessories.light import Light, estimate
from avatarkit.edit.accessories.poking import poking_through
from avatarkit.edit.accessories.recipes import RECIPES, accessory

__all__ = ["RECIPES", "Anatomy", "Light", "accessory", "estimate", "measure", "poking_through"]
