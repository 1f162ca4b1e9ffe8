"""Folders of images: one camera, or one folder per camera with a ``cameras.json`` (docs/captures.md), masks if there are any."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatarkit.cameras import intrinsics
from avatarkit.capture.backdrop import with_backdrop
from avatarkit.capture.cache import (
    CacheWriter,
    cache_key,
    cached,
    decode_mask,
    decode_picture,
    in_order,
    require_foreground,
)
from avatarkit.capture.capture import Capture, CaptureCamera, Crop, Frame
from avatarkit.capture.crop import Locate, cut, locate_faces, plan_crop, scaled_size
from avatarkit.capture.dataset import rigid_viewmat
from avatarkit.capture.splits import held_out
from avatarkit.errors import FileFormatError, InputError, nearest
from avatarkit.events import Run
from avatarkit.paths import explained
from avatarkit.types import ByteArray, Json, PathArg

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MASK_FOLDERS = ("masks", "mask", "fg_masks")
CAMERAS_FILE = "cameras.json"
PROBES = 32


def natural(path: Path) -> list[Any]:
    """Sort key in which frame_10 comes after frame_9."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name.lower()) if part
    ]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures directly in ``folder``, in natural order; hidden files are passed over."""
    with explained(folder):
        found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".")]
    return sorted(found, key=natural)


@dataclass(frozen=True)
class _Source:
    image: Path
    mask: Path | None
    size: tuple[int, int] | None


def read_folder(
    path: PathArg,
    *,
    size: int | None = 512,
    locate: Locate | None = None,
    cache_dir: PathArg | None = None,
    run: Run | None = None,
) -> Capture:
    """A capture of a folder of images (or of its ``images/``); splits as for a video.

    Masks: an alpha channel, or ``masks/``, ``mask/`` or ``fg_masks/`` with pictures of the same stem.  One camera without
    ``cameras.json``: intrinsics unknown, cropped to the head as a video is (``size``, ``locate``).  With ``cameras.json``: as they
    are.  Raises InputError for an empty folder or several cameras without ``cameras.json``, FileFormatError for a bad file.
    """
    root = Path(path).absolute()
    shots = _cameras_of(root)
    described = _read_cameras(root / CAMERAS_FILE) if (root / CAMERAS_FILE).exists() else None
    if described is None and len(shots) > 1:
        raise InputError(
            f"{root}: {len(shots)} camera folders ({', '.join(list(shots)[:4])}{', …' if len(shots) > 4 else ''}) but no {CAMERAS_FILE}; "
            "add one (docs/captures.md), or give the folder of one camera"
        )
    if described is not None and len(described) == 1 and len(shots) == 1:
        described = {next(iter(shots)): next(iter(described.values()))}
    if described is not None:
        for name in shots:
            if name not in described:
                raise FileFormatError(
                    f"{root / CAMERAS_FILE}: no camera named '{name}', which has a folder{nearest(name, described)}"
                )
    steps = _timesteps(root, shots, run)
    splits = held_out(len(steps))
    rows = sorted(
        ((steps[key], c, file) for c, files in enumerate(shots.values()) for key, file in files.items()),
        key=lambda row: (row[0], row[1]),
    )
    masks = [_mask_of(root, file) for _, _, file in rows]
    missing = [row[2] for row, mask in zip(rows, masks, strict=True) if mask is None]
    if 0 < len(missing) < len(rows):
        raise InputError(
            f"{missing[0]}: no mask, but {len(rows) - len(missing)} of {len(rows)} images have one; add it, or remove the masks"
        )

    names = list(shots)
    sources = [
        _Source(file, mask, None if described is None else (described[names[c]].width, described[names[c]].height))
        for (_, c, file), mask in zip(rows, masks, strict=True)
    ]
    locator = (
        None if locate is None else getattr(locate, "name", getattr(locate, "__qualname__", type(locate).__qualname__))
    )
    options = {"reader": "folder", "size": size if described is None else None, "locator": locator}
    files = [p for source in sources for p in (source.image, source.mask) if p is not None]
    key = cache_key([*files, *([root / CAMERAS_FILE] if described else [])], options)
    cache = cached(
        key,
        _builder(sources, size if described is None else None, locate, run),
        cache_dir=cache_dir,
        run=run,
        total=len(sources),
    )
    if described is None:
        height, width = cache.size(0)
        crop = Crop(**{**cache.meta["crop"], "source": tuple(cache.meta["crop"]["source"])})
        cameras = [CaptureCamera(names[0], width, height, crop=crop)]
    else:
        cameras = [described[name] for name in names]
    frames = tuple(Frame(step, c, splits[step], str(file.relative_to(root))) for step, c, file in rows)
    capture = Capture(
        root.name, tuple(cameras), frames, tuple(steps), cache.image, cache.mask, cache.masked, True, str(root), key,
        str(cache.folder.parent),
    )  # fmt: skip
    return with_backdrop(capture)


def _cameras_of(root: Path) -> dict[str, dict[str, Path]]:
    """Camera name → stem → picture."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    for folder in (root, root / "images"):
        if not folder.is_dir():
            continue
        found = pictures_in(folder)
        if found:
            return {folder.name if folder != root / "images" else root.name: _by_stem(found)}
        with explained(folder):
            inside = sorted(
                (d for d in folder.iterdir() if d.is_dir() and d.name not in (*MASK_FOLDERS, "images")), key=natural
            )
        cameras = {d.name: _by_stem(pictures_in(d)) for d in inside if not d.name.startswith(".")}
        cameras = {name: files for name, files in cameras.items() if files}
        if cameras:
            return cameras
    raise InputError(
        f"{root}: no pictures in this folder; expected {', '.join(PICTURE_SUFFIXES)}, or one folder of them per camera"
    )


