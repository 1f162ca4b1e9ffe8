"""A prompt on its way from text to items: whole phrases become marks in it, and the rest is read word by word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Item:
    """kind and value as in the lexicon; text: the words as they stood; note: what had to be guessed; frame: whose left and right
    are meant, of items that name one ("subject" or "viewer")."""

    kind: str
    value: Any
    text: str
    note: str = ""
    frame: str = "subject"


class MarkedText:
    """A text in which whole phrases are replaced by marks that stand for finished items."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[Item] = []

    def mark(self, item: Item) -> str:
        """The mark that stands for ``item``; its words are kept as they stood, without marks that were among them."""
        item.text = " ".join(self.plain(item.text).split())
        self.items.append(item)
        return f" \x02{len(self.items) - 1}\x03 "

    def take(self, pattern: str | re.Pattern[str], make: Callable[[re.Match[str]], Item | str | None]) -> None:
        """Replace every match by the item that ``make`` returns, or by text; None leaves it."""

        def replaced(match: re.Match[str]) -> str:
            made = make(match)
            if made is None:
                return match[0]
            return made if isinstance(made, str) else self.mark(made)

        self.text = re.sub(pattern, replaced, self.text)

    def plain(self, text: str) -> str:
        """``text`` with the words of its marks."""
        return re.sub(r"\x02(\d+)\x03", lambda match: self.items[int(match[1])].text, text)


def normalised(prompt: str) -> str:
    """Lower case, plain quotes, hyphens as spaces; invisible marks are dropped."""
    text = unicodedata.normalize("NFKC", prompt).lower()
    text = re.sub(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069]+", " ", text)
    text = re.sub(r"[\u2018\u2019\u02bc`]", "'", text)
    text = re.sub(r"[-\u2010-\u2015_/]", " ", text)
    text = re.sub(r"\bdont\b", "don't", text).replace("hair do ", "hairdo ")
    text = re.sub(r"\band then\b", " then ", text)
    return " ".join(text.split())
