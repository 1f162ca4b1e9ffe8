"""Sequences on disk, in the layout of GaussianAvatars and VHAP, so that other systems read our tracking and we read theirs.

    transforms_{train,val,test}.json  images/  fg_masks/  flame_param/*.npz  canonical_flame_param.npz     (capture.dataset)
    avatarkit.json                    ours: which head model was fitted, and the time of each timestep

Parameters come back bit by bit.  A folder is written beside its place and moved there when complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from avatarkit.cameras import viewmat_to_opengl
from avatarkit.capture.dataset import SPLITS, Dataset, read_dataset
from avatarkit.contracts import HeadModel
from avatarkit.errors import FileFormatError, InputError
from avatarkit.events import Run
from avatarkit.head.parameters import PER_TIMESTEP, HeadParams
from avatarkit.paths import explained
from avatarkit.track.sequence import Sequence
from avatarkit.types import ByteArray, Json, PathArg

OURS = "avatarkit.json"
FORMAT = "avatarkit-sequence/1"


def load_sequence(
    path: PathArg, head: HeadModel, *, run: Run | None = None, cache_dir: PathArg | None = None
) -> Sequence:
    """A GaussianAvatars/VHAP data set as a sequence of ``head``.

    Raises InputError when the data set's parameters are of a head with other counts, FileFormatError for a damaged one.
    """
    dataset = read_dataset(path, run=run, cache_dir=cache_dir)
    check_counts(Path(path), dataset, head)
    ours = _read_ours(Path(path))
    capture = dataset.capture
    times = ours.get("times", [])
    if len(times) == capture.num_timesteps:
        frames = tuple(replace(frame, time=float(times[frame.timestep])) for frame in capture.frames)
        capture = replace(capture, frames=frames)
    fitted = ours.get("head", {}).get("sha256")
    if fitted is not None and fitted != head.reference["sha256"] and run is not None:
        run.notice(
            f"{path}: was tracked with another file of head model '{ours['head'].get('name')}' than '{head.name}'; "
            "its expressions may mean something else here",
            "warning",
        )
    values = {name: torch.from_numpy(np.ascontiguousarray(dataset.params[name])) for name in PER_TIMESTEP}
    params = HeadParams(
        torch.from_numpy(np.ascontiguousarray(dataset.shape)), **values,
        static_offset=_tensor(dataset.static_offset), dynamic_offset=_tensor(dataset.dynamic_offset),
    )  # fmt: skip
    viewmats = np.stack([camera.viewmat for camera in capture.cameras if camera.viewmat is not None])
    Ks = np.stack([camera.K for camera in capture.cameras if camera.K is not None])
    return Sequence(
        capture,
        params,
        torch.tensor(viewmats, dtype=torch.float32),
        torch.tensor(Ks, dtype=torch.float32),
        head.reference,
    )


def check_counts(path: Path, dataset: Dataset, head: HeadModel) -> None:
    """Raise InputError, naming the numbers, when the data set's parameters are not of ``head``."""
    own = {"vertices": int(head.template.shape[0]), "shape": head.num_shape, "expr": head.num_expr}
    wrong = [name for name, count in dataset.counts.items() if count is not None and count != own[name]]
    if wrong:
        have = ", ".join(f"{count} {name}" for name, count in dataset.counts.items() if count is not None)
        want = ", ".join(f"{count} {name}" for name, count in own.items())
        raise InputError(
            f"{path}: its parameters are of a head with {have}; head model '{head.name}' has {want}: they differ in "
            f"{' and '.join(wrong)}; choose the model that it was tracked with by --head NAME|FILE"
        )


def tracked_head(path: PathArg) -> Json | None:
    """The reference of the head model that a sequence of ours was fitted with, or None for a foreign data set."""
    found = _read_ours(Path(path)).get("head")
    return found if isinstance(found, dict) else None


def save_sequence(sequence: Sequence, out_dir: PathArg) -> Path:
    """Write ``sequence`` as a data set in folder ``out_dir`` and return it.

    Images that already are files of a data set are hard-linked where the file system can; others are written as PNG.  A
    sequence of ours that is already there is replaced in the end, after the new one is complete; raises InputError when the
    folder holds anything else.
    """
    folder = Path(out_dir)
    refuse_foreign_folder(folder)
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            _write(sequence, part)
            if folder.exists():
                folder.rename(old)
            part.rename(folder)
        except BaseException:
            if old.exists() and not folder.exists():
                old.rename(folder)
            shutil.rmtree(part, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)
    return folder


def refuse_foreign_folder(path: PathArg) -> None:
    """Raise InputError when ``path`` holds anything but a sequence of ours, which must not be overwritten."""
    folder = Path(path)
    with explained(folder):
        if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / OURS).is_file())):
            raise InputError(f"{folder}: is there already and is no tracked sequence; choose another folder with -o")


