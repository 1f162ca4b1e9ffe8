"""Which frames are held out, by the conventions under which figures are published."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from avatarkit.capture.capture import Capture, Frame, Split
from avatarkit.errors import InputError, unknown_name

PROTOCOLS = ("vhap", "gaussianavatars")
VAL_CAMERA = 8  # by the data set's own number
TEST_SHARE = 0.3
SPLITS: tuple[Split, ...] = ("val", "test")
TITLES = {"val": "novel view", "test": "self-reenactment", "train": "training frames"}


def by_protocol(capture: Capture, protocol: str | None) -> Capture:
    """``capture`` with the splits of ``protocol``; None leaves its own.

    ``vhap``: the last 30 % of the timesteps of all cameras are test; of the rest, camera 8 (the last one where there are fewer than
    nine, none where there is one) is val, with all its poses where it moved.  ``gaussianavatars``: the data set's own files, which must hold out something; of a
    union data set, those of the union.  Raises InputError where nothing is held out.
    """
    if protocol is None:
        return capture
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    if protocol == "gaussianavatars":
        absent = [s for s in SPLITS if not (Path(capture.source) / f"transforms_{s}.json").is_file()]
        if len(absent) == len(SPLITS):
            raise InputError(
                f"{capture.source}: it has neither transforms_val.json nor transforms_test.json, which the protocol "
                "'gaussianavatars' scores"
            )
        return capture
    chosen = {(frame.timestep, frame.camera): frame for frame in capture.frames}  # a union may list an image twice
    first_test = math.ceil((1.0 - TEST_SHARE) * capture.num_timesteps - 1e-9)
    names = [camera.name.partition("/")[0] for camera in capture.cameras]  # 08, and 08/2 where it stood elsewhere
    val = f"{VAL_CAMERA:02d}" if f"{VAL_CAMERA:02d}" in names else names[-1]

    def split(frame: Frame) -> Split:
        if frame.timestep >= first_test:
            return "test"
        return "val" if len(set(names)) > 1 and names[frame.camera] == val else "train"

    keep = [i for i, frame in enumerate(capture.frames) if chosen[frame.timestep, frame.camera] is frame]
    frames = tuple(replace(capture.frames[i], split=split(capture.frames[i])) for i in keep)
    image, mask = capture.image, capture.mask
    return replace(
        capture, frames=frames, image=lambda index: image(keep[index]), mask=lambda index: mask(keep[index])
    )  # fmt: skip


def trained_on(trained: tuple[Frame, ...], capture: Capture, indices: list[int]) -> int:
    """How many of the frames ``indices`` an avatar whose frames are ``trained`` has seen; both of one capture."""
    seen = {frame.source for frame in trained if frame.split == "train"}
    return sum(capture.frames[i].source in seen for i in indices)
