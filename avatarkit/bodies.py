"""Which body an operation takes: compiled kernels for float32 on the CPU, plain torch for everything else.

Binding, skinning, losses and Adam have two bodies with one test for both.  ``plain_torch`` makes the CPU take the other one, so that
what a GPU runs can be tested where there is none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_plain = 0


def compiled(*tensors: Tensor) -> bool:
    """Whether compiled kernels serve these tensors: all float32 on the CPU, outside of ``plain_torch``."""
    import torch

    return not _plain and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Plain torch on the CPU too, in every thread, until the end of the block."""
    global _plain
    _plain += 1
    try:
        yield
    finally:
        _plain -= 1
