"""What drives an avatar: head parameters from another sequence, another avatar, an expression track or a video.

Whatever the source, the driven head keeps its own identity and its own place before the camera: global motion is taken
relative to the source's mean pose.  Expressions go over by ARKit's names or a least-squares map (``head.arkit``); what cannot be
transferred is said in a notice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.capture.dataset import is_dataset
from avatarkit.capture.npz import read_npz
from avatarkit.capture.video import MAX_FRAMES, VIDEO_SUFFIXES
from avatarkit.contracts import HeadModel
from avatarkit.errors import FileFormatError, InputError, nearest
from avatarkit.events import Run
from avatarkit.head.arkit import fit_named_expressions, retarget_matrix
from avatarkit.head.parameters import PER_TIMESTEP, HeadParams
from avatarkit.head.skinning import rotation_matrices
from avatarkit.paths import explained
from avatarkit.track.landmark_rig import rotation_vectors
from avatarkit.track.sequence_files import load_sequence, tracked_head
from avatarkit.track.soft_modes import moved, units_of
from avatarkit.types import Float32Array, FloatArray, PathArg

if TYPE_CHECKING:
    from avatarkit.gaussians.avatar import Avatar

NECK_LIMIT = 0.6  # radians: how far a neck joint turns a head before the shoulders have to follow
NOTICEABLE = 0.05  # a weight that stays below this in a track is not missed
TRACKING_FOLDER = "tracking"


@dataclass(frozen=True)
class ExpressionTrack:
    """Named weights over time.  names (K,); weights (T, K) in [0, 1]; head_rotvec (T, 3) radians, x right, y up, z to the viewer
    when the head looks at them; time (T,) seconds, rising."""

    names: tuple[str, ...]
    weights: Float32Array
    head_rotvec: Float32Array
    time: FloatArray


@dataclass(frozen=True)
class Motion:
    """What drives: params on the driven head, with the time of each timestep, seconds (T,), or None where it has no clock.

    driver: the head model and parameters that they were transferred from; None for named weights, which have no head.
    """

    params: HeadParams
    time: FloatArray | None
    driver: tuple[HeadModel, HeadParams] | None = None


def load_motion(
    source: PathArg,
    head: HeadModel,
    run: Run | None = None,
    *,
    shape: Tensor | None = None,
    fps: float | None = None,
    like: HeadParams | None = None,
) -> HeadParams:
    """Head parameters of ``head`` that follow ``source``.

    source: an .avatar, a data set or tracked folder (or a run's folder that holds one), an expression track (.npz with
    ``weights``, ``names`` and optional ``time``, ``head_rotvec``), or a video, which is tracked.  shape (S,) identity and ``like``
    the driven avatar's own motion, whose mean is where the head stays; fps: resample to this rate.
    Raises InputError or FileFormatError, in one line, for anything else.
    """
    return driven(read_motion(source, head, run or Run()), head, shape=shape, fps=fps, like=like)


def driven(
    motion: Motion,
    head: HeadModel,
    *,
    shape: Tensor | None = None,
    fps: float | None = None,
    like: HeadParams | None = None,
) -> HeadParams:
    """``motion`` where the driven avatar is, at a steady rate; see ``load_motion``."""
    params = placed(motion.params, head, shape, like)
    return params if fps is None or motion.time is None else resampled(params, motion.time, fps)


def read_motion(source: PathArg, head: HeadModel, run: Run, *, max_frames: int = MAX_FRAMES) -> Motion:
    """``source`` of ``load_motion``, transferred to ``head``, at its own times and in its own place; at most ``max_frames`` of a video."""
    path = Path(source)
    with explained(path):
        if not path.exists():
            raise InputError(
                f"{path}: no such file or folder; --motion takes an .avatar, a data set, a track .npz or a video"
            )
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return from_expression_track(read_expression_track(path), head, run)
    if suffix == ".avatar":
        return _from_avatar(path, head, run)
    if path.is_dir():
        return _from_folder(path, head, run)
    if suffix in VIDEO_SUFFIXES:
        return _from_video(path, head, run, max_frames)
    raise InputError(
        f"{path}: unknown kind of motion '{suffix or path.name}'; expected .avatar, a data set's folder, a track .npz or a video"
    )


# --- expression tracks -----------------------------------------------------------------------------------------------------


def read_expression_track(path: PathArg) -> ExpressionTrack:
    """Read an expression track.  Raises FileFormatError naming file and key."""
    file = Path(path)
    arrays: dict[str, Any]
    arrays, _ = read_npz(file)
    for key in ("weights", "names"):
        if key not in arrays:
            raise FileFormatError(
                f"{file}: key '{key}' is missing{nearest(key, arrays)}; an expression track has weights and names"
            )
    weights, names = arrays["weights"], arrays["names"]
    if weights.dtype.kind not in "fiu" or weights.ndim != 2 or not len(weights):
        raise FileFormatError(
            f"{file}: 'weights' has shape {weights.shape} and dtype {weights.dtype}; expected numbers (T, K)"
        )
    if names.ndim != 1 or names.dtype.kind not in "US" or len(names) != weights.shape[1]:
        raise FileFormatError(
            f"{file}: 'names' has shape {names.shape}; expected the names of {weights.shape[1]} weights"
        )
    steps = len(weights)
    time = np.asarray(arrays.get("time", np.arange(steps) / 30.0), np.float64)
    turn = np.asarray(arrays.get("head_rotvec", np.zeros((steps, 3))), np.float32)
    for key, value, expected in (("time", time, (steps,)), ("head_rotvec", turn, (steps, 3))):
        if value.shape != expected:
            raise FileFormatError(f"{file}: '{key}' has shape {value.shape}; expected {expected}")
    for key, value in (("weights", weights), ("time", time), ("head_rotvec", turn)):
        if not np.isfinite(value).all():
            raise FileFormatError(f"{file}: '{key}' has a value that is not finite")
    if (np.diff(time) <= 0).any():
        raise FileFormatError(f"{file}: 'time' does not rise; expected seconds in order")
    text = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
    return ExpressionTrack(text, np.clip(weights, 0.0, 1.0).astype(np.float32), turn, time)


def from_expression_track(track: ExpressionTrack, head: HeadModel, run: Run) -> Motion:
    """``track`` on ``head``: modes by name where it has them, else fitted; the head's turn goes to the neck."""
    mapping = fit_named_expressions(head)
    stray = [name for name in track.names if name not in mapping.names]
    mapping = mapping.reordered(track.names)
    moves = (mapping.expr.abs().sum(0) + mapping.jaw.abs().sum(0) + mapping.eyes.abs().sum(0)).numpy() > 1e-6
    lost = [name for i, name in enumerate(track.names) if not moves[i] and track.weights[:, i].max() > NOTICEABLE]
    if lost:
        unknown = f"; not ARKit names: {', '.join(stray[:6])}" if stray else ""
        run.notice(
            f"head model '{head.name}' cannot show {len(lost)} of the track's {len(track.names)} weights: "
            f"{', '.join(lost[:8])}{', …' if len(lost) > 8 else ''}{unknown}",
            "warning",
        )
    expr, jaw, eyes = mapping(torch.from_numpy(track.weights))
    params = HeadParams.zeros(len(expr), head.num_shape, head.num_expr)
    neck, root = shared_turn(torch.from_numpy(track.head_rotvec - np.median(track.head_rotvec, 0)))
    return Motion(replace(params, expr=expr, jaw_pose=jaw, eyes_pose=eyes, neck_pose=neck, rotation=root), track.time)


