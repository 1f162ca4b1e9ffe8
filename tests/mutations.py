"""Seeded damage: to bytes, to the tensors and metadata of our files, to arrays of an npz, to JSON."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from typing import Any

import numpy as np
import torch


def damaged_bytes(blob: bytes, chance: random.Random) -> bytes:
    """One to four of: bits flipped, a cut, a block lost, doubled, zeroed or exchanged, something put in front or behind."""
    data = bytearray(blob)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        # headers are small and matter most: every other time the damage is near the beginning or the end
        where = chance.choice((len(data), len(data), min(200, len(data))))
        at = chance.randrange(where) if chance.random() < 0.8 else len(data) - 1 - chance.randrange(min(200, len(data)))
        size = chance.choice((1, 4, 64, 4096))
        kind = chance.randrange(8)
        if kind <= 1:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + size]
        elif kind == 4:
            data[at:at] = data[at : at + size]
        elif kind == 5:
            data[at : at + size] = bytes(len(data[at : at + size]))
        elif kind == 6:
            data[at : at + size] = chance.randbytes(len(data[at : at + size]))
        else:
            data[:] = chance.randbytes(size) + data if chance.random() < 0.5 else data + chance.randbytes(size)
    return bytes(data)


def damaged_tensors(tensors: dict[str, Any], metadata: dict[str, Any], chance: random.Random) -> None:
    """In place: a tensor removed, added, of another type, shape or length, or with NaN; or metadata changed likewise."""
    name = chance.choice(sorted(tensors))
    value = tensors[name]
    kind = chance.randrange(9)
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[name + chance.choice(("x", "/y"))] = value.clone()
    elif kind == 2:
        tensors[name] = value.to(chance.choice([d for d in (torch.float64, torch.float16, torch.int64, torch.uint8) if d != value.dtype]))  # fmt: skip
    elif kind == 3:
        tensors[name] = value[..., None]
    elif kind == 4:
        tensors[name] = torch.cat([value, value]) if value.ndim and len(value) else torch.zeros(3, 3, 3)
    elif kind == 5:
        tensors[name] = value[:-1] if value.ndim and len(value) else torch.zeros(2)
    elif kind == 6:
        floats = [n for n in sorted(tensors) if tensors[n].is_floating_point() and tensors[n].numel()]
        bad = tensors[chance.choice(floats)]
        bad.view(-1)[chance.randrange(bad.numel())] = chance.choice((float("nan"), float("inf"), float("-inf")))
    else:
        damaged_json(metadata, chance)


JUNK: tuple[Any, ...] = (None, True, -1, 1e30, 10**25, "", "x", [], {}, [[]], {"x": 1}, float("nan"))


def damaged_json(value: Any, chance: random.Random) -> None:
    """In place, somewhere in a JSON object: a key or row removed, doubled, misspelt, or its value replaced by junk."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = chance.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            value = inner
            continue
        kind = chance.randrange(4)
        if kind == 0:
            del value[key]
        elif kind == 1 and isinstance(value, dict):
            value[str(key)[:-1] + "q"] = value.pop(key)
        elif kind == 1:
            value.insert(key, json.loads(json.dumps(inner)))
        else:
            value[key] = chance.choice(JUNK)
        return


def damaged_arrays(arrays: dict[str, np.ndarray], chance: random.Random) -> None:
    """In place: an array removed, misspelt, of another type or shape, with NaN, or empty."""
    name = chance.choice(sorted(arrays))
    value = arrays[name]
    kind = chance.randrange(8)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name[:-1] + "q"] = arrays.pop(name)
    elif kind == 2:
        arrays[name] = value.astype(chance.choice(("U8", "c8", "?", "S4", "M8[s]")))
    elif kind == 3:
        arrays[name] = np.concatenate([value.reshape(-1), value.reshape(-1), value.reshape(-1)[:1]])
    elif kind == 4:
        arrays[name] = value.reshape(-1)[:-1]
    elif kind == 5:
        bad = value.astype(np.float64)
        bad.reshape(-1)[chance.randrange(bad.size)] = chance.choice((np.nan, np.inf))
        arrays[name] = bad
    elif kind == 6:
        arrays[name] = np.zeros((0,) * max(1, value.ndim), value.dtype)
    else:
        arrays[name] = np.array(chance.choice((3.0, 7)))


def lying_npz(arrays: dict[str, np.ndarray], chance: random.Random) -> bytes:
    """A whole zip, checksums and all, in which one array's own header promises a shape or a type that is not there."""
    liar = chance.choice(sorted(arrays))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in arrays.items():
            inner = io.BytesIO()
            np.save(inner, value, allow_pickle=False)
            blob = inner.getvalue()
            if name == liar:
                shape = chance.choice(("(10000000000000,)", "(-3,)", "(4294967296, 4294967296)", "()", "(1, 1000000)"))
                kind = chance.choice(("<f4", "<f4", "|O", "<f16", "zz", "|V3"))
                header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
                header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
                begin = 10 + struct.unpack("<H", blob[8:10])[0]
                blob = blob[:8] + struct.pack("<H", len(header)) + header + blob[begin:]
            archive.writestr(f"{name}.npy", blob)
    return buffer.getvalue()
