"""Where a head is in each frame, roughly: weak perspective per frame, made a rigid pose at a plausible distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.errors import InputError
from avatarkit.track.landmark_rig import POSE, LandmarkRig, rotation_vectors
from avatarkit.types import BoolArray, FloatArray

# World to camera of a camera at the origin that looks along −z, y up (OpenCV axes: y down, z forward).
CAMERA_AT_ORIGIN = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class InitialPoses:
    """rotation (T, 3) beside ``reference`` (3, 3), the clip's mean; translation (T, 3) metres; focal (C,) pixels."""

    rotation: FloatArray
    translation: FloatArray
    reference: FloatArray
    focal: FloatArray


def initial_poses(
    rig: LandmarkRig,
    points: FloatArray,
    valid: BoolArray,
    expr: FloatArray,
    Ks: FloatArray,
    viewmats: FloatArray,
    distance: float | None,
) -> InitialPoses:
    """points (T, C, L, 2) pixels, valid (T, C) bool, expr (T, E) a first guess, Ks (C, 3, 3), viewmats (C, 4, 4).

    distance: metres at which the median face of each camera stands, which gives its focal length; None where Ks have it.
    Missed frames are interpolated.
    """
    steps = len(points)
    frames = np.concatenate([np.zeros((steps, POSE)), expr], 1)
    rest, _ = rig.points(frames, np.zeros(rig.num_shape), np.zeros((rig.num_landmarks, 3)), np.eye(3))
    root = rig.joints[0]
    seen = [(step, int(np.argmax(valid[step]))) for step in range(steps) if valid[step].any()]
    affine = [weak_perspective(rest[step], points[step, camera]) for step, camera in seen]
    focal = 0.5 * (Ks[:, 0, 0] + Ks[:, 1, 1])
    if distance is not None:
        sizes = [[scale for (_, c), (_, scale, _) in zip(seen, affine, strict=True) if c == k] for k in range(len(Ks))]
        every_size = float(np.median([scale for _, scale, _ in affine]))
        focal = np.array([distance * (float(np.median(some)) if some else every_size) for some in sizes])
    turns, shifts = [], []
    for (step, camera), (turn, scale, centre) in zip(seen, affine, strict=True):
        view = viewmats[camera]
        depth = focal[camera] / max(scale, 1e-6)
        middle = np.append((centre - Ks[camera, :2, 2]) / focal[camera] * depth, depth)
        turn_world = view[:3, :3].T @ turn
        # X_camera = turn·(X − mean) + middle, and the head turns about its root joint
        shift = view[:3, :3].T @ (middle - view[:3, 3]) - turn_world @ rest[step].mean(0)
        turns.append(turn_world)
        shifts.append(shift - root + turn_world @ root)
    u, _, vt = np.linalg.svd(np.sum(turns, 0))
    reference = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    away = rotation_vectors(np.stack(turns) @ reference.T)
    at = np.array([step for step, _ in seen])
    every = np.arange(steps)

    def filled(values: FloatArray) -> FloatArray:
        return np.stack([np.interp(every, at, values[:, axis]) for axis in range(values.shape[1])], 1)

    return InitialPoses(filled(away), filled(np.stack(shifts)), reference, focal)


def weak_perspective(model: FloatArray, pixels: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """The scaled orthographic camera that maps ``model`` (L, 3) metres to ``pixels`` (L, 2).

    Returns rotation (3, 3) into OpenCV axes, scale in pixels per metre, and the pixel (2,) of the model's mean.
    """
    centre = pixels.mean(0)
    axes, *_ = np.linalg.lstsq(model - model.mean(0), pixels - centre, rcond=None)
    rows = axes.T  # (2, 3)
    u, values, vt = np.linalg.svd(rows, full_matrices=False)
    if not np.isfinite(values).all() or values[1] < 1e-6:
        raise InputError("the landmarks of a frame lie on one line: no face has that shape")
    flat = u @ vt
    turn = np.stack([flat[0], flat[1], np.cross(flat[0], flat[1])])
    return turn, float(values.mean()), centre
