"""Edits of which everything is known: the avatar's pictures are the true subject's own, so no reconstruction is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

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

SIZE, MOMENTS = 160, ((0, 3), (4, 5), (6, 2), (9, 4))
POSES, CAMERAS = natural_motion(10, seed=0), camera_arc(8, SIZE, SIZE)


def sitter(name: str) -> Sitter:
    """A subject without an avatar: the probes ask for its looks and poses only."""
    return Sitter(name, SUBJECTS[name], None, None, POSES, CAMERAS)  # type: ignore[arg-type]


@cache
def _view(look: Appearance, step: int, camera: int) -> View:
    return subject(look).view(POSES[step], CAMERAS[camera], samples=2)


def _rgb(view: View) -> Tensor:
    return torch.from_numpy(view.rgb.astype(np.float32) / 255.0)


def shots(case: Case, edit: dict[str, Any] | Callable[[Shot], Tensor]) -> list[Shot]:
    """The case's pictures for an editor that made of the avatar the subject with ``edit``, or whatever ``edit`` paints."""
    who = sitter(case.subject)
    made = []
    for step, number in MOMENTS:
        camera = CAMERAS[number]
        first, second = (_view(look, step, number) for look in (who.look, replace(who.look, **case.change)))
        cameras = Cameras(
            torch.from_numpy(camera.viewmat).float()[None], torch.from_numpy(camera.K).float()[None], SIZE, SIZE
        )
        shot = Shot(
            Place(step, number, cameras, f"t{step} c{number}"), _rgb(first), _rgb(second),
            torch.from_numpy(first.labels.astype(np.int64)), torch.from_numpy(second.labels.astype(np.int64)),
            torch.from_numpy(first.mask > 127), torch.from_numpy(second.mask > 127), _rgb(first), _rgb(first),
            torch.from_numpy(first.mask / 255.0).float(), torch.from_numpy(first.depth), POSES[step], torch.from_numpy(second.depth),
        )  # fmt: skip
        if case.args.get("half"):
            shot = halved(who, shot, torch.from_numpy(first.depth), case.args["half"])
        if callable(edit):
            made.append(replace(shot, after=edit(shot)))
        else:
            done = _view(replace(who.look, **edit), step, number)
            made.append(
                replace(
                    shot,
                    after=_rgb(done),
                    alpha=torch.from_numpy(done.mask / 255.0).float(),
                    depth=torch.from_numpy(done.depth),
                )
            )
    return made


def perfect(shot: Shot) -> Tensor:
    """The truth itself."""
    return shot.truth_after


def nothing(shot: Shot) -> Tensor:
    """The avatar as it was."""
    return shot.before
