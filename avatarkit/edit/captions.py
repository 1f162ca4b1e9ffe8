"""Operations in words: for people, and as instructions and captions for image editors."""

from __future__ import annotations

import functools
from dataclasses import replace

from avatarkit.edit.colours import oklab
from avatarkit.edit.plan import FinalRequest, Keyframe, KeyframeText, Operation
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.vocabulary import MAKEUP

SAID = {
    "l_eye": "left eye", "r_eye": "right eye", "l_brow": "left eyebrow", "r_brow": "right eyebrow", "l_ear": "left ear",
    "r_ear": "right ear", "l_cheek": "left cheek", "r_cheek": "right cheek", "u_lip": "upper lip", "l_lip": "lower lip",
    "brows": "eyebrows", "whole_mouth": "mouth", "cloth": "clothes", "nose_ring": "nose ring", "pop_art": "pop art",
    "pixel_art": "pixel art", "cat_eye": "cat-eye", "wide_brim": "wide-brimmed", "oil": "oil painting",
}  # fmt: skip
RELATION_SAID = {
    "on": "on", "above": "above", "below": "below", "left_of": "to the left of", "right_of": "to the right of",
    "in_front": "in front of", "behind": "behind",
}  # fmt: skip
HALVES = {
    "above": "upper half", "below": "lower half", "left_of": "left half", "right_of": "right half", "in_front": "front", "behind": "back",
}  # fmt: skip
TINTED = {"skin": ("skin", "face", "head", "jaw"), "lips": ("lips", "whole_mouth")}
"""By target: the parts of which a half is meant where that is its anchor."""
GROWS = {
    "": ("bigger", "smaller"), "size": ("bigger", "smaller"), "width": ("wider", "narrower"), "height": ("taller", "shorter"),
    "length": ("longer", "shorter"), "thickness": ("thicker", "thinner"), "depth": ("deeper", "flatter"),
}  # fmt: skip
PLURAL = ("glasses", "sunglasses", "freckles", "hair")
AGES = {"older": "older", "younger": "younger", "masculine": "more masculine", "feminine": "more feminine"}
NOUN_FORMS = ("chain", "pearls", "stud", "hoop", "drop", "heart", "star", "dot", "line", "goatee", "stubble")
"""Forms that stand next to the thing: "red heart tattoo"; others stand first: "round red glasses"."""
FRONT, SIDEWAYS, ABOVE = 0.35, 1.2, 0.35  # radians: how a camera's place is called


def said(word: str) -> str:
    """A word of the vocabulary as people write it."""
    return SAID.get(word, word.replace("_", " "))


@functools.lru_cache(maxsize=512)
def colour_name(colour: str) -> str:
    """The nearest name by perception, out of CSS' and those of hair, eyes and skin."""
    wanted = oklab(colour)
    table = lexicon().colours
    return min(table, key=lambda name: sum((x - y) ** 2 for x, y in zip(oklab(table[name]), wanted, strict=True)))


def described(operation: Operation) -> str:
    """One line for a person: what the operation does, where, how much."""
    colour = operation.attributes.colour
    return _instruction(operation) + (f" ({colour})" if colour else "")


def with_texts(operation: Operation, colour_words: str = "") -> Operation:
    """The operation with instruction and captions where it has none.  colour_words: how the user called its colour."""
    instruction = operation.prompt or _instruction(operation, colour_words)
    before, after = _captions(operation, colour_words)
    return replace(
        operation,
        prompt=instruction[:300],
        source_caption=(operation.source_caption or before)[:300],
        target_caption=(operation.target_caption or after)[:300],
    )


def keyframe_texts(request: FinalRequest) -> tuple[KeyframeText, ...]:
    """The second turn without a language model: each keyframe's instruction and caption say the view and where the region is."""
    operation = with_texts(request.plan.operations[request.operation])
    texts = []
    for keyframe in request.keyframes:
        view = view_said(keyframe)
        where = place_said(keyframe.region)
        instruction = f"{operation.prompt}{f', {where} of the picture' if where else ''}"
        caption = f"{view} of {operation.target_caption}"
        texts.append(KeyframeText(keyframe.name, instruction[:300], caption[:300], operation.negative))
    return tuple(texts)


def view_said(keyframe: Keyframe) -> str:
    """From where a camera looks: "a view from the subject's left and above"."""
    azimuth = keyframe.azimuth
    side = "left" if azimuth > 0 else "right"
    if abs(azimuth) < FRONT:
        text = "a frontal view"
    elif abs(azimuth) < SIDEWAYS:
        text = f"a three-quarter view from the subject's {side}"
    else:
        text = f"a profile view from the subject's {side}" if abs(azimuth) < 2.0 else "a view from behind"
    if abs(keyframe.elevation) > ABOVE:
        text += " and above" if keyframe.elevation > 0 else " and below"
    return text


def place_said(box: tuple[float, float, float, float] | None) -> str:
    """Where a box lies in its picture: "at the upper left"; empty where it is hidden or fills the picture."""
    if box is None or (box[2] - box[0] > 0.6 and box[3] - box[1] > 0.6):
        return ""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    across = "left" if x < 0.4 else "right" if x > 0.6 else ""
    down = "upper" if y < 0.4 else "lower" if y > 0.6 else ""
    if across and down:
        return f"at the {down} {across}"
    return f"at the {across}" if across else f"in the {down} middle" if down else "in the middle"


