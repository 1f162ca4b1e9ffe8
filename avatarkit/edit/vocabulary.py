"""The closed vocabulary of a plan: what an operation may be, may act on, and may say.

A refiner chooses from these words and cannot add to them; free words stand in capped text only.  ``l_`` and ``r_`` are the
subject's sides.
"""

from __future__ import annotations

from avatarkit.labels import LABELS

KINDS: dict[str, str] = {
    "add": "put a new thing on the head: an accessory, facial hair, a decal on the skin, another object",
    "delete": "take something away",
    "move": "shift something that is there",
    "recolour": "another colour, or a lighter, darker, more or less saturated one; shading stays",
    "restyle": "paint: makeup on a part, or the whole head in a style (oil, cartoon, bronze …)",
    "expression": "add weights of facial expression to the motion",
    "shape": "scale a part in one dimension",
    "identity": "change who it is or how old: elf, older",
}

RELATIONS: dict[str, str] = {
    "on": "on the anchor itself",
    "above": "above the anchor's centre",
    "below": "below the anchor's centre",
    "left_of": "to the left of the anchor's centre, its own left half included",
    "right_of": "to the right of the anchor's centre, its own right half included",
    "in_front": "in front of the anchor",
    "behind": "behind the anchor",
}

FRAMES: dict[str, str] = {
    "subject": "left and right are those of the person shown",
    "viewer": "left and right are those of the picture",
}

# The 19 classes without the background, which is no part of a head.
PARTS: tuple[str, ...] = LABELS[1:]

# Names for several classes, or for a piece of one: name → the classes that hold it.
GROUPS: dict[str, tuple[str, ...]] = {
    "head": PARTS,
    "face": ("skin", "nose", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip"),
    "eyes": ("l_eye", "r_eye"),
    "brows": ("l_brow", "r_brow"),
    "ears": ("l_ear", "r_ear"),
    "lips": ("u_lip", "l_lip"),
    "whole_mouth": ("u_lip", "l_lip", "mouth"),
    "teeth": ("mouth",),
    "tongue": ("mouth",),
    "beard": ("skin",),
    "moustache": ("skin",),
    "eyelids": ("skin",),
    "lashes": ("skin",),
    "forehead": ("skin",),
    "l_cheek": ("skin",),
    "r_cheek": ("skin",),
    "cheeks": ("skin",),
    "chin": ("skin",),
    "jaw": ("skin",),
}

# What ``add`` can put on a head, and the class that it will have.
ADDABLE: dict[str, str] = {
    "glasses": "glasses", "sunglasses": "glasses", "hat": "hat", "cap": "hat", "beanie": "hat", "headband": "hat",
    "earring": "earring", "necklace": "necklace", "nose_ring": "nose", "beard": "skin", "moustache": "skin", "hair": "hair",
    "tattoo": "skin", "freckles": "skin", "mole": "skin", "scar": "skin",
    "object": "hat",  # anything else; ``attributes.name`` says what
}  # fmt: skip

MATERIALS: tuple[str, ...] = (
    "gold", "silver", "copper", "bronze", "steel", "metal", "pearl", "diamond", "gemstone", "plastic", "wood", "leather",
    "wool", "felt", "denim", "cotton", "silk", "velvet", "straw", "fur", "glass", "stone", "ceramic", "rubber",
)  # fmt: skip

FORMS: tuple[str, ...] = (
    "round", "square", "oval", "cat_eye", "heart", "star", "dot", "line", "stud", "hoop", "drop", "chain", "pearls",
    "full", "short", "goatee", "stubble", "curly", "straight", "wavy", "wide_brim",
)  # fmt: skip

_LENSES = ("round", "square", "oval", "cat_eye", "heart", "star", "drop", "dot", "line", "full", "wide_brim")
_PENDANTS = ("round", "square", "oval", "heart", "star", "drop", "line", "straight")
FORMS_OF: dict[str, tuple[str, ...]] = {
    "glasses": _LENSES, "sunglasses": _LENSES, "hat": ("round", "wide_brim"), "cap": (), "beanie": (), "headband": (),
    "earring": ("hoop", "stud", "dot", "chain", "pearls", *_PENDANTS), "necklace": ("chain", "pearls", "dot", "stud", *_PENDANTS),
    "nose_ring": ("hoop", "stud", "dot", "round", "square", "oval", "heart", "star"),
    "beard": ("full", "short", "stubble", "goatee", "curly", "wavy"),
    "moustache": ("full", "short", "stubble", "line", "dot", "square", "curly", "wavy"),
    "hair": ("short", "full", "straight", "wavy", "curly"),
    "tattoo": ("heart", "star", "dot", "line", "drop", "round", "oval", "square"), "freckles": ("dot", "round"),
    "mole": ("dot", "round", "oval"), "scar": ("line",), "object": FORMS,
}  # fmt: skip
"""What each thing can be like: the forms of its recipe, or of the mark that is painted; of an object an image editor is told."""
COUNTED: tuple[str, ...] = ("earring", "necklace", "nose_ring", "tattoo", "freckles", "mole", "scar", "object")
"""Of which a head may get several at once."""
PAINTED: tuple[str, ...] = ("tattoo", "freckles", "mole", "scar")
"""What is painted on the skin, and so more or less strongly."""
LASTING: tuple[str, ...] = (
    "head", "face", "skin", "neck", "forehead", "cheeks", "l_cheek", "r_cheek", "chin", "jaw", "eyelids",
)  # fmt: skip
"""What cannot be taken away."""
FACE_PARTS: tuple[str, ...] = (
    "face", "head", "skin", "eyes", "l_eye", "r_eye", "brows", "l_brow", "r_brow", "nose", "lips", "u_lip", "l_lip", "mouth",
    "whole_mouth", "teeth", "tongue", "eyelids", "lashes", "forehead", "cheeks", "l_cheek", "r_cheek", "chin", "jaw",
)  # fmt: skip
"""What an expression may be said of."""
WORN: tuple[str, ...] = ("glasses", "hat", "earring", "necklace", "hair", "nose_ring", "cloth")
"""What can be scaled and moved in part; parts of the face move as wholes."""
HALVES: dict[str, tuple[str, str]] = {
    "eyes": ("l_eye", "r_eye"), "brows": ("l_brow", "r_brow"), "ears": ("l_ear", "r_ear"), "cheeks": ("l_cheek", "r_cheek"),
    "lips": ("u_lip", "l_lip"),
}  # fmt: skip
"""What is two of something: the one stays as it is where the other one is named."""
EARS: tuple[str, ...] = ("l_ear", "r_ear", "ears")
ANCHORS_OF: dict[str, tuple[str, ...]] = {
    "earring": (*EARS, "face", "head", "earring"),
    "nose_ring": ("nose", "face", "head", "nose_ring", "u_lip", "lips", "whole_mouth", "mouth"),
}
"""What can say where a thing goes that has few places."""

STYLES: tuple[str, ...] = (
    "lipstick", "eyeshadow", "eyeliner", "blush", "makeup",
    "cartoon", "anime", "sketch", "oil", "watercolour", "marble", "bronze", "gold", "stone", "wood", "clay", "pop_art",
    "pixel_art", "comic", "mosaic", "other",
)  # fmt: skip
MAKEUP = STYLES[:5]

DIMENSIONS: tuple[str, ...] = ("size", "width", "height", "length", "thickness", "depth")


def targets(groups: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What operations other than ``add`` may act on: classes, groups, and the avatar's own named ``groups``."""
    return tuple(dict.fromkeys((*PARTS, *GROUPS, "nose_ring", *groups)))
