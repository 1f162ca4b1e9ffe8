"""Asking for memory before it is needed, and moving rows of a block.

Gaussians lie in memory in no order that the image knows: a tile's records and the slots of its gradients are as many cache
misses, which unasked stalled the blending kernels for a third of their time.  (Asking for rows of pixels gained nothing.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from avatarkit.render.compiled import kernel
from avatarkit.render.projection import RECORD

LINE = 16
"""float32 numbers in a cache line, which is 64 bytes on the machines that matter."""


def _prefetch(write: int) -> Any:
    def typed(typingctx: Any, array: Any, index: Any) -> Any:
        if not (isinstance(array, types.Array) and array.layout == "C" and isinstance(index, types.Integer)):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            at = context.cast(builder, args[1], sig.args[1], types.intp)
            data = context.make_array(sig.args[0])(context, builder, args[0]).data
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            pointer = builder.bitcast(builder.gep(data, [at]), byte)
            kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
            function = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
            builder.call(function, [pointer, ir.Constant(word, write), ir.Constant(word, 3), ir.Constant(word, 1)])
            return context.get_dummy_value()

        return types.void(array, index), codegen

    return typed


prefetch = intrinsic(_prefetch(0))
"""Ask for the cache line of flat ``index`` of a C-contiguous array; any address is harmless."""
prefetch_to_write = intrinsic(_prefetch(1))


@intrinsic
def number(typingctx: Any, array: Any, index: Any) -> Any:
    """Flat ``index`` of a C-contiguous array, never counted from the end; bounds are not checked."""
    if not (isinstance(array, types.Array) and array.layout == "C" and isinstance(index, types.Integer)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [at]))

    return array.dtype(array, index), codegen


@intrinsic
def copy_four(typingctx: Any, source: Any, at: Any, target: Any, to: Any) -> Any:
    """Four float32 from flat index ``at`` of ``source`` to flat index ``to`` of ``target``; bounds are not checked."""
    for array in (source, target):
        if not (isinstance(array, types.Array) and array.layout == "C" and array.dtype == types.float32):
            return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), 4).as_pointer()
        places = []
        for k in (0, 2):
            data = context.make_array(sig.args[k])(context, builder, args[k]).data
            index = context.cast(builder, args[k + 1], sig.args[k + 1], types.intp)
            places.append(builder.bitcast(builder.gep(data, [index]), vector))
        builder.store(builder.load(places[0], align=4), places[1], align=4)
        return context.get_dummy_value()

    return types.void(source, at, target, to), codegen


@kernel
def prefetch_gaussians(first, end, entries, records, features):  # type: ignore[no-untyped-def]
    """Ask for the records (N, 8) and features (N, D) of the entries first … end − 1."""
    channels = features.shape[1]
    for position in range(first, end):
        i = np.int64(number(entries, 2 * position + 1))
        prefetch(records, i * RECORD)
        for k in range(0, channels, LINE):
            prefetch(features, i * channels + k)
