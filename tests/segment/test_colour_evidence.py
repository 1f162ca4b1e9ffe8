"""Hair over what the mesh calls skin, and who may not be told apart by colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatarkit.cameras import Cameras
from avatarkit.contracts import View
from avatarkit.head.parameters import HeadParams
from avatarkit.labels import LABEL_INDEX, LABELS
from avatarkit.segment.colour_evidence import Scenery, recoloured
from avatarkit.segment.head_regions import HeadRegions
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import camera_at, render_view
from avatarkit.synthetic.subject import bust, neutral, subject

SKIN, HAIR, CLOTH, NECK = (LABEL_INDEX[name] for name in ("skin", "hair", "cloth", "neck"))
TONES = {SKIN: (210, 160, 130), NECK: (190, 140, 112), HAIR: (70, 45, 30), CLOTH: (50, 90, 120)}


def a_picture(tones: dict[int, tuple[int, int, int]], truth: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0.0, 4.0, (*truth.shape, 3))
    flat = np.zeros((*truth.shape, 3))
    for label, tone in tones.items():
        flat[truth == label] = tone
    return np.clip(flat + noise, 0, 255).astype(np.uint8)


def a_scene() -> tuple[np.ndarray, Scenery]:
    """Truth: hair hangs down on both sides of face and neck.  Geometry: skin and neck there, cloth for what is beside the neck."""
    truth = np.zeros((120, 120), np.int64)
    truth[10:100, 20:100] = HAIR
    truth[35:70, 40:80] = SKIN
    truth[70:100, 45:75] = NECK
    truth[100:, :] = CLOTH
    geometry = truth.copy()
    geometry[35:70, 30:90] = SKIN
    geometry[70:100, 35:85] = NECK
    geometry[70:100, 20:35] = geometry[70:100, 85:100] = CLOTH
    face = np.zeros_like(truth, bool)
    face[38:68, 42:78] = True
    below = np.broadcast_to(np.arange(120)[:, None] >= 70, truth.shape)
    beside = np.zeros_like(truth, bool)
    beside[70:100, 20:35] = beside[70:100, 85:100] = True
    return truth, Scenery(geometry, truth > 0, face, below, beside)


def test_hair_before_skin_is_found_by_its_colour() -> None:
    truth, scenery = a_scene()
    found = recoloured(a_picture(TONES, truth), scenery)
    assert (scenery.classes != truth).mean() > 0.1
    assert (found != truth).mean() < 0.01


def test_colours_that_look_alike_leave_geometry_alone() -> None:
    truth, scenery = a_scene()
    same = {**TONES, HAIR: TONES[SKIN]}
    found = recoloured(a_picture(same, truth), scenery)
    skin_or_hair = np.isin(scenery.classes, (SKIN, NECK, HAIR))
    assert ((found == HAIR) == (scenery.classes == HAIR))[skin_or_hair & (found != CLOTH)].all()


def test_the_features_of_a_face_are_never_overruled() -> None:
    truth, scenery = a_scene()
    geometry = scenery.classes.copy()
    geometry[45:50, 45:55] = LABEL_INDEX["l_eye"]
    found = recoloured(a_picture(TONES, truth), replace(scenery, classes=geometry))
    assert (found[45:50, 45:55] == LABEL_INDEX["l_eye"]).all()


@pytest.mark.parametrize(("style", "least"), [("bob", 0.88), ("long", 0.88), ("bun", 0.85)])
def test_the_synthetic_subjects_hair(style: str, least: float) -> None:
    """True labels of another renderer; without colour the bob's IoU is 0.70."""
    look = Appearance(hair_style=style)
    who, head = subject(look), bust()
    scores = []
    for azimuth in (-0.9, 0.0, 0.7):
        camera = camera_at(azimuth, 0.0, 256, 256)
        view = render_view(look, neutral(), camera, samples=2)
        params = replace(
            HeadParams.zeros(1, head.num_shape, head.num_expr), shape=torch.tensor(who.shape),
            static_offset=torch.tensor(who.offset),
        )  # fmt: skip
        cameras = Cameras(
            torch.tensor(camera.viewmat, dtype=torch.float32)[None], torch.tensor(camera.K, dtype=torch.float32)[None], 256, 256
        )  # fmt: skip
        mask = torch.from_numpy(view.mask.astype(np.float32) / 255.0)[None]
        image = torch.from_numpy(view.rgb.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
        found = HeadRegions().segment(image, [View(cameras, 0, head.pose(params), mask, head)])[0].argmax(0).numpy()
        both = (found == HAIR) & (view.labels == HAIR)
        either = (found == HAIR) | (view.labels == HAIR)
        scores.append(both.sum() / either.sum())
    assert min(scores) > least, dict(zip(LABELS, scores, strict=False))
