"""Camera specs: what they mean, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from avatarkit.cameras import intrinsics, orbit, viewmat_to_opengl
from avatarkit.drive.camera_paths import CaptureView, camera_path
from avatarkit.errors import FileFormatError, InputError

MIDDLE = np.array([0.0, 0.1, 0.0])


def centre(camera) -> np.ndarray:  # type: ignore[no-untyped-def]
    return camera.centres()[0].numpy() - MIDDLE


def views() -> list[CaptureView]:
    K = intrinsics(300, 300, 60, 70)
    return [
        CaptureView(name, 120, 140, orbit(math.radians(az), 0.0, 1.3, MIDDLE), K)
        for name, az in (("side", 60), ("mid", 5))
    ]


@pytest.mark.parametrize(
    ("spec", "direction"),
    [("front", (0, 0, 1)), ("left", (1, 0, 0)), ("right", (-1, 0, 0)), ("back", (0, 0, -1)), ("90,0,1", (1, 0, 0))],
)
def test_stills_stand_where_they_say(spec: str, direction: tuple[float, ...]) -> None:
    cameras = camera_path(spec, 3, MIDDLE, [], (64, 48))
    assert len(cameras) == 3
    assert (cameras[0].width, cameras[0].height) == (64, 48)
    assert centre(cameras[2]) == pytest.approx(direction, abs=1e-6)


def test_a_turntable_goes_once_around_and_sway_returns() -> None:
    turn = camera_path("turntable", 8, MIDDLE, [], None)
    angles = np.degrees([math.atan2(c[0], c[2]) for c in map(centre, turn)]) % 360
    assert angles == pytest.approx(np.arange(8) * 45.0, abs=1e-3)
    sway = [centre(c) for c in camera_path("sway", 40, MIDDLE, [], None)]
    assert max(abs(math.degrees(math.atan2(c[0], c[2]))) for c in sway) == pytest.approx(25, abs=0.5)


def test_capture_is_the_most_frontal_camera_and_names_work() -> None:
    own = views()
    assert camera_path("capture", 1, MIDDLE, own, None)[0].viewmats[0].numpy() == pytest.approx(
        own[1].viewmat, abs=1e-6
    )
    side = camera_path("capture:side", 1, MIDDLE, own, (60, 70))[0]
    assert side.viewmats[0].numpy() == pytest.approx(own[0].viewmat, abs=1e-6)
    assert side.Ks[0].numpy() == pytest.approx(intrinsics(150, 150, 30, 35))


def test_a_file_holds_opengl_cameras(tmp_path: Path) -> None:
    frames = [{"transform_matrix": viewmat_to_opengl(view.viewmat).tolist()} for view in views()]
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"w": 120, "h": 140, "fl_x": 300, "fl_y": 300, "cx": 60, "cy": 70, "frames": frames}))
    cameras = camera_path(str(file), 4, MIDDLE, [], None)
    assert [centre(c)[0] > 0.5 for c in cameras] == [True, True, False, False]


@pytest.mark.parametrize("spec", ["fornt", "1", "0,90", "0,0,-1", "0,nan", "capture", "capture:up", ""])
def test_what_is_no_camera_is_refused(spec: str) -> None:
    with pytest.raises(InputError):
        camera_path(spec, 1, MIDDLE, views() if spec == "capture:up" else [], None)


@pytest.mark.parametrize("text", ["{", "{}", '{"w": 1, "h": 1, "fl_x": 1, "fl_y": 1, "cx": 0, "cy": 0, "frames": []}'])
def test_a_bad_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(FileFormatError, match=r"bad\.json"):
        camera_path(str(file), 1, MIDDLE, [], None)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"h": 1e400}, "expected frames with"), ({"h": 0}, "expected 1 to 8192 pixels"), ({"fl_x": float("nan")}, "focal lengths over 0"),
     ({"fl_y": -3}, "focal lengths over 0"), ({"scale": 3.0}, r"frames\[0\]: 'transform_matrix' is not rigid"),
     ({"scale": float("nan")}, r"frames\[0\]: 'transform_matrix' has a value that is not finite")],
)  # fmt: skip
def test_a_camera_that_cannot_be_is_named_with_its_file(tmp_path: Path, change: dict[str, float], said: str) -> None:
    values: dict[str, object] = {"w": 120, "h": 140, "fl_x": 300, "fl_y": 300, "cx": 60, "cy": 70, **change}
    matrix = viewmat_to_opengl(views()[0].viewmat) * np.array([[change.get("scale", 1.0)] * 3 + [1.0]])
    file = tmp_path / "path.json"
    file.write_text(json.dumps(values | {"frames": [{"transform_matrix": matrix.tolist()}]}))
    with pytest.raises(FileFormatError, match=said) as caught:
        camera_path(str(file), 1, MIDDLE, [], None)
    assert str(caught.value).startswith(str(file))


def test_a_camera_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "path.json").write_bytes(b"\xff\xfe")
    with pytest.raises(FileFormatError, match=r"path\.json"):
        camera_path(str(tmp_path / "path.json"), 1, MIDDLE, [], None)
