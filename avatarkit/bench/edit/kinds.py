"""More kinds of prompts: what must not change, how many, in what style, whom, and a style with an expression."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from avatarkit.bench.edit.cases import Case

BROWS, LIPS, HAIR, EYES = ("l_brow", "r_brow"), ("u_lip", "l_lip"), ("hair",), ("l_eye", "r_eye")


def _scored(kind: str, probe: str, rows: Iterable[tuple[str, str, dict[str, Any]]]) -> list[Case]:
    """Cases of subject, prompt and args, numbered."""
    return [
        Case(f"{kind}-{i:02d}", subject, prompt, kind, probe, args=args)
        for i, (subject, prompt, args) in enumerate(rows)
    ]


def negation_cases() -> list[Case]:
    """One thing changes and another, which is named as well, does not."""

    def hair(colour: str) -> dict[str, Any]:
        return {"hair_colour": colour, "highlight_colour": colour}

    def shirt(colour: str) -> dict[str, Any]:
        return {"shirt_colour": colour, "shirt_trim": colour}

    skin = {"skin": "#008000", "blush": 0.0, "freckles": 0.0}
    rows: list[tuple[str, str, str, dict[str, Any], tuple[str, ...], tuple[str, ...]]] = [
        ("plain", "copper red hair but keep the eyebrows as they are", "colour", hair("#c45a32"), HAIR, BROWS),
        ("plain", "make her hair blue, but not the eyebrows", "colour", hair("#0000ff"), HAIR, BROWS),
        ("plain", "green hair, don't change the lips", "colour", hair("#008000"), HAIR, LIPS),
        ("plain", "red lips but leave the hair alone", "colour", {"lips": "#ff0000"}, LIPS, HAIR),
        ("plain", "a red shirt without changing the hair", "colour", shirt("#ff0000"), ("cloth",), HAIR),
        ("plain", "green skin but not the lips", "colour", skin, ("skin", "nose", "neck", "l_ear", "r_ear"), LIPS),
        ("plain", "do not change her hair; make the lips red", "colour", {"lips": "#ff0000"}, LIPS, HAIR),
        ("worn", "remove the glasses but not the earrings", "gone", {"glasses": "none"}, ("glasses",), ("earring",)),
        ("worn", "take off the necklace and leave the glasses on", "gone", {"necklace": "none"}, ("necklace",), ("glasses",)),
        ("worn", "no earrings, but keep the necklace", "gone", {"earrings": "none"}, ("earring",), ("necklace",)),
        ("worn", "red hair except the eyebrows", "colour", hair("#ff0000"), HAIR, BROWS),
        ("worn", "make her shirt green but keep the necklace gold", "colour", shirt("#008000"), ("cloth",), ("necklace",)),
        ("worn", "blue glasses, not the eyes", "colour", {"glasses_colour": "#0000ff"}, ("glasses",), EYES),
        ("bearded", "take off the cap but keep the beard", "gone", {"hat": "none"}, ("hat",), ("skin",)),
        ("bearded", "make the cap green, not the shirt", "colour", {"hat_colour": "#008000", "hat_trim": "#008000"}, ("hat",), ("cloth",)),
        ("bearded", "orange beard and moustache but don't change his eyebrows", "colour", {"beard_colour": "#ffa500"}, ("skin",), BROWS),
        ("bearded", "don't change the hair, only make his eyes green", "colour", {"iris": "#008000"}, EYES, HAIR),
        ("bearded", "his shirt should be purple but leave the cap as it is", "colour", shirt("#800080"), ("cloth",), ("hat",)),
        ("bearded", "purple lips, but do not touch the eyes", "colour", {"lips": "#800080"}, LIPS, EYES),
        ("bearded", "shave his beard but not the moustache", "gone", {"beard": "none"}, ("skin",), ("skin",)),
    ]  # fmt: skip
    return [
        Case(
            f"negation-{i:02d}", subject, prompt, "negation", "negation", change, labels, {"inner": inner, "kept": kept}
        )
        for i, (subject, prompt, inner, change, labels, kept) in enumerate(rows)
    ]


def number_cases() -> list[Case]:
    """How many things are added."""
    rows = [
        ("plain", "add two earrings", 2), ("plain", "one earring in the left ear", 1), ("plain", "a pair of earrings", 2),
        ("bearded", "add a single gold earring", 1), ("bearded", "two silver studs", 2), ("bearded", "give him two nose rings", 2),
        ("plain", "a nose ring", 1), ("plain", "three nose rings", 3), ("plain", "put three studs in her left ear", 3),
        ("bearded", "two hoops in his right ear", 2), ("plain", "one pearl earring in the right ear", 1), ("plain", "two necklaces", 2),
        ("bearded", "a pair of silver hoop earrings", 2), ("worn", "a nose stud", 1), ("worn", "two nose rings", 2),
        ("bearded", "three gold necklaces", 3), ("bearded", "one nose ring", 1), ("plain", "four earrings", 4),
        ("bearded", "both ears get an earring", 2), ("plain", "a single necklace", 1),
    ]  # fmt: skip
    return _scored("number", "number", ((subject, prompt, {"count": count}) for subject, prompt, count in rows))


def style_cases() -> list[Case]:
    """The whole head in the manner of a picture or of a material."""
    rows = [
        ("plain", "as an oil painting", "oil"), ("worn", "make it an oil painting", "oil"), ("plain", "turn it into a cartoon", "cartoon"),
        ("bearded", "make him a cartoon character", "cartoon"), ("plain", "as a pencil sketch", "sketch"), ("worn", "a charcoal drawing of her", "sketch"),
        ("plain", "turn her into a marble statue", "marble"), ("worn", "a marble bust", "marble"), ("bearded", "a bronze statue", "bronze"),
        ("plain", "make her a bronze sculpture", "bronze"), ("plain", "in the style of pop art", "pop_art"), ("bearded", "as an Andy Warhol", "pop_art"),
        ("worn", "a watercolour painting", "watercolour"), ("plain", "turn it into a watercolor", "watercolour"), ("bearded", "made of wood", "wood"),
        ("plain", "a wooden sculpture", "wood"), ("plain", "like a comic book hero", "comic"), ("bearded", "in comic book style", "comic"),
        ("worn", "as a Roman mosaic", "mosaic"), ("plain", "turn it into a mosaic", "mosaic"),
    ]  # fmt: skip
    return _scored("style", "style", ((subject, prompt, {"style": name}) for subject, prompt, name in rows))


def identity_cases() -> list[Case]:
    """Whom a word alone makes of somebody."""
    rows = [
        ("plain", "turn her into an elf", "elf"), ("worn", "make her look like an elf", "elf"), ("plain", "a zombie", "zombie"),
        ("bearded", "turn him into a zombie", "zombie"), ("plain", "turn her into a vampire", "vampire"), ("bearded", "make him a vampire", "vampire"),
        ("bearded", "turn him into an orc", "orc"), ("plain", "make her look like an orc", "orc"), ("plain", "a goblin", "goblin"),
        ("plain", "turn her into an alien", "alien"), ("worn", "make her a smurf", "smurf"), ("bearded", "turn him into a smurf", "smurf"),
        ("plain", "make her look like a ghost", "ghost"), ("plain", "turn her into a baby", "baby"), ("plain", "make her older", "older"),
        ("worn", "make her look elderly", "older"), ("plain", "make her younger", "younger"), ("bearded", "make him look younger", "younger"),
        ("plain", "make her more masculine", "masculine"), ("bearded", "make him more feminine", "feminine"),
    ]  # fmt: skip
    return _scored("identity", "identity", ((subject, prompt, {"name": name}) for subject, prompt, name in rows))


SMILE = {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}
OPEN, BLINK = {"jawOpen": 0.6}, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
PUCKER, RAISED = {"mouthPucker": 0.7}, {"browInnerUp": 0.8, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8}
FROWN: dict[str, float] = {"mouthFrownLeft": 0.7, "mouthFrownRight": 0.7}


def mixed_cases() -> list[Case]:
    """A style and an expression in one sentence."""
    rows: list[tuple[str, str, str, dict[str, Any]]] = [
        ("plain", "a smiling bronze statue", "bronze", SMILE), ("plain", "as an oil painting with a smile", "oil", SMILE),
        ("plain", "a cartoon with the mouth open", "cartoon", OPEN), ("plain", "a marble statue with closed eyes", "marble", BLINK),
        ("plain", "a pencil sketch with raised eyebrows", "sketch", RAISED), ("plain", "pop art, and make her smile", "pop_art", SMILE),
        ("plain", "a wooden statue with an open mouth", "wood", OPEN), ("plain", "a watercolour of her, smiling", "watercolour", SMILE),
        ("plain", "in comic book style with the mouth open", "comic", OPEN), ("plain", "as a bronze statue with closed eyes", "bronze", BLINK),
        ("worn", "a smiling marble bust", "marble", SMILE), ("worn", "as a cartoon with the mouth open", "cartoon", OPEN),
        ("worn", "an oil painting with puckered lips", "oil", PUCKER), ("worn", "a bronze statue with an open mouth", "bronze", OPEN),
        ("worn", "as a mosaic, and make her smile", "mosaic", SMILE), ("bearded", "a smiling cartoon character", "cartoon", SMILE),
        ("bearded", "a marble statue with an open mouth", "marble", OPEN), ("bearded", "an oil painting of him with closed eyes", "oil", BLINK),
        ("bearded", "a pencil sketch with the mouth open", "sketch", OPEN), ("bearded", "a bronze statue, frowning", "bronze", FROWN),
    ]  # fmt: skip
    told = ((subject, prompt, {"style": name, "weights": weights}) for subject, prompt, name, weights in rows)
    return _scored("mixed", "style", told)
