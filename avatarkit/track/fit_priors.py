"""What the landmark fit believes before it sees a landmark: noise, priors, limits, and how fast a face moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from avatarkit.contracts import HeadModel, LandmarkEmbedding
from avatarkit.errors import InputError
from avatarkit.track.canonical_face import extended_embedding
from avatarkit.track.landmark_rig import EYES, JAW, NECK, POSE, ROTATION, TRANSLATION, LandmarkRig
from avatarkit.track.observations import LEFT_EYE, RIGHT_EYE, LandmarkObservations, part_of
from avatarkit.types import BoolArray, FloatArray, IntArray

# Noise of a landmark by the part that it lies on, beside that of a nose landmark.  Lids and lips are held closely, so that
# blinks and words follow; a brow slides over skin that the head model does not have.
PART_NOISE = {"eyes": 0.7, "irises": 0.7, "lips": 0.7, "brows": 1.4, "nose": 1.0, "oval": 2.5, "face": 1.5}
# Scores of some modes say more than of others.
SCORE_SPREAD = {"eyeLook": 0.5, "eyeBlink": 0.3, "jawOpen": 0.4, "jaw": 0.2, "cheek": 0.2, "nose": 0.2}
# Lids fall and rise within three thirtieths of a second.
FAST = {"eyeBlink": 3.0}
TIME_STEP = 1.0 / 30.0
LONGEST_GAP = 1.0  # seconds after which a frame says little of the next; also between clips, where time starts again


@dataclass(frozen=True)
class FitSettings:
    """Standard deviations, and how long to work.

    noise: of a landmark, as a share of the distance between the eyes; outlier: where the loss bends, in noises; distance
    and distance_spread: head to camera, metres and ln; score_spread: expression around the detector's score; expr_spread:
    of expression modes without names; root_spread, neck_spread, jaw_spread, eyes_spread (up and down, sideways, about the line of sight): radians; offset_noise: metres, how far
    a landmark may lie from its place in the embedding, 0 to switch that off; independent_frames: how many frames of a clip are worth counting,
    since the errors of neighbours are alike: identity and offsets are held as if only these had been seen; *_speed: change in 1/30 s (radians, metres, weights).
    """

    noise: float = 0.015
    outlier: float = 3.0
    distance: float = 0.8
    distance_spread: float = 0.25
    score_spread: float = 0.3
    expr_spread: float = 1.0
    limit_spread: float = 0.02
    root_spread: float = 0.02
    neck_spread: float = 0.3
    jaw_spread: tuple[float, float, float] = (0.25, 0.05, 0.02)
    eyes_spread: tuple[float, float, float] = (0.3, 0.3, 0.03)
    root_speed: float = 0.008
    neck_speed: float = 0.06
    shift_speed: float = 0.008
    expr_speed: float = 0.3
    joint_speed: float = 0.1
    independent_frames: float = 12.0
    offset_noise: float = 0.002
    iterations: int = 24


@dataclass(frozen=True)
class Priors:
    """mean, tight (T, 18 + E): priors, tight being inverse variances; low, high (E,): limits of expression and how stiff
    they are; first (T − 1, 18 + E), second (T − 2, 18 + E): inverse variances of differences; free (18 + E,) bool."""

    mean: FloatArray
    tight: FloatArray
    low: FloatArray
    high: FloatArray
    stiff: float
    first: FloatArray
    second: FloatArray
    free: BoolArray

    def forces(self, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Second derivative and −first derivative of the priors, each (T, 18 + E)."""
        stiffness = self.tight.copy()
        pull = self.tight * (self.mean - frames)
        over, outside = self._over(frames)
        stiffness[:, POSE:] += self.stiff * outside
        pull[:, POSE:] -= self.stiff * over
        return stiffness, pull

    def value(self, frames: FloatArray) -> float:
        over, _ = self._over(frames)
        return 0.5 * float((self.tight * (frames - self.mean) ** 2).sum() + self.stiff * (over**2).sum())

    def _over(self, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        expr = frames[:, POSE:]
        over = expr - np.clip(expr, self.low, self.high)
        return over, over != 0


def smoothness(times: FloatArray, speed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverse variances (T − 1, P) of first and (T − 2, P) of second differences of P numbers that change by ``speed`` (P,) in TIME_STEP.

    times (T,) seconds; where they do not rise time starts again.
    """
    gap = np.diff(times)
    gap = np.clip(np.where(gap > 0, gap, LONGEST_GAP), 1e-3, LONGEST_GAP) / TIME_STEP
    bend = 0.5 * (gap[1:] + gap[:-1])
    return speed**-2.0 / gap[:, None], 4.0 * speed**-2.0 / bend[:, None] ** 3


def build_priors(head: HeadModel, rig: LandmarkRig, observed: LandmarkObservations, settings: FitSettings) -> Priors:
    """The priors of ``head`` for a clip.

    Named expression modes live in [0, 1] around the detector's scores.  Where the head has a mode ``jawOpen`` its jaw joint
    stays at rest, because both would do the same thing twice.  Eye joints do not: modes ``eyeLook…`` take lids along, but slide an iris by a
    few millimetres and no farther.
    """
    steps, width = len(observed), POSE + rig.num_expr
    mean, spread = np.zeros((steps, width)), np.ones(width)
    spread[ROTATION], spread[TRANSLATION] = settings.root_spread, 1e3
    spread[NECK], spread[JAW], spread[EYES] = settings.neck_spread, settings.jaw_spread, 2 * settings.eyes_spread
    tight = np.tile(spread**-2, (steps, 1))
    named = np.array([bool(name) for name in head.expr_names], bool)
    tight[:, POSE:] = np.where(named, settings.score_spread, settings.expr_spread) ** -2.0
    column = {name: i for i, name in enumerate(observed.score_names)}
    filled = fill_gaps(observed.scores)
    for mode, name in enumerate(head.expr_names):
        if name in column:
            mean[:, POSE + mode] = np.clip(filled[:, column[name]], 0.0, 1.0)
        for start, value in SCORE_SPREAD.items():
            if name.startswith(start):
                tight[:, POSE + mode] = value**-2.0
                break
    tight[~observed.valid.any(1), POSE:] *= 1e-4  # no score was seen: smoothness fills in
    free = np.ones(width, bool)
    if "jawOpen" in head.expr_names:
        free[JAW] = False
    speed = np.ones(width)
    speed[ROTATION], speed[TRANSLATION], speed[NECK] = settings.root_speed, settings.shift_speed, settings.neck_speed
    speed[9:POSE], speed[POSE:] = settings.joint_speed, settings.expr_speed
    for start, faster in FAST.items():
        speed[POSE:][[name.startswith(start) for name in head.expr_names]] *= faster
    first, second = smoothness(observed.times, speed)
    return Priors(
        mean, tight, np.where(named, 0.0, -np.inf), np.where(named, 1.0, np.inf), settings.limit_spread**-2.0,
        first, second, free,
    )  # fmt: skip


def fill_gaps(scores: FloatArray) -> FloatArray:
    """(T, K) with rows of NaN → the rows between interpolated, the ends held; zeros where nothing was ever seen."""
    good = np.isfinite(scores).all(1)
    if not good.any():
        return np.zeros_like(scores, dtype=np.float64)
    every, at = np.arange(len(scores)), np.flatnonzero(good)
    columns = [np.interp(every, at, scores[good, k]) for k in range(scores.shape[1])]
    return np.stack(columns, 1) if columns else np.zeros((len(scores), 0))


def landmark_noise(indices: IntArray, points: FloatArray, valid: BoolArray, settings: FitSettings) -> FloatArray:
    """(L,) pixels, from how large the face is: points (T, C, L, 2), valid (T, C)."""
    eyes = [np.isin(indices, side) for side in (LEFT_EYE, RIGHT_EYE)]
    seen = points[valid]
    if all(side.any() for side in eyes):
        between = np.linalg.norm(seen[:, eyes[0]].mean(1) - seen[:, eyes[1]].mean(1), axis=-1)
        size = float(np.percentile(between, 75))
    else:
        size = 0.4 * float(np.median(np.ptp(seen, axis=1).max(-1)))
    return settings.noise * max(size, 8.0) * np.array([PART_NOISE[part] for part in part_of(indices)])


def require_landmarks(head: HeadModel) -> LandmarkEmbedding:
    """The embedding of ``head``.  Raises InputError when it has none, and says where one comes from."""
    own = head.landmarks
    if own is None or len(own.indices) < 20:
        raise InputError(
            f"head model '{head.name}' has no landmarks, which tracking needs; for FLAME: avatarkit assets add flame-landmarks "
            "mediapipe_landmark_embedding.npz (from the FLAME site), or choose another --head"
        )
    return own


def fit_embedding(head: HeadModel, canonical: FloatArray | None = None) -> LandmarkEmbedding:
    """The landmarks of ``head`` that are fitted: its own embedding, and where it lacks them both irises' centres and, from the
    detector's average face ``canonical`` (478, 3), outline, chin and cheeks (``canonical_face``).

    An iris' centre is the foremost vertex of the eyeball, the vertices that the eye joint moves.
    Raises InputError when the head has no embedding.
    """
    own = require_landmarks(head)
    if canonical is not None:
        own = extended_embedding(head, own, canonical)
    indices, faces, bary = own.indices.tolist(), own.faces.tolist(), own.barycentrics.tolist()
    weights = getattr(getattr(head, "rig", None), "weights", None)
    for joint_name, index in (("l_eye", 473), ("r_eye", 468)):
        if index in indices or weights is None or joint_name not in head.joint_names:
            continue
        ball = torch.nonzero(weights[head.joint_names.index(joint_name)] > 0.5)[:, 0]
        if not len(ball):
            continue
        pupil = int(ball[head.template[ball, 2].argmax()])
        face = int(torch.nonzero((head.faces == pupil).any(1))[0, 0])
        indices.append(index)
        faces.append(face)
        bary.append((head.faces[face] == pupil).float().tolist())
    return LandmarkEmbedding(torch.tensor(indices), torch.tensor(faces), torch.tensor(bary))
