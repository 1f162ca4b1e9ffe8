"""Points on hair: where they are, and that they hold the skull when a face moves in ways that the model has no modes for."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from avatarkit.contracts import HeadModel
from avatarkit.events import Run
from avatarkit.track import surface_points as module
from avatarkit.track.photometric_fit import Alignment
from avatarkit.track.photometric_options import PhotometricConfig
from avatarkit.track.photometric_tracking import PhotometricTracker
from avatarkit.track.soft_modes import BEND, bends
from avatarkit.track.surface_points import HAIR, ON_HAIR, surface_points

from .test_photometric import disturbed, drawn


def test_some_points_are_on_the_scalp_and_stand_off_it(bust: HeadModel) -> None:
    points = surface_points(bust, 1000)
    on_hair = points.lift > 0
    assert abs(points.on_skin - 1000) < 20 and abs(on_hair.sum() - 1000 * ON_HAIR) < 20
    scalp = bust.regions["scalp"].numpy() > 0.5
    assert scalp[points.corners[on_hair]].all() and not scalp[points.corners[~on_hair]].all(1).any()
    rest = bust.template.numpy()
    where, normal = points.positions(rest)
    off = where - (rest[points.corners] * points.bary[..., None]).sum(1)
    np.testing.assert_allclose((off * normal).sum(1), np.where(on_hair, HAIR, 0.0), atol=1e-6)
    fewer = points.thinned(250)
    assert abs(fewer.on_skin - 250) < 20 and abs((fewer.lift > 0).sum() - 250 * ON_HAIR) < 15


def test_a_head_without_a_scalp_has_none(bust: HeadModel) -> None:
    bald = copy.copy(bust)
    bald.regions = {name: mask for name, mask in bust.regions.items() if name != "scalp"}
    points = surface_points(bald, 300)
    assert points.on_skin == len(points) and abs(len(points) - 300) < 20


def test_hair_holds_the_skull_when_the_face_slides(bust: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole face slides to and fro by 4 mm, and no mode says so.  With as many points on hair as on skin, seen from above, the skull follows less."""
    steps = 30
    share = torch.tensor(bends(bust)[0] / BEND, dtype=torch.float32)
    slide = 0.004 * torch.sin(1.3 * torch.arange(steps))[:, None, None] * share
    true = drawn(bust, steps, (0.1,), slide, elevation=0.6)
    start = disturbed(replace(true, params=replace(true.params, dynamic_offset=None)))
    monkeypatch.setattr("avatarkit.track.soft_modes.jaw_shift", lambda head: None)
    monkeypatch.setattr(module, "HAIR", 1e-6)
    found = []
    for share_of_points in (1.0, 0.0):
        monkeypatch.setattr(module, "ON_HAIR", share_of_points)
        tracked = PhotometricTracker(PhotometricConfig(points=1000)).track(true.capture, bust, Run(), start)
        away = (bust.pose(tracked.params).vertices - bust.pose(true.params).vertices)[:, bust.regions["scalp"] > 0.5]
        found.append(float((away - away.mean(0))[..., :2].norm(dim=-1).mean()))
    assert found[0] < 0.8 * found[1], found


def test_hair_that_few_pictures_show_does_not_count(bust: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def look(self: Alignment, state: object) -> None:
        plain(self, state)  # type: ignore[arg-type]
        counts.append(int((self.trust[:, self.points.lift > 0] > 0).sum()))

    plain = Alignment.look
    monkeypatch.setattr(Alignment, "look", look)
    for steps in (8, 30):
        true = drawn(bust, steps, (0.1,), elevation=0.6)
        PhotometricTracker(PhotometricConfig(points=200)).track(true.capture, bust, Run(), true)
        counts, before = [], counts
        assert before and (max(before) > 0) == (steps == 30)
