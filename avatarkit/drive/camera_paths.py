"""Where a film is seen from.

A camera is written as

* ``capture`` — the avatar's own camera (the most frontal one), or ``capture:NAME`` — one of them by name;
* ``front``, ``left``, ``right``, ``back`` — a still camera around the head; ``AZ,EL`` or ``AZ,EL,DISTANCE`` — degrees, metres;
* ``sway`` — a slow swing of ±25°; ``turntable`` — a full turn, once per film;
* a ``.json`` file — ``{"frames": [{"transform_matrix": 4×4 OpenGL camera-to-world}, …]}`` with ``fl_x fl_y cx cy w h`` at top level.

Azimuth is positive to the subject's left (the viewer's right); the camera looks at the middle of the head.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatarkit.cameras import Cameras, intrinsics, orbit
from avatarkit.capture.dataset import rigid_viewmat
from avatarkit.errors import FileFormatError, InputError, unknown_name
from avatarkit.paths import explained
from avatarkit.types import FloatArray

STILLS = {"front": (0.0, 0.0), "left": (90.0, 0.0), "right": (-90.0, 0.0), "back": (180.0, 0.0)}
FIELD_OF_VIEW = math.radians(22.0)  # vertical; a head and shoulders fill the frame at 1 m
DISTANCE = 1.0
LARGEST = 8192  # pixels of a side of a film


@dataclass(frozen=True)
class CaptureView:
    """A camera of the capture: name, image size, viewmat (4, 4), K (3, 3)."""

    name: str
    width: int
    height: int
    viewmat: FloatArray
    K: FloatArray


def camera_path(
    spec: str, frames: int, target: FloatArray, own: list[CaptureView], size: tuple[int, int] | None
) -> list[Cameras]:
    """One camera (batch of one) for each of ``frames``.

    target (3,): the middle of the head, world, metres.  size: width and height; default the capture camera's own, else 512².
    Raises InputError for a spec that is none of the above.
    """
    text = spec.strip()
    if text.endswith(".json"):
        return _from_file(Path(text), frames, size)
    if text == "capture" or text.startswith("capture:"):
        return [_own(text, target, own, size)] * frames
    angles = _angles(text, frames)
    width, height = size or (512, 512)
    focal = 0.5 * height / math.tan(0.5 * FIELD_OF_VIEW)
    K = intrinsics(focal, focal, width / 2, height / 2)
    return [
        _camera(orbit(math.radians(az), math.radians(el), distance, target), K, width, height)
        for az, el, distance in angles
    ]


def _angles(text: str, frames: int) -> list[tuple[float, float, float]]:
    turn = np.arange(frames) / max(1, frames)
    if text in STILLS:
        return [(*STILLS[text], DISTANCE)] * frames
    if text == "sway":
        return [(25.0 * math.sin(2 * math.pi * t), 6.0 * math.sin(4 * math.pi * t), DISTANCE) for t in turn]
    if text == "turntable":
        return [(360.0 * t, 0.0, DISTANCE) for t in turn]
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise unknown_name("camera", text, [*STILLS, "sway", "turntable", "capture", "AZ,EL", "FILE.json"]) from None
    if len(numbers) not in (2, 3) or not all(map(math.isfinite, numbers)) or abs(numbers[1]) >= 90:
        raise InputError(
            f"camera '{text}': expected AZ,EL or AZ,EL,DISTANCE in degrees and metres, EL between −90 and 90"
        )
    distance = numbers[2] if len(numbers) == 3 else DISTANCE
    if distance <= 0.0:
        raise InputError(f"camera '{text}': the distance must be positive")
    return [(numbers[0], numbers[1], distance)] * frames


def _own(text: str, target: FloatArray, own: list[CaptureView], size: tuple[int, int] | None) -> Cameras:
    if not own:
        raise InputError("this avatar has no capture cameras; use --camera front")
    if ":" in text:
        name = text.split(":", 1)[1]
        named = {view.name: view for view in own}
        if name not in named:
            raise unknown_name("capture camera", name, named)
        view = named[name]
    else:
        view = min(own, key=lambda v: _off_axis(v, target))
    camera = _camera(view.viewmat, view.K, view.width, view.height)
    return camera if size is None else camera.resized(*size)


def _off_axis(view: CaptureView, target: FloatArray) -> float:
    """Angle between the camera's place and the direction that the head faces at rest (+z)."""
    centre = -view.viewmat[:3, :3].T @ view.viewmat[:3, 3] - target
    return float(math.acos(np.clip(centre[2] / max(np.linalg.norm(centre), 1e-9), -1.0, 1.0)))


def _from_file(path: Path, frames: int, size: tuple[int, int] | None) -> list[Cameras]:
    try:
        with explained(path):
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        width, height = int(data["w"]), int(data["h"])
        lens = [float(data[key]) for key in ("fl_x", "fl_y", "cx", "cy")]
        rows = [row["transform_matrix"] for row in data["frames"]]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(
            f"{path}: expected frames with transform_matrix, and w h fl_x fl_y cx cy: {error}"
        ) from error
    if not (1 <= width <= LARGEST and 1 <= height <= LARGEST):
        raise FileFormatError(f"{path}: w and h are {width} and {height}; expected 1 to {LARGEST} pixels")
    if not all(map(math.isfinite, lens)) or min(lens[:2]) <= 0.0:
        raise FileFormatError(f"{path}: fl_x fl_y cx cy are {lens}; expected finite numbers, focal lengths over 0")
    K = intrinsics(*lens)
    views = [rigid_viewmat(row, f"{path}: frames[{i}]: 'transform_matrix'") for i, row in enumerate(rows)]
    if not views:
        raise FileFormatError(f"{path}: no frames")
    cameras = [_camera(view, K, width, height) for view in views]
    cameras = cameras if size is None else [camera.resized(*size) for camera in cameras]
    return [cameras[min(len(cameras) - 1, i * len(cameras) // max(1, frames))] for i in range(frames)]


def _camera(viewmat: FloatArray, K: FloatArray, width: int, height: int) -> Cameras:
    view = torch.from_numpy(np.asarray(viewmat)).float()[None]
    return Cameras(view, torch.from_numpy(np.asarray(K)).float()[None], width, height)
