"""Pictures that another system rendered, found for the frames of a capture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from avatarkit.capture.cache import decode_picture
from avatarkit.capture.capture import Capture
from avatarkit.errors import InputError
from avatarkit.evaluate.evaluation import Predict
from avatarkit.events import Run
from avatarkit.paths import explained
from avatarkit.types import Float32Array

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
SHOWN = 3


def renders_predictor(
    folder: Path, capture: Capture, indices: list[int], split: str, background: Float32Array, run: Run
) -> Predict:
    """frame index → the picture (H, W, 3) in [0, 1] of ``folder`` that belongs to it.

    A picture belongs to a frame by its path in the data set (``images/00003_08.png``), as TIMESTEP_CAMERA (``00003_08``) or by its
    name without suffix, where only one frame and one picture are called so (in the union of several sequences many are);
    where no name fits and the counts agree, by order, which is said.  Pictures lie in the folder, in a
    folder of the split's name in it (and there, perhaps, in GaussianAvatars' ``ours_N/renders``), or anywhere below.  Transparent
    ones are laid over ``background``.  Raises InputError, naming the first ones that are missing, or two frames that one picture fits.
    """
    files = _pictures(folder, split)
    stems = Counter(file.stem for file in files)
    by_name = {file.stem: file for file in files if stems[file.stem] == 1}
    by_name |= {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}
    sources = Counter(Path(source).stem for source in {frame.source for frame in capture.frames})
    found: dict[int, Path] = {}
    taken: dict[Path, str] = {}
    for index in indices:
        frame = capture.frames[index]
        source = Path(frame.source).with_suffix("").as_posix()
        own = f"{capture.timestep_names[frame.timestep]}_{capture.cameras[frame.camera].name}"
        names = (source, own, *([Path(source).name] if sources[Path(source).stem] == 1 else []))
        match = next((by_name[name] for name in names if name in by_name), None)
        if match is None:
            continue
        if taken.setdefault(match, frame.source) != frame.source:
            raise InputError(
                f"{match}: it fits two frames, {taken[match]} and {frame.source}; name pictures TIMESTEP_CAMERA like 00003_08.png"
            )
        found[index] = match
    if not found and len(files) == len(indices):
        run.notice(f"{folder}: no picture is named after a frame; the {len(files)} are taken in order", "warning")
        found = dict(zip(indices, files, strict=True))
    missing = [index for index in indices if index not in found]
    if missing:
        shown = ", ".join(Path(capture.frames[i].source).name for i in missing[:SHOWN])
        more = ", …" if len(missing) > SHOWN else ""
        raise InputError(
            f"{folder}: {len(missing)} of {len(indices)} frames of '{split}' have no picture ({shown}{more}); "
            f"name them so, or TIMESTEP_CAMERA like 00003_08.png"
        )

    def predict(index: int) -> Float32Array:
        camera = capture.cameras[capture.frames[index].camera]
        picture, alpha = decode_picture(found[index], (camera.width, camera.height))
        rgb = picture.astype(np.float32) / 255.0
        if alpha is None:
            return rgb
        share = alpha.astype(np.float32)[..., None] / 255.0
        return np.asarray(rgb * share + np.asarray(background, np.float32) * (1.0 - share), np.float32)

    return predict


def _pictures(folder: Path, split: str) -> list[Path]:
    with explained(folder):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        inner = folder / split if (folder / split).is_dir() else folder
        renders = sorted(inner.glob("ours_*/renders"), key=lambda path: (len(path.parent.name), path.parent.name))
        files = sorted((renders[-1] if renders else inner).rglob("*"))
    return [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
