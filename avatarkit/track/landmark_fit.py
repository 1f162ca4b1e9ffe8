"""Head parameters of a whole clip from face landmarks: one non-linear least-squares problem, solved by Gauss-Newton.

Unknown: focal length (principal point at the centre of what the lens saw), identity, and for each timestep expression,
jaw, eyes, neck and global pose.  Residuals: landmark reprojection under a Cauchy loss (reweighted each iteration), priors on
every parameter, first and second differences in time.  A missed frame has no landmarks and is filled by smoothness.
The camera stands at the origin and looks along −z; it does not move, so the head does.

A focal length seen through a face alone is nearly free (a longer lens farther away looks the same), so its prior is put on
the distance, which is that of a person before a camera.  What turns a head is ambiguous as well, root or neck: the torso
hardly moves in a portrait, so the root is held near its mean over the clip and the neck turns the head.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, replace

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.errors import DivergedError, InputError
from avatarkit.events import Finished, Progress, Run, Started
from avatarkit.head.parameters import HeadParams
from avatarkit.render.compiled import run_parts, thread_count
from avatarkit.track.arrow_system import ArrowSystem, smoothness_side
from avatarkit.track.fit_priors import FitSettings, Priors, build_priors, fit_embedding, landmark_noise
from avatarkit.track.initial_pose import CAMERA_AT_ORIGIN, initial_poses
from avatarkit.track.landmark_result import LandmarkFit
from avatarkit.track.landmark_rig import (
    EYES,
    JAW,
    NECK,
    POSE,
    ROTATION,
    TRANSLATION,
    LandmarkRig,
    landmark_rig,
    rotation_vectors,
    rotations,
)  # fmt: skip
from avatarkit.track.observations import LandmarkObservations
from avatarkit.types import BoolArray, FloatArray, IntArray

CHUNK = 32  # timesteps whose Jacobian is in memory at once, in each thread


def fit_landmarks(
    head: HeadModel,
    observed: LandmarkObservations,
    Ks: FloatArray,
    viewmats: FloatArray | None = None,
    *,
    focal_known: bool = False,
    settings: FitSettings | None = None,
    run: Run | None = None,
) -> LandmarkFit:
    """Fit ``head`` to the landmarks of a clip.

    Ks (C, 3, 3) pixels: the focal length in them counts only if ``focal_known``, else each camera's is solved for.
    viewmats (C, 4, 4) world to camera; without them each camera stands at the origin and looks along −z, which several clips of one
    person may share, but not cameras that saw one timestep.  Deterministic.
    Raises InputError when no frame has a face, when several cameras saw one timestep without viewmats, or when the head has no
    landmark embedding or rig.
    """
    settings, run = settings or FitSettings(), run or Run()
    started = clock.perf_counter()
    if not observed.valid.any():
        raise InputError("no face was found in any frame; choose a clip that shows a face from the front")
    if viewmats is None and (observed.valid.sum(1) > 1).any():
        raise InputError(
            f"{observed.valid.shape[1]} cameras saw the same timesteps, and where they stand is not known; add a cameras.json"
        )
    if viewmats is None:
        viewmats = np.tile(CAMERA_AT_ORIGIN, (len(Ks), 1, 1))
    problem = ClipProblem.of(
        head, observed, np.asarray(Ks, np.float64), np.asarray(viewmats, np.float64), focal_known, settings
    )
    run.emit(Started("track", settings.iterations, "iteration"))
    iterations = problem.minimise(run)
    fit = problem.result(iterations, clock.perf_counter() - started)
    run.emit(Finished("track", fit.seconds, fit.summary()))
    return fit


@dataclass
class ClipState:
    """frames (T, 18 + E); shape (S,); log_focal (C,); offsets (L, 3)."""

    frames: FloatArray
    shape: FloatArray
    log_focal: FloatArray
    offsets: FloatArray


@dataclass
class ClipProblem:
    """A clip's unknowns and what is known of them: landmarks, priors, smoothness."""

    rig: LandmarkRig
    indices: IntArray
    points: FloatArray  # (T, C, L, 2)
    noise: FloatArray  # (L,) pixels
    seen: FloatArray  # (T, C) 0 or 1
    views: FloatArray  # (C, 4, 4)
    Ks: FloatArray  # (C, 3, 3); the focal length of K is replaced where it is solved for
    focal_free: bool
    focal_prior: FloatArray  # (C,) ln pixels
    reference: FloatArray  # (3, 3)
    priors: Priors
    settings: FitSettings
    state: ClipState

    @staticmethod
    def of(
        head: HeadModel,
        observed: LandmarkObservations,
        Ks: FloatArray,
        viewmats: FloatArray,
        focal_known: bool,
        settings: FitSettings,
    ) -> ClipProblem:
        embedding = fit_embedding(head, observed.canonical)
        rig = landmark_rig(head, embedding)
        indices = np.asarray(embedding.indices)
        points = observed.points[:, :, indices].astype(np.float64)
        points[~observed.valid] = 0.0
        priors = build_priors(head, rig, observed, settings)
        expr = priors.mean[:, POSE:]
        distance = None if focal_known else settings.distance
        poses = initial_poses(rig, points, observed.valid, expr, Ks, viewmats, distance)
        frames = np.concatenate([poses.rotation, poses.translation, np.zeros((len(observed), 12)), expr], 1)
        state = ClipState(frames, np.zeros(rig.num_shape), np.log(poses.focal), np.zeros((len(indices), 3)))
        return ClipProblem(
            rig, indices, points, landmark_noise(indices, points, observed.valid, settings), observed.valid.astype(float),
            viewmats, Ks, not focal_known, np.log(poses.focal), poses.reference, priors, settings, state,
        )  # fmt: skip

    @property
    def repeats(self) -> float:
        """How often the clip says the same again: what is shared is held by as many priors."""
        return max(1.0, float(self.seen.sum()) / self.settings.independent_frames)

    # --- the optimisation --------------------------------------------------------------------------------------------------

    def minimise(self, run: Run) -> int:
        """Levenberg-Marquardt: pose first, then everything, then the landmark offsets too."""
        settings, done = self.settings, 0
        pose_only = np.zeros(self.state.frames.shape[1], bool)
        pose_only[ROTATION], pose_only[TRANSLATION] = True, True
        everything = self.priors.free
        third = max(1, settings.iterations // 4)
        stages = [
            (pose_only, False, False, third),
            (everything, True, False, settings.iterations - 2 * third),
            (everything, True, settings.offset_noise > 0, third),
        ]
        for active, shared, offsets, count in stages:
            damping, cost = 1e-4, self.cost(self.state)
            for _ in range(count):
                if run.stopping:
                    return done
                if offsets:
                    self.state = self.with_offsets()
                    cost = self.cost(self.state)
                update, solvable = self.step(active, shared, damping)
                trial = self.cost(update) if solvable else np.inf
                done += 1
                if trial <= cost:
                    gained, self.state, cost, damping = cost - trial, update, trial, max(damping / 5, 1e-7)
                    median = float(np.nanmedian(self.errors(self.state)))
                    run.emit(Progress("track", done, settings.iterations, {"error_px": median}))
                    if gained < 1e-4 * cost:
                        break
                elif damping > 1e3:
                    break
                else:
                    damping *= 10
        if not np.isfinite(self.state.frames).all():
            raise DivergedError(
                "landmark fit: 'frames' is not finite; the landmarks of this clip contradict each other"
            )
        self.state.frames[:, POSE:] = np.clip(self.state.frames[:, POSE:], self.priors.low, self.priors.high)
        return done

    def with_offsets(self) -> ClipState:
        """The state with each landmark's offset solved for, all else held.

        Identity comes first and offsets take what it leaves: solved together they would share a face's form by the ratio of
        their priors, at four times the cost.
        """
        state = self.state
        world, posed = self.rig.points(state.frames, state.shape, state.offsets, self.reference)
        by_offset = self.rig.offset_jacobian(posed)
        marks = self.rig.num_landmarks
        tight = self.repeats / self.settings.offset_noise**2
        normal = np.tile(tight * np.eye(3), (marks, 1, 1))
        side = -tight * state.offsets
        for camera in range(len(self.views)):
            pixels, by_world = self.project(world, camera, state)
            residual = (self.points[:, camera] - pixels) / self.noise[:, None]
            slope = by_world @ by_offset / self.noise[:, None, None]
            weight = self.loss_weights(residual, camera)[..., None, None]
            normal += np.einsum("tlca,tlcb->lab", slope * weight, slope)
            side += np.einsum("tlca,tlc->la", slope * weight, residual)
        return replace(state, offsets=state.offsets + np.linalg.solve(normal, side[..., None])[..., 0])

    def equations(self, columns: IntArray, shared: bool) -> ArrowSystem:
        """The normal equations about the present state, for the frame parameters ``columns`` and what is shared."""
        state, priors = self.state, self.priors
        steps, width = len(state.frames), len(columns)
        extra = self.rig.num_shape + len(self.views) if shared else 0
        system = ArrowSystem(
            np.zeros((steps, width, width)), np.zeros((steps, width, extra)), np.zeros((extra, extra)),
            np.zeros((steps, width)), np.zeros(extra),
        )  # fmt: skip
        cuts = [slice(start, min(start + CHUNK, steps)) for start in range(0, steps, CHUNK)]
        corners, sides = np.zeros((len(cuts), extra, extra)), np.zeros((len(cuts), extra))

        def part(number: int, parts: int) -> None:
            for i in range(number, len(cuts), parts):
                self.add_landmarks(system, cuts[i], columns, corners[i], sides[i])

        # each piece multiplies its own matrices: BLAS' threads would wait for each other's
        with threadpool_limits(1, "blas"):
            run_parts(min(thread_count(), len(cuts)), part)
        system.corner += corners.sum(0)
        system.shared_side += sides.sum(0)
        self.add_priors(system, columns, shared)
        smooth, _ = smoothness_side(state.frames[:, columns], priors.first[:, columns], priors.second[:, columns])
        system.frames_side += smooth
        return system

    def solved(self, system: ArrowSystem, columns: IntArray, damping: float) -> tuple[ClipState, bool]:
        """The state after the damped step that ``system`` asks for, and whether there is one."""
        state, priors, modes = self.state, self.priors, self.rig.num_shape
        try:
            change, together = system.solve(priors.first[:, columns], priors.second[:, columns], damping)
        except np.linalg.LinAlgError:
            return state, False
        frames = state.frames.copy()
        frames[:, columns] += change
        new = replace(state, frames=frames)
        if len(together):
            new.shape = state.shape + together[:modes]
            new.log_focal = state.log_focal + together[modes:]
        return new, bool(np.isfinite(frames).all())

    def step(self, active: BoolArray, shared: bool, damping: float) -> tuple[ClipState, bool]:
        """One damped Gauss-Newton update of the ``active`` (18 + E,) frame parameters and what is shared."""
        columns = np.flatnonzero(active)
        return self.solved(self.equations(columns, shared), columns, damping)

    def add_landmarks(
        self, system: ArrowSystem, cut: slice, columns: IntArray, corner: FloatArray, shared_side: FloatArray
    ) -> None:
        """Add the reprojection residuals of the timesteps ``cut``; by pieces, so that the Jacobian stays small.

        What all timesteps share goes into ``corner`` and ``shared_side``: several pieces are added at once.
        """
        state, marks, extra = self.state, self.rig.num_landmarks, len(corner)
        shared = extra > 0
        frames = state.frames[cut]
        world, posed = self.rig.points(frames, state.shape, state.offsets, self.reference)
        by_frame, by_shape = self.rig.jacobian(frames, posed, self.reference, shared=shared)
        by_frame = by_frame[..., columns]
        for camera in range(len(self.views)):
            pixels, by_world = self.project(world, camera, state)
            residual = (self.points[cut, camera] - pixels) / self.noise[:, None]  # (t, L, 2)
            weight = self.loss_weights(residual, camera, cut)
            scale = np.sqrt(weight)[..., None] / self.noise[:, None]
            flat = (residual * np.sqrt(weight)[..., None]).reshape(len(frames), marks * 2, 1)
            by_world = by_world * scale[..., None]
            part = (by_world @ by_frame).reshape(len(frames), marks * 2, len(columns))
            turned = part.transpose(0, 2, 1)
            system.blocks[cut] += turned @ part
            system.frames_side[cut] += (turned @ flat)[..., 0]
            if shared and by_shape is not None:
                by_focal = np.zeros((len(frames), marks, 2, len(self.views)))
                by_focal[..., camera] = (pixels - self.Ks[camera, :2, 2]) * scale * float(self.focal_free)
                joined = np.concatenate([by_world @ by_shape, by_focal], -1).reshape(len(frames), marks * 2, extra)
                system.border[cut] += turned @ joined
                rows = joined.reshape(-1, extra)
                corner += rows.T @ rows
                shared_side += rows.T @ flat.reshape(-1)

    def add_priors(self, system: ArrowSystem, columns: IntArray, shared: bool) -> None:
        priors, state, modes = self.priors, self.state, self.rig.num_shape
        stiffness, pull = priors.forces(state.frames)
        every = np.arange(len(columns))
        system.blocks[:, every, every] += stiffness[:, columns]
        system.frames_side += pull[:, columns]
        if shared:
            diagonal = np.arange(modes)
            system.corner[diagonal, diagonal] += self.repeats
            system.shared_side[:modes] -= self.repeats * state.shape
            tight = 1.0 / self.settings.distance_spread**2 if self.focal_free else 1.0
            lenses = np.arange(modes, len(system.corner))
            system.corner[lenses, lenses] += tight
            system.shared_side[modes:] -= tight * (state.log_focal - self.focal_prior)

    def cost(self, state: ClipState) -> float:
        world, _ = self.rig.points(state.frames, state.shape, state.offsets, self.reference)
        total = self.priors.value(state.frames) + 0.5 * self.repeats * float(state.shape @ state.shape)
        total += smoothness_side(state.frames, self.priors.first, self.priors.second)[1]
        total += 0.5 * float((((state.log_focal - self.focal_prior) / self.settings.distance_spread) ** 2).sum())
        if self.settings.offset_noise > 0:
            total += 0.5 * self.repeats * float((state.offsets**2).sum()) / self.settings.offset_noise**2
        limit = self.settings.outlier**2
        for camera in range(len(self.views)):
            pixels, _ = self.project(world, camera, state)
            square = (((self.points[:, camera] - pixels) / self.noise[:, None]) ** 2).sum(-1)
            total += 0.5 * float((limit * np.log1p(square / limit) * self.seen[:, camera, None]).sum())
        return total

    def loss_weights(self, residual: FloatArray, camera: int, cut: slice = slice(None)) -> FloatArray:
        """(T, L): Cauchy's ρ'(r²), zero where no face was seen."""
        square = (residual**2).sum(-1)
        return self.seen[cut, camera, None] / (1.0 + square / self.settings.outlier**2)

    def project(self, world: FloatArray, camera: int, state: ClipState) -> tuple[FloatArray, FloatArray]:
        """World (T, L, 3) → pixels (T, L, 2) and their derivative (T, L, 2, 3)."""
        view, K = self.views[camera], self.Ks[camera]
        turn = view[:3, :3]
        local = world @ turn.T + view[:3, 3]
        depth = np.maximum(local[..., 2], 1e-3)
        focal = np.full(2, np.exp(state.log_focal[camera])) if self.focal_free else np.array([K[0, 0], K[1, 1]])
        slope = local[..., :2] / depth[..., None]
        inner = np.zeros((*local.shape[:-1], 2, 3))
        inner[..., 0, 0] = inner[..., 1, 1] = 1.0
        inner[..., 2] = -slope
        inner *= focal[:, None] / depth[..., None, None]
        return slope * focal + K[:2, 2], inner @ turn

    def errors(self, state: ClipState) -> FloatArray:
        """(T, C, L) pixels, NaN where nothing was seen."""
        error = np.linalg.norm(self.fitted(state) - self.points, axis=-1)
        return np.where(self.seen[..., None] > 0, error, np.nan)

    def fitted(self, state: ClipState) -> FloatArray:
        world, _ = self.rig.points(state.frames, state.shape, state.offsets, self.reference)
        return np.stack([self.project(world, c, state)[0] for c in range(len(self.views))], 1)

    def params(self, state: ClipState) -> HeadParams:
        """What ``state`` means in the head model's own terms."""
        turned = rotation_vectors(rotations(state.frames[:, ROTATION]) @ self.reference)

        def tensor(value: FloatArray) -> Tensor:
            return torch.tensor(value, dtype=torch.float32)

        frames = state.frames
        return HeadParams(
            tensor(state.shape), tensor(frames[:, POSE:]), tensor(continuous(turned)), tensor(frames[:, TRANSLATION]),
            tensor(frames[:, NECK]), tensor(frames[:, JAW]), tensor(frames[:, EYES]),
        )  # fmt: skip

    def lenses(self, state: ClipState) -> FloatArray:
        """(C, 3, 3) pixels, with the focal lengths of ``state``."""
        Ks = self.Ks.copy()
        if self.focal_free:
            Ks[:, 0, 0] = Ks[:, 1, 1] = np.exp(state.log_focal)
        return Ks

    def result(self, iterations: int, seconds: float) -> LandmarkFit:
        state = self.state
        views, Ks = (torch.tensor(value, dtype=torch.float32) for value in (self.views, self.lenses(state)))
        return LandmarkFit(
            self.params(state), views, Ks, self.indices, self.fitted(state), self.errors(state), state.offsets, iterations,
            seconds,
        )  # fmt: skip


def continuous(vectors: FloatArray) -> FloatArray:
    """Axis-angle (T, 3) without jumps by whole turns between neighbours: near π an angle may leave [0, π]."""
    out = vectors.copy()
    for step in range(1, len(out)):
        angle = float(np.linalg.norm(out[step]))
        if angle > 1e-6:
            other = out[step] * (1.0 - 2.0 * np.pi / angle)
            if np.linalg.norm(other - out[step - 1]) < np.linalg.norm(out[step] - out[step - 1]):
                out[step] = other
    return out


__all__ = ["CAMERA_AT_ORIGIN", "FitSettings", "LandmarkFit", "fit_landmarks"]
