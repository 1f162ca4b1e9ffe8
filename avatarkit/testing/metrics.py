"""Checks of an edit metric: figures with names, one value for each view, whatever the pictures.  One that uses the network is not called."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from avatarkit.contracts import EditedViews, EditMetric, Measured
from avatarkit.edit.expectations import Expectation
from avatarkit.events import Run
from avatarkit.testing.conformance import Check, require
from avatarkit.testing.signatures import takes_the_contracts_arguments

HAT = (Expectation("attribute", "a red hat"), Expectation("spatial", "a red hat", "above", "a nose"))


def its_method_fits(part: Any) -> str:
    return takes_the_contracts_arguments(part, EditMetric, "score")


def _scored(part: Any, batch: int, height: int, width: int, *, changed: bool = True) -> tuple[Measured, ...]:
    before, after = torch.rand(2, batch, 3, height, width, generator=torch.Generator().manual_seed(batch))
    after = after if changed else before.clone()
    kept: tuple[Tensor, Tensor] = before.clone(), after.clone()
    words = "a photo of a person", "a photo of a person with a red hat"
    found = part.score(EditedViews(before, after, *words, (HAT,) * batch, "a red hat"), Run())
    require(torch.equal(before, kept[0]) and torch.equal(after, kept[1]), "score changed its input")
    require(isinstance(found, tuple), f"score returned {type(found).__name__}, not a tuple")
    wrong = [type(one).__name__ for one in found if not isinstance(one, Measured)]
    require(not wrong, f"score returned {', '.join(wrong)}, not avatarkit.contracts.Measured")
    require(len({one.name for one in found}) == len(found) and all(one.name for one in found), "names must be unique")
    for one in found:
        require(len(one.views) == batch, f"'{one.name}' has {len(one.views)} values for {batch} views")
        told = [value for value in one.views if value is not None]
        require(told, f"'{one.name}' has no value; leave it out")
        require(all(math.isfinite(value) for value in told), f"'{one.name}' has a value that is not finite")
    return found


def it_returns_a_value_for_each_view(part: Any) -> str:
    names = [[one.name for one in _scored(part, *shape)] for shape in ((1, 64, 64), (3, 48, 64))]
    require(names[0] and names[0] == names[1], f"names of two edits differ, or there are none: {names[0]}, {names[1]}")
    return ", ".join(names[0])


def views_that_did_not_change_have_figures(part: Any) -> str:
    require(_scored(part, 2, 64, 64, changed=False), "no figure for an edit that changed nothing")
    return "finite"


def it_gives_the_same_twice(part: Any) -> str:
    first, second = _scored(part, 2, 64, 64), _scored(part, 2, 64, 64)
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one.views, other.views, strict=True):
            same = a == b if a is None or b is None else abs(a - b) <= 1e-4
            require(same, f"'{one.name}' is {a}, then {b} for the same edit")
    return "deterministic"


CHECKS: tuple[Check, ...] = (
    its_method_fits,
    it_returns_a_value_for_each_view,
    views_that_did_not_change_have_figures,
    it_gives_the_same_twice,
)
