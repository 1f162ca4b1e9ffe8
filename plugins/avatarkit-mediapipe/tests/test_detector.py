"""The detector against real pictures, its choice of whom to follow, and its faults in words."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from avatarkit_mediapipe.average_face import average_face, fields
from avatarkit_mediapipe.detector import FaceDetector, followed, model_file
from avatarkit_mediapipe.provider import avatarkit_trackers, face_landmarker

from avatarkit.capture.crop import Located
from avatarkit.contracts import FaceLandmarks
from avatarkit.errors import FileFormatError, InputError, MissingAsset


def face_at(x: float, y: float, size: float) -> FaceLandmarks:
    corners = np.array([[x, y, 0], [x + size, y + size, 0]], np.float32)
    return FaceLandmarks(corners, {}, 1, 1.0)


def test_the_largest_face_is_taken_and_then_followed() -> None:
    small, large = face_at(0, 0, 50), face_at(200, 0, 80)
    assert followed([], None) is None
    assert followed([small, large], None) is large
    last = np.array([2.0, 3.0, 51.0, 52.0])
    assert followed([small, large], last) is small
    gone = np.array([500.0, 500.0, 550.0, 550.0])
    assert followed([small, large], gone) is large


@pytest.fixture(scope="module")
def model() -> Path:
    import os

    root = Path(os.environ.get("AVATARKIT_TEST_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data")
    file = root / "mediapipe" / "face_landmarker.task"
    if not file.is_file():
        pytest.skip(f"no landmark model at {file} (set AVATARKIT_TEST_DATA)")
    return file


@pytest.fixture(scope="module")
def frames(model: Path) -> list[np.ndarray]:
    import av

    with av.open(str(model.parents[1] / "video" / "man_plain_background.mp4")) as container:
        return [frame.to_ndarray(format="rgb24") for _, frame in zip(range(6), container.decode(video=0), strict=False)]


def test_a_face_in_a_real_picture(model: Path, frames: list[np.ndarray]) -> None:
    found = FaceDetector(str(model)).detect(frames)
    assert len(found) == len(frames)
    for face in found:
        assert face is not None and face.points.shape == (478, 3) and face.count == 1
        assert len(face.blendshapes) == 51 and "_neutral" not in face.blendshapes
        assert all(0 <= score <= 1 for score in face.blendshapes.values())
        left_eye, right_eye, chin = face.points[[263, 33, 152], :2]
        assert left_eye[0] > right_eye[0] and chin[1] > left_eye[1]  # the subject's left is on the picture's right
    again = FaceDetector(str(model)).detect(frames)
    assert all(np.array_equal(a.points, b.points) for a, b in zip(found, again, strict=True) if a and b)


def test_of_two_people_the_larger_is_followed(model: Path, frames: list[np.ndarray]) -> None:
    wide = []
    for frame in frames:
        small = np.full_like(frame, 128)
        small[120:360, 120:360] = frame[::2, ::2]
        wide.append(np.concatenate([small, frame], 1))
    found = FaceDetector(str(model)).detect(wide)
    assert all(face is not None and face.points[1, 0] > 480 for face in found)
    assert max(face.count for face in found if face) == 2
    located = FaceDetector(str(model)).locate(wide)
    assert all(box is not None and box[0] > 480 for box in located.boxes)
    assert located.crowded >= 3 and FaceDetector(str(model)).locate(frames).crowded == 0


def test_no_face_is_none(model: Path) -> None:
    grey = [np.full((120, 160, 3), 127, np.uint8)] * 2
    assert FaceDetector(str(model)).detect(grey) == [None, None]
    assert FaceDetector(str(model)).locate(grey) == Located([None, None])


def test_face_boxes_for_pictures_of_several_sizes(model: Path, frames: list[np.ndarray]) -> None:
    boxes = FaceDetector(str(model)).locate([frames[0], frames[0][::2, ::2]]).boxes
    assert boxes[0] is not None and boxes[1] is not None
    left, top, right, bottom = boxes[0]
    assert 0 < left < right < 480 and 0 < top < bottom < 480
    np.testing.assert_allclose(np.array(boxes[1]) * 2, boxes[0], atol=8)


def test_the_average_face_of_the_model_file(model: Path) -> None:
    face = average_face(model)
    assert face is not None and face.shape == (478, 3)
    assert np.isnan(face[468:]).all() and np.isfinite(face[:468]).all()
    assert 12 < np.ptp(face[:468, 0]) < 18  # centimetres from ear to ear
    assert face[263, 0] > 0 > face[33, 0] and face[10, 1] > face[152, 1]
    np.testing.assert_allclose(face[263] * [-1, 1, 1], face[33], atol=1e-3)  # it is symmetric


def test_a_model_file_without_a_face_is_none_not_a_crash(tmp_path: Path) -> None:
    bad = tmp_path / "m.task"
    bad.write_bytes(b"nothing")
    assert average_face(bad) is None
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("geometry_pipeline_metadata_landmarks.binarypb", b"\x0a\x7f\x01")
    assert average_face(bad) is None


def test_protocol_buffer_fields() -> None:
    message = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d" + struct.pack("<f", 1.5)
    assert list(fields(message)) == [(1, 150), (2, b"abc"), (3, struct.pack("<f", 1.5))]


def test_faults_are_in_words(tmp_path: Path, avatarkit_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVATARKIT_FACE_LANDMARKER", raising=False)
    with pytest.raises(
        MissingAsset, match=r"^asset 'mediapipe-face-landmarker' \(.*\) is not registered; run: avatarkit"
    ):
        model_file("")
    with pytest.raises(InputError, match="no such file"):
        model_file(str(tmp_path / "gone.task"))
    broken = tmp_path / "broken.task"
    broken.write_bytes(b"not a model")
    with pytest.raises(FileFormatError, match=r"broken\.task"):
        FaceDetector(str(broken)).detect([np.zeros((64, 64, 3), np.uint8)])
    row = face_landmarker()
    assert not row.ok and "assets get mediapipe-face-landmarker" in row.mend


def test_the_provider_says_what_it_needs() -> None:
    (provider,) = avatarkit_trackers()
    assert provider.name == "mediapipe" and provider.requires == ("mediapipe",) and not provider.network


@pytest.fixture
def avatarkit_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVATARKIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
