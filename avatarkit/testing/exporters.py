"""Checks of an exporter, on a small avatar of the built-in head."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from avatarkit.contracts import Exporter
from avatarkit.testing.conformance import Check, require
from avatarkit.testing.scenes import cameras
from avatarkit.testing.signatures import takes_the_contracts_arguments

if TYPE_CHECKING:
    from avatarkit.gaussians.avatar import Avatar
    from avatarkit.head.parameters import HeadPose

COUNT, STEPS = 40, 2


def small_avatar() -> tuple[Avatar, HeadPose]:
    """Forty Gaussians on the bust, four of them free on its neck; two timesteps, one camera; and its pose at rest."""
    from avatarkit.capture.capture import Frame
    from avatarkit.gaussians.avatar import Avatar, AvatarCamera
    from avatarkit.gaussians.gaussians import Gaussians
    from avatarkit.head.bust import BustModel
    from avatarkit.head.parameters import HeadParams

    head, random = BustModel(), torch.Generator().manual_seed(0)
    binding = torch.linspace(0, len(head.faces) - 1, COUNT).to(torch.int32)
    binding[-4:] = -2
    colours = torch.rand(COUNT, 3, generator=random)
    means = 0.1 * torch.randn(COUNT, 3, generator=random)
    gaussians = Gaussians.fresh(means, torch.full((COUNT, 3), -1.0), 0.8, colours, binding, sh_degree=1)
    gaussians.log_scales[-4:] = -4.0
    motion, camera = HeadParams.zeros(STEPS, head.num_shape, head.num_expr), cameras(1, 64, 48)
    avatar = Avatar(
        gaussians, head.reference, motion, ("000", "001"), tuple(Frame(t, 0, "train", f"{t}") for t in range(STEPS)),
        (AvatarCamera("0", 64, 48),), camera.viewmats, camera.Ks,
    )  # fmt: skip
    return avatar, head.pose(motion)[0]


def its_method_fits(part: Any) -> str:
    return takes_the_contracts_arguments(part, Exporter, "export")


def its_suffix_is_one(part: Any) -> str:
    """By which a file's name chooses the exporter."""
    suffix = part.suffix
    require(
        isinstance(suffix, str) and suffix.startswith(".") and len(suffix) > 1,
        f"suffix is {suffix!r}; expected '.ply', say",
    )
    require(suffix == suffix.lower(), f"suffix is {suffix!r}; expected lower case")
    return str(suffix)


def it_writes_an_avatar_and_leaves_nothing_else(part: Any) -> str:
    """At rest and posed; over a file that is there already."""
    avatar, pose = small_avatar()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"avatar{part.suffix}"
        path.write_bytes(b"an older file")
        part.export(avatar, path)
        require(path.is_file() and path.read_bytes() != b"an older file", f"{path.name} was not written")
        size = path.stat().st_size
        require(size > 0, f"{path.name} is empty")
        part.export(avatar, path, pose)
        left = sorted(file.name for file in Path(folder).iterdir() if file != path and file.name.startswith("."))
        require(not left, f"temporary files are left behind: {', '.join(left)}")
    return f"{size} bytes for {COUNT} Gaussians"


CHECKS: tuple[Check, ...] = (its_method_fits, its_suffix_is_one, it_writes_an_avatar_and_leaves_nothing_else)
