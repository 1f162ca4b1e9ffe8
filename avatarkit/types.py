"""Type aliases shared by signatures.  Shapes are written in docstrings as ``(B, N, 3)``.

Nothing here imports torch at run time.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

PathArg: TypeAlias = str | PathLike[str]
FloatArray: TypeAlias = NDArray[np.floating[Any]]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.integer[Any]]
ByteArray: TypeAlias = NDArray[np.uint8]
Json: TypeAlias = dict[str, Any]

__all__ = ["ByteArray", "Float32Array", "FloatArray", "IntArray", "Json", "PathArg", "Tensor"]
