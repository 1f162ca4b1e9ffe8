"""Checks of a refiner.  It is not called: most send the prompt off the machine and cost money."""

from __future__ import annotations

from typing import Any

from avatarkit.contracts import Refiner
from avatarkit.testing.conformance import Check
from avatarkit.testing.signatures import takes_the_contracts_arguments


def its_method_fits(part: Any) -> str:
    return takes_the_contracts_arguments(part, Refiner, "refine")


CHECKS: tuple[Check, ...] = (its_method_fits,)
