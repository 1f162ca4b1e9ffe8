"""WIDTH float64 numbers at once: what ``lanes`` does for float32, as far as projection needs it.

Tables have a row for each Gaussian, so one column of WIDTH rows lies ``stride`` numbers apart; it is read and written a number
at a time, which costs little beside what is done with it.  Quotients and roots are exact; a product and a sum may become one
instruction, so that the same numbers give the same bits only in the same compiled code.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from avatarkit.render.lane_columns import COLUMNS, transposed
from avatarkit.render.lane_types import (
    DOUBLE,
    INT,
    INTS,
    VECTOR,
    WIDE,
    WIDTH,
    as_vector,
    doubles,
    lanes,
    mask,
    same,
    shuffled,
    tree_sum,
)

LONG = ir.IntType(64)
LONGS = ir.VectorType(LONG, WIDTH)


def _floats(array: Any) -> bool:
    return isinstance(array, types.Array) and array.dtype in (types.float32, types.float64) and array.layout == "C"


def _places(context: Any, builder: Any, sig: Any, args: Any) -> list[Any]:
    """A pointer for each lane: flat index args[1], then every args[2] numbers."""
    data = context.make_array(sig.args[0])(context, builder, args[0]).data
    at, stride = (context.cast(builder, args[k], sig.args[k], types.intp) for k in (1, 2))
    return [builder.gep(data, [builder.add(at, builder.mul(stride, ir.Constant(at.type, k)))]) for k in range(WIDTH)]


@intrinsic
def load_strided(typingctx: Any, array: Any, index: Any, stride: Any) -> Any:
    """WIDTH numbers of a C-contiguous float32 or float64 array, from flat ``index``, ``stride`` apart; bounds are not checked."""
    if not (_floats(array) and isinstance(index, types.Integer) and isinstance(stride, types.Integer)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        narrow = sig.args[0].dtype == types.float32
        vector = ir.Constant(VECTOR if narrow else WIDE, ir.Undefined)
        for k, place in enumerate(_places(context, builder, sig, args)):
            vector = builder.insert_element(vector, builder.load(place), ir.Constant(INT, k))
        return builder.fpext(vector, WIDE) if narrow else vector

    return doubles(array, index, stride), codegen


@intrinsic
def store_strided(typingctx: Any, array: Any, index: Any, stride: Any, value: Any) -> Any:
    """Write WIDTH numbers into a C-contiguous float32 or float64 array, as ``load_strided`` reads them."""
    if not (_floats(array) and value == doubles):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = builder.fptrunc(args[3], VECTOR) if sig.args[0].dtype == types.float32 else args[3]
        for k, place in enumerate(_places(context, builder, sig, args)):
            builder.store(builder.extract_element(value, ir.Constant(INT, k)), place)
        return context.get_dummy_value()

    return types.void(array, index, stride, value), codegen


@intrinsic
def store_rows(typingctx: Any, array: Any, row: Any, columns: Any) -> Any:
    """Write a tuple of 8 doubles as WIDTH whole rows, from ``row``, of a C-contiguous (N, 8) float64 array."""
    fits = isinstance(array, types.Array) and array.dtype == types.float64 and array.layout == "C" and array.ndim == 2
    if not (fits and isinstance(row, types.Integer) and columns == types.UniTuple(doubles, COLUMNS)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        first = context.cast(builder, args[1], sig.args[1], types.intp)
        square = min(WIDTH, COLUMNS)
        part = ir.VectorType(DOUBLE, square)
        whole = [builder.extract_value(args[2], k) for k in range(COLUMNS)]
        for group in range(0, WIDTH, square):
            for column in range(0, COLUMNS, square):
                pieces = [
                    shuffled(builder, v, v, list(range(group, group + square))) for v in whole[column : column + square]
                ]
                for k, piece in enumerate(transposed(builder, pieces)):
                    line = builder.add(first, ir.Constant(first.type, group + k))
                    place = builder.add(
                        builder.mul(line, ir.Constant(line.type, COLUMNS)), ir.Constant(line.type, column)
                    )
                    builder.store(piece, builder.bitcast(builder.gep(data, [place]), part.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, row, columns), codegen


@intrinsic
def positive(typingctx: Any, counts: Any, index: Any) -> Any:
    """Which of WIDTH numbers of an int32 array, from ``index``, are above 0: a mask."""
    if not (counts == types.Array(types.int32, 1, "C") and isinstance(index, types.Integer)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        loaded = builder.load(builder.bitcast(builder.gep(data, [at]), INTS.as_pointer()), align=4)
        return builder.icmp_signed(">", loaded, same(INTS, 0))

    return mask(counts, index), codegen


@intrinsic
def double(typingctx: Any, value: Any) -> Any:
    """Lanes as doubles, or a number in every one."""
    if value == lanes:
        return doubles(value), lambda context, builder, sig, args: builder.fpext(args[0], WIDE)
    if not isinstance(value, (types.Float, types.Integer)):
        return None
    return doubles(value), lambda context, builder, sig, args: as_vector(
        context, builder, sig.args[0], args[0], doubles
    )


def _binary(build: Any) -> Any:
    def typed(typingctx: Any, a: Any, b: Any) -> Any:
        if doubles not in (a, b):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return build(
                builder, *(as_vector(context, builder, t, x, doubles) for t, x in zip(sig.args, args, strict=True))
            )

        return doubles(a, b), codegen

    return typed


def _smaller_or_larger(sign: str) -> Any:
    return lambda builder, a, b: builder.select(builder.fcmp_ordered(sign, a, b), a, b)


quotient = intrinsic(_binary(lambda builder, a, b: builder.fdiv(a, b)))
smaller = intrinsic(_binary(_smaller_or_larger("<")))
"""The second where either is NaN."""
larger = intrinsic(_binary(_smaller_or_larger(">")))


def _comparison(sign: str) -> Any:
    def typed(typingctx: Any, a: Any, b: Any) -> Any:
        if doubles not in (a, b):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            one, two = (as_vector(context, builder, t, x, doubles) for t, x in zip(sig.args, args, strict=True))
            return builder.fcmp_ordered(sign, one, two)

        return mask(a, b), codegen

    return typed


above = intrinsic(_comparison(">"))
"""a > b; false with NaN, as the next two."""
at_least = intrinsic(_comparison(">="))
equal = intrinsic(_comparison("=="))


def _unary(name: str) -> Any:
    def typed(typingctx: Any, value: Any) -> Any:
        if value != doubles:
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            function = builder.module.declare_intrinsic(f"llvm.{name}.v{WIDTH}f64", (), ir.FunctionType(WIDE, [WIDE]))
            return builder.call(function, args)

        return doubles(value), codegen

    return typed


root = intrinsic(_unary("sqrt"))
floor = intrinsic(_unary("floor"))
ceil = intrinsic(_unary("ceil"))
size = intrinsic(_unary("fabs"))


@intrinsic
def choose(typingctx: Any, keep: Any, yes: Any, no: Any) -> Any:
    """Doubles: ``yes`` where ``keep``, else ``no``."""
    if keep != mask:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        one, two = (as_vector(context, builder, sig.args[k], args[k], doubles) for k in (1, 2))
        return builder.select(args[0], one, two)

    return doubles(keep, yes, no), codegen


@intrinsic
def total(typingctx: Any, value: Any) -> Any:
    """The sum of all lanes, as a tree."""
    if value != doubles:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return tree_sum(builder, args[0])

    return types.float64(value), codegen


@intrinsic
def paired(typingctx: Any, one: Any, two: Any) -> Any:
    """Two doubles, rounded to float32, side by side in the bits of one: see ``lane_columns.pair``."""
    if not one == two == doubles:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first, second = (builder.fptrunc(a, VECTOR) for a in args)
        order = [lane for k in range(WIDTH) for lane in (k, WIDTH + k)]
        return builder.bitcast(shuffled(builder, first, second, order), WIDE)

    return doubles(one, two), codegen


@intrinsic
def exponent(typingctx: Any, value: Any) -> Any:
    """⌊log₂(value·√2)⌋ of positive normal numbers: what is left after division by 2 to it lies in [1/√2, √2)."""
    if value != doubles:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        # Adding the bits of 1/√2 below 1 carries into the exponent from √2 on.
        bits = builder.add(builder.bitcast(args[0], LONGS), same(LONGS, 0x3FF0000000000000 - 0x3FE6A09E667F3BCD))
        biased = builder.lshr(bits, same(LONGS, 52))
        return builder.sitofp(builder.trunc(builder.sub(biased, same(LONGS, 1023)), INTS), WIDE)

    return doubles(value), codegen


@intrinsic
def power_of_two(typingctx: Any, value: Any) -> Any:
    """2 to whole numbers between −1022 and 1023."""
    if value != doubles:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        whole = builder.sext(builder.fptosi(args[0], INTS), LONGS)
        return builder.bitcast(builder.shl(builder.add(whole, same(LONGS, 1023)), same(LONGS, 52)), WIDE)

    return doubles(value), codegen
