"""Put a user's own head files into the assets folder, verified and as plain npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatarkit.errors import FileFormatError
from avatarkit.head.flame import LANDMARK_KEYS, check_arrays, check_landmarks, read_arrays
from avatarkit.head.flame_import import import_pickle
from avatarkit.paths import atomic_write, explained

PICKLES = (".pkl", ".pickle")
# mediapipe_landmark_embedding.npz, as the FLAME page offers it.
PUBLISHED_LANDMARK_KEYS = ("landmark_indices", "lmk_face_idx", "lmk_b_coords")
NUM_FLAME_FACES = 9976


def register_head_file(kind: str, source: Path, place: Path) -> None:
    """Verify ``source`` as a "flame", "flame-masks" or "flame-landmarks" file and keep it at ``place`` (.npz).

    A .npz head is kept byte for byte, so that avatars made with the file itself find it again by checksum.
    Raises FileFormatError in words; nothing is written then.
    """
    with explained(source):
        content = source.read_bytes() if source.suffix.lower() not in PICKLES else b""
    if kind == "flame":
        if not content:
            write_npz(place, checked_head(import_pickle(source, kind), source))
            return
        checked_head(read_arrays(source)[0], source)
        with atomic_write(place) as out:
            out.write(content)
    elif kind == "flame-masks":
        arrays = import_pickle(source, kind) if not content else read_arrays(source)[0]
        write_npz(place, checked_masks(arrays, source))
    else:
        arrays = read_arrays(source)[0]
        renamed = dict(zip(PUBLISHED_LANDMARK_KEYS, LANDMARK_KEYS, strict=True))
        arrays = {renamed.get(key, key): value for key, value in arrays.items()}
        missing = [key for key in LANDMARK_KEYS if key not in arrays]
        if missing:
            raise FileFormatError(
                f"{source}: no landmark embedding; expected keys {', '.join(PUBLISHED_LANDMARK_KEYS)}"
            )
        check_landmarks(arrays, NUM_FLAME_FACES, str(source))
        write_npz(place, {key: arrays[key] for key in LANDMARK_KEYS})


def checked_head(arrays: dict[str, np.ndarray], source: Path) -> dict[str, np.ndarray]:
    check_arrays(arrays, str(source))
    return arrays


def checked_masks(arrays: dict[str, np.ndarray], source: Path) -> dict[str, np.ndarray]:
    for name, value in arrays.items():
        if value.ndim != 1 or value.dtype.kind not in "iu":
            raise FileFormatError(f"{source}: mask '{name}' is no list of vertex indices")
    if "face" not in arrays or "nose" not in arrays:
        raise FileFormatError(f"{source}: not FLAME's masks; expected names such as face, nose, lips, left_eyeball")
    return arrays


def write_npz(place: Path, arrays: dict[str, np.ndarray]) -> None:
    with atomic_write(place) as out:
        np.savez(out, **arrays)  # type: ignore[arg-type]
