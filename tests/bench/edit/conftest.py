"""A sitter that is at hand at once: the session's short reconstruction of the synthetic subject."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarkit.bench.edit import truth
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.edit.scene import Scene
from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.gaussians.head_of import head_of
from avatarkit.registry import registry
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import camera_arc
from avatarkit.synthetic.motion import natural_motion

SIDE, STEPS, CAMERAS = 80, 6, 3


@pytest.fixture(scope="session")
def tiny_sitter(reconstructed: Path) -> Sitter:
    avatar = load_avatar(reconstructed)
    rasterizer = registry().create("rasterizer", registry().default("rasterizer"))
    scene = Scene(avatar, head_of(avatar.head), rasterizer, SIDE)
    return Sitter("tiny", Appearance(), avatar, scene, natural_motion(STEPS, seed=0), camera_arc(CAMERAS, SIDE, SIDE))


@pytest.fixture
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out pictures are those of the tiny capture."""
    monkeypatch.setattr(truth, "TIMESTEPS", STEPS)
    monkeypatch.setattr(truth, "CAMERAS", CAMERAS)
