"""Edits of which everything is known, made of the pictures of two subjects: one who wears what can be taken off, and the same without.

No avatar is reconstructed: what it looks like before is the true subject, and what it looks like after is for each test to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.subjects import SUBJECTS, Sitter
from avatarkit.bench.edit.truth import Shot, halved
from avatarkit.cameras import Cameras
from avatarkit.edit.scene import Place
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import camera_arc
from avatarkit.synthetic.mesh_renderer import View
from avatarkit.synthetic.motion import natural_motion
from avatarkit.synthetic.subject import subject

SIZE, MOMENTS = 192, ((0, 3), (4, 5), (6, 2))
POSES, CAMERAS = natural_motion(10, seed=0), camera_arc(8, SIZE, SIZE)
WORN = replace(SUBJECTS["worn"], hair_style="short")
BARE = replace(WORN, glasses="none", earrings="none", necklace="none")
SITTER = Sitter("worn", WORN, None, None, POSES, CAMERAS)  # type: ignore[arg-type]
"""A subject without an avatar: probes ask for its looks and poses only."""

Paint = Callable[[Shot], Tensor]


@dataclass(frozen=True)
class Trial:
    """A case and its truth: what of ``case.labels`` gets ``colour``; without one it is taken away, or ``put`` on."""

    case: Case
    colour: str = ""
    put: bool = False

    def shots(self, after: Paint | None = None) -> list[Shot]:
        """What the bench would see of an avatar that looks like ``after`` says; None is the truth with its own depth."""
        return [_shot(self, step, camera, after) for step, camera in MOMENTS]


def _shot(trial: Trial, step: int, number: int, after: Paint | None) -> Shot:
    camera, case = CAMERAS[number], trial.case
    worn, bare = _view(WORN, step, number), _view(BARE, step, number)
    first, second = (bare, worn) if trial.put else (worn, worn if trial.colour else bare)
    cameras = Cameras(torch.from_numpy(camera.viewmat).float()[None], torch.from_numpy(camera.K).float()[None], SIZE, SIZE)  # fmt: skip
    before, changed = _rgb(first), _rgb(second)
    shot = Shot(
        Place(step, number, cameras, f"t{step} c{number}"), before, changed, _labels(first), _labels(second),
        torch.from_numpy(first.mask > 127), torch.from_numpy(second.mask > 127), before, before,
        torch.from_numpy(first.mask / 255.0).float(), torch.from_numpy(first.depth), POSES[step],
        torch.from_numpy(second.depth), torch.from_numpy(first.depth),
    )  # fmt: skip
    part = shot.labelled(*case.labels) | shot.labelled(*case.labels, after=True)
    made = tinted(before, trial.colour) if trial.colour else changed
    shot = replace(shot, truth_after=torch.where(part[..., None], made, before))
    if case.args.get("half"):
        shot = halved(SITTER, shot, case.args["half"])
    if after is None:
        alpha = torch.from_numpy(second.mask / 255.0).float()
        return replace(shot, after=shot.truth_after, alpha=alpha, depth=torch.from_numpy(second.depth))
    return replace(shot, after=after(shot))


def tinted(picture: Tensor, colour: str) -> Tensor:
    """A picture (H, W, 3) in shades of a colour."""
    ink = torch.tensor([int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)])
    return ink * (0.5 + 0.5 * picture.mean(-1, keepdim=True))


@cache
def _view(look: Appearance, step: int, camera: int) -> View:
    return subject(look).view(POSES[step], CAMERAS[camera], samples=2)


def _rgb(view: View) -> Tensor:
    return torch.from_numpy(view.rgb.astype(np.float32) / 255.0)


def _labels(view: View) -> Tensor:
    return torch.from_numpy(view.labels.astype(np.int64))


def nothing(shot: Shot) -> Tensor:
    """The avatar as it was."""
    return shot.before