def _by_stem(files: list[Path]) -> dict[str, Path]:
    stems: dict[str, Path] = {}
    for file in files:
        if file.stem in stems:
            raise InputError(f"{file}: the same frame as {stems[file.stem].name}; remove one of them")
        stems[file.stem] = file
    return stems


def _timesteps(root: Path, shots: dict[str, dict[str, Path]], run: Run | None) -> dict[str, int]:
    """Timestep name → index.  Cameras meet by stem; where no stem is shared, by position if the counts agree."""
    names = list(shots)
    common = set.intersection(*(set(files) for files in shots.values()))
    if not common:
        counts = {len(files) for files in shots.values()}
        if len(counts) > 1:
            raise InputError(
                f"{root}: the cameras share no file name and have {sorted(counts)} images; name one timestep's images alike"
            )
        for name in names:
            shots[name] = {f"{i:05d}": file for i, file in enumerate(shots[name].values())}
    every = sorted({stem for files in shots.values() for stem in files}, key=lambda stem: natural(Path(stem + ".png")))
    gaps = sum(len(every) - len(files) for files in shots.values())
    if gaps and run is not None:
        run.notice(f"{root}: {gaps} images are missing in some camera; those timesteps have fewer views", "warning")
    return {stem: i for i, stem in enumerate(every)}


def _mask_of(root: Path, image: Path) -> Path | None:
    inside = image.relative_to(root)
    below = inside.relative_to("images") if inside.parts[0] == "images" else inside
    places = [image.parent / name for name in MASK_FOLDERS] + [root / name / below.parent for name in MASK_FOLDERS]
    for place in places:
        for stem in (image.stem, image.name):
            for suffix in PICTURE_SUFFIXES:
                if (place / f"{stem}{suffix}").is_file():
                    return place / f"{stem}{suffix}"
    return None


