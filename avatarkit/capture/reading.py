"""One door for every capture: a video, several clips of one person, a folder of images, a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avatarkit.capture.capture import Capture
from avatarkit.capture.crop import Locate
from avatarkit.capture.dataset import is_dataset, read_dataset
from avatarkit.capture.folder import PICTURE_SUFFIXES, natural, pictures_in, read_folder
from avatarkit.capture.video import MAX_FRAMES, VIDEO_SUFFIXES, read_video
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.paths import explained
from avatarkit.types import PathArg


def read_capture(
    path: PathArg | Sequence[PathArg],
    *,
    size: int | None = 512,
    max_frames: int = MAX_FRAMES,
    every: int | None = None,
    locate: Locate | None = None,
    cache_dir: PathArg | None = None,
    run: Run | None = None,
) -> Capture:
    """The capture at ``path``: a data set, a folder of images, a folder of clips, a video, or a sequence of videos.

    size: side of the images of a camera whose intrinsics are unknown, cropped to the head, or None for whole frames; data sets
    and folders with cameras.json keep theirs.  max_frames, every: which frames of videos are taken.  locate: (H, W, 3) uint8
    images → a face box (left, top, right, bottom) in pixels or None each; without it the centre square is taken.  cache_dir:
    default ``AVATARKIT_HOME/cache/frames``.  Raises InputError or FileFormatError, in one line, for anything that is not a capture.
    """
    if isinstance(path, Sequence) and not isinstance(path, str):
        if not path:
            raise InputError("no input was given; expected a video, a folder of images or a data set")
        if len(path) > 1:
            for each in path:
                _require_video(Path(each))
            return read_video(
                path, size=size, max_frames=max_frames, every=every, locate=locate, cache_dir=cache_dir, run=run
            )
        path = path[0]
    place = Path(path)
    with explained(place):
        there, folder = place.exists(), place.is_dir()
    if not there:
        raise InputError(f"{place}: no such file or folder")
    if not folder:
        _require_video(place)
        return read_video(
            place, size=size, max_frames=max_frames, every=every, locate=locate, cache_dir=cache_dir, run=run
        )
    if is_dataset(place):
        return read_dataset(place, cache_dir=cache_dir, run=run).capture
    require_inputs([place])
    with explained(place):
        entries = [entry for entry in place.iterdir() if not entry.name.startswith(".")]
    clips = sorted((entry for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES), key=natural)
    if clips and not pictures_in(place):
        return read_video(
            clips, size=size, max_frames=max_frames, every=every, locate=locate, cache_dir=cache_dir, run=run
        )
    return read_folder(place, size=size, locate=locate, cache_dir=cache_dir, run=run)


def require_inputs(paths: Sequence[Path]) -> None:
    """Raise InputError where ``read_capture`` surely would, before a tracker is made ready for nothing."""
    for path in paths:
        with explained(path):
            if len(paths) > 1 or not path.is_dir():
                _require_video(path)
            elif not any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise InputError(
                    f"{path}: the folder is empty; expected images, video clips or a GaussianAvatars/VHAP data set"
                )


def _require_video(path: Path) -> None:
    suffix = path.suffix.lower()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        raise InputError(f"{path}: a folder cannot be joined with other inputs; several inputs must all be video files")
    if suffix in PICTURE_SUFFIXES:
        raise InputError(f"{path}: a single picture is not a capture; give a video, or a folder of images")
    if suffix == ".json":
        raise InputError(f"{path}: give the folder of the data set, not a file of it")
    if suffix not in VIDEO_SUFFIXES:
        raise InputError(
            f"{path}: unknown kind of file '{suffix or path.name}'; expected a video ({', '.join(VIDEO_SUFFIXES)}), a folder of images "
            "or a data set"
        )
