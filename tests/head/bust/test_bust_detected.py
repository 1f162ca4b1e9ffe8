"""An independent judge: MediaPipe's face landmarker sees a face in pictures of the bust, where its landmarks say and with the
expression that its modes are named after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from avatarkit.head.bust import BustModel
from avatarkit.head.parameters import HeadParams

SIZE, FOCAL, DISTANCE = 768, 3100.0, 1.2  # pixels, pixels, metres
HEAD_MM = 230.0


@pytest.fixture(scope="module")
def bust() -> BustModel:
    return BustModel()


@pytest.fixture(scope="module")
def landmarker(test_data: Path) -> Any:
    mediapipe = pytest.importorskip(
        "mediapipe", reason="needs mediapipe, the dependency of plugins/avatarkit-mediapipe"
    )
    model = test_data / "mediapipe" / "face_landmarker.task"
    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(model)), output_face_blendshapes=True
    )
    with vision.FaceLandmarker.create_from_options(options) as task:
        yield lambda image: task.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))


def posed(bust: BustModel, expr: dict[str, float] | None = None, shape: np.ndarray | None = None) -> np.ndarray:
    params = HeadParams.zeros(1, bust.num_shape, bust.num_expr)
    for name, weight in (expr or {}).items():
        params.expr[0, bust.expr_names.index(name)] = weight
    if shape is not None:
        params.shape.numpy()[:] = shape
    return bust.pose(params).vertices[0].numpy().astype(np.float64)


def projected(points: np.ndarray, yaw: float) -> np.ndarray:
    """(N, 3): pixels and depth from a camera that looks at the face from ``yaw`` degrees to its left."""
    a = np.radians(yaw)
    turned = (points - [0, 0.02, 0]) @ np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    depth = DISTANCE - turned[:, 2]
    return np.stack([turned[:, 0] / depth * FOCAL + SIZE / 2, -turned[:, 1] / depth * FOCAL + SIZE / 2, depth], -1)


def painted(bust: BustModel, vertices: np.ndarray, yaw: float) -> np.ndarray:
    """A flat-shaded picture by the painter's algorithm: simple enough to be right."""
    faces = bust.faces.numpy()
    colours = np.tile([0.85, 0.68, 0.58], (len(vertices), 1))
    for names, colour in ((("u_lip", "l_lip"), (0.75, 0.42, 0.40)), (("mouth",), (0.35, 0.12, 0.12)), (("l_brow", "r_brow"), (0.36, 0.26, 0.2)),
                          (("l_eye", "r_eye", "teeth"), (0.94, 0.93, 0.9)), (("tongue",), (0.7, 0.35, 0.35))):  # fmt: skip
        for name in names:
            weight = bust.regions[name].numpy()[:, None]
            colours = colours * (1 - weight) + weight * np.array(colour)
    rest = bust.arrays.rest
    for ids in (rest.grids["ball"], rest.mirror[rest.grids["ball"]]):
        colours[ids[:5]], colours[ids[:2]] = (0.33, 0.42, 0.45), (0.03, 0.03, 0.03)
    for pole in (rest.grids["ball_pole"], rest.mirror[rest.grids["ball_pole"]]):
        colours[pole] = 0.03
    screen = projected(vertices, yaw)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    a = np.radians(yaw)
    light = 0.35 + 0.65 * np.clip(normals @ np.array([np.sin(a), 0.35, np.cos(a)]) / 1.06, 0, 1)
    flat = np.clip(colours[faces].mean(1) * light[:, None] * 255, 0, 255).astype(int)
    picture = Image.new("RGB", (2 * SIZE, 2 * SIZE), (235, 235, 235))
    draw = ImageDraw.Draw(picture)
    xy = screen[faces][:, :, :2] * 2
    turn = (xy[:, 1, 0] - xy[:, 0, 0]) * (xy[:, 2, 1] - xy[:, 0, 1]) - (xy[:, 2, 0] - xy[:, 0, 0]) * (
        xy[:, 1, 1] - xy[:, 0, 1]
    )
    for f in np.argsort(-screen[faces][:, :, 2].mean(1)):
        if turn[f] < 0:  # image y points down: front faces turn the other way
            draw.polygon([tuple(p) for p in xy[f]], fill=tuple(flat[f]))
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX))


def detected_error(bust: BustModel, vertices: np.ndarray, yaw: float, landmarker: Any) -> float:
    """Mean distance (mm) of the detected landmarks from the embedded ones."""
    found = landmarker(painted(bust, vertices, yaw)).face_landmarks
    assert len(found) == 1, "no face was detected"
    points = np.array([[p.x * SIZE, p.y * SIZE] for p in found[0]])
    embedded = bust.landmarks.points(torch.from_numpy(vertices), bust.faces).numpy()
    screen = projected(embedded, yaw)
    return float(
        (np.linalg.norm(points[bust.landmarks.indices.numpy()] - screen[:, :2], axis=1) * screen[:, 2] / FOCAL).mean()
        * 1000
    )


@pytest.mark.parametrize("yaw", [-20.0, 0.0, 20.0])
def test_detected_where_embedded(bust: BustModel, landmarker: Any, yaw: float) -> None:
    assert detected_error(bust, posed(bust), yaw, landmarker) < 0.03 * HEAD_MM / 2


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_other_identities_are_faces_too(bust: BustModel, landmarker: Any, seed: int) -> None:
    shape = np.random.default_rng(seed).normal(size=bust.num_shape).clip(-2, 2)
    assert detected_error(bust, posed(bust, shape=shape), 0.0, landmarker) < 0.03 * HEAD_MM


@pytest.mark.parametrize(
    ("expr", "scores"),
    [
        ({"jawOpen": 0.8}, ("jawOpen",)),
        ({"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}, ("mouthSmileLeft", "mouthSmileRight")),
        ({"mouthPucker": 1.0}, ("mouthPucker",)),
        (
            {"browOuterUpLeft": 1.0, "browOuterUpRight": 1.0, "browInnerUp": 1.0},
            ("browOuterUpLeft", "browOuterUpRight"),
        ),
        ({"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0}, ("eyeLookOutLeft", "eyeLookInRight")),
        ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, ("eyeBlinkLeft", "eyeBlinkRight")),
    ],
)
def test_modes_mean_what_they_are_called(
    bust: BustModel, landmarker: Any, expr: dict[str, float], scores: tuple[str, ...]
) -> None:
    def seen(weights: dict[str, float]) -> dict[str, float]:
        result = landmarker(painted(bust, posed(bust, weights), 0.0))
        return {c.category_name: c.score for c in result.face_blendshapes[0]}

    neutral, moved = seen({}), seen(expr)
    for name in scores:
        assert moved[name] > neutral[name] + 0.12, (name, neutral[name], moved[name])
