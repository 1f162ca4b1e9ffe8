"""Cameras whose colours are not the avatar's own: gains by camera, which a reconstruction found (``recon.colour_balance``) and the avatar keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatarkit.errors import FileFormatError
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.render.sh import Y00
from avatarkit.types import FloatArray


def own_gains(avatar: Avatar) -> dict[str, FloatArray]:
    """Camera → gain (3,) of red, green, blue, of the cameras that ``avatar`` was trained with.  Raises FileFormatError for anything else."""
    try:
        gains: dict[str, FloatArray] = {
            name: np.array(gain, np.float64) for name, gain in avatar.meta.get("camera_gains", {}).items()
        }
        sane = all(gain.shape == (3,) and bool(((gain > 0.0) & (gain < np.inf)).all()) for gain in gains.values())
    except (AttributeError, TypeError, ValueError):
        sane = False
    if not sane:
        raise FileFormatError("the avatar's 'camera_gains' are not three positive numbers for each camera")
    return gains


def tinted(gaussians: Gaussians, gain: FloatArray) -> Gaussians:
    """``gaussians`` as a camera of this gain (3,) sees them."""
    factor = torch.from_numpy(np.asarray(gain, np.float32)).to(gaussians.sh)
    sh = gaussians.sh.detach() * factor
    sh[:, 0] += 0.5 * (factor - 1.0) / Y00
    return replace(gaussians, sh=sh, colour_correctives=gaussians.colour_correctives.detach() * factor[:, None])
