"""A small avatar as a scene, and the parts of a painter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarkit.edit.config import EditConfig
from avatarkit.edit.painting import Painter
from avatarkit.edit.region import Located, locate
from avatarkit.edit.scene import Scene
from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.gaussians.head_of import head_of
from avatarkit.registry import registry

from .fakes import operation


@pytest.fixture(scope="session")
def scene(reconstructed: Path) -> Scene:
    """The avatar of ``reconstructed``, 80², ten training places.  Do not change it."""
    avatar = load_avatar(reconstructed)
    return Scene(avatar, head_of(avatar.head, None), registry().create("rasterizer", "cpu"), 80)


@pytest.fixture(scope="session")
def hair(scene: Scene) -> Located:
    return locate(scene, operation("recolour", "hair"))


@pytest.fixture
def painter() -> Callable[..., Painter]:
    """``painter(editor, steps=2)``: with short fits and the rules' second turn."""

    def make(
        editor: Any, refiner: Any = None, discriminator: Any = None, masks: Any = None, **settings: Any
    ) -> Painter:
        config = EditConfig(**{"size": 80, "steps": 2, "operators": False, **settings})
        rules = refiner or registry().create("refiner", "rules")
        return Painter(editor, "fake", config, rules, discriminator, masks=masks)

    return make
