"""Checks of an exporter."""

from __future__ import annotations

from typing import Any

from avatarkit.contracts import Exporter
from avatarkit.testing.conformance import Check, require
from avatarkit.testing.signatures import takes_the_contracts_arguments


def its_method_fits(part: Any) -> str:
    return takes_the_contracts_arguments(part, Exporter, "export")


def its_suffix_is_one(part: Any) -> str:
    """By which a file's name chooses the exporter."""
    suffix = part.suffix
    require(
        isinstance(suffix, str) and suffix.startswith(".") and len(suffix) > 1,
        f"suffix is {suffix!r}; expected '.ply', say",
    )
    require(suffix == suffix.lower(), f"suffix is {suffix!r}; expected lower case")
    return str(suffix)


CHECKS: tuple[Check, ...] = (its_method_fits, its_suffix_is_one)
