"""What machines read: the ``--json`` of commands."""

from __future__ import annotations

import json
import sys
from typing import Any

from avatarkit.paths import atomic_write_text


def write_json(data: Any, where: str | None) -> None:
    """``--json PATH``: write ``data`` there, to stdout for ``-``, nowhere for None."""
    if where is None:
        return
    text = json.dumps(data, indent=1, allow_nan=False, default=str) + "\n"
    if where == "-":
        sys.stdout.write(text)
    else:
        atomic_write_text(where, text)
