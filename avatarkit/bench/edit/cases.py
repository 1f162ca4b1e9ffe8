"""What is asked of which subject, what the truth is, and by which probe it is scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COLOURS = {
    "copper red": "#c45a32", "platinum blonde": "#e8dcc0", "blue": "#0000ff", "green": "#008000", "red": "#ff0000",
    "purple": "#800080", "pink": "#ffc0cb", "black": "#000000", "white": "#ffffff", "orange": "#ffa500", "navy": "#000080",
    "teal": "#008080", "gold": "#d4a63a", "yellow": "#ffff00", "turquoise": "#40e0d0", "brown": "#a52a2a",
}  # fmt: skip
"""Colours by the words of the prompts; the truth is drawn with what the word means in CSS or to hairdressers."""


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
        ("change the hair colour to purple", "#800080"), ("#3a86ff hair", "#3a86ff"), ("platinum blonde hair please", None),
        ("I want orange hair", "#ffa500"), ("paint the hair teal", "#008080"),
    ):  # fmt: skip
        hair("plain", prompt, colour or _word("platinum blonde"))
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
        ("plain", "blonde eyebrows", None),
        ("plain", "make the eyebrows red", "#ff0000"),
        ("worn", "orange brows", "#ffa500"),
    ):
        rows.append((subject, prompt, {"brows": colour or _word("blonde")}, ("l_brow", "r_brow")))
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
        ("a blue hat", None),
        ("his hat should be purple", "#800080"),
        ("recolour the cap to orange", "#ffa500"),
    ):
        if colour is not None:
            rows.append(("bearded", prompt, {"hat_colour": colour, "hat_trim": colour}, ("hat",)))
    for prompt, colour in (("make the necklace red", "#ff0000"), ("turn the necklace blue", "#0000ff")):
        rows.append(("worn", prompt, {"necklace_colour": colour}, ("necklace",)))
    for prompt, colour in (("make the earrings green", "#008000"), ("blue earrings instead of these", None)):
        if colour is not None:
            rows.append(("worn", prompt, {"earring_colour": colour}, ("earring",)))
    for prompt, colour in (
        ("a copper red beard", None),
        ("make his beard orange", "#ffa500"),
        ("dye the beard blue", "#0000ff"),
    ):
        if colour is not None:
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
    left, right = ("left", 1.0), ("right", -1.0)
    rows: list[tuple[str, str, dict[str, Any]]] = []
    for side, sign in (left, right):
        ear = f"{'l' if sign > 0 else 'r'}_ear"
        rows += [
            ("plain", f"add a gold earring to her {side} ear", {"near": ear, "within": 0.55, "axis": "left", "sign": sign}),
            ("bearded", f"a silver stud in the {side} ear", {"near": ear, "within": 0.45, "axis": "left", "sign": sign}),
            ("bearded", f"put a hoop earring on his {side} ear", {"near": ear, "within": 0.55, "axis": "left", "sign": sign}),
            ("plain", f"add a nose ring on the {side} side of the nose", {"near": "nose", "within": 0.30, "axis": "left", "sign": sign}),
            ("worn", f"a gold nose ring in the {side} nostril", {"near": "nose", "within": 0.30, "axis": "left", "sign": sign}),
            ("plain", f"make the {side} half of the hair blue", {"axis": "left", "sign": sign, "share": 0.9, "recolour": True}),
            ("worn", f"the {side} side of her hair should be green", {"axis": "left", "sign": sign, "share": 0.9, "recolour": True}),
            ("plain", f"make the {side} eyebrow red", {"near": f"{'l' if sign > 0 else 'r'}_brow", "within": 0.35, "axis": "left", "sign": sign, "recolour": True}),
            ("bearded", f"make his {side} eye green", {"near": f"{'l' if sign > 0 else 'r'}_eye", "within": 0.30, "axis": "left", "sign": sign, "recolour": True}),
            ("worn", f"remove the {side} earring", {"near": ear, "within": 0.55, "axis": "left", "sign": sign, "gone": True}),
            ("worn", f"make the {side} earring blue", {"near": ear, "within": 0.55, "axis": "left", "sign": sign, "recolour": True}),
        ]  # fmt: skip
        # the viewer's left is the subject's right
        rows += [
            ("plain", f"add an earring to the ear on the viewer's {side}", {"near": f"{'r' if sign > 0 else 'l'}_ear", "within": 0.55, "axis": "left", "sign": -sign}),
            ("plain", f"make the hair on the {side} side of the picture pink", {"axis": "left", "sign": -sign, "share": 0.9, "recolour": True}),
            ("bearded", f"a nose ring on the viewer's {side}", {"near": "nose", "within": 0.30, "axis": "left", "sign": -sign}),
        ]  # fmt: skip
    rows += [
        ("plain", "add round black glasses", {"near": "eyes", "within": 0.75, "axis": "forward", "sign": 1.0}),
        ("bearded", "square red glasses", {"near": "eyes", "within": 0.75, "axis": "forward", "sign": 1.0}),
        ("plain", "put sunglasses on her", {"near": "eyes", "within": 0.75, "axis": "forward", "sign": 1.0}),
        ("plain", "a green beanie", {"above": "eyes", "near": "top", "within": 0.8}),
        ("plain", "add a straw hat", {"above": "eyes", "near": "top", "within": 1.1}),
        ("worn", "give her a blue cap", {"above": "eyes", "near": "top", "within": 1.1}),
        ("plain", "a red hat with a wide brim", {"above": "eyes", "near": "top", "within": 1.2}),
        ("worn", "put a black beanie on her head", {"above": "eyes", "near": "top", "within": 0.8}),
        ("plain", "add a red headband", {"above": "eyes", "near": "top", "within": 1.0}),
        ("worn", "a headband above the ears", {"above": "eyes", "near": "top", "within": 1.0}),
        ("plain", "a pearl necklace", {"below": "chin"}), ("plain", "add a gold chain necklace", {"below": "chin"}),
        ("bearded", "give him a silver necklace", {"below": "chin"}), ("plain", "a necklace around her neck", {"below": "chin"}),
        ("plain", "give her a moustache", {"below": "nose", "above": "mouth", "near": "mouth", "within": 0.35}),
        ("worn", "add a black moustache above the lips", {"below": "nose", "above": "mouth", "near": "mouth", "within": 0.35}),
        ("plain", "add a brown beard", {"below": "mouth"}), ("worn", "a short black beard", {"below": "mouth"}),
        ("worn", "move the glasses up", {"moved": "up", "sign": 1.0}), ("worn", "move her glasses down a bit", {"moved": "up", "sign": -1.0}),
        ("worn", "raise the glasses", {"moved": "up", "sign": 1.0}), ("bearded", "move the cap up", {"moved": "up", "sign": 1.0}),
        ("plain", "add earrings", {"both": ("l_ear", "r_ear"), "within": 0.55}), ("bearded", "gold hoop earrings", {"both": ("l_ear", "r_ear"), "within": 0.55}),
    ]  # fmt: skip
    return [Case(f"spatial-{i:02d}", s, p, "spatial", "place", args=a) for i, (s, p, a) in enumerate(rows)]
