"""Another identity, as far as shape and colour make it: recipes of operations for names that are understood.

What a recipe cannot say (wrinkles, scales, a likeness) is the image editor's: an identity goes to it as well, or to it alone where there is
no recipe.
"""

from __future__ import annotations

from dataclasses import replace

from avatarkit.edit.plan import Attributes, Operation


def _shape(target: str, size: float, dimension: str = "") -> Operation:
    return Operation("shape", target, attributes=Attributes(size=size, dimension=dimension))


def _recolour(target: str, colour: str = "", lightness: float = 0.0, saturation: float = 0.0) -> Operation:
    return Operation(
        "recolour", target, attributes=Attributes(colour=colour, lightness=lightness, saturation=saturation)
    )


RECIPES: dict[str, tuple[Operation, ...]] = {
    "older": (
        _recolour("hair", lightness=0.35, saturation=-0.8), _recolour("brows", lightness=0.2, saturation=-0.6),
        _shape("nose", 1.08), _shape("ears", 1.10, "height"), _shape("lips", 0.85, "thickness"), _shape("cheeks", 0.94),
    ),
    "younger": (_shape("eyes", 1.08), _shape("nose", 0.90), _shape("cheeks", 1.08), _shape("jaw", 0.95, "width"), _shape("lips", 1.10, "thickness")),
    "masculine": (_shape("jaw", 1.10, "width"), _shape("brows", 1.3, "thickness"), _shape("lips", 0.88, "thickness"), _shape("chin", 1.10)),
    "feminine": (_shape("jaw", 0.92, "width"), _shape("brows", 0.75, "thickness"), _shape("lips", 1.15, "thickness"), _shape("eyes", 1.06)),
    "elf": (_shape("ears", 1.45, "height"), _shape("eyes", 1.06), _shape("jaw", 0.92, "width"), _shape("nose", 0.94), _recolour("skin", lightness=0.12)),
    "zombie": (_recolour("skin", colour="#8a9a72"), _recolour("lips", colour="#5d5458"), _recolour("hair", saturation=-0.5, lightness=-0.2), _shape("cheeks", 0.90)),
    "vampire": (_recolour("skin", lightness=0.45, saturation=-0.6), _recolour("eyes", colour="#a31621"), _recolour("lips", colour="#8a1226"), _shape("cheeks", 0.95)),
    "orc": (_recolour("skin", colour="#6f8a4a"), _shape("jaw", 1.18, "width"), _shape("nose", 1.2, "width"), _shape("ears", 1.25, "height"), _shape("chin", 1.12)),
    "goblin": (_recolour("skin", colour="#7d9a48"), _shape("ears", 1.6), _shape("nose", 1.35), _shape("chin", 0.9)),
    "alien": (_recolour("skin", colour="#9fb3a6"), _shape("eyes", 1.35), _shape("nose", 0.7), _shape("lips", 0.7), _recolour("eyes", colour="#101416")),
    "smurf": (_recolour("skin", colour="#5a8fd6"), _shape("nose", 1.2)),
    "ghost": (_recolour("skin", lightness=0.6, saturation=-0.8), _recolour("hair", lightness=0.6, saturation=-0.9), _recolour("lips", lightness=0.4, saturation=-0.8)),
    "baby": (_shape("eyes", 1.2), _shape("nose", 0.75), _shape("cheeks", 1.2), _shape("chin", 0.9), _shape("lips", 0.9, "width")),
}  # fmt: skip
"""By name at full amount; strengths scale with the amount that is asked for."""
SAME = {
    "old": "older",
    "elderly": "older",
    "young": "younger",
    "undead": "zombie",
    "dracula": "vampire",
    "hulk": "orc",
    "martian": "alien",
}


def recipe(operation: Operation, painted: bool) -> tuple[Operation, ...]:
    """The operations that make an identity, none for a name that there is no recipe for.  ``painted``: an image editor gives it its
    colours, so that only shape is left to do.

    ``attributes.amount`` (0 counts as 1; a negative one is the opposite, for what has one) and ``strength`` scale them.
    """
    name = operation.attributes.name.lower().strip()
    amount = (operation.attributes.amount or 1.0) * operation.strength
    if amount < 0:
        name = {"older": "younger", "younger": "older", "masculine": "feminine", "feminine": "masculine"}.get(name, "")
    # half way to older is what people mean by it: recipes are written for that
    share = min(1.0, 2.0 * abs(amount)) if name in ("older", "younger") else min(1.0, abs(amount))
    found = RECIPES.get(SAME.get(name, name), ())
    return tuple(
        replace(step, strength=share, preserve=operation.preserve)
        for step in found
        if step.kind == "shape" or not painted
    )
