"""The Numba types behind ``lanes``: WIDTH floats, doubles and truth values, what they are in LLVM, and their operators."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core.imputils import lower_builtin
from numba.core.typing import signature
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import models, register_model

from avatarkit.errors import InputError


def _machine_width() -> int:
    override = os.environ.get("AVATARKIT_LANES")
    if override:
        if override not in ("4", "8", "16"):
            raise InputError(f"AVATARKIT_LANES is '{override}'; expected 16, 8 or 4 (or unset, to follow the machine)")
        return int(override)
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot ask on some platforms
        return 4
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx2") else 4


WIDTH: int = _machine_width()

FLOAT, DOUBLE, INT, BIT = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(1)
VECTOR, INTS, BITS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(INT, WIDTH), ir.VectorType(BIT, WIDTH)
WIDE = ir.VectorType(DOUBLE, WIDTH)


class LanesType(types.Type):
    """WIDTH float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{WIDTH}")


class DoublesType(types.Type):
    """WIDTH float64 numbers: two machine registers or more."""

    def __init__(self) -> None:
        super().__init__(name=f"float64x{WIDTH}")


class MaskType(types.Type):
    """WIDTH truth values."""

    def __init__(self) -> None:
        super().__init__(name=f"boolx{WIDTH}")


lanes, doubles, mask = LanesType(), DoublesType(), MaskType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, VECTOR)


@register_model(DoublesType)
class _DoublesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, WIDE)


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, BITS)


def same(vector: ir.VectorType, element: Any) -> ir.Constant:
    """The constant ``element`` in every lane of an LLVM vector type."""
    return ir.Constant(vector, [element] * WIDTH)


def float32_constant(value: float) -> float:
    """``value`` rounded to float32, as LLVM wants its constants."""
    return float(np.float32(value))


def shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    """Lanes of two LLVM vectors side by side, picked by ``order``."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(order)), order))


def tree_sum(builder: Any, vector: Any) -> Any:
    """The sum of WIDTH lanes: lane i with lane i + WIDTH/2, and so on."""
    width = WIDTH
    while width > 1:
        width //= 2
        low = shuffled(builder, vector, vector, list(range(width)))
        vector = builder.fadd(low, shuffled(builder, vector, vector, list(range(width, 2 * width))))
    return builder.extract_element(vector, ir.Constant(INT, 0))


def _splat(builder: Any, vector: ir.VectorType, value: Any) -> Any:
    start = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(INT, 0))
    return builder.shuffle_vector(start, ir.Constant(vector, ir.Undefined), ir.Constant(INTS, [0] * WIDTH))


def as_vector(context: Any, builder: Any, typ: Any, value: Any, vector_type: Any = lanes) -> Any:
    """``value`` of Numba type ``typ`` as an LLVM vector; a number goes into every lane."""
    if typ == vector_type:
        return value
    wide = vector_type == doubles
    number = context.cast(builder, value, typ, types.float64 if wide else types.float32)
    return _splat(builder, WIDE if wide else VECTOR, number)


def _register_operator(op: Any, build: Callable[[Any, Any, Any], Any], result: Any, operand: Any = lanes) -> None:
    scalars = (types.float32, types.float64, types.int64, types.int32)
    pairs = [(operand, operand), *((operand, s) for s in scalars), *((s, operand) for s in scalars)]

    class Template(ConcreteTemplate):
        cases = [signature(result, a, b) for a, b in pairs]  # noqa: RUF012

    infer_global(op)(Template)
    for a, b in pairs:

        def lower(context: Any, builder: Any, sig: Any, args: Any, a: Any = a, b: Any = b) -> Any:
            one, two = (as_vector(context, builder, t, x, operand) for t, x in ((a, args[0]), (b, args[1])))
            return build(builder, one, two)

        lower_builtin(op, a, b)(lower)


def _instruction(name: str) -> Callable[[Any, Any, Any], Any]:
    return lambda builder, a, b: getattr(builder, name)(a, b)


def _contracted(name: str) -> Callable[[Any, Any, Any], Any]:
    """A product and a sum may become one instruction."""
    return lambda builder, a, b: getattr(builder, name)(a, b, flags=("contract",))


def _comparison(sign: str) -> Callable[[Any, Any, Any], Any]:
    return lambda builder, a, b: builder.fcmp_ordered(sign, a, b)


for _op, _name in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.isub, "fsub"),
    (operator.mul, "fmul"),
    (operator.imul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _register_operator(_op, _instruction(_name), lanes)
for _op, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _register_operator(_op, _contracted(_name), doubles, doubles)
for _op, _name in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
    _register_operator(_op, _comparison(_name), mask)


def _register_mask_operator(op: Any, name: str) -> None:
    class Template(ConcreteTemplate):
        cases = [signature(mask, mask, mask)]  # noqa: RUF012

    infer_global(op)(Template)
    lower_builtin(op, mask, mask)(lambda context, builder, sig, args: getattr(builder, name)(*args))


for _op, _name in ((operator.and_, "and_"), (operator.or_, "or_")):
    _register_mask_operator(_op, _name)


class _NegTemplate(ConcreteTemplate):
    cases = [signature(lanes, lanes)]  # noqa: RUF012


class _InvertTemplate(ConcreteTemplate):
    cases = [signature(mask, mask)]  # noqa: RUF012


infer_global(operator.neg)(_NegTemplate)
infer_global(operator.invert)(_InvertTemplate)
lower_builtin(operator.neg, lanes)(lambda context, builder, sig, args: builder.fneg(args[0]))
lower_builtin(operator.invert, mask)(lambda context, builder, sig, args: builder.not_(args[0]))
