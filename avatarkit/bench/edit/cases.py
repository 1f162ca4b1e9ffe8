"""What is asked of which subject, what the truth is, and by which probe it is scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = tuple[str, str, str, dict[str, Any], tuple[str, ...], dict[str, Any]]
"""subject, prompt, probe, change, labels, args of a case."""


@dataclass(frozen=True)
class Case:
    """name: unique; subject: of ``SUBJECTS``; kind: the table that it counts for; probe: how it is scored, with ``args``.

    change: fields of the subject's appearance that are other in the truth; labels: true classes of what is changed.
    """

    name: str
    subject: str
    prompt: str
    kind: str
    probe: str
    change: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)


def attribute_cases() -> list[Case]:
    """Colours of what is there, and things taken away."""
    rows: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = []

    def hair(subject: str, prompt: str, colour: str) -> None:
        rows.append((subject, prompt, {"hair_colour": colour, "highlight_colour": colour}, ("hair",)))

    for prompt, colour in (
        ("copper red hair", "#c45a32"), ("make her hair blue", "#0000ff"), ("give her green hair", "#008000"),
        ("change the hair colour to purple", "#800080"), ("#3a86ff hair", "#3a86ff"), ("platinum blonde hair please", _word("platinum blonde")),
        ("I want orange hair", "#ffa500"), ("paint the hair teal", "#008080"),
    ):  # fmt: skip
        hair("plain", prompt, colour)
    for prompt, colour in (
        ("dye her hair red", "#ff0000"),
        ("her hair should be navy blue", "#000080"),
        ("pink hair", "#ffc0cb"),
        ("turquoise hair", "#40e0d0"),
    ):
        hair("worn", prompt, colour)
    for subject, prompt, colour in (
        ("plain", "red lips", "#ff0000"), ("plain", "make the lips purple", "#800080"), ("worn", "give her #8b1e3f lips", "#8b1e3f"), ("bearded", "blue lips", "#0000ff"),
    ):  # fmt: skip
        rows.append((subject, prompt, {"lips": colour}, ("u_lip", "l_lip")))
    for subject, prompt, colour in (
        ("plain", "green eyes", "#008000"), ("plain", "change her eyes to brown", _word("brown")), ("bearded", "give him blue eyes", "#0000ff"),
        ("bearded", "turquoise eyes", "#40e0d0"), ("plain", "make the irises purple", "#800080"),
    ):  # fmt: skip
        rows.append((subject, prompt, {"iris": colour}, ("l_eye", "r_eye")))
    for subject, prompt, colour in (
        ("plain", "green skin", "#008000"),
        ("worn", "make her skin #7fa8d6", "#7fa8d6"),
        ("bearded", "turn his skin purple", "#800080"),
    ):
        rows.append(
            (
                subject,
                prompt,
                {"skin": colour, "blush": 0.0, "freckles": 0.0},
                ("skin", "nose", "neck", "l_ear", "r_ear"),
            )
        )
    for subject, prompt, colour in (
        ("plain", "blonde eyebrows", _word("blonde")),
        ("plain", "make the eyebrows red", "#ff0000"),
        ("worn", "orange brows", "#ffa500"),
    ):
        rows.append((subject, prompt, {"brows": colour}, ("l_brow", "r_brow")))
    for subject, prompt, colour in (
        ("plain", "a red shirt", "#ff0000"), ("plain", "change the clothes to black", "#000000"), ("worn", "make her shirt green", "#008000"),
        ("worn", "orange clothes", "#ffa500"), ("bearded", "his shirt should be navy", "#000080"), ("plain", "white shirt", "#ffffff"), ("bearded", "purple shirt", "#800080"),
    ):  # fmt: skip
        rows.append((subject, prompt, {"shirt_colour": colour, "shirt_trim": colour}, ("cloth",)))
    for prompt, colour in (
        ("make the glasses red", "#ff0000"),
        ("blue glasses frames", "#0000ff"),
        ("turn her glasses green", "#008000"),
    ):
        rows.append(("worn", prompt, {"glasses_colour": colour}, ("glasses",)))
    for prompt, colour in (
        ("make the cap green", "#008000"),
        ("his cap should be blue", "#0000ff"),
        ("his hat should be purple", "#800080"),
        ("recolour the cap to orange", "#ffa500"),
    ):
        rows.append(("bearded", prompt, {"hat_colour": colour, "hat_trim": colour}, ("hat",)))
    for prompt, colour in (("make the necklace red", "#ff0000"), ("turn the necklace blue", "#0000ff")):
        rows.append(("worn", prompt, {"necklace_colour": colour}, ("necklace",)))
    for prompt, colour in (("make the earrings green", "#008000"), ("change the earrings to blue", "#0000ff")):
        rows.append(("worn", prompt, {"earring_colour": colour}, ("earring",)))
    for prompt, colour in (
        ("recolour his beard and moustache copper red", "#c45a32"),
        ("make his beard and moustache orange", "#ffa500"),
        ("dye the beard and the moustache blue", "#0000ff"),
    ):
        rows.append(("bearded", prompt, {"beard_colour": colour}, ("skin",)))
    cases = [
        Case(f"attribute-{i:02d}", subject, prompt, "attribute", "colour", change, labels)
        for i, (subject, prompt, change, labels) in enumerate(rows)
    ]
    gone: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
        ("worn", "remove the glasses", {"glasses": "none"}, ("glasses",)), ("worn", "take her glasses off", {"glasses": "none"}, ("glasses",)),
        ("worn", "no earrings", {"earrings": "none"}, ("earring",)), ("worn", "get rid of the earrings", {"earrings": "none"}, ("earring",)),
        ("worn", "without the necklace", {"necklace": "none"}, ("necklace",)), ("worn", "remove her necklace", {"necklace": "none"}, ("necklace",)),
        ("bearded", "take off the cap", {"hat": "none"}, ("hat",)), ("bearded", "remove the hat", {"hat": "none"}, ("hat",)),
        ("bearded", "shave his beard", {"beard": "none"}, ("skin",)), ("bearded", "remove the moustache", {"moustache": "none"}, ("skin",)),
        ("plain", "make her bald", {"hair_style": "bald"}, ("hair",)), ("worn", "shave off all the hair", {"hair_style": "bald"}, ("hair",)),
    ]  # fmt: skip
    cases += [
        Case(f"attribute-{len(cases) + i:02d}", subject, prompt, "attribute", "gone", change, labels)
        for i, (subject, prompt, change, labels) in enumerate(gone)
    ]
    return cases


def _word(name: str) -> str:
    """What the planner's lexicon takes a colour of hair, eyes or skin for: the truth has to be drawn in some shade of it."""
    from avatarkit.edit.rules_lexicon import lexicon

    return lexicon().colours[name]


