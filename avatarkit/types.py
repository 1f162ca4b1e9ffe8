"""Type aliases shared by signatures.  Shapes are written in docstrings as ``(B, N, 3)``.

Nothing here imports torch or NumPy at run time.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

PathArg: TypeAlias = str | PathLike[str]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    FloatArray: TypeAlias = NDArray[np.floating[Any]]
    Float32Array: TypeAlias = NDArray[np.float32]
    IntArray: TypeAlias = NDArray[np.integer[Any]]
    ByteArray: TypeAlias = NDArray[np.uint8]
    BoolArray: TypeAlias = NDArray[np.bool_]
else:  # names for annotations only: `avatarkit --help` need not wait for NumPy either
    Tensor = FloatArray = Float32Array = IntArray = ByteArray = BoolArray = Any

Json: TypeAlias = dict[str, Any]

__all__ = ["BoolArray", "ByteArray", "Float32Array", "FloatArray", "IntArray", "Json", "PathArg", "Tensor"]
