"""A capture of the synthetic subject, in GaussianAvatars/VHAP's folder format, with true labels and depth beside it.

The parameters that it writes are ``bust``'s own.  The subject's displacement is not among them (no ``static_offset``), so
what is fitted to the capture is poorer than what was filmed, as in life.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from avatarkit.cameras import intrinsics, look_at, viewmat_to_opengl
from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.mesh_renderer import Camera, View
from avatarkit.synthetic.motion import natural_motion
from avatarkit.synthetic.subject import Subject, SubjectParams, bust, subject
from avatarkit.types import ByteArray, PathArg

DEPTH_UNIT = 1e-4  # metres in one step of the 16-bit depth pictures
TARGET = np.array([0.0, -0.014, -0.005])
DISTANCE = 1.25
ARC = math.radians(62.0)  # the outermost cameras see the head from the side
FOCAL = 3.0  # of the shorter side: 0.42 m of the subject fill it
TEST_SHARE = 0.3


def camera_arc(count: int, width: int, height: int) -> list[Camera]:
    """``count`` cameras, two staggered rows over a wide arc in front of the subject; the principal point is off-centre.

    One camera stands in front.  The picture shows head and neck, whatever its shape.
    """
    if count < 1:
        raise InputError(f"{count} cameras asked for; at least 1 is needed")
    angles = np.linspace(-ARC, ARC, count) if count > 1 else np.zeros(1)
    cameras = []
    for index, azimuth in enumerate(angles):
        elevation = math.radians(12.0 if index % 2 else -5.0) if count > 1 else 0.04
        cameras.append(camera_at(float(azimuth), elevation, width, height, centre=(2.5, -3.5)))
    return cameras


def camera_at(
    azimuth: float,
    elevation: float,
    width: int,
    height: int,
    *,
    centre: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
) -> Camera:
    """A camera on a sphere around the head; radians, 0 is in front, positive azimuth towards the subject's left.

    centre: pixels by which the principal point is off the middle.
    """
    direction = np.array(
        [math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)]
    )
    focal = zoom * FOCAL * min(width, height)
    return Camera(
        look_at(TARGET + DISTANCE * direction, TARGET),
        intrinsics(focal, focal, width / 2 + centre[0], height / 2 + centre[1]), width, height,
    )  # fmt: skip


def render_view(appearance: Appearance, params: SubjectParams, camera: Camera, **options: Any) -> View:
    """What ``camera`` sees of the subject with that appearance and pose: the truth of an edit is the same call with
    another appearance.  options: ``samples``, ``background`` (see ``mesh_renderer.render_surface``)."""
    return subject(appearance).view(params, camera, **options)


def head_parameters(who: Subject, params: SubjectParams) -> dict[str, Any]:
    """VHAP's arrays of one timestep, float32."""
    row = partial(np.asarray, dtype=np.float32)
    return {
        "translation": row([params.translation]), "rotation": row([params.rotation]), "neck_pose": row([params.neck_pose]),
        "jaw_pose": row([params.jaw_pose]), "eyes_pose": row([params.eyes_pose]), "expr": row([params.expr]),
        "shape": row(who.shape),
    }  # fmt: skip


