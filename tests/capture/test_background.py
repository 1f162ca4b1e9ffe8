"""The learned background against walls that are known."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.capture.background import gain, head_boxes, learn_background
from avatarkit.capture.diffusion import double, fill, halve, masked_median, relax
from avatarkit.errors import InputError

from .scene import SIZE, make_scene


@pytest.mark.parametrize("as_masks", [False, True])
def test_a_plain_wall_comes_back_even_behind_the_head(as_masks: bool) -> None:
    scene = make_scene()
    background = learn_background(scene.images, scene.alphas > 0.5 if as_masks else scene.boxes)
    error = np.abs(background.colour - scene.wall).mean(-1)
    assert error[background.confident].mean() < 1.0 and error.mean() < 2.0 and np.quantile(error, 0.99) < 8.0
    covered = scene.alphas.min(0) > 0.5
    seen = (scene.alphas < 0.01).mean(0) > 0.9
    assert background.confident[seen].mean() > 0.95 and background.confident[covered].mean() < 0.02


def test_a_textured_wall_comes_back_where_it_is_seen() -> None:
    scene = make_scene(wall_texture=10.0)
    background = learn_background(scene.images, scene.boxes)
    often = (scene.alphas < 0.01).mean(0) > 0.6
    error = np.abs(background.colour - scene.wall).mean(-1)
    assert background.confident[often].mean() > 0.8
    assert error[background.confident].mean() < 2.0


def test_a_picture_on_the_wall_stays_and_hair_that_sways_does_not() -> None:
    scene = make_scene(sway=4.0)
    images = scene.images.copy()
    images[:, 20:45, 4:20] = (90, 30, 30)
    for t in range(len(images)):
        if t % 5:
            images[t, 100:118, 134:142] = (60, 45, 35)  # a strand that is there in four frames of five
    background = learn_background(images, scene.boxes)
    assert np.abs(background.colour[24:41, 7:16] - (90, 30, 30)).mean() < 3.0
    assert background.confident[24:41, 7:16].mean() > 0.95
    strand = (slice(100, 118), slice(134, 142))
    assert np.abs(background.colour[strand] - scene.wall[strand]).mean() < 8.0


def test_no_head_and_no_wall() -> None:
    scene = make_scene(steps=4)
    with pytest.raises(InputError, match="no face in any frame"):
        learn_background(scene.images, np.full((4, 4), np.nan))
    with pytest.raises(InputError, match="the head fills the picture"):
        learn_background(scene.images, np.ones((4, SIZE, SIZE), bool))
    with pytest.raises(InputError, match="expected"):
        learn_background(scene.images, np.zeros((4, 3)))


def test_boxes_of_masks() -> None:
    masks = np.zeros((2, 8, 9), bool)
    masks[0, 2:5, 3:7] = True
    boxes = head_boxes(masks)
    np.testing.assert_array_equal(boxes[0], [3, 2, 7, 5])
    assert np.isnan(boxes[1]).all()


def test_gain_finds_the_exposure() -> None:
    rng = np.random.default_rng(0)
    colour = rng.uniform(60, 180, (40, 40, 3)).astype(np.float32)
    image = np.clip(colour * [1.1, 0.95, 1.0] + 0.5, 0, 255).astype(np.uint8)
    np.testing.assert_allclose(gain(image, colour, np.ones((40, 40), bool)), [1.1, 0.95, 1.0], atol=0.01)
    np.testing.assert_array_equal(gain(image, colour, np.zeros((40, 40), bool)), 1.0)


def test_fill_keeps_what_is_known_and_continues_constants() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(13, 18, 2)).astype(np.float32)
    known = (rng.random((13, 18)) < 0.3).astype(np.float32)
    filled = fill(values, known)
    np.testing.assert_allclose(filled[known > 0], values[known > 0], atol=1e-5)
    assert filled.min() >= values[known > 0].min() - 1e-4 and filled.max() <= values[known > 0].max() + 1e-4
    np.testing.assert_allclose(fill(np.full((13, 18, 2), 3.0, np.float32) * known[..., None], known), 3.0, atol=1e-4)


def test_halving_and_doubling_keep_planes() -> None:
    y, x = np.mgrid[:12, :16].astype(np.float32)
    plane = np.stack([x, 2 * y], -1)
    back = double(halve(plane), 12, 16)
    np.testing.assert_allclose(back[1:-1, 1:-1], plane[1:-1, 1:-1], atol=1e-5)


def test_masked_median_against_numpy() -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 255, (7, 5, 6, 3), dtype=np.uint8)
    use = rng.random((7, 5, 6)) < 0.6
    use[:, 0, 0] = False
    median, spread, count = masked_median(images, use)
    np.testing.assert_array_equal(count, use.sum(0))
    for y in range(5):
        for x in range(6):
            if use[:, y, x].any():
                chosen = images[use[:, y, x], y, x].astype(float)
                np.testing.assert_allclose(median[y, x], np.median(chosen, 0))
                deviation = 1.4826 * np.median(np.abs(chosen - np.median(chosen, 0)), 0).max()
                assert spread[y, x] == pytest.approx(deviation, rel=1e-5)


def test_relax_solves_its_equations() -> None:
    """Against a dense solve of the normal equations."""
    rng = np.random.default_rng(2)
    h, w = 7, 9
    target, weight, right, down = (rng.random((h, w)).astype(np.float32) for _ in range(4))
    matrix, vector = np.zeros((h * w, h * w)), np.zeros(h * w)
    for y in range(h):
        for x in range(w):
            i = y * w + x
            matrix[i, i] += weight[y, x]
            vector[i] += weight[y, x] * target[y, x]
            for j, strength in ((i + 1, right[y, x] if x + 1 < w else 0), (i + w, down[y, x] if y + 1 < h else 0)):
                if strength:
                    matrix[i, i] += strength
                    matrix[j, j] += strength
                    matrix[i, j] -= strength
                    matrix[j, i] -= strength
    solved = relax(np.zeros((h, w), np.float32), target, weight, right, down, np.ones((h, w), bool), 300)
    np.testing.assert_allclose(solved.ravel(), np.linalg.solve(matrix, vector), atol=1e-4)
