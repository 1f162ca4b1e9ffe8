"""The vector type against NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numba import literal_unroll

from avatarkit.render.compiled import kernel
from avatarkit.render.lane_columns import first_of_pair, gather_columns, narrow, pair, pairs
from avatarkit.render.lanes import (
    WIDTH,
    bits,
    bits_across,
    count_bits,
    exp2,
    fma,
    hsum,
    iota,
    load,
    lowest,
    magnitude,
    maximum,
    minimum,
    put_word,
    select,
    splat,
    square_root,
    store,
    store_sums,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]


@kernel
def everything(a, b, out):  # type: ignore[no-untyped-def]
    x, y = load(a, 0), load(b, 1)
    row = WIDTH
    store(out, 0 * row, fma(x, y, 2.0) - x / y)
    store(out, 1 * row, minimum(x, y) * 2.0 + 3.0 * maximum(x, y))
    keep = ((x > y) | (x <= 0.25)) & ~(y >= 0.9)
    store(out, 2 * row, select(keep, -x, splat(7.0)))
    store(out, 3 * row, magnitude(x - 0.5) + square_root(y))
    z = iota()
    z += 1.0
    z *= x
    store(out, 4 * row, z)
    store_sums(out, 5 * row, (x, y, z, x * y, x - y))
    return hsum(x), bits(keep), count_bits(bits(keep)), lowest(np.int64(40))


@kernel
def powers(values, out):  # type: ignore[no-untyped-def]
    for i in range(0, len(values), WIDTH):
        store(out, i, exp2(load(values, i)))


def test_operations() -> None:
    random = np.random.default_rng(0)
    a, b = random.random(WIDTH).astype(np.float32), random.random(WIDTH + 1).astype(np.float32)
    out = np.zeros(6 * WIDTH + 8, np.float32)
    total, mask, count, first = everything(a, b, out)
    x, y = a, b[1:]
    keep = ((x > y) | (x <= 0.25)) & ~(y >= 0.9)
    z = (np.arange(WIDTH) + 1) * x
    rows: list[Any] = [
        x * y + 2 - x / y, np.minimum(x, y) * 2 + 3 * np.maximum(x, y), np.where(keep, -x, 7), abs(x - 0.5) + np.sqrt(y), z,
    ]  # fmt: skip
    for k, row in enumerate(rows):
        np.testing.assert_allclose(out[k * WIDTH : (k + 1) * WIDTH], row, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out[5 * WIDTH :][:5], [v.sum() for v in (x, y, z, x * y, x - y)], rtol=1e-5, atol=1e-6)
    assert (out[5 * WIDTH + 5 :] == 0).all()  # nothing beyond the five sums is touched
    assert abs(total - x.sum()) < 1e-5
    assert mask == sum(1 << i for i in range(WIDTH) if keep[i]) and count == keep.sum() and first == 3


@kernel
def columns_of(rows, chosen, packed, out, doubled):  # type: ignore[no-untyped-def]
    columns = gather_columns(rows, chosen, 1)
    for k in literal_unroll((0, 1, 2, 3, 4, 5, 6, 7)):
        store(out, k * WIDTH, narrow(columns[k]))
    a, b = columns[0], columns[1]
    store(doubled, 0, narrow(a * b + 2.0 - a))
    one, two = pairs(gather_columns(packed, chosen, 1)[3])
    store(doubled, WIDTH, one)
    store(doubled, 2 * WIDTH, two)


@kernel
def pack(values, packed):  # type: ignore[no-untyped-def]
    for i in range(len(packed)):
        packed[i, 3] = pair(values[i, 0], values[i, 1])
    return first_of_pair(packed[2, 3])


@kernel
def across(words, place):  # type: ignore[no-untyped-def]
    table = np.empty((8, 64), np.uint8)
    for k in range(64):
        put_word(table, k, words[k])
    return bits_across(table, place, 16), bits_across(table, place, 64)


def test_rows_are_gathered_as_columns() -> None:
    random = np.random.default_rng(0)
    rows, chosen = random.normal(size=(40, 8)), random.integers(0, 40, WIDTH + 1)
    values = random.normal(size=(40, 2)).astype(np.float32)
    packed = np.zeros((40, 8))
    assert pack(values, packed) == values[2, 0]
    out, doubled = np.zeros(8 * WIDTH, np.float32), np.zeros(3 * WIDTH, np.float32)
    columns_of(rows, chosen, packed, out, doubled)
    picked = rows[chosen[1:]]
    np.testing.assert_array_equal(out.reshape(8, WIDTH), picked.T.astype(np.float32))
    np.testing.assert_allclose(doubled[:WIDTH], picked[:, 0] * picked[:, 1] + 2 - picked[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(doubled[WIDTH:].reshape(2, WIDTH), values[chosen[1:]].T)


def test_one_bit_of_many_words() -> None:
    words = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 64)
    for place in (0, 5, 31, 63):
        bit = [int(word) >> place & 1 for word in words]
        few, many = across(words, place)
        assert few == sum(b << k for k, b in enumerate(bit[:16]))
        assert many & (2**64 - 1) == sum(b << k for k, b in enumerate(bit))


def test_exp2_is_right_to_the_last_bits() -> None:
    values = np.linspace(-126, 100, 16 * 4096, dtype=np.float32)
    out = np.empty_like(values)
    powers(values, out)
    truth = np.exp2(values.astype(np.float64))
    assert np.abs(out / truth - 1).max() < 3e-7


def test_a_cache_that_cannot_be_read_is_made_again(tmp_path: Path) -> None:
    """Another version's index may name types that have moved; a disk may damage one."""
    code = (
        "import numpy as np\n"
        "from tests.render.test_lanes import powers\n"
        "out = np.zeros(16, np.float32); powers(np.ones(16, np.float32), out); print(round(float(out[0]), 5), sum(powers.stats.cache_hits.values()))"
    )

    def run() -> list[str]:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert run() == ["2.0", "0"]
    assert run() == ["2.0", "1"]
    (index,) = tmp_path.rglob("*powers*.nbi")
    content = index.read_bytes()
    for damaged in (content.replace(b"lane_types", b"lane_gone_"), content[:-20], b""):
        assert damaged != content
        index.write_bytes(damaged)
        assert run() == ["2.0", "0"]
        assert run() == ["2.0", "1"]