def _instruction(operation: Operation, colour_words: str = "") -> str:
    kind, part, a = operation.kind, _part(operation), operation.attributes
    if kind == "add":
        return f"add {thing_said(operation, colour_words)}{_where(operation)}"
    if kind == "delete":
        return f"remove {part}"
    if kind == "move":
        x, y, z = a.offset
        ways = [(x, "to the subject's left", "to the subject's right"), (y, "up", "down"), (z, "forward", "back")]
        moved = [f"{abs(v):.2g} head widths {plus if v > 0 else minus}" for v, plus, minus in ways if v]
        return f"move {part} {' and '.join(moved)}"
    if kind == "recolour":
        parts = [colour_words or colour_name(a.colour)] if a.colour else []
        parts += [f"{'lighter' if a.lightness > 0 else 'darker'}"] if a.lightness else []
        parts += [f"{'more' if a.saturation > 0 else 'less'} saturated"] if a.saturation else []
        return f"make {part} {' and '.join(parts) or said(a.material)}"
    if kind == "restyle":
        if a.style in MAKEUP:
            return f"paint {f'{colour_words or colour_name(a.colour)} ' if a.colour else ''}{a.style} on {part}"
        return operation.prompt or f"make it a picture in the style of {a.name or said(a.style)}"
    if kind == "expression":
        return "change the expression: " + ", ".join(f"{w.name} {w.weight:+g}" for w in a.weights)
    if kind == "shape":
        bigger, smaller = GROWS[a.dimension]
        return f"make {part} {bigger if a.size >= 1 else smaller} ({a.size:g} times)"
    return f"make the person {AGES[a.name]}" if a.name in AGES else f"make the person look like {likeness(a.name)}"


def likeness(name: str) -> str:
    """Whom an identity resembles, with the article where it is a kind of being: "an elf"."""
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}" if name in lexicon().identities.values() else name


def _part(operation: Operation) -> str:
    """What an operation acts on: "the hair", "the left half of the hair", "the earring on the left ear"."""
    target, region = said(operation.target), operation.region
    if region is None:
        return f"the {target}"
    if region.relation != "on" and region.anchor in TINTED.get(operation.target, (operation.target,)):
        half, whole = HALVES[region.relation], said(region.anchor)
        if region.frame == "viewer" and half in ("left half", "right half"):
            return f"the half of the {whole} on the viewer's {half.removesuffix(' half')}"
        return f"the {half} of the {whole}"
    if region.relation == "on" and operation.target in ("eyelids", "lashes"):
        return f"the {target} of the {said(region.anchor)}"
    return f"the {target}{_where(operation)}"


def thing_said(operation: Operation, colour_words: str = "") -> str:
    """What ``add`` adds, with its article: "a small red hat", "round black glasses"."""
    a = operation.attributes
    name = a.name if operation.target == "object" else said(operation.target)
    size = (
        ""
        if a.size == 1
        else {"": "big", "size": "big", "length": "long", "thickness": "thick"}.get(a.dimension, "wide")
    )
    if a.size < 1:
        size = {"": "small", "size": "small", "length": "short", "thickness": "thin"}.get(a.dimension, "narrow")
    colour = colour_words
    if a.colour and not colour_words and not a.material:  # gold says its colour
        colour = colour_name(a.colour)
    material = a.material if a.material not in colour.split() else ""
    form = said(a.form)
    before, after = ("", form) if a.form in NOUN_FORMS else (form, "")
    words = " ".join(word for word in (size, before, colour, said(material), after, name) if word)
    if a.count > 1:
        return f"{a.count} {words}{'' if name.endswith('s') else 's'}"
    plural = operation.target in PLURAL or (name.endswith("s") and not name.endswith("ss"))
    return words if plural else f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"


def _captions(operation: Operation, colour_words: str) -> tuple[str, str]:
    kind, target, a = operation.kind, said(operation.target), operation.attributes
    plain, part = "a photo of a person", _part(operation)
    if kind == "add":
        return plain, f"{plain} with {thing_said(operation, colour_words)}{_where(operation)}"
    if kind == "recolour" and a.colour and operation.region is not None:
        return f"{plain} with {target}", f"{plain} with {part} {colour_words or colour_name(a.colour)}"
    if kind == "delete" and operation.region is not None:
        return f"{plain} with {part}", f"{plain} without {part}"
    if kind == "delete":
        return f"{plain} with {target}", f"{plain} without {target}"
    if kind == "recolour" and a.colour:
        return f"{plain} with {target}", f"{plain} with {colour_words or colour_name(a.colour)} {target}"
    if kind == "restyle":
        if a.style in MAKEUP:
            where = f" on {part}" if operation.region is not None else ""
            return (
                plain,
                f"{plain} with {f'{colour_words or colour_name(a.colour)} ' if a.colour else ''}{a.style}{where}",
            )
        return plain, f"a picture of a person in the style of {a.name or said(a.style)}"
    if kind == "shape":
        bigger, smaller = GROWS[a.dimension]
        return f"{plain} with {target}", f"{plain} with {bigger if a.size >= 1 else smaller} {target}"
    if kind == "identity":
        if a.name in AGES:
            return plain, f"a photo of {'an' if a.name == 'older' else 'a'} {AGES[a.name]} person"
        return plain, f"{plain} who looks like {likeness(a.name)}"
    return plain, plain


def _where(operation: Operation) -> str:
    region = operation.region
    if region is None:
        return ""
    across = region.relation in ("left_of", "right_of")
    frame = " as the viewer sees it" if region.frame == "viewer" and across else ""
    if across and (operation.target, region.anchor) == ("nose_ring", "nose"):
        return f" on the {region.relation.removesuffix('_of')} side of the nose{frame}"
    return f" {RELATION_SAID[region.relation]} the {said(region.anchor)}{frame}"
