"""Whom a head becomes, and in which style: phrases that need no noun, as operations."""

from __future__ import annotations

import re
from dataclasses import replace

from avatarkit.edit import plan as records
from avatarkit.edit.plan import Attributes, Operation
from avatarkit.edit.rules_records import Phrase

AGES = ("older", "younger", "masculine", "feminine")


def style_of(phrase: Phrase) -> Operation:
    """The whole head in a style of painting; one without a word of its own is said to the editor."""
    style, name = phrase.value
    prompt = f"make it a picture in the style of {name}"[: records.MAX_TEXT] if style == "other" else ""
    return Operation("restyle", "head", None, Attributes(style=style, name=name[: records.MAX_NAME]), prompt)


def identity_of(phrase: Phrase) -> Operation:
    """Somebody else, or the same at another age."""
    name = phrase.value[: records.MAX_NAME]
    amount = round(min(1.0, 0.5 * phrase.degree), 3) if name in AGES else 0.0
    operation = Operation("identity", "head", None, Attributes(name=name, amount=amount))
    words = re.search(rf"\b(?:an?|the) {re.escape(phrase.value)}$", phrase.text)
    if words is None or name in AGES:
        return operation
    like = f"look like {words[0]}"  # as the user calls whom the person should resemble
    return replace(
        operation,
        prompt=f"make the person {like}"[: records.MAX_TEXT],
        target_caption=f"a photo of a person who {like.replace('look', 'looks', 1)}"[: records.MAX_TEXT],
    )
