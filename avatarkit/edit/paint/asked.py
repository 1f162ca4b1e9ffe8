"""What paint can do, decided from the operation alone and before any picture is drawn.  Imports nothing heavy."""

from __future__ import annotations

import re

from avatarkit.edit.plan import Operation
from avatarkit.edit.vocabulary import MAKEUP
from avatarkit.errors import nearest

STYLES = (
    *MAKEUP, "cartoon", "anime", "sketch", "oil", "watercolour", "marble", "bronze", "gold", "stone", "wood", "clay", "pop_art",
    "pixel_art", "comic", "mosaic",
)  # fmt: skip
DECALS = ("tattoo", "freckles", "mole", "scar")
FORMS: dict[str, tuple[str, ...]] = {
    "tattoo": ("", "heart", "star", "dot", "line", "drop", "round", "oval", "square"),
    "freckles": ("", "dot", "round"),
    "mole": ("", "dot", "round", "oval"),
    "scar": ("", "line"),
}
MATERIALS = ("gold", "silver", "copper", "bronze", "steel", "metal", "wood", "stone", "ceramic")
LOOKS: dict[str, str] = {
    "zombie": "zombie", "undead": "zombie", "vampire": "vampire", "dracula": "vampire", "ghost": "ghost", "alien": "alien",
    "clown": "clown", "statue": "statue", "stone statue": "statue", "older": "older", "old": "older", "elderly": "older",
    "aged": "older", "younger": "younger", "young": "younger",
}  # fmt: skip
"""What is asked for → the look that is painted."""
AGES = ("older", "younger")
WHOLE = ("face", "head", "skin")
LIPS = ("lips", "whole_mouth", "u_lip", "l_lip")
LIDS = ("eyelids", "lashes")
CHEEKS = ("cheeks", "l_cheek", "r_cheek", "nose", "chin", "forehead", "jaw")
MAKEUP_ON: dict[str, tuple[str, ...]] = {
    "lipstick": (*LIPS, *WHOLE), "eyeshadow": (*LIDS, *WHOLE), "eyeliner": (*LIDS, *WHOLE), "blush": (*CHEEKS, *WHOLE),
    "makeup": (*WHOLE, *LIPS, *LIDS, *CHEEKS),
}  # fmt: skip
OTHERS = "an editor such as ip2p can be asked for it"


def can_paint(operation: Operation) -> bool:
    """Whether ``paint`` can do the operation."""
    return not refusal(operation)


def refusal(operation: Operation) -> str:
    """Why ``paint`` cannot do the operation, in a sentence without a full stop; "" where it can."""
    checks = {"restyle": _restyle, "add": _add, "recolour": _recolour, "identity": _identity}
    if operation.kind not in checks:
        return f"paint cannot '{operation.kind}': it changes colours where they are (kinds: {', '.join(checks)})"
    if operation.attributes.amount < 0:
        return f"paint cannot take away what is there: amount {operation.attributes.amount:g} is below 0"
    return checks[operation.kind](operation)


def colour_of(operation: Operation) -> str:
    """The colour that is asked for: the attribute's, or for an operation without a style the first that its prompt names."""
    if operation.attributes.colour or operation.kind != "restyle" or operation.attributes.style:
        return operation.attributes.colour
    from avatarkit.edit.rules_lexicon import lexicon

    words = re.findall(r"[\w#]+", operation.prompt.lower())
    table = lexicon().colours
    for first in range(len(words)):
        for count in (3, 2, 1):
            phrase = " ".join(words[first : first + count])
            if phrase in table:
                return table[phrase]
    return ""


def look_of(operation: Operation) -> str:
    """The painted look that an identity's name asks for; "" where there is none."""
    return LOOKS.get(" ".join(operation.attributes.name.lower().replace("-", " ").split()), "")


def strength_of(operation: Operation) -> float:
    """How much of the paint is put on, in [0, 1]: strength times amount, of which 0 says nothing.

    Half way to older is what people mean by it (the rules say 0.5), so ages are painted in full from there on.
    """
    amount = operation.attributes.amount or 1.0
    if look_of(operation) in AGES:
        amount = min(1.0, 2.0 * amount)
    return operation.strength * amount


def _restyle(operation: Operation) -> str:
    style, target = operation.attributes.style, operation.target
    if not style:
        return "" if colour_of(operation) else f"paint needs a style or a colour ({', '.join(STYLES)}); {OTHERS}"
    if style not in STYLES:
        said = operation.attributes.name or operation.prompt or style
        return f"paint has no style for '{said[:60]}' (it knows {', '.join(STYLES)}); {OTHERS}"
    if style in MAKEUP and target not in MAKEUP_ON[style]:
        return f"paint puts {style} on {', '.join(MAKEUP_ON[style])}; not on '{target}'"
    return ""


def _add(operation: Operation) -> str:
    target, attributes = operation.target, operation.attributes
    if target not in DECALS:
        said = attributes.name or target
        return f"paint cannot add '{said}', which is a thing of its own (it adds {', '.join(DECALS)}); {OTHERS}"
    if attributes.form not in FORMS[target]:
        known = ", ".join(form for form in FORMS[target] if form)
        return f"paint has no {target} of the form '{attributes.form}' (it knows {known}); {OTHERS}"
    if attributes.material and not attributes.colour:
        return f"paint needs the colour that a {target} of {attributes.material} has: set attributes.colour"
    return ""


def _recolour(operation: Operation) -> str:
    attributes = operation.attributes
    if attributes.colour or attributes.lightness or attributes.saturation or attributes.material in MATERIALS:
        return ""
    if attributes.material:
        return f"paint does not know how {attributes.material} looks (it knows {', '.join(MATERIALS)}); set a colour, or {OTHERS}"
    return "paint needs a colour, lightness, saturation or material to recolour with"


def _identity(operation: Operation) -> str:
    if look_of(operation):
        return ""
    name = operation.attributes.name
    known = sorted(set(LOOKS.values()))
    return f"paint has no look for '{name}'{nearest(name, LOOKS)} (it knows {', '.join(known)}); {OTHERS}"
