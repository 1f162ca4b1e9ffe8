"""What is checked of cameras, and how often."""

from __future__ import annotations

import pytest

from avatarkit.errors import InputError
from avatarkit.render.arguments import check_values
from avatarkit.testing.scenes import scene


def test_cameras_on_a_gpu_are_looked_at_once() -> None:
    """Until they are written to; on the CPU always."""
    cameras = scene(1).cameras
    check_values(cameras, once=True)
    cameras.Ks.data[0, 0, 0] = float("nan")  # behind torch's back: no new version
    check_values(cameras, once=True)
    with pytest.raises(InputError, match="NaN or infinity in a camera"):
        check_values(cameras)
    cameras.Ks[0, 0, 0] = -1.0
    with pytest.raises(InputError, match="focal length is not positive"):
        check_values(cameras, once=True)
