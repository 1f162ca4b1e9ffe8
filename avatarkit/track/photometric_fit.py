"""Direct image alignment of a clip: head parameters that make every picture show the same skin (Lucas and Kanade 1981; with a
model that moves, Baker and Matthews 2004; robustly and all frames at once as in direct bundle adjustment).

Surface points carry albedo under low-order lighting (``appearance``).  By turns: what each point looks like over the clip, then one
Gauss-Newton step of everything that moves: pose, neck, jaw, eyes and expression of every timestep, identity and focal length.
Landmarks, priors and smoothness are those of the landmark fit, in the same arrow-shaped system.  From blurred pictures to sharp.

Albedo is solved for, not given, so only what *differs* between pictures counts: a change of identity that moves a point alike in
all of them changes its albedo and no residual.  The shared columns are therefore taken about their mean over the pictures
(variable projection, Golub and Pereyra 1973).  Where the mesh lies on the skin is for the landmarks to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from avatarkit.capture.capture import Capture
from avatarkit.contracts import HeadModel
from avatarkit.events import Progress, Run
from avatarkit.render.compiled import run_parts, thread_count
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.track.appearance import Appearance, fit_appearance, harmonics_of
from avatarkit.track.arrow_system import ArrowSystem
from avatarkit.track.image_pyramid import ScaledImages, sampled, scaled_images
from avatarkit.track.landmark_fit import ClipProblem, ClipState
from avatarkit.track.landmark_rig import NECK, POSE
from avatarkit.track.observations import part_of
from avatarkit.track.surface_points import SurfacePoints
from avatarkit.types import Float32Array, FloatArray, IntArray

ACTIVE_SETS = 4
SKULL = NECK.stop  # so many parameters of a frame, its first, place the skull
STRANGE, STRANGE_VALUE = 4.0, 0.05  # of the typical picture's misfit, and at least this much
HOLD = 1e6  # inverse variance that holds an expression at its limit
FIRST_DAMPING = 1e-6
SETTLED = 1e-3  # of the cost: a scale is done with when a step gains less
HAIR_SEEN = 24  # pictures, at least, that a point on hair needs: most are at the outline, where few say whether the hair or what is behind it shows
MEANS_FROM = 48  # pictures from which the mean of the shared columns is taken


@dataclass(frozen=True)
class PhotometricSettings:
    """points: how many on the skin, at most.  crowding: how many there are for what a blurred picture tells apart; so fewer on blurred
    ones, but not below a quarter.  levels: (blur, steps, outlier): blur as a share of the distance between the eyes; where the loss bends,
    in standard deviations, wide at first, since what is not aligned yet looks like an outlier.

    value_noise: least standard deviation of a picture's values; slack: pixels, how well the model can follow the skin at best;
    landmark_noise: by how much landmarks count less than in the
    landmark fit; iris_noise: likewise irises' centres, for an eyeball's picture is its lids' shadow and a lamp's reflection, which stay where they are
    when it turns; facing, hair_facing: least cosine between the surface and the line of sight, on skin and on hair; share: of the pictures' weight, since neighbouring points are alike; late_steps: of
    the bends of the face (``soft_modes``), which are last.
    """

    points: int = 4000
    crowding: float = 16.0
    levels: tuple[tuple[float, int, float], ...] = ((0.12, 3, 3.0), (0.06, 3, 3.0), (0.03, 4, 1.5), (0.015, 3, 1.0))
    value_noise: float = 0.012
    slack: float = 0.2
    landmark_noise: float = 8.0
    iris_noise: float = 3.0
    facing: float = 0.25
    hair_facing: float = 0.5
    share: float = 0.5
    late_steps: int = 4

    def steps(self, late: int) -> int:
        """At most so many, with ``late`` bends."""
        return sum(steps for _, steps, _ in self.levels) + (self.late_steps if late else 0)


@dataclass
class Alignment:
    """The photometric residuals of a clip at one scale.

    pictures (F, 2): timestep and camera of each frame of the capture.  After ``look``: values, trust (F, N), normals (F, N, 3).
    """

    head: HeadModel
    points: SurfacePoints
    problem: ClipProblem
    scaled: ScaledImages
    pictures: IntArray
    sizes: list[tuple[int, int]]
    share: float
    outlier: float
    settings: PhotometricSettings
    appearance: Appearance | None = None
    vertices: Float32Array = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))
    joints: FloatArray = field(default_factory=lambda: np.zeros((0, 0, 4, 4)))
    values: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    trust: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    slopes: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))  # (F, N) squared
    shade: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    model: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    weights: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    normals: Float32Array = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))
    order: list[IntArray] = field(default_factory=list)  # pictures of each timestep

    def __post_init__(self) -> None:
        steps = len(self.problem.state.frames)
        self.order = [np.flatnonzero(self.pictures[:, 0] == step) for step in range(steps)]

    def posed(self, state: ClipState) -> tuple[Float32Array, FloatArray]:
        with torch.no_grad():
            pose = self.head.pose(self.problem.params(state))
        return pose.vertices.numpy(), pose.joints.double().numpy()

    def each_timestep(self, function: Any) -> None:
        """``function(timestep)`` for all, over the threads.  Each multiplies its own matrices: BLAS' threads would wait for each other's."""

        def part(number: int, parts: int) -> None:
            for step in range(number, len(self.order), parts):
                function(step)

        with threadpool_limits(1, "blas"):
            run_parts(thread_count(), part)

    def look(self, state: ClipState) -> None:
        """Pose the head, see which points each picture shows and what it shows there, and fit the appearance to it."""
        pictures, count = len(self.pictures), len(self.points)
        self.vertices, self.joints = self.posed(state)
        if self.values.shape != (pictures, count):
            self.values, self.trust, self.slopes = (np.zeros((pictures, count), np.float32) for _ in range(3))
            self.normals = np.zeros((pictures, count, 3), np.float32)
        settings = self.settings
        lenses = self.problem.lenses(state)
        mesh = self.head.faces.numpy()
        least = np.where(self.points.lift > 0, settings.hair_facing, settings.facing)
        factor = self.scaled.factor  # a blurred picture needs no finer outline of what hides what
        smaller = np.diag([1.0 / factor, 1.0 / factor, 1.0])

        def one(step: int) -> None:
            for picture in self.order[step]:
                camera = self.pictures[picture, 1]
                width, height = self.sizes[picture]
                where, normal = self.points.positions(self.vertices[step])
                at, depth, _ = seen_from(where, self.problem.views[camera], lenses[camera])
                drawn = rasterize_mesh(
                    self.vertices[step], mesh, self.problem.views[camera], smaller @ lenses[camera],
                    -(-width // factor), -(-height // factor),
                )  # fmt: skip
                view = self.problem.views[camera]
                eye = -view[:3, :3].T @ view[:3, 3]
                sight = eye.astype(np.float32) - where
                facing = (normal * sight).sum(1) / np.maximum(np.linalg.norm(sight, axis=1), 1e-9)
                trust = np.clip((facing - least) / 0.25, 0, 1)
                trust *= shown(at / factor, depth, facing, drawn.depth, float(lenses[camera][0, 0]) / factor)
                value, slope = sampled(self.scaled.images[picture], at, self.scaled.factor)
                self.slopes[picture] = (slope**2).sum(1)
                trust[~np.isfinite(value)] = 0.0
                value[~np.isfinite(value)] = 0.0
                self.values[picture], self.trust[picture], self.normals[picture] = value, trust, normal

        self.each_timestep(one)
        self.trust[self.problem.seen[self.pictures[:, 0], self.pictures[:, 1]] == 0] = 0.0
        self.trust[:, (self.points.lift > 0) & ((self.trust > 0).sum(0) < HAIR_SEEN)] = 0.0
        self.appearance = fit_appearance(self.values, self.trust, self.normals, self.pictures[:, 1], self.appearance)
        self.shade = np.stack([self._shade(f) for f in range(pictures)])
        self.model = self.shade * self.appearance.albedo
        self._drop_strangers()
        variance = settings.value_noise**2 + self.appearance.noise**2 + self.slopes * settings.slack**2
        self.weights = np.asarray((self.trust > 0) / variance, np.float32)

    def _drop_strangers(self) -> None:
        """Pictures that show something else than this face, a hand before it or nobody, say nothing."""
        gaps = [np.abs(m - v)[t > 0] for m, v, t in zip(self.model, self.values, self.trust, strict=True)]
        typical = np.array([np.median(gap) if len(gap) else 0.0 for gap in gaps])
        self.trust[typical > max(STRANGE * float(np.median(typical)), STRANGE_VALUE)] = 0.0

    def _shade(self, picture: int) -> Float32Array:
        assert self.appearance is not None
        return self.appearance.shade(harmonics_of(self.normals[picture]), picture, int(self.pictures[picture, 1]))

    def cost(self, state: ClipState) -> float:
        """Of the pictures, with visibility, lighting and weights as they were seen last, and the albedo that suits ``state``."""
        assert self.appearance is not None
        vertices, _ = self.posed(state)
        lenses = self.problem.lenses(state)
        values = np.zeros_like(self.values)

        def one(step: int) -> None:
            where, _ = self.points.positions(vertices[step])
            for picture in self.order[step]:
                camera = self.pictures[picture, 1]
                at, _, _ = seen_from(where, self.problem.views[camera], lenses[camera])
                value, _ = sampled(self.scaled.images[picture], at, self.scaled.factor)
                values[picture] = np.where(np.isfinite(value), value, self.model[picture] + 0.2)

        self.each_timestep(one)
        weight = self.trust * self.weights / (1.0 + (self.model - self.values) ** 2 * self.weights / self.outlier**2)
        albedo = (weight * self.shade * values).sum(0) / np.maximum((weight * self.shade**2).sum(0), 1e-9)
        square = (values - self.shade * albedo) ** 2 * self.weights
        limit = self.outlier**2
        return 0.5 * self.share * limit * float((self.trust * np.log1p(square / limit)).sum())

    def add(self, system: ArrowSystem, columns: IntArray) -> None:
        """Add the normal equations of the pictures."""
        modes = self.points.num_shape
        shared = len(system.corner) > 0
        width = POSE + self.points.num_expr
        wanted = np.r_[columns, np.arange(width, self.points.width)] if shared else columns
        means = self._shared_means() if shared else None
        corners = np.zeros((len(self.order), len(system.corner), len(system.corner)), np.float32)
        sides = np.zeros((len(self.order), len(system.corner)))

        def one(step: int) -> None:
            for picture in self.order[step]:
                seen, rows, residual, weight = self._rows(int(picture))
                if not len(seen):
                    continue
                rows = rows.take(wanted, axis=1)
                if means is not None:
                    rows[:, len(columns) :] -= means[seen]
                heavy = rows * weight[:, None]
                normal, side = rows.T @ heavy, heavy.T @ residual
                own = len(columns)
                system.blocks[step] += normal[:own, :own]
                system.frames_side[step] += side[:own]
                if shared:
                    place = np.r_[np.arange(modes), modes + self.pictures[picture, 1]]
                    system.border[step][:, place] += normal[:own, own:]
                    corners[step][np.ix_(place, place)] += normal[own:, own:]
                    sides[step][place] += side[own:]

        self.each_timestep(one)
        if shared:
            system.corner += corners.sum(0, dtype=np.float64)
            system.shared_side += sides.sum(0)

    def _rows(self, picture: int) -> tuple[IntArray, Float32Array, Float32Array, Float32Array]:
        """The points that one picture shows, their rows, residuals and weights."""
        step, camera = self.pictures[picture]
        state = self.problem.state
        assert self.appearance is not None
        seen = np.flatnonzero(self.trust[picture] > 0)
        lens, view = self.problem.lenses(state)[camera], self.problem.views[camera]
        where, _ = self.points.positions(self.vertices[step])
        where = where[seen]
        at, _, slope_of = seen_from(where, view, lens)
        value, slope = sampled(self.scaled.images[picture], at, self.scaled.factor)
        by_world = np.einsum("nc,nca->na", slope, slope_of).astype(np.float32)
        by_focal = (slope * (at - lens[:2, 2])).sum(1) * float(self.problem.focal_free)
        residual = self.model[picture][seen] - value
        precise = self.weights[picture][seen]
        weight = self.trust[picture][seen] * precise / (1.0 + residual**2 * precise / self.outlier**2)
        rows = self.points.rows(
            state.frames[step], self.joints[step], seen, where, by_world, by_focal.astype(np.float32)
        )
        return seen, rows, residual.astype(np.float32), (self.share * weight).astype(np.float32)

    def _shared_means(self) -> Float32Array:
        """(N, S + 1): mean of each point's shared columns over pictures spread through the clip."""
        width = POSE + self.points.num_expr
        some = np.unique(np.linspace(0, len(self.pictures) - 1, min(MEANS_FROM, len(self.pictures))).astype(int))
        total = np.zeros((len(self.points), self.points.num_shape + 1), np.float32)
        weights = np.zeros(len(self.points), np.float32)
        for picture in some:
            seen, rows, _, weight = self._rows(int(picture))
            total[seen] += rows[:, width:] * weight[:, None]
            weights[seen] += weight
        return np.asarray(total / np.maximum(weights, 1e-9)[:, None], np.float32)


