"""An explicit SIMD vector of float32 for Numba: what the kernels of the CPU path are written in.

Hoping for auto-vectorisation is slow (SSIM: 15 ms against 1.5), so the vector is a Numba type over ``<WIDTH x float>``
and each operation is one LLVM instruction.  ``WIDTH`` follows the machine: 16 with AVX-512, 8 with AVX2, else 4 (SSE,
NEON).  ``AVATARKIT_LANES`` (16, 8 or 4) overrides it, for tests: LLVM splits what the machine cannot do in one.

Inside kernels::

    a = load(array, i)                       WIDTH floats from flat index i of a C-contiguous float32 array
    store(out, i, fma(a, splat(2.0), iota()))
    keep = (a > 0.0) & (a <= b)              comparisons give masks; & | ~ combine them
    c = select(keep, a, splat(0.0))
    total = hsum(c)

Operators + − * / and comparisons take vectors and Python or NumPy floats on either side.  Functions that use vectors
must be compiled with ``avatarkit.render.compiled.kernel``, whose disk cache is indexed by width, and never with
``fastmath=True``: "reassoc" would fold the rounding trick of ``exp2`` away.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from avatarkit.render.lane_types import (
    BIT,
    INT,
    INTS,
    VECTOR,
    WIDTH,
    as_vector,
    float32_constant,
    lanes,
    mask,
    same,
    shuffled,
    tree_sum,
)


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(builder.module.declare_intrinsic(name, (), kind), args)


def _suffix() -> str:
    return f"v{WIDTH}f32"


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, to: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


def _float_array(array: Any) -> bool:
    return isinstance(array, types.Array) and array.dtype == types.float32 and array.layout == "C"


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """WIDTH floats from flat ``index`` of a C-contiguous float32 array; any alignment; bounds are not checked."""
    if not (_float_array(array) and isinstance(index, types.Integer)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer = _pointer(context, builder, sig.args[0], args[0], at, VECTOR)
        return builder.load(pointer, align=4)

    return lanes(array, index), codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write WIDTH floats at flat ``index`` of a C-contiguous float32 array; any alignment; bounds are not checked."""
    if not (_float_array(array) and isinstance(index, types.Integer) and value == lanes):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer = _pointer(context, builder, sig.args[0], args[0], at, VECTOR)
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), codegen