def spatial_cases() -> list[Case]:
    """Where things go: sides in the subject's and the viewer's frame, above and below, on which part."""
    rows: list[Row] = []
    for side, sign in (("left", 1.0), ("right", -1.0)):
        rows += _sided(side, sign)
    rows += _put_on() + _shifted()
    return [
        Case(f"spatial-{i:02d}", subject, prompt, "spatial", probe, change, labels, args)
        for i, (subject, prompt, probe, change, labels, args) in enumerate(rows)
    ]


def _sided(side: str, sign: float) -> list[Row]:
    """What is asked of one side; the viewer's left is the subject's right."""
    own, other = ("l", "r") if sign > 0 else ("r", "l")
    far = "right" if side == "left" else "left"

    def ear(on: str) -> dict[str, Any]:
        return {"near": f"{on}_ear", "within": 0.55, "axis": "left", "sign": 1.0 if on == "l" else -1.0}

    def ring(towards: float) -> dict[str, Any]:
        return {"near": "nose", "within": 0.30, "axis": "left", "sign": towards}

    def half(towards: float) -> dict[str, Any]:
        return {"axis": "left", "sign": towards, "share": 0.9, "half": towards}

    def worn(on: str, style: str) -> dict[str, Any]:
        return {"earrings": style, "earring_side": on}

    def hair(colour: str) -> dict[str, Any]:
        return {"hair_colour": colour, "highlight_colour": colour}

    def part(name: str, within: float) -> dict[str, Any]:
        return {"near": f"{own}_{name}", "within": within, "axis": "left", "sign": sign, "half": sign}

    earring = ("earring",)
    return [
        ("bearded", f"add a gold earring to his {side} ear", "place", worn(side, "hoop"), earring, ear(own)),
        ("bearded", f"a silver stud in the {side} ear", "place", worn(side, "stud"), earring, ear(own)),
        ("bearded", f"put a hoop earring on his {side} ear", "place", worn(side, "hoop"), earring, ear(own)),
        ("plain", f"add a nose ring on the {side} side of the nose", "place", {}, (), ring(sign)),
        ("worn", f"a gold nose ring in the {side} nostril", "place", {}, (), ring(sign)),
        ("plain", f"make the {side} half of the hair blue", "placed colour", hair("#0000ff"), ("hair",), half(sign)),
        ("worn", f"the {side} side of her hair should be green", "placed colour", hair("#008000"), ("hair",), half(sign)),
        ("plain", f"make the {side} eyebrow red", "placed colour", {"brows": "#ff0000"}, (f"{own}_brow",), part("brow", 0.35)),
        ("bearded", f"make his {side} eye green", "placed colour", {"iris": "#008000"}, (f"{own}_eye",), part("eye", 0.30)),
        ("worn", f"remove the {side} earring", "placed gone", {"earring_side": far}, earring, ear(own)),
        ("worn", f"make the {side} earring blue", "placed colour", {"earring_colour": "#0000ff"}, earring, {**ear(own), "half": sign}),
        ("bearded", f"add an earring to the ear on the viewer's {side}", "place", worn(far, "hoop"), earring, ear(other)),
        ("plain", f"make the hair on the {side} side of the picture pink", "placed colour", hair("#ffc0cb"), ("hair",), half(-sign)),
        ("bearded", f"a nose ring on the viewer's {side}", "place", {}, (), ring(-sign)),
    ]  # fmt: skip