def shared_turn(turn: Tensor) -> tuple[Tensor, Tensor]:
    """A head's rotation (T, 3) → neck (T, 3), up to ``NECK_LIMIT``, and what is left for the root (T, 3)."""
    angle = turn.norm(dim=1, keepdim=True).clamp_min(1e-8)
    share = NECK_LIMIT * torch.tanh(angle / NECK_LIMIT) / angle
    neck = turn * share
    return neck, rotvecs(rotation_matrices(turn) @ rotation_matrices(neck).mT)


# --- other sequences ---------------------------------------------------------------------------------------------------------


def _from_avatar(path: Path, head: HeadModel, run: Run) -> Motion:
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.gaussians.head_of import head_of

    avatar = load_avatar(path)
    model = head if avatar.head.get("sha256") == head.reference["sha256"] else head_of(avatar.head)
    return Motion(transferred(avatar.motion, model, head, run), own_clock(avatar), (model, avatar.motion))


def _from_folder(path: Path, head: HeadModel, run: Run) -> Motion:
    from avatarkit.gaussians.head_of import head_of

    folder = path if is_dataset(path) else path / TRACKING_FOLDER
    if not is_dataset(folder):
        raise InputError(f"{path}: not a data set (no transforms_train.json in it); --motion needs head parameters")
    reference = tracked_head(folder)
    same = reference is None or reference.get("sha256") == head.reference["sha256"]
    model = head if same or reference is None else head_of(reference)
    sequence = load_sequence(folder, model, run=run)
    times = np.zeros(len(sequence.params))
    for frame in sequence.capture.frames:
        times[frame.timestep] = frame.time
    return Motion(transferred(sequence.params, model, head, run), clock(times), (model, sequence.params))


