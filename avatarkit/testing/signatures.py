"""Can a part be called the way its contract says?  Looked at, not called: for parts that cost money or need a network."""

from __future__ import annotations

import inspect
from typing import Any

from avatarkit.testing.conformance import require


def takes_the_contracts_arguments(part: Any, protocol: type, method: str) -> str:
    """Every argument of ``protocol.method`` can be given to ``part.method`` as the core gives it.  Raises Broken."""
    expected = list(inspect.signature(getattr(protocol, method)).parameters.values())[1:]
    try:
        signature = inspect.signature(getattr(part, method))
    except (TypeError, ValueError) as error:
        require(False, f"{method} cannot be looked at: {error}")
        return ""
    positional = [p for p in expected if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    keyword = {p.name: None for p in expected if p.kind is inspect.Parameter.KEYWORD_ONLY}
    try:
        signature.bind(*(None for _ in positional), **keyword)
    except TypeError as error:
        names = ", ".join(p.name for p in expected)
        require(False, f"{method}({names}) cannot be called: {error}")
    return f"{method}({', '.join(p.name for p in expected)})"
