"""The painted head that several tests look at."""

from __future__ import annotations

import pytest

from .heads import Head, head_views


@pytest.fixture(scope="session")
def head() -> Head:
    """A head whose colour is a known function of the point on the neutral head, seen by four cameras."""
    return head_views()
