"""Heads to put things on, and pictures of them.

What is asked of the accessories is asked of their Gaussians posed by ``pose_gaussians`` and of the mesh, not of the code that
built them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarkit.cameras import Cameras, intrinsics, orbit
from avatarkit.contracts import HeadModel, Rasterizer
from avatarkit.edit.accessories.anatomy import Anatomy, measure
from avatarkit.edit.accessories.light import neutral_light
from avatarkit.edit.accessories.recipes import accessory
from avatarkit.edit.plan import Attributes, Operation, Region
from avatarkit.gaussians.binding import Posed, pose_gaussians
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.frames import with_frames
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.registry import registry
from avatarkit.types import FloatArray

SEED = 4


@dataclass(frozen=True)
class Subject:
    """A head model, an identity, and what was measured of it."""

    head: HeadModel
    motion: HeadParams
    anatomy: Anatomy
    kept: dict[Any, Gaussians] = field(default_factory=dict, repr=False, compare=False)

    def made(self, target: str, region: Region | None = None, seed: int = SEED, **attributes: Any) -> Gaussians:
        """An accessory as the editor would get it; the same for the same words."""
        operation = Operation("add", target, region, Attributes(**attributes))
        key = operation, seed
        if key not in self.kept:
            self.kept[key] = accessory(operation, self.anatomy, self.head, neutral_light(), seed)
        return self.kept[key]

    def posed(self, gaussians: Gaussians, params: HeadParams | None = None) -> Posed:
        """Where they stand at rest, or with ``params`` of one timestep."""
        pose = self.anatomy.pose if params is None else self.head.pose(params)
        with torch.no_grad():
            return pose_gaussians(gaussians, pose.vertices[0], pose.joints[0], self.head.faces, skin=pose.skin)

    def points(self, target: str, region: Region | None = None, **attributes: Any) -> FloatArray:
        """(N, 3) means at rest."""
        return self.posed(self.made(target, region, **attributes)).means.double().numpy()

    def moved(self, **values: Tensor) -> HeadParams:
        """Parameters of one timestep of this identity."""
        rest = HeadParams.zeros(1, self.head.num_shape, self.head.num_expr)
        return replace(rest, shape=self.motion.shape, **values)

    def region(self, name: str) -> FloatArray:
        """(V′, 3) vertices of a region at rest."""
        return self.anatomy.pose.vertices[0][self.head.regions[name] > 0.5].double().numpy()

    def grey(self) -> Posed:
        """The bald head as grey Gaussians in the world."""
        spread = self.anatomy.skin.spread(0.0035)
        count = len(spread.points)
        quats = torch.zeros(count, 4)
        quats[:, 0] = 1
        return Posed(
            torch.from_numpy(spread.points).float(), quats, torch.full((count, 3), 0.0022), torch.full((count,), 0.95),
            torch.full((count, 3), 0.5),
        )  # fmt: skip


@pytest.fixture(scope="session")
def rasterizer() -> Rasterizer:
    return registry().create("rasterizer", "cpu")


@pytest.fixture(scope="session")
def subject_of(request: pytest.FixtureRequest) -> Callable[..., Subject]:
    """``subject_of("bust")`` or ``subject_of("flame", 2)``: a head model with the identity of that seed, the mean one for 0."""
    kept: dict[tuple[str, int, str], Subject] = {}

    def make(name: str, identity: int = 0, frames: str = "skin") -> Subject:
        key = name, identity, frames
        if key not in kept:
            file = "bust"
            if name == "flame":
                data: Path = request.getfixturevalue("test_data")
                file = str(data / "flame2023_open" / "flame2023_open_arkit.npz")
            head = with_frames(load_head(file), frames)
            motion = HeadParams.zeros(1, head.num_shape, head.num_expr)
            if identity:
                random = torch.Generator().manual_seed(identity)
                motion = replace(motion, shape=torch.randn(head.num_shape, generator=random))
            kept[key] = Subject(head, motion, measure(head, motion))
        return kept[key]

    return make


HEADS = [("bust", 0), ("bust", 1), ("bust", 2), ("flame", 0), ("flame", 2)]


@pytest.fixture(params=HEADS, ids=[f"{name}-{identity}" for name, identity in HEADS])
def subject(request: pytest.FixtureRequest, subject_of: Callable[..., Subject]) -> Subject:
    """Each head model, with the mean identity and random ones."""
    return subject_of(*request.param)


@pytest.fixture(params=["bust", "flame"])
def mean_subject(request: pytest.FixtureRequest, subject_of: Callable[..., Subject]) -> Subject:
    return subject_of(request.param)


@pytest.fixture
def bust(subject_of: Callable[..., Subject]) -> Subject:
    return subject_of("bust")


@pytest.fixture(scope="session")
def seen_colour(rasterizer: Rasterizer) -> Callable[..., Tensor]:
    """``seen_colour(subject, gaussians)``: sRGB (3,), mean of the pixels that the accessory fills, seen from ``azimuth``
    degrees."""

    def look(subject: Subject, made: Gaussians, azimuth: float = 0.0, size: int = 320) -> Tensor:
        own, grey = subject.posed(made), subject.grey()
        every = [torch.cat([a, b]) for a, b in zip(grey, own, strict=True)]
        mine = torch.cat([torch.zeros(len(grey.means)), torch.ones(len(own.means))])[:, None]
        focal = size / 2 / math.tan(math.radians(11.0))
        target = subject.anatomy.centre - np.array([0.0, 0.04, 0.0])
        view = orbit(math.radians(azimuth), 0.0, 1.0, target)
        camera = Cameras(
            torch.from_numpy(view).float()[None],
            torch.from_numpy(intrinsics(focal, focal, size / 2, size / 2)).float()[None], size, size,
        )  # fmt: skip
        features = torch.cat([every[4] * mine, mine], 1)
        with torch.no_grad():
            drawn = rasterizer.render(every[0], every[1], every[2], every[3], features, camera, antialiased=True)
        share = drawn.features[0, 3]
        filled = share > 0.7
        assert int(filled.sum()) > 20
        return (drawn.features[0, :3] / share.clamp(min=1e-6))[:, filled].clamp(0, 1).mean(1)

    return look