def _put_on() -> list[Row]:
    """Things that have one place."""
    eyes = {
        "near": "eyes",
        "within": 0.75,
        "axis": "forward",
        "sign": 1.0,
        "share": 0.5,
    }  # its arms go back to the ears
    rows: list[Row] = [
        (subject, prompt, "place", {"glasses": style}, ("glasses",), eyes)
        for subject, prompt, style in (
            ("plain", "add round black glasses", "round"), ("bearded", "square red glasses", "square"),
            ("plain", "put sunglasses on her", "sunglasses"),
        )
    ]  # fmt: skip
    rows += [
        (subject, prompt, "place", {"hat": style}, ("hat",), {"above": "eyes", "near": "top", "within": within})
        for subject, prompt, style, within in (
            ("plain", "a green beanie", "beanie", 0.8), ("plain", "add a straw hat", "hat", 1.1),
            ("worn", "give her a blue cap", "cap", 1.1), ("plain", "a red hat with a wide brim", "hat", 1.2),
            ("worn", "put a black beanie on her head", "beanie", 0.8), ("plain", "add a red headband", "headband", 1.0),
            ("worn", "a headband above the ears", "headband", 1.0),
        )
    ]  # fmt: skip
    rows += [
        (subject, prompt, "place", {"necklace": style}, ("necklace",), {"below": "chin"})
        for subject, prompt, style in (
            ("plain", "a pearl necklace", "pearls"), ("plain", "add a gold chain necklace", "chain"),
            ("bearded", "give him a silver necklace", "chain"), ("plain", "a necklace around her neck", "chain"),
        )
    ]  # fmt: skip
    over = {"below": "nose", "above": "mouth", "near": "mouth", "within": 0.35}
    rows += [
        ("plain", "give her a moustache", "place", {"moustache": "moustache"}, ("skin",), over),
        ("worn", "add a black moustache above the lips", "place", {"moustache": "moustache"}, ("skin",), over),
        ("plain", "add a brown beard", "place", {"beard": "full"}, ("skin",), {"below": "nose"}),
        ("worn", "a short black beard", "place", {"beard": "short"}, ("skin",), {"below": "nose"}),
    ]
    pair = {"both": ("l_ear", "r_ear"), "within": 0.55}
    return [
        *rows,
        ("bearded", "add earrings", "place", {"earrings": "hoop"}, ("earring",), pair),
        ("bearded", "gold hoop earrings", "place", {"earrings": "hoop"}, ("earring",), pair),
    ]


def _shifted() -> list[Row]:
    """Things that are moved, by at least a third of what the words mean by themselves (a tenth of the head's width, or half of that)."""
    up, bit = {"sign": 1.0, "least": 0.033, "room": 0.15}, {"sign": -1.0, "least": 0.017, "room": 0.10}
    return [
        ("worn", "move the glasses up", "moved", {}, ("glasses",), up),
        ("worn", "move her glasses down a bit", "moved", {}, ("glasses",), bit),
        ("worn", "raise the glasses", "moved", {}, ("glasses",), up),
        ("bearded", "move the cap up", "moved", {}, ("hat",), up),
    ]
