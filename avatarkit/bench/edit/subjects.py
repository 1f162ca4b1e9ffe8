"""The avatars that are edited: small reconstructions of the synthetic subject in several outfits, made once in the bench's folder.

Labels are trained on the subject's true maps, as a good face parser would give them: what ``head-regions`` sees without colours' help, glasses and
earrings above all, would be measured instead of the edit otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from avatarkit.bench.labels import GivenMaps, view_key
from avatarkit.config import load_config
from avatarkit.edit.scene import Scene
from avatarkit.events import Run
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
from avatarkit.gaussians.head_of import head_of
from avatarkit.head.frames import with_frames
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.job import Job, make_avatar, shown
from avatarkit.recon.labelling import label_gaussians
from avatarkit.recon.loop import reconstruct
from avatarkit.recon.prepare import read_known
from avatarkit.registry import registry
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import camera_arc, make_capture
from avatarkit.synthetic.mesh_renderer import Camera
from avatarkit.synthetic.motion import natural_motion
from avatarkit.synthetic.subject import SubjectParams
from avatarkit.track.sequence import Sequence
from avatarkit.types import IntArray

CAMERAS, TIMESTEPS = 8, 20


@dataclass(frozen=True)
class Size:
    """side: of the pictures, pixels; splats: at most; first_bound: Gaussians on the mesh to begin with; steps: of the reconstruction."""

    side: int
    splats: int
    first_bound: int
    steps: int


SMALL = Size(256, 10_000, 5_000, 2500)
"""What is edited a few hundred times."""
FULL = Size(512, 30_000, 0, 4000)
"""As people's avatars are."""
SIDE = SMALL.side

SUBJECTS: dict[str, Appearance] = {
    "plain": Appearance(),
    "worn": Appearance(identity=8, skin="#f0c6ab", lips="#c45d62", hair_style="bun", hair_colour="#7a4a26", glasses="round",
                       earrings="hoop", necklace="pearls", iris="#5c8a55"),
    "bearded": Appearance(identity=3, skin="#c68e68", lips="#a35a50", iris="#5d4023", hair_style="short", hair_colour="#2a1c14",
                          highlight_colour="#4a3222", hat="cap", beard="short", moustache="moustache", beard_colour="#2a1c14",
                          shirt="collar", shirt_colour="#d8d4c8", shirt_trim="#c4bfb0"),
}  # fmt: skip
"""By name: one without anything, one who wears what can be taken off, one with a beard and a cap."""


@dataclass(frozen=True)
class Sitter:
    """A subject and its avatar.  poses: its motion; cameras: the capture's."""

    name: str
    look: Appearance
    avatar: Avatar
    scene: Scene
    poses: list[SubjectParams]
    cameras: list[Camera]


def capture_folder(folder: Path, name: str, seed: int, size: Size = SMALL) -> Path:
    """Where a subject's capture is, or will be."""
    return folder / f"capture-{_stem(name, seed, size)}"


def _stem(name: str, seed: int, size: Size) -> str:
    return f"{name}-{seed}" if size == SMALL else f"{name}-{size.side}-{seed}"


def sitter(
    folder: Path, name: str, *, seed: int = 0, size: Size = SMALL, report: Callable[[str], None] = lambda _: None
) -> Sitter:
    """The avatar of one of ``SUBJECTS``, from the disk or made now (a small one in about two minutes on two cores)."""
    look, side = SUBJECTS[name], size.side
    capture, file = capture_folder(folder, name, seed, size), folder / f"{_stem(name, seed, size)}.avatar"
    if not (capture / "transforms_train.json").is_file():
        report(f"drawing {name}")
        make_capture(capture, cameras=CAMERAS, timesteps=TIMESTEPS, width=side, height=side, seed=seed, appearance=look)
    if not file.is_file():
        report(f"reconstructing {name}")
        save_avatar(_reconstructed(capture, file, seed, size), file)
    avatar = load_avatar(file)
    rasterizer = registry().create("rasterizer", registry().default("rasterizer"))
    scene = Scene(avatar, head_of(avatar.head), rasterizer, side)
    return Sitter(name, look, avatar, scene, natural_motion(TIMESTEPS, seed=seed), camera_arc(CAMERAS, side, side))


def _reconstructed(capture: Path, file: Path, seed: int, size: Size) -> Avatar:
    run = Run(seed=seed)
    sequence, head = read_known(capture, None, run)
    config = load_config(ReconConfig, "recon", {})
    config = replace(
        config,
        run_iterations=size.steps,
        seed=seed,
        max_splats=size.splats,
        first_bound=size.first_bound,
        label_views=32,
    )
    head = with_frames(head, config.frames)
    rasterizer = registry().create("rasterizer", registry().default("rasterizer"))
    state = reconstruct(sequence, head, config, run, rasterizer)
    state.gaussians = shown(state)
    train = sequence.capture.indices("train")
    maps = GivenMaps({map_key(sequence, i): true_labels(capture, sequence, i) for i in train})
    gaussians = state.gaussians.detach()
    gaussians.label_logits = label_gaussians(gaussians, sequence, head, state.head.pose, maps, rasterizer, config, run)
    state.gaussians = gaussians
    return make_avatar(state, sequence, head, Job([capture], file, config), config, run)


def true_labels(capture: Path, sequence: Sequence, index: int) -> IntArray:
    """(H, W) true classes of a frame."""
    with Image.open(capture / "labels" / Path(sequence.capture.frames[index].source).name) as picture:
        return np.asarray(picture).astype(np.int64)


def map_key(sequence: Sequence, index: int) -> tuple[int, bytes]:
    """How ``GivenMaps`` calls a frame's view."""
    from avatarkit.contracts import View

    return view_key(View(sequence.cameras([index]), sequence.capture.frames[index].timestep))


def looks_json() -> str:
    """The subjects, for the record."""
    return json.dumps({name: json.loads(look.to_json()) for name, look in SUBJECTS.items()}, indent=1)
