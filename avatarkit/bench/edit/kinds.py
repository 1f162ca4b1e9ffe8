"""More kinds of prompts: what must not change, and how many."""

from __future__ import annotations

from typing import Any

from avatarkit.bench.edit.cases import Case

BROWS, LIPS, HAIR, EYES = ("l_brow", "r_brow"), ("u_lip", "l_lip"), ("hair",), ("l_eye", "r_eye")


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
    return [
        Case(f"number-{i:02d}", subject, prompt, "number", "number", args={"count": count})
        for i, (subject, prompt, count) in enumerate(rows)
    ]