def make_capture(
    out_dir: PathArg,
    *,
    cameras: int = 8,
    timesteps: int = 40,
    width: int = 320,
    height: int = 320,
    seed: int = 0,
    appearance: Appearance | None = None,
    motion: list[SubjectParams] | None = None,
    samples: int = 3,
    threads: int = 2,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Film the subject.  Returns ``out_dir``.

    val is the camera nearest to the front but one, at the training timesteps; test is the last 30 % of the timesteps, all
    cameras.  ``motion`` overrides ``timesteps`` and ``seed``.  ``progress(done, total)`` is called after every picture.
    Written: images/, fg_masks/, labels/ (class ids), depth/ (16 bit, 0.1 mm), flame_param/, canonical_flame_param.npz,
    transforms_{train,val,test}.json, appearance.json.  Raises EnvironmentProblem when the folder cannot be written.
    """
    out = Path(out_dir)
    who = subject(appearance or Appearance())
    poses = natural_motion(timesteps, seed=seed) if motion is None else motion
    rig = camera_arc(cameras, width, height)
    try:
        for name in ("images", "fg_masks", "labels", "depth", "flame_param"):
            (out / name).mkdir(parents=True, exist_ok=True)
        _film(out, who, poses, rig, samples, threads, background, progress)
        (out / "appearance.json").write_text(who.appearance.to_json())
        _write_parameters(out, who, poses)
        _write_splits(out, rig, len(poses))
    except OSError as error:
        raise EnvironmentProblem(f"{out}: the capture cannot be written ({error.strerror or error})") from error
    return out


def _film(
    out: Path, who: Subject, poses: list[SubjectParams], rig: list[Camera], samples: int, threads: int,
    background: tuple[float, float, float], progress: Callable[[int, int], None] | None,
) -> None:  # fmt: skip
    total, done = len(poses) * len(rig), 0

    def shoot(step: int) -> int:
        surface = who.pose(poses[step])
        for index, camera in enumerate(rig):
            _save(out, f"{step:05d}_{index:02d}.png", who.draw(surface, camera, samples=samples, background=background))
        return len(rig)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for count in pool.map(shoot, range(len(poses))):
            done += count
            if progress is not None:
                progress(done, total)


def _save(out: Path, name: str, view: View) -> None:
    depth = np.minimum(view.depth / DEPTH_UNIT + 0.5, 65535).astype(np.uint16)
    pictures: dict[str, ByteArray] = {"images": view.rgb, "fg_masks": view.mask, "labels": view.labels, "depth": depth}
    for folder, picture in pictures.items():
        Image.fromarray(picture).save(out / folder / name, compress_level=1 if folder == "images" else 4)


def _write_parameters(out: Path, who: Subject, poses: list[SubjectParams]) -> None:
    for step, params in enumerate(poses):
        np.savez(out / "flame_param" / f"{step:05d}.npz", **head_parameters(who, params))
    zero = np.zeros
    canonical = SubjectParams(zero(bust().num_expr), zero(3), zero(3), zero(3), np.array([0.3, 0.0, 0.0]), zero(6))
    np.savez(out / "canonical_flame_param.npz", **head_parameters(who, canonical))


def split_of(step: int, camera: int, timesteps: int, cameras: int) -> str:
    """ "train", "val" or "test": the last 30 % of the timesteps are test; one camera near the front is val before that."""
    if step >= math.ceil((1 - TEST_SHARE) * timesteps) and timesteps > 1:
        return "test"
    return "val" if cameras > 1 and camera == cameras // 2 else "train"


def _write_splits(out: Path, rig: list[Camera], timesteps: int) -> None:
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    for step in range(timesteps):
        for index, camera in enumerate(rig):
            stem = f"{step:05d}_{index:02d}.png"
            frame = {
                "timestep_index": step, "timestep_index_original": step, "timestep_id": f"{step:05d}", "camera_index": index,
                "camera_id": f"{index:02d}", "cx": float(camera.K[0, 2]), "cy": float(camera.K[1, 2]),
                "fl_x": float(camera.K[0, 0]), "fl_y": float(camera.K[1, 1]), "h": camera.height, "w": camera.width,
                "camera_angle_x": 2 * math.atan(camera.width / 2 / camera.K[0, 0]),
                "camera_angle_y": 2 * math.atan(camera.height / 2 / camera.K[1, 1]),
                "transform_matrix": viewmat_to_opengl(camera.viewmat).tolist(), "file_path": f"images/{stem}",
                "fg_mask_path": f"fg_masks/{stem}", "label_path": f"labels/{stem}", "depth_path": f"depth/{stem}",
                "flame_param_path": f"flame_param/{step:05d}.npz",
            }  # fmt: skip
            splits[split_of(step, index, timesteps, len(rig))].append(frame)
    shared = ("cx", "cy", "fl_x", "fl_y", "h", "w", "camera_angle_x", "camera_angle_y")
    for split, frames in splits.items():
        top = {key: frames[0][key] for key in shared} if frames else {}
        top["timestep_indices"] = sorted({frame["timestep_index"] for frame in frames})
        top["camera_indices"] = sorted({frame["camera_index"] for frame in frames})
        (out / f"transforms_{split}.json").write_text(json.dumps({"frames": frames, **top}, indent=1))