def _builder(sources: list[_Source], size: int | None, locate: Locate | None, run: Run | None) -> Any:
    def decode(source: _Source) -> tuple[ByteArray, ByteArray | None]:
        image, alpha = decode_picture(source.image, source.size)
        if source.mask is not None:
            return image, decode_mask(source.mask, (image.shape[1], image.shape[0]))
        return image, None if alpha is None else require_foreground(alpha, source.image)

    def build(writer: CacheWriter) -> Json:
        crop = None
        if sources[0].size is None:
            height, width = decode_picture(sources[0].image)[0].shape[:2]
            boxes: list[Any] = []
            if locate is not None and size is not None:
                chosen = np.unique(np.linspace(0, len(sources) - 1, min(PROBES, len(sources))).round().astype(int))
                boxes = locate_faces(
                    [decode_picture(sources[i].image, (width, height))[0] for i in chosen],
                    locate,
                    str(sources[0].image.parent),
                    run,
                )
                if run is not None and all(box is None for box in boxes):
                    run.notice(f"{sources[0].image.parent}: no face found; the centre square is taken", "warning")
            crop = plan_crop(width, height, size, boxes)
        masked = None
        for source, (image, mask) in zip(sources, in_order(decode, sources), strict=True):
            if masked is not None and masked != (mask is not None):
                raise FileFormatError(
                    f"{source.image}: {'no' if mask is None else 'an'} alpha channel, unlike the images before it"
                )
            masked = mask is not None
            if crop is not None:
                if (image.shape[1], image.shape[0]) != crop.source:
                    raise FileFormatError(
                        f"{source.image}: the picture is {image.shape[1]}x{image.shape[0]}; expected {crop.source[0]}x{crop.source[1]}, "
                        f"as {sources[0].image.name} is"
                    )
                image = cut(image, crop, scaled_size(crop))
                mask = None if mask is None else cut(mask, crop, scaled_size(crop))
            writer.add(image, mask)
        return {} if crop is None else {"crop": vars(crop)}

    return build


def _read_cameras(file: Path) -> dict[str, CaptureCamera]:
    """``cameras.json``: {"cameras": [{"name", "width", "height", "K" or "fl_x fl_y cx cy", "transform_matrix"}]}."""
    try:
        with explained(file):
            content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("cameras"), list) or not content["cameras"]:
        raise FileFormatError(f"{file}: key 'cameras' is missing, empty or not a list")
    cameras: dict[str, CaptureCamera] = {}
    for number, row in enumerate(content["cameras"]):
        where = f"{file}: cameras[{number}]"
        if not isinstance(row, dict):
            raise FileFormatError(f"{where} is not an object")
        name = row.get("name")
        if not isinstance(name, str) or not name or name in cameras:
            raise FileFormatError(f"{where}: 'name' is {name!r}; expected a name that no other camera has")
        width, height = (int(_positive(row, key, where)) for key in ("width", "height"))
        viewmat = rigid_viewmat(_value(row, "transform_matrix", where), f"{where}: 'transform_matrix'")
        cameras[name] = CaptureCamera(name, width, height, _intrinsics(row, where), viewmat)
    return cameras


def _value(row: Json, key: str, where: str) -> Any:
    if key not in row:
        known = ("name", "width", "height", "K", "fl_x", "fl_y", "cx", "cy", "transform_matrix")
        raise FileFormatError(
            f"{where}: key '{key}' is missing{nearest(key, [name for name in row if name not in known])}"
        )
    return row[key]


def _number(row: Json, key: str, where: str) -> float:
    value = _value(row, key, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FileFormatError(f"{where}: '{key}' is {value!r}; expected a finite number")
    return float(value)


def _positive(row: Json, key: str, where: str) -> float:
    value = _number(row, key, where)
    if value <= 0:
        raise FileFormatError(f"{where}: '{key}' is {value:g}; expected a positive number")
    return value


def _intrinsics(row: Json, where: str) -> Any:
    if "K" not in row:
        focal = [_positive(row, key, where) for key in ("fl_x", "fl_y")]
        return intrinsics(*focal, *(_number(row, key, where) for key in ("cx", "cy")))
    try:
        K = np.array(row["K"], np.float64)
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{where}: 'K' is not a matrix of numbers") from error
    if (
        K.shape != (3, 3)
        or not np.isfinite(K).all()
        or min(K[0, 0], K[1, 1]) <= 0
        or (K[2] != (0, 0, 1)).any()
        or K[1, 0]
        or K[0, 1]
    ):
        raise FileFormatError(
            f"{where}: 'K' is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, fx and fy positive"
        )
    return K
