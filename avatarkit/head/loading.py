"""Find a head model by name or file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.head.flame import read_flame
from avatarkit.types import PathArg


def load_head(name_or_file: PathArg, *, expected: Mapping[str, Any] | None = None) -> HeadModel:
    """The head model ``"bust"``, ``"flame"`` (the registered asset), a plugin's name, or a FLAME-topology .npz.

    expected: counts the model must have, keys of ``HeadModel.reference`` (``vertices``, ``shape``, ``expr``; other keys are
    ignored).  Raises InputError when they differ, MissingAsset when ``flame`` is not registered.
    """
    text = str(name_or_file)
    head: HeadModel
    if text == "bust":
        from avatarkit.head.bust import BustModel

        head = BustModel()
    elif text == "flame":
        from avatarkit import assets

        head = read_flame(assets.require("flame"), name="flame")
    else:
        head = read_flame(Path(text))
    if expected is not None:
        check_expected(head, expected)
    return head


def check_expected(head: HeadModel, expected: Mapping[str, Any]) -> None:
    """Raise InputError naming the count in which ``head`` differs from ``expected``."""
    found = head.reference
    for key in ("vertices", "shape", "expr"):
        if expected.get(key) is not None and int(expected[key]) != found[key]:
            raise InputError(
                f"head model '{head.name}' has {found[key]} {key} values; {expected[key]} are needed: choose another with --head NAME|FILE"
            )
