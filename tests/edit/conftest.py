"""Labelled heads that many tests of edits look at.  Nobody changes them in place."""

from __future__ import annotations

import pytest

from .labelled import Labelled, labelled


@pytest.fixture(scope="session")
def plain() -> Labelled:
    """A head with hair, glasses and earrings."""
    return labelled()


@pytest.fixture(scope="session")
def bare() -> Labelled:
    """The same without glasses and earrings."""
    return labelled(worn=False)


@pytest.fixture(scope="session")
def bearded() -> Labelled:
    return labelled(beard=True, worn=False)
