"""Slips of the pen: one letter away from one word that counts, and no word of their own."""

from __future__ import annotations

from avatarkit.edit.rules_spelling import spelled


def test_a_slip_of_the_pen_is_one_letter() -> None:
    known = (
        "hair",
        "gold",
        "blue",
        "glasses",
        "purple",
        "moustache",
        "earrings",
        "sunglasses",
        "remove",
        "smile",
        "necklace",
    )
    slips = (
        "hiar",
        "glod",
        "bleu",
        "galsses",
        "purpel",
        "moustahce",
        "earings",
        "sunglases",
        "remvoe",
        "smlie",
        "nekclace",
    )
    for word, slip in zip(known, slips, strict=True):
        assert spelled(f"{slip} x") == (f"{word} x", [f"'{slip}' was read as '{word}'"])
    for text in (
        "none of it",
        "a lace skirt",
        "fair",
        "stop",
        "look like thor",
        "bread",
        "hats",
        "gren",
        "xhair",
        "it's",
        "hair's",
    ):
        assert spelled(text) == (text, []), text
