"""The vector type against NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from avatarkit.render.compiled import kernel
from avatarkit.render.lanes import (
    WIDTH,
    bits,
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
