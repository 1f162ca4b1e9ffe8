"""What a posed head model says of where the person surely is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from avatarkit.capture.background import learn_background
from avatarkit.capture.matte import matte
from avatarkit.recon.prepare import BESIDE, DEEP, _surely
from tests.capture.scene import make_scene

HEAD, NECK, EAR = 0, 1, 2
SURE, NEVER = np.array([True, False, False]), np.array([False, False, True])


def drawn_disc_on_a_neck() -> np.ndarray:
    """(300, 300): a disc of radius 100 about (150, 140), head, and below it a column 120 wide down to the picture's edge, neck."""
    y, x = np.mgrid[:300, :300]
    drawn = np.full((300, 300), -1)
    drawn[(abs(x - 150) <= 60) & (y > 140)] = NECK
    drawn[np.hypot(x - 150, y - 140) <= 100] = HEAD
    return drawn


def test_an_outline_is_not_sure_and_a_neck_only_deep_inside() -> None:
    drawn, width = drawn_disc_on_a_neck(), 200.0
    found = _surely(drawn, SURE, NEVER, np.array([50.0, 40.0, 250.0, 240.0]))
    assert not found[drawn < 0].any()
    for x in range(45, 70):
        assert found[140, x] == (x - 50 >= round(BESIDE * width)), "the head, but for a thin rim"
    row = np.flatnonzero(found[270])
    assert row[0] - 90 >= DEEP * width - 1 and 210 - row[-1] >= DEEP * width - 1, "the middle of the neck"
    assert row[-1] - row[0] > 70
    assert found[299, 150], "where the picture ends the person does not"
    assert found[225:250, 150].all(), "and there is no gap where the head meets the neck"


def test_an_ear_is_not_sure_however_deep_inside() -> None:
    drawn = drawn_disc_on_a_neck()
    drawn[120:160, 140:160] = EAR
    found = _surely(drawn, SURE, NEVER, np.array([50.0, 40.0, 250.0, 240.0]))
    assert not found[drawn == EAR].any() and found[drawn == HEAD].mean() > 0.8


def test_without_a_head_nothing_is_sure() -> None:
    empty = np.full((40, 40), -1)
    assert not _surely(empty, SURE, NEVER, np.full(4, np.nan)).any()


def test_a_model_that_is_a_little_broader_than_the_person_leaves_no_wall_beside_it() -> None:
    scene = make_scene(steps=12)
    heads = []
    for alpha, box in zip(scene.alphas, scene.boxes, strict=True):
        person = np.where(ndimage.binary_dilation(alpha > 0.9, iterations=3), HEAD, -1)
        heads.append(_surely(person, SURE, NEVER, box))
    broad = np.stack([ndimage.binary_dilation(alpha > 0.9, iterations=3) for alpha in scene.alphas])

    def spill(masks: np.ndarray) -> float:
        """Mean alpha where the person has none, within three pixels of it."""
        background = learn_background(scene.images, masks, scene.boxes)
        found = []
        for t in (0, 3, 7):
            near = ndimage.binary_dilation(scene.alphas[t] > 0.02, iterations=3) & (scene.alphas[t] < 0.02)
            alpha = matte(scene.images[t], background, masks[t], scene.boxes[t]) / 255.0
            found.append(float(alpha[near].mean()))
        return max(found)

    assert spill(np.stack(heads)) < 0.06
    assert spill(broad) > spill(np.stack(heads))
