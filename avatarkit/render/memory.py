"""Asking for memory before it is needed, and moving blocks of an image.

Gaussians lie in memory in no order that the image knows: a tile's records are as many cache misses, which unasked stalled the
blending kernels for a third of their time.  (Asking for rows of pixels gained nothing.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from avatarkit.render.compiled import kernel
from avatarkit.render.lane_types import WIDTH, lanes
from avatarkit.render.projection import RECORD

BLOCK_WIDTH = 4
"""Pixels of a block in a row; a block is one vector."""
LINE = 16
"""float32 numbers in a cache line, which is 64 bytes on the machines that matter."""


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of flat ``index`` of a C-contiguous array; any address is harmless."""
    if not (isinstance(array, types.Array) and array.layout == "C" and isinstance(index, types.Integer)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        pointer = builder.bitcast(builder.gep(data, [at]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
        builder.call(function, [pointer, ir.Constant(word, 0), ir.Constant(word, 3), ir.Constant(word, 1)])
        return context.get_dummy_value()

    return types.void(array, index), codegen


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


def _rows_of_image(array: Any, at: Any, stride: Any) -> bool:
    floats = isinstance(array, types.Array) and array.layout == "C" and array.dtype == types.float32
    return floats and isinstance(at, types.Integer) and isinstance(stride, types.Integer)


def _row_places(context: Any, builder: Any, sig: Any, args: Any) -> Iterator[Any]:
    """Pointers to the rows of four blocks: at, at + stride, …"""
    row = ir.VectorType(ir.FloatType(), 4 * BLOCK_WIDTH).as_pointer()
    data = context.make_array(sig.args[0])(context, builder, args[0]).data
    at, stride = (context.cast(builder, args[k], sig.args[k], types.intp) for k in (1, 2))
    for _ in range(WIDTH // BLOCK_WIDTH):
        yield builder.bitcast(builder.gep(data, [at]), row)
        at = builder.add(at, stride)


def _joined(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))


@intrinsic
def load_blocks(typingctx: Any, array: Any, at: Any, stride: Any) -> Any:
    """Four neighbouring blocks of an image, a tuple of lanes: 16 pixels of each row from flat index ``at``, ``stride`` apart."""
    if not _rows_of_image(array, at, stride):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = [builder.load(place, align=4) for place in _row_places(context, builder, sig, args)]
        blocks = []
        for block in range(4):
            pieces = [_joined(builder, r, r, list(range(block * BLOCK_WIDTH, (block + 1) * BLOCK_WIDTH))) for r in rows]
            while len(pieces) > 1:
                size = 2 * pieces[0].type.count
                halves = zip(pieces[::2], pieces[1::2], strict=True)
                pieces = [_joined(builder, a, b, list(range(size))) for a, b in halves]
            blocks.append(pieces[0])
        return context.make_tuple(builder, sig.return_type, blocks)

    return types.UniTuple(lanes, 4)(array, at, stride), codegen


@intrinsic
def store_blocks(typingctx: Any, array: Any, at: Any, stride: Any, blocks: Any) -> Any:
    """The inverse of ``load_blocks``; whole rows, of a cache line each where rows start at one."""
    if not (_rows_of_image(array, at, stride) and blocks == types.UniTuple(lanes, 4)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        four = [builder.extract_value(args[3], k) for k in range(4)]
        for row, place in enumerate(_row_places(context, builder, sig, args)):
            here = list(range(row * BLOCK_WIDTH, (row + 1) * BLOCK_WIDTH))
            there = [lane + WIDTH for lane in here]
            left, right = (_joined(builder, four[k], four[k + 1], here + there) for k in (0, 2))
            builder.store(_joined(builder, left, right, list(range(4 * BLOCK_WIDTH))), place, align=4)
        return context.get_dummy_value()

    return types.void(array, at, stride, blocks), codegen


@kernel
def prefetch_gaussians(first, end, entries, records, features, packed):  # type: ignore[no-untyped-def]
    """Ask for the records (N, 8) of the entries first … end − 1, and for their features (N, D) unless they are ``packed`` there."""
    channels = features.shape[1]
    for position in range(first, end):
        i = np.int64(number(entries, position))
        prefetch(records, i * RECORD)
        if not packed:
            for k in range(0, channels, LINE):
                prefetch(features, i * channels + k)