def _from_video(path: Path, head: HeadModel, run: Run, max_frames: int) -> Motion:
    from avatarkit.capture.reading import read_capture
    from avatarkit.registry import registry

    part = registry().create("tracker", registry().default("tracker"))
    capture = read_capture(path, max_frames=max_frames, run=run, locate=getattr(part, "locate", None))
    sequence = part.track(capture, head, run)
    return Motion(sequence.params, clock(np.array([frame.time for frame in capture.frames])), (head, sequence.params))


def transferred(params: HeadParams, source: HeadModel, head: HeadModel, run: Run) -> HeadParams:
    """``params`` of ``source`` → expression, jaw, eyes and pose of ``head``; identity is left at zero.

    What photometric tracking finds in modes of its own (``track.soft_modes``) goes over; other offsets of vertices do not, and that is said.
    """
    units = units_of(params, source)
    if units is None:
        run.notice(
            "the driver's own offsets of single vertices over time are not transferred: they are of its face", "warning"
        )
    if source.reference["sha256"] == head.reference["sha256"]:
        plain = replace(params, static_offset=None, dynamic_offset=None)
        return plain if units is None else moved(plain, head, units)
    mapping = retarget_matrix(source, head)
    expr, jaw, eyes = mapping(params.expr)
    moves = mapping.expr.abs().sum(0) + mapping.jaw.abs().sum(0) + mapping.eyes.abs().sum(0) > 1e-6
    used = params.expr.abs().amax(0) > NOTICEABLE
    lost = [source.expr_names[i] or f"mode {i}" for i in torch.nonzero(used & ~moves)[:, 0].tolist()]
    if lost:
        run.notice(
            f"head model '{head.name}' cannot show {len(lost)} of the expressions of '{source.name}' in this motion: "
            f"{', '.join(lost[:8])}{', …' if len(lost) > 8 else ''}",
            "warning",
        )
    names = set(head.expr_names)
    if source.expr_names and not names & set(source.expr_names):
        run.notice(
            f"expressions of '{source.name}' are fitted onto those of '{head.name}', which has other modes: expect the gist of them"
        )
    carried = HeadParams(
        torch.zeros(head.num_shape), expr, params.rotation, params.translation, params.neck_pose, jaw + params.jaw_pose,
        eyes + params.eyes_pose,
    )  # fmt: skip
    return carried if units is None else moved(carried, head, units)


