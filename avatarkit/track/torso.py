"""How the torso turns beside the head: a tracker that looks at faces cannot tell, and lets the neck do everything.

Shoulders hang on the root joint.  Where the pictures have mattes, what the person has below the chin is aligned from picture to
picture, as ``photometric_fit`` does it with the face: by turns, what each point looks like over the clip, then one Gauss-Newton step of
the root's rotation in every timestep.  The skull stays exactly where it is: neck and translation make up for it, so the torso turns about
the neck's joint.

Points lie below the chin of one picture of each camera, as far away as the nearest of the model's own torso there, and beside the
matte, where the wall shows: a plain shirt tells by its outline alone.  Hair that hangs over the shoulders and arms that move by themselves
are left to the robust loss.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from avatarkit.capture.cache import in_order
from avatarkit.capture.capture import Capture
from avatarkit.contracts import HeadModel
from avatarkit.events import Finished, Progress, Run, Started
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.render.compiled import thread_count
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.track.appearance import robust_albedo
from avatarkit.track.arrow_system import ArrowSystem, smoothness_side
from avatarkit.track.fit_priors import smoothness
from avatarkit.track.image_pyramid import CHANNELS, ScaledImages, sampled, scaled_images
from avatarkit.track.landmark_tracking import spaced_times
from avatarkit.track.photometric_fit import seen_from
from avatarkit.track.sequence import Sequence
from avatarkit.types import BoolArray, ByteArray, Float32Array, FloatArray, IntArray

LEVELS = ((0.10, 8), (0.05, 6), (0.025, 4), (0.0125, 4))  # blur as a share of the head's width, steps
POINTS = 1500  # at most, of one camera
CAMERAS = 4  # at most, of one timestep
COVER = 256  # pixels of the longer side at which the head covers the torso
BESIDE = 0.06  # of the picture's width, how far beside the matte the wall is looked at
AROUND = 0.02  # of the picture's width around the drawn skull, which is no torso
NOISE, OUTLIER = 0.02, 3.0  # of values in [0, 1]; standard deviations
SPREAD, SPEED = 0.2, 0.01  # radians; and from one thirtieth of a second to the next
FEWEST = 60  # points that a picture has to show
LEAST = 0.01  # of a camera's first picture that has to be below the chin
SETTLED = 1e-4


def with_torso(sequence: Sequence, head: HeadModel, run: Run) -> Sequence:
    """``sequence`` with the root's rotation found from the shoulders; itself where there are no mattes or too little is seen of a torso.

    No joint but the root moves; skin of the skull only by what the model's pose correctives make of the neck's rotation, fractions of a millimetre.
    """
    hangs = list(head.joint_names[:2]) == ["root", "neck"] and head.parents[1] == 0 and hasattr(head, "rig")
    if not sequence.capture.masked or not hangs:
        return sequence
    started = clock.perf_counter()
    with torch.no_grad():
        pose = head.pose(sequence.params)
    torso = _Torso.of(sequence, head, pose)
    if torso is None:
        return sequence
    run.emit(Started("torso", sum(steps for _, steps in LEVELS), "step"))
    turns = torso.aligned(run)
    moved = torso.turned(sequence.params, turns)
    change = np.degrees(
        np.linalg.norm(Rotation.from_matrix(turns @ torso.roots.transpose(0, 2, 1)).as_rotvec(), axis=1)
    )
    run.emit(Finished("torso", clock.perf_counter() - started, {"mean_degrees": float(change.mean())}))
    return replace(sequence, params=moved)


@dataclass
class _Torso:
    """What is aligned.

    roots (T, 3, 3) rotations and necks (T, 3) places of the neck's joint in the world, where tracking has them; places (N, 3): points about
    that joint, in the root's axes; cameras (N,): the one camera that each point is looked at by; pictures (F, 2) timestep and camera;
    covers: where the drawn skull hides what is behind it, of each picture, ``shrink`` times smaller; top: row of
    pixels above which nothing is looked at.
    """

    capture: Capture
    views: FloatArray
    lenses: FloatArray
    joints: FloatArray
    roots: FloatArray
    necks: FloatArray
    places: Float32Array
    cameras: IntArray
    pictures: IntArray
    covers: list[BoolArray]
    shrink: float
    top: int
    width: float  # of the skull, pixels
    first: FloatArray
    second: FloatArray

    @staticmethod
    def of(sequence: Sequence, head: HeadModel, pose: HeadPose) -> _Torso | None:
        capture = _several(sequence.capture)
        joints = pose.joints.double().numpy()
        roots, necks = joints[:, 0, :3, :3], joints[:, 1, :3, 3]
        skull = ~_on_root(head)
        views, lenses = sequence.viewmats.double().numpy(), sequence.Ks.double().numpy()
        largest = max(max(camera.width, camera.height) for camera in capture.cameras)
        shrink = max(1.0, largest / COVER)
        faces = head.faces.numpy()

        def cover(index: int) -> BoolArray:
            frame = capture.frames[index]
            camera = capture.cameras[frame.camera]
            drawn = rasterize_mesh(
                pose.vertices[frame.timestep].numpy(), faces, views[frame.camera],
                np.diag([1 / shrink, 1 / shrink, 1.0]) @ lenses[frame.camera],
                int(np.ceil(camera.width / shrink)), int(np.ceil(camera.height / shrink)),
            ).triangle  # fmt: skip
            around = max(1, round(AROUND * drawn.shape[1]))
            return np.asarray(ndimage.binary_dilation((drawn >= 0) & skull[np.maximum(drawn, 0)], iterations=around))

        covers = list(in_order(cover, range(len(capture)), threads=thread_count()))
        middle = Rotation.from_matrix(joints[:, 1, :3, :3])
        apart = (middle.mean().inv() * middle).magnitude()
        places, cameras, widths = [], [], []
        for camera in range(len(capture.cameras)):
            own = [i for i, frame in enumerate(capture.frames) if frame.camera == camera]
            if not own:
                continue
            chosen = min(own, key=lambda i: apart[capture.frames[i].timestep])
            step = capture.frames[chosen].timestep
            found = _points(
                capture, chosen, covers[chosen], shrink, pose.vertices[step].numpy(), faces, ~skull, views[camera],
                lenses[camera], necks[step],
            )  # fmt: skip
            places.append((found - necks[step]) @ roots[step])
            cameras.append(np.full(len(found), camera))
            columns = np.flatnonzero(covers[chosen].any(0))
            widths.append(shrink * (np.ptp(columns) + 1.0) if len(columns) else 0.0)
        if not places or max(map(len, places)) < FEWEST or min(widths) <= 0:
            return None
        times = np.zeros(capture.num_timesteps)
        for frame in capture.frames:
            times[frame.timestep] = frame.time
        first, second = smoothness(spaced_times(times, capture), np.full(3, SPEED))
        pictures = np.array([(frame.timestep, frame.camera) for frame in capture.frames])
        return _Torso(
            capture, views, lenses, joints, roots, necks, np.concatenate(places).astype(np.float32),
            np.concatenate(cameras), pictures, covers, shrink, _top(covers, shrink), float(np.median(widths)), first, second,
        )  # fmt: skip

    def aligned(self, run: Run) -> FloatArray:
        """(T, 3, 3) rotations of the root."""
        turns, channels = self.roots.copy(), self._channels()
        done, total = 0, sum(steps for _, steps in LEVELS)
        for blur, steps in LEVELS:
            images = [
                scaled_images(replace(self.capture, image=partial(_rgb, channel)), max(0.7, blur * self.width))
                for channel in channels
            ]
            damping = 1e-6
            for _ in range(steps):
                if run.stopping:
                    return self.roots
                system, cost, model = self._system(images, turns)
                better = False
                for _ in range(4):
                    update, _ = system.solve(self.first, self.second, damping)
                    trial = Rotation.from_rotvec(update).as_matrix() @ turns
                    now = self._cost(images, trial, model)
                    better = now <= cost
                    if better:
                        turns, damping = trial, max(damping / 5, 1e-6)
                        break
                    damping = max(20 * damping, 1e-4)
                done += 1
                run.emit(Progress("torso", done, total, {"cost": min(now, cost)}))
                if not better or cost - now < SETTLED * cost:
                    break
        return turns

    def turned(self, params: HeadParams, turns: FloatArray) -> HeadParams:
        """``params`` with the root at ``turns`` (T, 3, 3) and the skull where it was."""
        neck = Rotation.from_rotvec(params.neck_pose.double().numpy()).as_matrix()
        skull = self.roots @ neck
        arm = np.einsum("tba,tb->ta", self.roots, self.necks - self.joints[:, 0, :3, 3])
        shift = self.necks - np.einsum("tab,tb->ta", turns, arm) - self.joints[:, 0, :3, 3]
        made = {
            "rotation": Rotation.from_matrix(turns).as_rotvec(),
            "neck_pose": Rotation.from_matrix(turns.transpose(0, 2, 1) @ skull).as_rotvec(),
            "translation": params.translation.double().numpy() + shift,
        }
        return replace(params, **{name: torch.from_numpy(value).float() for name, value in made.items()})

    def _channels(self) -> tuple[list[ByteArray], list[ByteArray]]:
        """The person over black, and the matte, of all pictures: grey, from row ``top`` on."""

        def of(index: int) -> tuple[ByteArray, ByteArray]:
            mask = self.capture.mask(index)
            assert mask is not None
            person = self.capture.composited(index, np.zeros(3))[self.top :] @ CHANNELS
            return (person * 255.0 + 0.5).astype(np.uint8), mask[self.top :]

        both = list(in_order(of, range(len(self.capture)), threads=thread_count()))
        return [person for person, _ in both], [matte for _, matte in both]

    def _looked(self, images: list[ScaledImages], turns: FloatArray, sloped: bool = True) -> tuple[Float32Array, ...]:
        """(F, N, 2) values, (F, N) trust, and if ``sloped`` (F, N, 2, 3) slopes by a turn about the neck's joint, of all pictures."""
        pictures, count = len(self.pictures), len(self.places)
        values, trust = np.zeros((pictures, count, 2), np.float32), np.zeros((pictures, count), np.float32)
        slopes = np.zeros((pictures, count, 2, 3) if sloped else (0,), np.float32)

        def one(index: int) -> None:
            step, camera = self.pictures[index]
            own = np.flatnonzero(self.cameras == camera)
            arm = self.places[own] @ turns[step].T.astype(np.float32)
            where = arm + self.necks[step].astype(np.float32)
            at, _, by_world = seen_from(where, self.views[camera], self.lenses[camera])
            cover = self.covers[index]
            column, row = (np.floor(at[:, i] / self.shrink).astype(int) for i in (0, 1))
            inside = (column >= 0) & (row >= 0) & (column < cover.shape[1]) & (row < cover.shape[0])
            free = inside & ~cover[np.clip(row, 0, cover.shape[0] - 1), np.clip(column, 0, cover.shape[1] - 1)]
            for channel, scaled in enumerate(images):
                value, slope = sampled(scaled.images[index], at - [0, self.top], scaled.factor)
                free &= np.isfinite(value)
                values[index, own, channel] = np.where(np.isfinite(value), value, 0.0)
                if sloped:  # (turn × arm)·slope = turn·(arm × slope)
                    slopes[index, own, channel] = np.cross(arm, np.einsum("nc,nca->na", slope, by_world))
            trust[index, own] = free if free.sum() >= FEWEST else 0.0

        list(in_order(one, range(pictures), threads=thread_count()))
        return values, trust, slopes

    def _system(
        self, images: list[ScaledImages], turns: FloatArray
    ) -> tuple[ArrowSystem, float, tuple[Float32Array, Float32Array]]:
        values, trust, slopes = self._looked(images, turns)
        seen = [robust_albedo(values[..., c], trust, np.ones_like(trust)) for c in (0, 1)]
        model = np.stack([albedo for albedo, _, _ in seen], 1)
        spread = [(robust * residual**2).sum(0) / np.maximum(robust.sum(0), 1e-6) for _, residual, robust in seen]
        precise = (1.0 / (NOISE**2 + np.stack(spread, 1))).astype(np.float32)
        residual = model - values
        weight = trust[..., None] * precise / (1.0 + residual**2 * precise / OUTLIER**2)
        weight *= self._share(images)
        steps = len(turns)
        blocks, side = np.zeros((steps, 3, 3)), np.zeros((steps, 3))
        np.add.at(blocks, self.pictures[:, 0], np.einsum("fnca,fnc,fncb->fab", slopes, weight, slopes, optimize=True))
        np.add.at(side, self.pictures[:, 0], np.einsum("fnca,fnc->fa", slopes, weight * residual))
        away = self._away(turns)
        blocks += np.eye(3) / SPREAD**2
        side -= away / SPREAD**2
        smooth, _ = smoothness_side(away, self.first, self.second)
        side += smooth
        system = ArrowSystem(blocks, np.zeros((steps, 3, 0)), np.zeros((0, 0)), side, np.zeros(0))
        return system, self._value(values, trust, turns, (model, precise), images), (model, precise)

    def _cost(self, images: list[ScaledImages], turns: FloatArray, model: tuple[Float32Array, Float32Array]) -> float:
        values, trust, _ = self._looked(images, turns, sloped=False)
        return self._value(values, trust, turns, model, images)

    def _value(
        self, values: Float32Array, trust: Float32Array, turns: FloatArray, model: tuple[Float32Array, Float32Array],
        images: list[ScaledImages],
    ) -> float:  # fmt: skip
        """Of the mean point that shows, so that turning points away gains nothing."""
        looks, precise = model
        square = (looks - values) ** 2 * precise / OUTLIER**2
        each = (trust[..., None] * np.log1p(square)).sum((1, 2)) / np.maximum(trust.sum(1), 1.0)
        data = 0.5 * OUTLIER**2 * self._share(images) * float((each * self._counts).sum())
        away = self._away(turns)
        _, rough = smoothness_side(away, self.first, self.second)
        return data + 0.5 * float((away**2).sum()) / SPREAD**2 + rough

    @property
    def _counts(self) -> Float32Array:
        return np.bincount(self.cameras, minlength=len(self.views))[self.pictures[:, 1]].astype(np.float32)

    def _share(self, images: list[ScaledImages]) -> float:
        """Neighbouring points of a blurred picture are alike."""
        return 0.1 if images[0].factor > 1 else 0.25

    def _away(self, turns: FloatArray) -> FloatArray:
        """(T, 3) from where tracking has the root to ``turns``, world axes."""
        return np.asarray(Rotation.from_matrix(turns @ self.roots.transpose(0, 2, 1)).as_rotvec())


