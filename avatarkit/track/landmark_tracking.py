"""From a capture and a landmark detector to a sequence: what every landmark-based tracker does."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatarkit.cameras import intrinsics
from avatarkit.capture.capture import Capture, CaptureCamera
from avatarkit.capture.crop import doubt_crowds
from avatarkit.contracts import FaceLandmarks, HeadModel, LandmarkDetector
from avatarkit.errors import InputError
from avatarkit.events import Finished, Picture, Progress, Run, Started
from avatarkit.paths import atomic_path
from avatarkit.track.fit_picture import fit_sheet, projected
from avatarkit.track.fit_priors import FitSettings, require_landmarks
from avatarkit.track.landmark_fit import LandmarkFit, fit_landmarks
from avatarkit.track.observations import NUM_LANDMARKS, LandmarkObservations
from avatarkit.track.sequence import Sequence as TrackedSequence
from avatarkit.types import BoolArray, FloatArray

PICTURE = "tracking.png"
PICTURE_FRAMES = 8
LOST = 0.3  # share of frames without a face above which smooth guesses between their neighbours are no motion
CLIP_GAP = 10.0  # seconds put between clips, so that they are not smoothed into each other


@dataclass(frozen=True)
class Tracked:
    sequence: TrackedSequence
    fit: LandmarkFit
    observed: LandmarkObservations


def track_landmarks(
    detector: LandmarkDetector,
    capture: Capture,
    head: HeadModel,
    run: Run,
    *,
    canonical: FloatArray | None = None,
    settings: FitSettings | None = None,
    initial: TrackedSequence | None = None,
) -> Tracked:
    """Detect landmarks in every frame of ``capture`` and fit ``head`` to them.

    canonical (478, 3): the detector's average face, or None.  initial: gives the cameras where the capture has none.  Writes
    ``tracking.png`` into the run's folder if it has one.  Raises InputError when no frame shows a face.
    """
    require_landmarks(head)  # before a long film is looked through
    observed = observe(detector, capture, run, canonical)
    Ks, viewmats, known = _cameras(capture, initial)
    fit = fit_landmarks(head, observed, Ks, viewmats, focal_known=known, settings=settings, run=run)
    sequence = TrackedSequence(capture, fit.params, fit.viewmats, fit.Ks, head.reference)
    if run.folder is not None:
        target = run.folder / PICTURE
        sheet = tracking_picture(sequence, fit, observed, head)
        atomic_path(target, lambda path: sheet.save(path))
        run.emit(Picture("tracking", target))
    return Tracked(sequence, fit, observed)


def observe(
    detector: LandmarkDetector, capture: Capture, run: Run, canonical: FloatArray | None = None
) -> LandmarkObservations:
    """The landmarks of every frame of ``capture``, one camera after the other in time order.

    Raises InputError when there are none at all, and (``Run.doubt``) where several people show or the face is lost for long.
    """
    steps, cameras = capture.num_timesteps, len(capture.cameras)
    points = np.zeros((steps, cameras, NUM_LANDMARKS, 2), np.float32)
    valid = np.zeros((steps, cameras), bool)
    times = np.zeros(steps)
    scored: list[list[dict[str, float]]] = [[] for _ in range(steps)]
    crowded, done, started = 0, 0, clock.perf_counter()
    run.emit(Started("landmarks", len(capture), "frame"))
    for camera in range(cameras):
        frames = sorted((f.timestep, i) for i, f in enumerate(capture.frames) if f.camera == camera)
        for (step, index), face in zip(frames, _faces(detector, capture, [i for _, i in frames]), strict=True):
            done += 1
            times[step] = capture.frames[index].time
            if face is not None:
                points[step, camera] = face.points[:, :2]
                valid[step, camera] = True
                scored[step].append(face.blendshapes)
                crowded += face.count > 1
            run.emit(Progress("landmarks", done, len(capture), {"faces": float(valid.sum())}))
    found = int(valid.sum())
    run.emit(Finished("landmarks", clock.perf_counter() - started, {"faces": found, "frames": len(capture)}))
    if not found:
        raise InputError(
            f"{capture.source or capture.name}: no face was found in any of {len(capture)} frames; choose a clip that shows a "
            "face from the front"
        )
    doubt_crowds(crowded, len(capture), capture.source or capture.name, run)
    _say_lost(valid, capture, run)
    names = tuple(sorted({name for step in scored for scores in step for name in scores}))
    scores = np.full((steps, len(names)), np.nan, np.float32)
    for step, rows in enumerate(scored):
        if rows:
            scores[step] = np.mean([[row.get(name, 0.0) for name in names] for row in rows], 0)
    return LandmarkObservations(points, valid, scores, names, spaced_times(times, capture), canonical)


def tracking_picture(
    sequence: TrackedSequence, fit: LandmarkFit, observed: LandmarkObservations, head: HeadModel
) -> Any:
    """Eight frames spread over the clip: the mesh, and detected (green) beside fitted (red) landmarks, as a PIL image."""
    capture = sequence.capture
    chosen = np.unique(np.linspace(0, len(capture) - 1, min(PICTURE_FRAMES, len(capture))).round().astype(int))
    faces = np.asarray(head.faces)
    images, pixels, facing, detected, fitted, captions = [], [], [], [], [], []
    for index in chosen.tolist():
        frame = capture.frames[index]
        pose = head.pose(sequence.params[frame.timestep].detach())
        at, front = projected(pose.vertices, sequence.viewmats[frame.camera], sequence.Ks[frame.camera], faces)
        seen = bool(observed.valid[frame.timestep, frame.camera])
        marks = observed.points[frame.timestep, frame.camera][fit.indices]
        images.append(capture.image(index))
        pixels.append(at[0])
        facing.append(front[0])
        detected.append(marks if seen else np.full_like(marks, np.nan))
        fitted.append(fit.fitted[frame.timestep, frame.camera])
        error = f"{np.nanmedian(fit.errors[frame.timestep, frame.camera]):.2f} px" if seen else "no face found"
        captions.append(f"{capture.timestep_names[frame.timestep]}: {error}")
    return fit_sheet(
        images, np.stack(pixels), np.stack(facing), faces, np.stack(detected), np.stack(fitted), captions
    )  # fmt: skip


def _faces(detector: LandmarkDetector, capture: Capture, indices: list[int]) -> Iterator[FaceLandmarks | None]:
    """Frame by frame where the detector can (``follow``), for the progress bar; else all at once."""
    images = _Images(capture, indices)
    follow = getattr(detector, "follow", None)
    yield from follow(images) if follow is not None else detector.detect(images)


class _Images(Sequence[Any]):
    """Frames of a capture, decoded when they are looked at."""

    def __init__(self, capture: Capture, indices: list[int]) -> None:
        self._capture, self._indices = capture, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return _Images(self._capture, self._indices[number])
        return self._capture.image(self._indices[number])


def _say_lost(valid: BoolArray, capture: Capture, run: Run) -> None:
    seen: BoolArray = np.asarray(valid.any(axis=1))
    lost = int((~seen).sum())
    if not lost:
        return
    edges = np.flatnonzero(np.diff(np.r_[0, ~seen, 0]))
    longest = max(zip(edges[::2], edges[1::2], strict=True), key=lambda span: span[1] - span[0])
    where = f"the longest gap is {capture.timestep_names[longest[0]]} to {capture.timestep_names[longest[1] - 1]}"
    if lost > LOST * len(seen):
        run.doubt(
            f"{capture.source or capture.name}: no face was found in {lost} of {len(seen)} timesteps ({where})",
            "cut the clip to where the face shows",
        )
    else:
        run.notice(f"no face was found in {lost} of {len(seen)} timesteps ({where}); they are filled smoothly")


def spaced_times(times: FloatArray, capture: Capture) -> FloatArray:
    """Seconds per timestep, rising; a frame period of 1/30 s where the capture knows none, and a gap between clips."""
    first: dict[int, int] = {}
    for frame in capture.frames:
        first.setdefault(frame.timestep, frame.camera)
    steps = np.diff(times)
    if not (steps > 0).any():
        steps = np.full(len(times) - 1, 1.0 / 30.0)
    alone = len(capture.frames) == len(times)  # clips: a camera each, never two of one timestep
    cut: BoolArray = np.array([alone and first[step] != first[step + 1] for step in range(len(times) - 1)], np.bool_)
    steps = np.where(cut | (steps <= 0), CLIP_GAP, steps)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _cameras(capture: Capture, initial: TrackedSequence | None) -> tuple[FloatArray, FloatArray | None, bool]:
    """Ks (C, 3, 3), viewmats (C, 4, 4) or None, and whether the focal lengths are known."""
    if initial is not None and len(initial.Ks) == len(capture.cameras):
        return initial.Ks.double().numpy(), initial.viewmats.double().numpy(), True
    known = [camera.K for camera in capture.cameras]
    placed = [camera.viewmat for camera in capture.cameras]
    viewmats = np.stack([v for v in placed if v is not None]) if all(v is not None for v in placed) else None
    if all(K is not None for K in known):
        return np.stack([K for K in known if K is not None]), viewmats, True
    return np.stack([unknown_lens(camera) for camera in capture.cameras]), viewmats, False


def unknown_lens(camera: CaptureCamera) -> FloatArray:
    """K (3, 3) with the principal point at the centre of what the lens saw, wherever the crop is; focal length of no meaning."""
    cx, cy = camera.width / 2, camera.height / 2
    if camera.crop is not None:
        cx = (camera.crop.source[0] / 2 - camera.crop.x) / camera.crop.scale
        cy = (camera.crop.source[1] / 2 - camera.crop.y) / camera.crop.scale
    return intrinsics(1.0, 1.0, cx, cy)
