"""``contracts.Tracker``: a landmark tracker's answer, or given parameters, refined by aligning the pictures themselves."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from avatarkit.capture.capture import Capture
from avatarkit.contracts import HeadModel
from avatarkit.errors import DivergedError, InputError
from avatarkit.events import Finished, Picture, Run, Started
from avatarkit.head.parameters import HeadParams
from avatarkit.paths import atomic_path
from avatarkit.registry import STARTS_FROM, registry
from avatarkit.render.compiled import kernels_first
from avatarkit.track.fit_priors import FitSettings, fit_embedding
from avatarkit.track.landmark_fit import ClipProblem, ClipState
from avatarkit.track.landmark_rig import rotation_vectors, rotations
from avatarkit.track.landmark_tracking import PICTURE, Tracked, spaced_times, tracking_picture, unknown_lens
from avatarkit.track.observations import NUM_LANDMARKS, LandmarkObservations
from avatarkit.track.photometric_fit import PhotometricSettings, refine
from avatarkit.track.photometric_options import PhotometricConfig
from avatarkit.track.sequence import Sequence as TrackedSequence
from avatarkit.track.soft_modes import SoftHead, soft_head, units_of
from avatarkit.track.surface_points import surface_points
from avatarkit.types import FloatArray

NAME = "photometric"
GIVEN_NOISE = 4.0  # landmarks that only repeat given parameters would hold them where they are


@dataclass(frozen=True)
class Beginning:
    """Where the alignment starts: head parameters, cameras, landmarks, and where on the head these lie, (L, 3) metres."""

    params: HeadParams
    viewmats: FloatArray
    Ks: FloatArray
    observed: LandmarkObservations
    offsets: FloatArray | None


class PhotometricTracker:
    """Refines what a landmark tracker finds; raises what that tracker raises."""

    def __init__(self, config: PhotometricConfig | None = None) -> None:
        self.config = config or PhotometricConfig()
        self._first: Any = None

    @property
    def first(self) -> Any:
        """The landmark tracker, made when it is needed."""
        if self._first is None:
            name = self.config.landmarks or STARTS_FROM[NAME]
            if name == NAME:
                raise InputError(
                    "the photometric tracker cannot start from itself; name a landmark tracker in 'landmarks'"
                )
            self._first = registry().create("tracker", name)
        return self._first

    def locate(self, images: Sequence[Any]) -> Any:
        """Face boxes for cropping a capture to the head: the landmark tracker's, or none."""
        locate = getattr(self.first, "locate", None)
        return [None] * len(images) if locate is None else locate(images)

    def track(
        self, capture: Capture, head: HeadModel, run: Run, initial: TrackedSequence | None = None
    ) -> TrackedSequence:
        """See ``contracts.Tracker.track``; ``initial`` stands for the landmark tracker's answer."""
        begun = self._from_landmarks(capture, head, run) if initial is None else from_sequence(initial, head, run)
        soft = soft_head(head)
        settings = replace(PhotometricSettings(), points=self.config.points, landmark_noise=self.config.landmark_noise)
        if begun.offsets is None:
            given = GIVEN_NOISE * self.config.landmark_noise
            settings = replace(settings, landmark_noise=given, iris_noise=given)
        found = refined(capture, soft, replace(begun, params=soft.begun(begun.params)), run, settings).sequence
        return replace(found, params=soft.ended(found.params))

    def _from_landmarks(self, capture: Capture, head: HeadModel, run: Run) -> Beginning:
        part = self.first
        if not hasattr(part, "tracked"):
            return from_sequence(part.track(capture, head, run), head, run)
        found: Tracked = part.tracked(capture, head, run)
        fit = found.fit
        return Beginning(
            fit.params, fit.viewmats.double().numpy(), fit.Ks.double().numpy(), found.observed, fit.offsets
        )