@intrinsic
def splat(typingctx: Any, value: Any) -> Any:
    """The same number in every lane."""
    if not isinstance(value, (types.Float, types.Integer)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return as_vector(context, builder, sig.args[0], args[0])

    return lanes(value), codegen


@intrinsic
def iota(typingctx: Any) -> Any:
    """0, 1, …, WIDTH − 1."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(VECTOR, [float(i) for i in range(WIDTH)])

    return lanes(), codegen


def _elementwise(name: str, count: int) -> Any:
    def typed(typingctx: Any, *values: Any) -> Any:
        if any(v != lanes and not isinstance(v, (types.Float, types.Integer)) for v in values):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            vectors = [as_vector(context, builder, t, a) for t, a in zip(sig.args, args, strict=True)]
            return _call(builder, f"llvm.{name}.{_suffix()}", VECTOR, *vectors)

        return lanes(*values), codegen

    if count == 1:

        def one(typingctx: Any, a: Any) -> Any:
            return typed(typingctx, a)

        return one
    if count == 2:

        def two(typingctx: Any, a: Any, b: Any) -> Any:
            return typed(typingctx, a, b)

        return two

    def three(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
        return typed(typingctx, a, b, c)

    return three


fma = intrinsic(_elementwise("fmuladd", 3))
"""a·b + c; fused where the machine can."""
square_root = intrinsic(_elementwise("sqrt", 1))
magnitude = intrinsic(_elementwise("fabs", 1))


def _smaller_or_larger(comparison: str) -> Any:
    def typed(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            one, two = (as_vector(context, builder, t, x) for t, x in zip(sig.args, args, strict=True))
            return builder.select(builder.fcmp_ordered(comparison, one, two), one, two)

        return lanes(a, b), codegen

    return typed


# Compare and select is one instruction; LLVM's own minnum spends two more on NaN.
minimum = intrinsic(_smaller_or_larger("<"))
maximum = intrinsic(_smaller_or_larger(">"))


@intrinsic
def select(typingctx: Any, keep: Any, yes: Any, no: Any) -> Any:
    """``yes`` where ``keep``, else ``no``."""
    if keep != mask:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        yes_value = as_vector(context, builder, sig.args[1], args[1])
        return builder.select(args[0], yes_value, as_vector(context, builder, sig.args[2], args[2]))

    return lanes(keep, yes, no), codegen


@intrinsic
def bits(typingctx: Any, keep: Any) -> Any:
    """The mask as an int64, lane i in bit i; 0 when no lane is set."""
    if keep != mask:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH)), ir.IntType(64))

    return types.int64(keep), codegen


@intrinsic
def hsum(typingctx: Any, value: Any) -> Any:
    """The sum of all lanes, as a tree: lane i with lane i + WIDTH/2, and so on."""
    if value != lanes:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return tree_sum(builder, args[0])

    return types.float32(value), codegen


@intrinsic
def store_sums(typingctx: Any, array: Any, index: Any, values: Any) -> Any:
    """Write the horizontal sum of each vector of a tuple side by side from flat ``index``.

    Vectors are folded two at a time, so that n sums cost little more than n shuffles, not n·log₂ WIDTH.
    """
    if not (_float_array(array) and isinstance(index, types.Integer) and isinstance(values, types.UniTuple)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        count = sig.args[2].count
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        for first in range(0, count, WIDTH):
            chosen = [builder.extract_value(args[2], k) for k in range(first, min(first + WIDTH, count))]
            vectors, groups, width = chosen, [1] * len(chosen), WIDTH
            while width > 1:
                folded, sizes = [], []
                for k in range(0, len(vectors), 2):
                    pair = vectors[k : k + 2]
                    total = sum(groups[k : k + 2])
                    starts = [
                        lane
                        for v in range(len(pair))
                        for lane in range(v * WIDTH, v * WIDTH + groups[k + v] * width, width)
                    ]
                    low = [lane + o for lane in starts for o in range(width // 2)]
                    high = [lane + width // 2 for lane in low]
                    fill = [0] * (WIDTH - len(low))
                    other = pair[-1]
                    folded.append(
                        builder.fadd(
                            shuffled(builder, pair[0], other, low + fill),
                            shuffled(builder, pair[0], other, high + fill),
                        )
                    )
                    sizes.append(total)
                vectors, groups, width = folded, sizes, width // 2
            sums = shuffled(builder, vectors[0], vectors[0], list(range(len(chosen))))
            here = builder.add(at, ir.Constant(at.type, first))
            pointer = _pointer(context, builder, sig.args[0], args[0], here, sums.type)
            builder.store(sums, pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, index, values), codegen


# 2^f on [−0.5, 0.5], degree 5, the largest relative error made least (fitted; 7.5e-8).
_EXP2 = (1.0000000716, 0.6931469670679, 0.2402211979311, 0.05550713315216, 0.009675537703756, 0.00132764444225)


@intrinsic
def exp2(typingctx: Any, value: Any) -> Any:
    """2^value for −126 ≤ value ≤ 127; outside, an arbitrary number (mask it)."""
    if value != lanes:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        # Adding 1.5·2²³ rounds to the nearest integer and leaves it in the low bits of the sum.
        magic = same(VECTOR, 12582912.0)
        shifted = builder.fadd(args[0], magic)
        rest = builder.fsub(args[0], builder.fsub(shifted, magic))
        power = same(VECTOR, float32_constant(_EXP2[-1]))
        for coefficient in reversed(_EXP2[:-1]):
            power = _call(
                builder,
                f"llvm.fmuladd.{_suffix()}",
                VECTOR,
                power,
                rest,
                same(VECTOR, float32_constant(coefficient)),
            )
        exponent = builder.shl(builder.bitcast(shifted, INTS), same(INTS, 23))
        return builder.bitcast(builder.add(builder.bitcast(power, INTS), exponent), VECTOR)

    return lanes(value), codegen


@intrinsic
def lowest(typingctx: Any, value: Any) -> Any:
    """The position of the lowest set bit of an int64 that is not 0."""
    if value != types.int64:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "llvm.cttz.i64", ir.IntType(64), args[0], ir.Constant(BIT, 1))

    return types.int64(value), codegen


@intrinsic
def count_bits(typingctx: Any, value: Any) -> Any:
    """How many bits of an int64 are set."""
    if value != types.int64:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "llvm.ctpop.i64", ir.IntType(64), args[0])

    return types.int64(value), codegen


def _byte_table(array: Any) -> bool:
    return isinstance(array, types.Array) and array.dtype == types.uint8 and array.layout == "C" and array.ndim == 2


@intrinsic
def put_word(typingctx: Any, table: Any, column: Any, word: Any) -> Any:
    """Write the eight bytes of an int64, the lowest first, down a column of a C-contiguous uint8 table with eight rows."""
    if not (_byte_table(table) and isinstance(column, types.Integer) and word == types.int64):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = context.make_array(sig.args[0])(context, builder, args[0])
        stride = builder.extract_value(rows.strides, 0)
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        for k in range(8):
            byte = builder.trunc(builder.lshr(args[2], ir.Constant(ir.IntType(64), 8 * k)), ir.IntType(8))
            builder.store(byte, builder.gep(rows.data, [at]))
            at = builder.add(at, stride)
        return context.get_dummy_value()

    return types.void(table, column, word), codegen


@intrinsic
def bits_across(typingctx: Any, table: Any, place: Any, count: Any) -> Any:
    """Bit ``place`` of each of the first ``count`` words that ``put_word`` wrote, as an int64; ``count`` is a constant, at most 64."""
    if not (_byte_table(table) and isinstance(place, types.Integer) and isinstance(count, types.IntegerLiteral)):
        return None
    number = count.literal_value

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        byte, many = ir.IntType(8), ir.VectorType(ir.IntType(8), number)
        rows = context.make_array(sig.args[0])(context, builder, args[0])
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        start = builder.mul(builder.lshr(at, ir.Constant(at.type, 3)), builder.extract_value(rows.strides, 0))
        loaded = builder.load(builder.bitcast(builder.gep(rows.data, [start]), many.as_pointer()), align=1)
        bit = builder.and_(builder.trunc(at, byte), ir.Constant(byte, 7))
        chosen = builder.shl(ir.Constant(byte, 1), bit)
        first = builder.insert_element(ir.Constant(many, ir.Undefined), chosen, ir.Constant(INT, 0))
        order = ir.Constant(ir.VectorType(INT, number), [0] * number)
        everywhere = builder.shuffle_vector(first, ir.Constant(many, ir.Undefined), order)
        found = builder.icmp_unsigned("!=", builder.and_(loaded, everywhere), ir.Constant(many, [0] * number))
        packed = builder.bitcast(found, ir.IntType(number))
        return packed if number == 64 else builder.zext(packed, ir.IntType(64))

    return types.int64(table, place, count), codegen