def _write(sequence: Sequence, folder: Path) -> None:
    capture, params = sequence.capture, sequence.params
    for name in ("images", "fg_masks", "flame_param"):
        if name != "fg_masks" or capture.masked:
            (folder / name).mkdir()
    for step in range(len(params)):
        _savez(folder / "flame_param" / f"{step:05d}.npz", _arrays(params, step))
    canonical = {name: np.zeros_like(value) for name, value in _arrays(params, 0).items() if name != "dynamic_offset"}
    canonical["shape"] = params.shape.detach().numpy()
    if params.static_offset is not None:
        canonical["static_offset"] = params.static_offset.detach().numpy()[None]
    _savez(folder / "canonical_flame_param.npz", canonical)

    rows: dict[str, list[Json]] = {split: [] for split in SPLITS}
    tasks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
    for index, frame in enumerate(capture.frames):
        stem = f"{frame.timestep:05d}_{frame.camera:02d}"
        source = _linkable(capture.source, frame.source)
        image = f"images/{stem}{source.suffix if source is not None else '.png'}"
        tasks.append((_place_image, (source, lambda i=index: capture.image(i), folder / image)))
        K = sequence.Ks[frame.camera].double().numpy()
        camera = capture.cameras[frame.camera]
        row: Json = {
            "timestep_index": frame.timestep, "timestep_id": capture.timestep_names[frame.timestep],
            "camera_index": frame.camera, "camera_id": camera.name, "time": frame.time,
            "cx": K[0, 2], "cy": K[1, 2], "fl_x": K[0, 0], "fl_y": K[1, 1], "h": camera.height, "w": camera.width,
            "camera_angle_x": 2 * float(np.arctan(camera.width / (2 * K[0, 0]))),
            "camera_angle_y": 2 * float(np.arctan(camera.height / (2 * K[1, 1]))),
            "transform_matrix": viewmat_to_opengl(sequence.viewmats[frame.camera].double().numpy()).tolist(),
            "file_path": image, "flame_param_path": f"flame_param/{frame.timestep:05d}.npz",
        }  # fmt: skip
        if capture.masked:
            row["fg_mask_path"] = f"fg_masks/{stem}.png"
            tasks.append((_place_image, (None, lambda i=index: capture.mask(i), folder / row["fg_mask_path"])))
        rows[frame.split].append(row)
    with ThreadPoolExecutor(2) as pool:  # PNG's zlib runs outside the interpreter's lock
        for done in [pool.submit(write, *arguments) for write, arguments in tasks]:
            done.result()
    for split in SPLITS:
        if rows[split] or split == "train":
            content = {
                "frames": rows[split],
                "timestep_indices": sorted({row["timestep_index"] for row in rows[split]}),
            }
            content["camera_indices"] = sorted({row["camera_index"] for row in rows[split]})
            (folder / f"transforms_{split}.json").write_text(json.dumps(content, indent=1, allow_nan=False), "utf-8")
    times = [0.0] * capture.num_timesteps
    for frame in capture.frames:
        times[frame.timestep] = frame.time
    ours = {"format": FORMAT, "head": sequence.head, "times": times, "source": capture.source}
    if any(camera.crop is not None for camera in capture.cameras):
        ours["crops"] = [None if camera.crop is None else vars(camera.crop) for camera in capture.cameras]
    (folder / OURS).write_text(json.dumps(ours, indent=1, allow_nan=False, default=str), "utf-8")


def _savez(file: Path, arrays: dict[str, Any]) -> None:
    np.savez(file, **arrays)


def _arrays(params: HeadParams, step: int) -> dict[str, np.ndarray]:
    """The npz of one timestep, shapes as VHAP writes them."""
    row = params[step].detach().to("cpu")
    arrays = {
        name: getattr(row, name).numpy() for name in ("translation", "rotation", "neck_pose", "jaw_pose", "eyes_pose")
    }
    arrays |= {"shape": row.shape.numpy(), "expr": row.expr[0].numpy()}
    if row.static_offset is not None:
        arrays["static_offset"] = row.static_offset.numpy()[None]
    if row.dynamic_offset is not None:
        arrays["dynamic_offset"] = row.dynamic_offset.numpy()
    return arrays


def _linkable(folder: str, source: str) -> Path | None:
    """The file of a frame, where it is one that holds exactly its pixels: that of a data set."""
    from avatarkit.capture.dataset import is_dataset

    if not folder or not is_dataset(folder):
        return None
    file = Path(os.path.normpath(Path(folder) / source))
    return file if file.is_file() and file.suffix.lower() in (".png", ".jpg", ".jpeg") else None


def _place_image(source: Path | None, pixels: Callable[[], ByteArray], target: Path) -> None:
    if source is not None:
        with contextlib.suppress(OSError, NotImplementedError):
            os.link(source, target)
            return
        shutil.copyfile(source, target)
        return
    Image.fromarray(np.ascontiguousarray(pixels())).save(target, compress_level=1)


def _read_ours(folder: Path) -> Json:
    file = folder / OURS
    if not file.is_file():
        return {}
    try:
        with explained(file):
            content = json.loads(file.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"{file}: not valid JSON ({error}); the file is damaged or cut short") from error
    if not isinstance(content, dict) or not isinstance(content.get("head", {}), dict):
        raise FileFormatError(f"{file}: expected an object with 'head' and 'times'")
    times = content.get("times", [])
    if not isinstance(times, list) or not all(isinstance(t, int | float) and np.isfinite(t) for t in times):
        raise FileFormatError(f"{file}: 'times' must be a list of seconds")
    return content


def _tensor(array: Any) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(np.ascontiguousarray(array))
