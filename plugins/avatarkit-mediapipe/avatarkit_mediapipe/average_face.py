"""The average face that MediaPipe carries in its model file: 468 points in centimetres, out of its geometry metadata.

face_landmarker.task is a zip; the metadata is the protocol buffer mediapipe.tasks.vision.face_geometry.GeometryPipelineMetadata,
whose field 1 (Mesh3d) has vertices as field 3: x y z u v for each, floats that are not packed.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avatarkit.types import FloatArray

MEMBER = "geometry_pipeline_metadata_landmarks.binarypb"
POINTS, LANDMARKS = 468, 478


def average_face(model: Path) -> FloatArray | None:
    """(478, 3) float64 centimetres, NaN for the ten iris points; None where the model file has no such metadata."""
    try:
        with zipfile.ZipFile(io.BytesIO(model.read_bytes())) as archive:
            content = archive.read(MEMBER)
        mesh = next(value for field, value in fields(content) if field == 1 and isinstance(value, bytes))
        numbers = [
            struct.unpack("<f", value)[0] for field, value in fields(mesh) if field == 3 and isinstance(value, bytes)
        ]
    except (zipfile.BadZipFile, KeyError, StopIteration, IndexError, struct.error, OSError):
        return None
    if len(numbers) != POINTS * 5 or not np.isfinite(numbers).all():
        return None
    face = np.full((LANDMARKS, 3), np.nan)
    face[:POINTS] = np.array(numbers).reshape(POINTS, 5)[:, :3]
    return face


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, value) of a protocol buffer: bytes for fixed and length-delimited values, int for varints."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise IndexError(f"wire type {kind}")
        if at + length > len(message):
            raise IndexError("cut short")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
