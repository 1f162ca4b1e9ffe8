"""Tensors and JSON metadata in one safetensors file that vouches for every byte of itself.

Layout: a plain safetensors file (any safetensors reader opens it) whose ``__metadata__`` holds ``format`` ("avatarkit/1"),
``json`` (the metadata) and ``sha256``: the checksum of the whole file with its own 64 digits set to zero.  Writing the same
content gives the same bytes.  Nothing in it is ever executed: no pickle.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatarkit.errors import FileFormatError, InputError
from avatarkit.paths import atomic_write, explained
from avatarkit.types import Json, PathArg

_BLANK = "0" * 64
_MARK = b'"sha256":"'
_MAX_HEADER = 100_000_000  # the limit of the safetensors format


def save_tensors(path: PathArg, tensors: dict[str, Tensor], metadata: Json, format: str) -> None:
    """Write ``tensors`` (any dtype of safetensors, any device) and ``metadata`` (JSON) to ``path``, atomically.

    format: "name/version", which ``load_tensors`` asks for.  Raises InputError for metadata that JSON cannot hold,
    EnvironmentProblem when the disk is full or the folder cannot be written; the previous file is untouched then.
    """
    import safetensors.torch

    try:
        text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: metadata cannot be written as JSON: {error}") from error
    plain = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    blob = safetensors.torch.save(plain, {"format": format, "json": text, "sha256": _BLANK})
    # safetensors writes metadata in random order; sorted, equal content gives equal bytes.
    length = struct.unpack("<Q", blob[:8])[0]
    header = json.loads(blob[8 : 8 + length])
    packed = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    packed += b" " * (-len(packed) % 8)
    head = bytearray(struct.pack("<Q", len(packed)) + packed)
    data = memoryview(blob)[8 + length :]
    at = head.index(_MARK) + len(_MARK)
    head[at : at + 64] = _digest(head, data)
    with atomic_write(path) as stream:
        stream.write(head)
        stream.write(data)


def load_tensors(path: PathArg, format: str) -> tuple[dict[str, Tensor], Json]:
    """The tensors (on the CPU, bit for bit) and the metadata that ``save_tensors`` wrote.

    Raises FileFormatError, in one line, for a file that is not of ``format``, is truncated, or differs in any byte.
    """
    import safetensors.torch

    with explained(path):
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file")
        blob = Path(path).read_bytes()
    length = struct.unpack("<Q", blob[:8])[0] if len(blob) >= 8 else _MAX_HEADER
    if length > min(len(blob) - 8, _MAX_HEADER):
        raise FileFormatError(f"{path}: not a safetensors file, or truncated ({len(blob)} bytes); make it again")
    header = _parsed(path, "header", blob[8 : 8 + length])
    about = header.get("__metadata__")
    if not isinstance(about, dict) or not all(isinstance(about.get(key), str) for key in ("format", "json", "sha256")):
        raise FileFormatError(f"{path}: a safetensors file, but not one of avatarkit's (no 'format', 'json', 'sha256')")
    _check_format(path, about["format"], format)
    _check_sum(path, blob, length)
    try:
        tensors = safetensors.torch.load(blob)
    except Exception as error:  # SafetensorError, or whatever torch says of a dtype or shape
        raise FileFormatError(f"{path}: {_one_line(error)}; make it again") from error
    return tensors, _parsed(path, "metadata", about["json"])


def _check_format(path: PathArg, found: str, expected: str) -> None:
    if found == expected:
        return
    if found.rpartition("/")[0] == expected.rpartition("/")[0]:
        raise FileFormatError(f"{path}: format '{found[:80]}'; this avatarkit reads '{expected}'; update avatarkit")
    raise FileFormatError(f"{path}: a file of format '{found[:80]}'; expected '{expected}'")


def _check_sum(path: PathArg, blob: bytes, length: int) -> None:
    at = blob.find(_MARK, 8, 8 + length)
    at += len(_MARK)
    head = bytearray(blob[: 8 + length])
    if at < len(_MARK) or at + 64 > len(head):
        raise FileFormatError(f"{path}: no checksum; the file is damaged or was written by another tool")
    stored = bytes(head[at : at + 64])
    head[at : at + 64] = _BLANK.encode()
    if _digest(head, memoryview(blob)[8 + length :]) != stored:
        raise FileFormatError(f"{path}: its checksum does not match: the file is damaged or truncated; make it again")


def _digest(head: bytearray, data: memoryview) -> bytes:
    digest = hashlib.sha256(head)
    digest.update(data)
    return digest.hexdigest().encode()


def _parsed(path: PathArg, what: str, text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: its {what} is not JSON: the file is damaged or truncated") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path}: its {what} is not a JSON object")
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def finite(value: Tensor) -> bool:
    """Whether every number in ``value`` is finite; true for integers."""
    return not value.is_floating_point() or bool(torch.isfinite(value).all())
