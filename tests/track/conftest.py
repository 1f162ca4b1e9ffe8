"""A head in motion whose truth is known: parameters, camera, landmarks with noise and gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from avatarkit.capture.capture import Capture, CaptureCamera, Frame
from avatarkit.contracts import HeadModel
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.head.skinning import rotation_matrices
from avatarkit.track.fit_priors import fit_embedding
from avatarkit.track.initial_pose import CAMERA_AT_ORIGIN
from avatarkit.track.observations import NUM_LANDMARKS, LandmarkObservations

SIZE, FOCAL, NOISE = 512, 1300.0, 0.5
DROPPED = (10, 11, 12, 30, 44, 45)


@dataclass(frozen=True)
class Truth:
    head: HeadModel
    params: HeadParams
    observed: LandmarkObservations
    clean: np.ndarray  # (T, C, L, 2) pixels without noise
    indices: np.ndarray
    Ks: np.ndarray
    viewmats: np.ndarray


def wave(rng: np.random.Generator, steps: int, count: int) -> np.ndarray:
    """(T, count) smooth curves in [0, 1], at rest half of the time."""
    t = np.arange(steps)[:, None] / 30.0
    rate, phase = rng.uniform(0.6, 1.6, count), rng.uniform(0, 2 * np.pi, count)
    return np.clip(np.sin(2 * np.pi * rate * t + phase), 0, None)


def make_truth(
    head: HeadModel,
    steps: int = 50,
    viewmats: np.ndarray | None = None,
    seed: int = 0,
    moving: tuple[str, ...] | None = None,
    gaze: float = 0.0,
    blinks: tuple[int, ...] = (),
) -> Truth:
    """gaze: radians that both eyes turn to either side, by their joints; blinks: timesteps at which lids are shut, for a fifteenth of a second."""
    rng = np.random.default_rng(seed)
    names = tuple(head.expr_names)
    shown = moving or (
        "jawOpen",
        "eyeBlinkLeft",
        "eyeBlinkRight",
        "mouthSmileLeft",
        "mouthSmileRight",
        "browInnerUp",
        "mouthPucker",
    )
    expr = np.zeros((steps, head.num_expr))
    columns = [names.index(name) for name in shown]
    expr[:, columns] = 0.8 * wave(rng, steps, len(columns))
    lids = [names.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")] if blinks else []
    for step in blinks:
        expr[step - 1 : step + 2, lids] = [[0.4], [1.0], [0.4]]
    t = np.arange(steps) / 30.0
    neck = np.stack([0.12 * np.sin(2 * t), 0.4 * np.sin(1.7 * t + 0.4), 0.08 * np.sin(2.3 * t)], 1)
    place = np.stack([0.02 * np.sin(1.5 * t), -0.03 + 0.01 * np.cos(t), -0.85 + 0.02 * np.sin(t)], 1)

    def tensor(value: np.ndarray) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float32)

    params = HeadParams(
        tensor(0.7 * rng.normal(size=head.num_shape)), tensor(expr), torch.zeros(steps, 3), tensor(place), tensor(neck),
        torch.zeros(steps, 3), tensor(gaze * np.sin(3.0 * t)[:, None] * [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]),
    )  # fmt: skip
    embedding = fit_embedding(head)
    world = embedding.points(head.pose(params).vertices, head.faces).double().numpy()
    views = CAMERA_AT_ORIGIN[None] if viewmats is None else viewmats
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]])
    clean = []
    for view in views:
        flat = (world @ view[:3, :3].T + view[:3, 3]) @ K.T
        clean.append(flat[..., :2] / flat[..., 2:])
    pixels = np.stack(clean, 1)
    points = np.zeros((steps, len(views), NUM_LANDMARKS, 2), np.float32)
    indices = embedding.indices.numpy()
    points[:, :, indices] = pixels + rng.normal(0, NOISE, pixels.shape)
    valid = np.ones((steps, len(views)), bool)
    dropped = [step for step in DROPPED if step < steps]
    valid[dropped] = False
    points[dropped] = 1e6  # must not be looked at
    scores = np.clip(expr + rng.normal(0, 0.1, expr.shape), 0, 1).astype(np.float32)
    scores[:, lids] *= 0.6  # a detector that looks at neighbours, too
    scores[dropped] = np.nan
    known = [i for i, name in enumerate(names) if name]
    observed = LandmarkObservations(points, valid, scores[:, known], tuple(names[i] for i in known), t)
    return Truth(head, params, observed, pixels, indices, np.tile(K, (len(views), 1, 1)), views)


def skull_turn(params: HeadParams) -> torch.Tensor:
    """(T, 3, 3) rotation of the skull: root and neck together, which is what a picture shows."""
    return rotation_matrices(params.rotation) @ rotation_matrices(params.neck_pose)


def degrees_between(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    cosine = ((a.mT @ b).diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine.double().numpy(), -1, 1)))


@pytest.fixture(scope="session")
def bust() -> HeadModel:
    return load_head("bust")


@pytest.fixture(scope="session")
def truth(bust: HeadModel) -> Truth:
    return make_truth(bust)


def make_capture(steps: int = 4, cameras: int = 1, size: int = 32, masked: bool = False, fps: float = 30.0) -> Capture:
    """Coloured noise with the layout of a tracked clip."""
    rng = np.random.default_rng(1)
    frames = tuple(
        Frame(step, camera, "test" if step == steps - 1 else "val" if step == 1 else "train", f"clip {step}", step / fps)
        for step in range(steps) for camera in range(cameras)
    )  # fmt: skip
    images = rng.integers(0, 256, (len(frames), size, size, 3), dtype=np.uint8)
    masks = np.where(np.indices((size, size)).sum(0) > 8, 255, 40).astype(np.uint8)
    return Capture(
        "clip", tuple(CaptureCamera(f"cam{c}", size, size) for c in range(cameras)), frames,
        tuple(f"{step:05d}" for step in range(steps)), lambda i: images[i], lambda i: masks if masked else None, masked,
    )  # fmt: skip