def seen_from(where: Float32Array, view: FloatArray, K: FloatArray) -> tuple[Float32Array, Float32Array, Float32Array]:
    """World (N, 3) → pixels (N, 2), depth (N,) metres and the pixels' derivative (N, 2, 3) by the world."""
    turn = view[:3, :3].astype(np.float32)
    local = where @ turn.T + view[:3, 3].astype(np.float32)
    depth = np.maximum(local[:, 2], 1e-3)
    focal = np.array([K[0, 0], K[1, 1]], np.float32)
    slope = local[:, :2] / depth[:, None]
    by_world = (turn[None, :2] - slope[:, :, None] * turn[None, 2:]) * (focal[:, None] / depth[:, None, None])
    return slope * focal + K[:2, 2].astype(np.float32), depth, by_world


def shown(at: FloatArray, depth: FloatArray, facing: FloatArray, drawn: Float32Array, focal: float) -> FloatArray:
    """(N,) 1 where nothing of the mesh stands before a point, else 0.  Lids are a millimetre before the eyeball."""
    height, width = drawn.shape
    column, row = np.floor(at[:, 0]).astype(int), np.floor(at[:, 1]).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    before = drawn[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    pixel = depth / focal
    steep = np.sqrt(np.maximum(1.0 / np.maximum(facing, 0.2) ** 2 - 1.0, 0.0))
    return inside * ((before == 0) | (depth <= before + 5e-4 + 0.7 * pixel * steep))


def bounded_step(
    problem: ClipProblem, system: ArrowSystem, columns: IntArray, damping: float
) -> tuple[ClipState, bool]:
    """The damped step of ``system`` that keeps expression within its limits.

    A full step would carry a fifth of the weights far outside; cutting it short to stop that would stop the head's turn with
    it.  Those that leave are held at their limit, and the rest solved again (an active set, grown a few times).
    """
    low, high = problem.priors.low, problem.priors.high
    expression = np.flatnonzero(columns >= POSE)
    modes = columns[expression] - POSE
    own = replace(system, blocks=system.blocks.copy(), frames_side=system.frames_side.copy())
    held = np.zeros((len(problem.state.frames), len(expression)), bool)
    now = problem.state.frames[:, columns[expression]]
    for _ in range(ACTIVE_SETS):
        update, solvable = problem.solved(own, columns, damping)
        if not solvable:
            return update, False
        wanted = update.frames[:, columns[expression]]
        bound = np.clip(wanted, low[modes], high[modes])
        leaving = (np.abs(wanted - bound) > 0.01) & ~held
        if not leaving.any():
            break
        held |= leaving
        steps, which = np.nonzero(leaving)
        place = expression[which]
        own.blocks[steps, place, place] += HOLD
        own.frames_side[steps, place] += HOLD * (bound - now)[steps, which]
    frames = update.frames.copy()
    frames[:, POSE:] = np.clip(frames[:, POSE:], low, high)
    return replace(update, frames=frames), True


def refine(
    capture: Capture, head: HeadModel, problem: ClipProblem, points: SurfacePoints, eyes_apart: float, run: Run,
    settings: PhotometricSettings, watch: Any = None, late: int = 0,
) -> int:  # fmt: skip
    """Align the clip, changing ``problem.state``; returns the number of steps.  eyes_apart: pixels.

    The last ``late`` expressions stay as they are until all else is aligned, and the skull and what is shared as they are from then on: a face
    that slides looks like a head that turns.
    """
    irises = np.array([part == "irises" for part in part_of(problem.indices)])
    problem.noise = problem.noise * np.where(irises, settings.iris_noise, settings.landmark_noise)
    # the share of a landmark's bias that goes into its offset stays what it was
    problem.settings = replace(problem.settings, offset_noise=problem.settings.offset_noise * settings.landmark_noise)
    pictures = np.array([(frame.timestep, frame.camera) for frame in capture.frames])
    sizes = [(capture.cameras[f.camera].width, capture.cameras[f.camera].height) for f in capture.frames]
    free = np.flatnonzero(problem.priors.free)
    courses = [(level, free[free < len(problem.priors.free) - late], True) for level in settings.levels]
    if late:
        blur, _, outlier = settings.levels[-1]
        courses.append(((blur, settings.late_steps, outlier), free[free >= SKULL], False))
    total, done = settings.steps(late), 0
    appearance, scaled, sharpness = None, None, 0.0
    start = problem.state.frames.copy()
    start[:, POSE:] = np.clip(start[:, POSE:], problem.priors.low, problem.priors.high)
    problem.state = replace(problem.state, frames=start)
    for level, ((blur, steps, outlier), columns, shared) in enumerate(courses):
        pixels = max(blur * eyes_apart, 0.7)
        if scaled is None or pixels != sharpness:
            scaled, sharpness = scaled_images(capture, pixels), pixels
        # a face is some five squares of the distance between the eyes
        told = 5.0 * eyes_apart**2 / (4 * np.pi * pixels**2)
        own = points.thinned(int(np.clip(settings.crowding * told, 0.25 * settings.points, settings.points)))
        share = settings.share * min(1.0, told / own.on_skin)
        alignment = Alignment(head, own, problem, scaled, pictures, sizes, share, outlier, settings, appearance)
        damping = FIRST_DAMPING
        for _ in range(steps):
            if run.stopping:
                return done
            alignment.look(problem.state)
            problem.state = problem.with_offsets()
            cost = alignment.cost(problem.state) + problem.cost(problem.state)
            system = problem.equations(columns, shared)
            alignment.add(system, columns)
            for _ in range(4):
                update, solvable = bounded_step(problem, system, columns, damping)
                trial = alignment.cost(update) + problem.cost(update) if solvable else np.inf
                if trial <= cost:
                    problem.state, damping = update, max(damping / 5, 1e-6)
                    break
                damping *= 20
            done += 1
            run.emit(Progress("photometric", done, total, {"cost": min(trial, cost)}))
            if watch is not None:
                watch(level, problem, alignment, cost, trial)
            if trial > cost or cost - trial < SETTLED * cost:
                break
        appearance = alignment.appearance
    return done