def from_sequence(sequence: TrackedSequence, head: HeadModel, run: Run) -> Beginning:
    """Start from given parameters: what they say of landmarks and expressions stands for what a detector would say."""
    params = sequence.params.detach().to("cpu")
    units = units_of(params, head)
    if params.static_offset is not None or units is None:
        run.notice("the given offsets of vertices are left out: photometric tracking fits modes only", "warning")
        params = replace(params, static_offset=None, dynamic_offset=None if units is None else params.dynamic_offset)
    capture = sequence.capture
    embedding = fit_embedding(head)
    world = embedding.points(head.pose(params).vertices, head.faces).double().numpy()
    steps, cameras = capture.num_timesteps, len(capture.cameras)
    points = np.zeros((steps, cameras, NUM_LANDMARKS, 2), np.float32)
    valid = np.zeros((steps, cameras), bool)
    times = np.zeros(steps)
    views, Ks = sequence.viewmats.double().numpy(), sequence.Ks.double().numpy()
    indices = embedding.indices.numpy()
    for frame in capture.frames:
        local = (world[frame.timestep] @ views[frame.camera, :3, :3].T + views[frame.camera, :3, 3]) @ Ks[
            frame.camera
        ].T
        points[frame.timestep, frame.camera, indices] = local[:, :2] / local[:, 2:]
        valid[frame.timestep, frame.camera] = bool((local[:, 2] > 0).all())
        times[frame.timestep] = frame.time
    named = [mode for mode, name in enumerate(head.expr_names) if name]
    observed = LandmarkObservations(
        points, valid, params.expr.numpy()[:, named], tuple(head.expr_names[mode] for mode in named),
        spaced_times(times, capture),
    )  # fmt: skip
    return Beginning(params, views, Ks, observed, None)


def refined(capture: Capture, head: HeadModel, begun: Beginning, run: Run, settings: PhotometricSettings) -> Tracked:
    """Align ``capture`` from ``begun``.  Writes ``tracking.png`` into the run's folder if it has one.

    Raises InputError for a head without landmarks, rig or face region, DivergedError where the result is not finite.
    """
    started = clock.perf_counter()
    known = all(camera.K is not None for camera in capture.cameras)
    Ks = begun.Ks if known else np.stack([unknown_lens(camera) for camera in capture.cameras])
    problem = ClipProblem.of(head, begun.observed, Ks, begun.viewmats, known, FitSettings())
    problem.state = state_of(problem, begun)
    late = head.num_bends if isinstance(head, SoftHead) else 0
    run.emit(Started("photometric", settings.steps(late), "step"))
    eyes_apart = float(problem.noise.min()) / (0.7 * problem.settings.noise)
    with kernels_first():
        steps = refine(
            capture, head, problem, surface_points(head, settings.points), eyes_apart, run, settings, late=late
        )
    if not np.isfinite(problem.state.frames).all():
        raise DivergedError("photometric fit: 'frames' is not finite; the pictures of this clip contradict each other")
    seconds = clock.perf_counter() - started
    fit = problem.result(steps, seconds)
    run.emit(Finished("photometric", seconds, fit.summary()))
    run.emit(Finished("track", seconds, fit.summary()))
    sequence = TrackedSequence(capture, fit.params, fit.viewmats, fit.Ks, head.reference)
    if run.folder is not None:
        target = run.folder / PICTURE
        sheet = tracking_picture(sequence, fit, begun.observed, head)
        atomic_path(target, lambda path: sheet.save(path))
        run.emit(Picture("tracking", target))
    return Tracked(sequence, fit, begun.observed)


def state_of(problem: ClipProblem, begun: Beginning) -> ClipState:
    """Head parameters and cameras as unknowns of ``problem``."""
    params = begun.params
    turn = rotations(params.rotation.double().numpy()) @ problem.reference.T
    rest = [params.translation, params.neck_pose, params.jaw_pose, params.eyes_pose, params.expr]
    frames = np.concatenate([rotation_vectors(turn), torch.cat(rest, 1).double().numpy()], 1)
    offsets = np.zeros_like(problem.state.offsets) if begun.offsets is None else begun.offsets
    focal = np.log(0.5 * (begun.Ks[:, 0, 0] + begun.Ks[:, 1, 1]))
    return ClipState(frames, params.shape.double().numpy(), focal, offsets)
