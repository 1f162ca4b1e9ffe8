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
from avatarkit.segment.colour_evidence import Scenery, brows, recoloured
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


def test_a_scalp_that_begins_at_the_brows_is_forehead_where_it_looks_like_the_face() -> None:
    """A head model's scalp reaches to the brows: what hair looks like must not be learnt from half a forehead."""
    truth, scenery = a_scene()
    truth[22:35, 40:80] = SKIN
    assert scenery.classes[30, 60] == HAIR
    found = recoloured(a_picture(TONES, truth), replace(scenery, person=truth > 0))
    assert (found[24:34, 42:78] == SKIN).mean() > 0.98 and (found != truth).mean() < 0.02


def test_dark_spots_in_a_face_are_no_hair() -> None:
    """Lashes, sockets, an open mouth have the colour of hair and hang together with none."""
    truth, scenery = a_scene()
    seen = truth.copy()
    seen[45:50, 46:56] = seen[60:66, 52:68] = HAIR
    found = recoloured(a_picture(TONES, seen), scenery)
    assert (found[40:70, 42:78] == SKIN).all()


def test_the_thin_edge_of_hair_before_a_wall_of_the_skins_colour_is_no_skin() -> None:
    truth, scenery = a_scene()
    seen, classes = truth.copy(), scenery.classes.copy()
    seen[12:60, 20:24] = SKIN
    beside = scenery.beside.copy()
    beside[:, :30] = True
    found = recoloured(a_picture(TONES, seen), replace(scenery, classes=classes, beside=beside))
    assert (found[14:58, 20:24] == HAIR).all()


def test_a_collar_of_the_hairs_colour_is_cloth() -> None:
    truth, scenery = a_scene()
    truth[35:100, 20:40] = truth[35:100, 80:100] = 0  # short hair
    truth[60:100, 22:36] = truth[60:100, 84:98] = CLOTH  # a collar up to the cheeks
    classes, beside = truth.copy(), np.zeros_like(truth, bool)
    beside[35:100, :40] = beside[35:100, 80:] = True
    classes[60:70][truth[60:70] == CLOTH] = HAIR  # above the jaw and beside the mesh
    found = recoloured(
        a_picture({**TONES, CLOTH: TONES[HAIR]}, truth),
        replace(scenery, classes=classes, person=truth > 0, beside=beside),
    )
    assert (found[62:100][truth[62:100] == CLOTH] == CLOTH).mean() > 0.98
    assert (found[10:34, 25:95] == HAIR).mean() > 0.98


@pytest.mark.parametrize("below", [0, 4])
def test_brows_are_where_it_is_dark_near_where_the_model_has_them(below: int) -> None:
    classes = np.full((200, 200), SKIN)
    classes[110:116, 50:80] = LABEL_INDEX["r_eye"]
    classes[80:92, 45:85] = LABEL_INDEX["r_brow"]
    truth = np.zeros_like(classes, bool)
    truth[84 + below : 90 + below, 48:82] = True
    image = np.where(truth[..., None], (70, 50, 40), (205, 160, 130)).astype(np.uint8)
    image[108:110, 50:80] = (60, 40, 30)  # lashes
    found = brows(image, classes) == LABEL_INDEX["r_brow"]
    assert (found & truth).sum() > 0.85 * (found | truth).sum()
    assert not found[105:].any()


def test_of_blonde_brows_the_model_says_where_they_are() -> None:
    classes = np.full((200, 200), SKIN)
    classes[80:92, 45:85] = LABEL_INDEX["l_brow"]
    flat = np.full((200, 200, 3), (205, 160, 130), np.uint8)
    assert (brows(flat, classes) == classes).all()


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
