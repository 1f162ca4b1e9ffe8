"""``avatarkit bench track``: how far tracked heads are from the true ones of a data set whose parameters are known.

Three figures, over all timesteps: rotation of the skull in the camera, after one constant rotation (what a head model calls
straight ahead is its own affair); places of the face's vertices in the camera, after one similarity transform for the whole clip
(a single camera knows no absolute size); landmarks of the mesh as the camera sees them, in pixels of the true pictures, with
nothing taken out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from avatarkit.capture.capture import Crop
from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.recon.prepare import read_known
from avatarkit.track.canonical_face import similarity
from avatarkit.track.fit_priors import fit_embedding
from avatarkit.track.landmark_rig import rotations
from avatarkit.track.sequence import Sequence
from avatarkit.track.sequence_files import OURS
from avatarkit.types import FloatArray, PathArg

if TYPE_CHECKING:
    from rich.table import Table


def run(tracked: PathArg, true: PathArg, head: str | None) -> dict[str, Any]:
    """Score the sequence folder ``tracked`` against the data set ``true``; both hold parameters of the head model ``head``, one
    of them with teeth perhaps, which tracking adds.

    Returns {"timesteps", "cameras", "rotation_deg", "vertices_mm", "landmarks_px", "focal_ratio"}, the middle three with
    "mean", "median", "p95" and "worst" (the mean of the worst timestep).  Raises InputError when the two do not show the same timesteps.
    """
    ours, own = read_known(tracked, head, Run())
    theirs, model = read_known(true, head, Run())
    return score(ours, theirs, (own, model), crops(tracked, len(ours.Ks)))


def crops(folder: PathArg, cameras: int) -> list[Crop | None]:
    """Where each camera's pictures of a tracked folder were cut out of their source; None for those that were not."""
    file = Path(folder) / OURS
    rows = json.loads(file.read_text("utf-8")).get("crops") if file.is_file() else None
    if not isinstance(rows, list) or len(rows) != cameras:
        return [None] * cameras
    return [None if row is None else Crop(**{**row, "source": tuple(row["source"])}) for row in rows]


def score(
    ours: Sequence, theirs: Sequence, heads: tuple[HeadModel, HeadModel], cut: list[Crop | None]
) -> dict[str, Any]:
    """``run`` for sequences in memory, each of its own head model of one topology; ``cut``: by camera of ``ours``."""
    if len(ours.params) != len(theirs.params) or len(ours.Ks) != len(theirs.Ks):
        raise InputError(
            f"{ours.capture.name}: {len(ours.params)} timesteps and {len(ours.Ks)} cameras were tracked; the true data set has "
            f"{len(theirs.params)} and {len(theirs.Ks)}"
        )
    shared = min(len(head.template) for head in heads)  # teeth come last
    face = np.flatnonzero(np.all([head.regions["face"].numpy()[:shared] > 0.5 for head in heads], axis=0))
    turns, faces, flat = [], [], []
    for sequence, head, windows in ((ours, heads[0], cut), (theirs, heads[1], [None] * len(theirs.Ks))):
        with torch.no_grad():
            vertices = head.pose(sequence.params).vertices
        first = sequence.viewmats[0].double().numpy()
        turns.append(first[:3, :3] @ skull(sequence))
        faces.append(vertices[:, face].double().numpy() @ first[:3, :3].T + first[:3, 3])
        world = fit_embedding(head).points(vertices, head.faces).double().numpy()
        flat.append(np.stack([_pixels(world, sequence, camera, windows[camera]) for camera in range(len(windows))]))
    sources = [theirs.capture.frames[i] for i in range(len(theirs.capture))]
    seen = np.zeros((len(theirs.Ks), len(theirs.params)), bool)
    for frame in sources:
        seen[frame.camera, frame.timestep] = True
    apart = turned(*turns)
    scale, turn, shift = similarity(faces[0].reshape(-1, 3), faces[1].reshape(-1, 3))
    gaps = np.linalg.norm(scale * faces[0] @ turn.T + shift - faces[1], axis=-1) * 1e3
    pixels = np.linalg.norm(flat[0] - flat[1], axis=-1)[seen]
    return {
        "timesteps": len(ours.params), "cameras": len(ours.Ks), "rotation_deg": _figures(apart[:, None]),
        "vertices_mm": _figures(gaps), "landmarks_px": _figures(pixels),
        "focal_ratio": float(_focal(ours, cut[0]) / _focal(theirs, None)),
    }  # fmt: skip


def skull(sequence: Sequence) -> FloatArray:
    """(T, 3, 3) rotation of the skull in the world: root and neck together, which is what a picture shows."""
    params = sequence.params
    return rotations(params.rotation.double().numpy()) @ rotations(params.neck_pose.double().numpy())


def turned(a: FloatArray, b: FloatArray) -> FloatArray:
    """(T,) degrees between rotations (T, 3, 3), after the one constant rotation of the head that brings them nearest."""
    between = Rotation.from_matrix(a.transpose(0, 2, 1) @ b)
    constant = between.mean()
    return np.degrees((between * constant.inv()).magnitude())


def _pixels(world: FloatArray, sequence: Sequence, camera: int, window: Crop | None) -> FloatArray:
    view, K = sequence.viewmats[camera].double().numpy(), sequence.Ks[camera].double().numpy()
    local = (world @ view[:3, :3].T + view[:3, 3]) @ K.T
    at = local[..., :2] / local[..., 2:]
    return at if window is None else at * window.scale + np.array([window.x, window.y])


def _focal(sequence: Sequence, window: Crop | None) -> float:
    return float(sequence.Ks[0, 0, 0]) * (1.0 if window is None else window.scale)


def _figures(errors: FloatArray) -> dict[str, float]:
    """errors (T, …)."""
    by_step = errors.reshape(len(errors), -1).mean(1)
    return {
        "mean": float(errors.mean()), "median": float(np.median(errors)), "p95": float(np.percentile(errors, 95)),
        "worst": float(by_step.max()),
    }  # fmt: skip


def table(result: dict[str, Any]) -> Table:
    """The figures for the eye."""
    from rich import box
    from rich.table import Table

    title = f"tracked against true, {result['timesteps']} timesteps, focal length × {result['focal_ratio']:.3f}"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("", "mean", "median", "95th percentile", "worst timestep"):
        shown.add_column(name, justify="right" if name else "left")
    names = {
        "rotation_deg": "rotation, degrees",
        "vertices_mm": "face vertices, mm",
        "landmarks_px": "landmarks, pixels",
    }
    for key, name in names.items():
        row = result[key]
        shown.add_row(name, *(f"{row[part]:.2f}" for part in ("mean", "median", "p95", "worst")))
    return shown
