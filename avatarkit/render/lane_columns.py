"""Rows of memory as columns of lanes: WIDTH records at once, in float64.

A record is a row of 8 float64 numbers.  Calculating with one record at a time spends most instructions on moving numbers
about; here WIDTH rows are read whole and transposed in registers, so that each of the eight numbers becomes a vector.
::

    mean_x, mean_y, *_ = gather_columns(records, rows, 0)     WIDTH float64 numbers each, of the rows named by rows[0:WIDTH]
    store(out, 0, narrow(8.0 - mean_x))                       as float32 lanes
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from avatarkit.render.lane_types import DOUBLE, FLOAT, INT, VECTOR, WIDTH, doubles, lanes, shuffled

COLUMNS = 8
"""Numbers in a row of ``gather_columns``."""


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """n LLVM vectors of n numbers, the other way round: halves are exchanged, then quarters, …"""
    size = 1
    while size < len(rows):
        for i in range(len(rows)):
            if i & size:
                continue
            one, two = rows[i], rows[i + size]
            places = range(len(rows))
            rows[i] = shuffled(builder, one, two, [e + len(rows) - size if e & size else e for e in places])
            rows[i + size] = shuffled(builder, one, two, [e + len(rows) if e & size else e + size for e in places])
        size *= 2
    return rows


@intrinsic
def gather_columns(typingctx: Any, array: Any, rows: Any, first: Any) -> Any:
    """The 8 columns of WIDTH rows of a C-contiguous (N, 8) float64 array, a tuple of doubles.

    The rows are ``rows[first:first + WIDTH]``, int64; bounds are not checked.
    """
    fits = isinstance(array, types.Array) and array.dtype == types.float64 and array.layout == "C" and array.ndim == 2
    if not (fits and rows == types.Array(types.int64, 1, "C") and isinstance(first, types.Integer)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, chosen = (context.make_array(sig.args[k])(context, builder, args[k]).data for k in (0, 1))
        at = context.cast(builder, args[2], sig.args[2], types.intp)
        square = min(WIDTH, COLUMNS)
        part = ir.VectorType(DOUBLE, square)
        pieces: list[list[Any]] = [[] for _ in range(COLUMNS)]
        for group in range(0, WIDTH, square):
            starts = []
            for lane in range(group, group + square):
                row = builder.load(builder.gep(chosen, [builder.add(at, ir.Constant(at.type, lane))]))
                starts.append(builder.mul(row, ir.Constant(row.type, COLUMNS)))
            for column in range(0, COLUMNS, square):
                loaded = []
                for start in starts:
                    place = builder.gep(data, [builder.add(start, ir.Constant(start.type, column))])
                    loaded.append(builder.load(builder.bitcast(place, part.as_pointer()), align=8))
                for k, piece in enumerate(transposed(builder, loaded)):
                    pieces[column + k].append(piece)
        whole = [p[0] if len(p) == 1 else shuffled(builder, p[0], p[1], list(range(WIDTH))) for p in pieces]
        return context.make_tuple(builder, sig.return_type, whole)

    return types.UniTuple(doubles, COLUMNS)(array, rows, first), codegen


@intrinsic
def narrow(typingctx: Any, value: Any) -> Any:
    """Doubles rounded to float32 lanes."""
    if value != doubles:
        return None
    return lanes(value), lambda context, builder, sig, args: builder.fptrunc(args[0], VECTOR)


@intrinsic
def pair(typingctx: Any, one: Any, two: Any) -> Any:
    """Two float32 numbers in the bits of one float64, to be moved about and taken apart, never calculated with."""
    if not (isinstance(one, types.Float) and isinstance(two, types.Float)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = ir.Constant(ir.VectorType(FLOAT, 2), ir.Undefined)
        for k in range(2):
            number = context.cast(builder, args[k], sig.args[k], types.float32)
            vector = builder.insert_element(vector, number, ir.Constant(INT, k))
        return builder.bitcast(vector, DOUBLE)

    return types.float64(one, two), codegen


@intrinsic
def first_of_pair(typingctx: Any, value: Any) -> Any:
    """The first float32 of a ``pair``."""
    if value != types.float64:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.extract_element(builder.bitcast(args[0], ir.VectorType(FLOAT, 2)), ir.Constant(INT, 0))

    return types.float32(value), codegen


@intrinsic
def pairs(typingctx: Any, value: Any) -> Any:
    """Doubles that hold a ``pair`` each as two lanes: all first numbers, all second numbers."""
    if value != doubles:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        mixed = builder.bitcast(args[0], ir.VectorType(FLOAT, 2 * WIDTH))
        both = [shuffled(builder, mixed, mixed, list(range(k, 2 * WIDTH, 2))) for k in range(2)]
        return context.make_tuple(builder, sig.return_type, both)

    return types.UniTuple(lanes, 2)(value), codegen