def _several(capture: Capture) -> Capture:
    """``capture`` with at most CAMERAS pictures of each timestep, evenly spread."""
    own: dict[int, list[int]] = {}
    for index, frame in enumerate(capture.frames):
        own.setdefault(frame.timestep, []).append(index)
    kept = [
        found[i]
        for found in own.values()
        for i in np.unique(np.linspace(0, len(found) - 1, min(CAMERAS, len(found))).round().astype(int))
    ]
    if len(kept) == len(capture.frames):
        return capture
    frames = tuple(capture.frames[i] for i in kept)
    return replace(capture, frames=frames, image=lambda i: capture.image(kept[i]), mask=lambda i: capture.mask(kept[i]))


def _rgb(pictures: list[ByteArray], index: int) -> ByteArray:
    return np.broadcast_to(pictures[index][..., None], (*pictures[index].shape, 3))


def _top(covers: list[BoolArray], shrink: float) -> int:
    """The lowest row of pixels that is above all chins by a fifth of the head."""
    rows = [np.flatnonzero(cover.any(1)) for cover in covers]
    tops = [shrink * (found[-1] - 0.2 * np.ptp(found)) for found in rows if len(found)]
    return max(0, int(min(tops))) if tops else 0


def _on_root(head: HeadModel) -> BoolArray:
    """(F,) triangles that turn with the root more than with all else."""
    share = np.asarray(head.rig.weights[0])[head.faces.numpy()]  # type: ignore[attr-defined]
    return np.asarray(share.mean(1) > 0.5)


