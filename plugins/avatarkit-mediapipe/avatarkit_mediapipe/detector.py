"""MediaPipe's FaceLandmarker as ``contracts.LandmarkDetector``.

Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019; blendshapes: Grishchenko et al.
2022.  Points are in pixels of the image, with MediaPipe's relative depth as z.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatarkit.assets import require
from avatarkit.capture.crop import Located
from avatarkit.contracts import FaceLandmarks
from avatarkit.errors import EnvironmentProblem, FileFormatError, InputError, MissingDependency
from avatarkit.types import ByteArray, FloatArray

ASSET = "mediapipe-face-landmarker"
MODEL_VARIABLE = "AVATARKIT_FACE_LANDMARKER"
FRAME_MS = 33  # the landmarker only wants time to grow
SYSTEM_LIBRARIES = "on a machine without a screen: apt-get install libgl1 libegl1 libgles2 libglib2.0-0"


@functools.cache
def load_mediapipe() -> Any:
    """Import mediapipe with its vision tasks.  Raises MissingDependency or EnvironmentProblem in one line."""
    try:
        with _quiet():
            package = importlib.import_module("mediapipe")
            importlib.import_module("mediapipe.tasks.python.vision")
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"tracker 'mediapipe' needs {error.name}; run: pip install avatarkit-mediapipe"
        ) from error
    except (ImportError, OSError) as error:
        raise EnvironmentProblem(f"mediapipe cannot be loaded ({_one_line(error)}); {SYSTEM_LIBRARIES}") from error
    return package


def model_file(chosen: str) -> Path:
    """The model file: ``chosen``, else the file named by AVATARKIT_FACE_LANDMARKER, else the registered asset."""
    named = chosen or os.environ.get(MODEL_VARIABLE, "")
    if not named:
        return require(ASSET)
    path = Path(named)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected MediaPipe's face_landmarker.task")
    return path


class FaceDetector:
    """Detects faces in images in time order.  One object may see several clips, each with its own ``detect`` call."""

    def __init__(self, model: str = "", *, confidence: float = 0.5, faces: int = 3) -> None:
        self._model, self._confidence, self._faces = model_file(model), confidence, faces

    def detect(self, images: Sequence[Any]) -> list[FaceLandmarks | None]:
        """images: uint8 (H, W, 3) in time order, one size → the face that is followed in each, None where it is lost."""
        return list(self.follow(images))

    def follow(self, images: Sequence[Any]) -> Iterator[FaceLandmarks | None]:
        """``detect``, one image at a time.  Of several faces the one nearest to the last is followed, at first the largest."""
        last: FloatArray | None = None
        with self._landmarker("VIDEO") as landmarker:
            for number, image in enumerate(images):
                found = self._faces_in(landmarker.detect_for_video(self._picture(image), number * FRAME_MS), image)
                face = followed(found, last)
                if face is not None:
                    last = face_box(face.points)
                yield face

    def locate(self, images: Sequence[Any]) -> Located:
        """Images of any size in time order → the box (left, top, right, bottom) of the followed face in pixels, or None."""
        boxes: list[tuple[float, float, float, float] | None] = []
        last: FloatArray | None = None
        crowded = 0
        with self._landmarker("IMAGE") as landmarker:
            for image in images:
                face = followed(self._faces_in(landmarker.detect(self._picture(image)), image), last)
                if face is None:
                    boxes.append(None)
                    continue
                crowded += face.count > 1
                last = face_box(face.points)
                boxes.append((float(last[0]), float(last[1]), float(last[2]), float(last[3])))
        return Located(boxes, crowded)  # the crop leaves the others out, so that nobody sees them later

    @contextlib.contextmanager
    def _landmarker(self, mode: str) -> Iterator[Any]:
        load_mediapipe()
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            # As bytes: MediaPipe cannot open every path, and says nothing useful of one that it cannot.
            base_options=BaseOptions(model_asset_buffer=self._model.read_bytes()),
            running_mode=getattr(vision.RunningMode, mode),
            num_faces=self._faces,
            min_face_detection_confidence=self._confidence,
            output_face_blendshapes=True,
        )
        try:
            with _quiet():
                landmarker = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            if "lib" in str(error) and ".so" in str(error):
                raise EnvironmentProblem(f"mediapipe cannot start ({_one_line(error)}); {SYSTEM_LIBRARIES}") from error
            raise FileFormatError(
                f"{self._model}: MediaPipe cannot use it ({_one_line(error)}); expected face_landmarker.task: "
                f"avatarkit assets get {ASSET}"
            ) from error
        try:
            yield landmarker
        finally:
            landmarker.close()

    def _picture(self, image: Any) -> Any:
        import mediapipe

        return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image, np.uint8))

    def _faces_in(self, result: Any, image: ByteArray) -> list[FaceLandmarks]:
        height, width = image.shape[:2]
        size = np.array([width, height, width], np.float32)
        found = []
        for landmarks, shapes in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            points = np.array([[p.x, p.y, p.z] for p in landmarks], np.float32) * size
            scores = {shape.category_name: float(shape.score) for shape in shapes if shape.category_name != "_neutral"}
            if np.isfinite(points).all():
                found.append(FaceLandmarks(points, scores, len(result.face_landmarks), 1.0))
        return found


def followed(faces: Sequence[FaceLandmarks], last: FloatArray | None) -> FaceLandmarks | None:
    """The face to go on with: the one that overlaps ``last`` (4,) most, the largest where none does or none was yet."""
    if not faces:
        return None
    boxes = np.stack([face_box(face.points) for face in faces])
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    if last is None:
        return faces[int(sizes.argmax())]
    corner = np.minimum(boxes[:, 2:], last[2:]) - np.maximum(boxes[:, :2], last[:2])
    shared = np.maximum(corner, 0).prod(1)
    overlap = shared / (sizes + (last[2:] - last[:2]).prod() - shared)
    return faces[int(overlap.argmax() if overlap.max() > 0.1 else sizes.argmax())]


def face_box(points: FloatArray) -> FloatArray:
    """(N, 3) landmarks → left, top, right, bottom."""
    return np.concatenate([points[:, :2].min(0), points[:, :2].max(0)])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MediaPipe's C++ logs to the terminal's error stream from its first line; nothing in it is for our users."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