# --- placing and resampling ----------------------------------------------------------------------------------------------------


def placed(params: HeadParams, head: HeadModel, shape: Tensor | None, like: HeadParams | None) -> HeadParams:
    """``params`` moved to where ``like`` has the head: global pose relative to each one's mean, identity and static offset of ``like``.

    Without ``like`` the head stays at the origin and faces +z.
    """
    steps = len(params)
    base = like if like is not None else HeadParams.zeros(1, head.num_shape, head.num_expr)
    turns, own = rotation_matrices(params.rotation), mean_rotation(base.rotation)
    middle = mean_rotation(params.rotation)
    rotation = own @ middle.mT @ turns
    shift = (params.translation - params.translation.median(0).values) @ (own @ middle.mT).mT
    neck = mean_rotation(base.neck_pose) @ mean_rotation(params.neck_pose).mT @ rotation_matrices(params.neck_pose)
    return replace(
        params,
        shape=base.shape if shape is None else shape,
        rotation=rotvecs(rotation),
        translation=base.translation.median(0).values.expand(steps, 3) + shift,
        neck_pose=rotvecs(neck),
        static_offset=base.static_offset,
    )


def resampled(params: HeadParams, time: FloatArray, fps: float) -> HeadParams:
    """``params`` at a steady rate: linear between timesteps, which for rotations so close is as good as slerp."""
    if len(params) < 2:
        return params
    wanted = np.arange(time[0], time[-1] + 1e-6, 1.0 / fps)
    right = np.clip(np.searchsorted(time, wanted, side="right"), 1, len(time) - 1)
    left = right - 1
    share = torch.tensor(np.clip((wanted - time[left]) / (time[right] - time[left]), 0.0, 1.0), dtype=torch.float32)[
        :, None
    ]
    after, before = params[torch.from_numpy(right)], params[torch.from_numpy(left)]
    mixed = {name: torch.lerp(getattr(before, name), getattr(after, name), share) for name in PER_TIMESTEP}
    if before.dynamic_offset is not None and after.dynamic_offset is not None:
        mixed["dynamic_offset"] = torch.lerp(before.dynamic_offset, after.dynamic_offset, share[..., None])
    return replace(params, **mixed)


def own_clock(avatar: Avatar) -> FloatArray | None:
    """``clock`` of the frames that an avatar was made from."""
    times = np.zeros(len(avatar.motion))
    for frame in avatar.frames:
        times[frame.timestep] = frame.time
    return clock(times)


def at_own_pace(avatar: Avatar, fps: float) -> HeadParams:
    """An avatar's own motion as a film of ``fps`` shows it; without a clock every timestep is a picture."""
    time = own_clock(avatar)
    return avatar.motion if time is None else resampled(avatar.motion, time, fps)


def clock(times: FloatArray) -> FloatArray | None:
    """Rising times: clips, whose times begin anew, one after the other; None for data sets without times, where a timestep is a frame."""
    steps = np.diff(times)
    rising = steps > 0
    if not rising.any():
        return None
    return np.asarray(times[0] + np.concatenate([[0.0], np.cumsum(np.where(rising, steps, np.median(steps[rising])))]))


def mean_rotation(vectors: Tensor) -> Tensor:
    """(T, 3) axis-angle → the rotation (3, 3) nearest to their mean (chordal, Hartley et al. 2013)."""
    u, _, vt = torch.linalg.svd(rotation_matrices(vectors).double().mean(0))
    flip = torch.diag(torch.tensor([1.0, 1.0, float(torch.linalg.det(u @ vt).sign())], dtype=u.dtype))
    return (u @ flip @ vt).to(vectors)


def rotvecs(matrices: Tensor) -> Tensor:
    """(…, 3, 3) → axis-angle (…, 3), without jumps in time."""
    from avatarkit.track.landmark_fit import continuous

    return torch.tensor(continuous(rotation_vectors(matrices.double().numpy())), dtype=torch.float32)