def _points(
    capture: Capture, index: int, cover: BoolArray, shrink: float, vertices: Float32Array, faces: IntArray,
    torso: BoolArray, view: FloatArray, lens: FloatArray, neck: FloatArray,
) -> FloatArray:  # fmt: skip
    """(N, 3) world places of pixels of one picture that are below the chin, on the person or a little beside, and not behind the skull."""
    mask = capture.mask(index)
    assert mask is not None
    height, width = mask.shape
    below = np.zeros((height, width), bool)
    rows = np.flatnonzero(cover.any(1))
    chin = int(shrink * rows[-1]) if len(rows) else height
    below[chin:] = True
    near = ndimage.binary_dilation(mask > 127, iterations=max(1, round(BESIDE * width)))
    row, column = np.nonzero(below & near)
    if len(row) < LEAST * height * width:
        return np.zeros((0, 3))
    if len(row) > POINTS:
        spacing = int(np.ceil((len(row) / POINTS) ** 0.5))
        kept = (row % spacing == spacing // 2) & (column % spacing == spacing // 2)
        row, column = row[kept], column[kept]
    drawn = rasterize_mesh(vertices, faces, view, lens, width, height)
    own = (drawn.triangle >= 0) & torso[np.maximum(drawn.triangle, 0)]
    far = float(view[2, :3] @ neck + view[2, 3])
    depth = np.full((height, width), far, np.float32)
    if own.any():
        nearest = ndimage.distance_transform_edt(~own, return_distances=False, return_indices=True)
        depth = drawn.depth[tuple(nearest)]
    z = depth[row, column].astype(np.float64)
    pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], 1)
    local = pixels @ np.linalg.inv(lens).T * z[:, None]
    return np.asarray((local - view[:3, 3]) @ view[:3, :3])
