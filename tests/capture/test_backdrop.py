"""Images that stand before a flat colour are laid over another exactly; others are not mistaken for them."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.capture.backdrop import flat_backdrop, with_backdrop
from avatarkit.capture.capture import Capture, CaptureCamera, Frame

SIZE, FRAMES = 48, 5


def foreground(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Straight colour (H, W, 3) in [0, 1] and alpha (H, W) in [0, 1] of a soft disc that moves."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    radius = np.hypot(x - 20 - index, y - 24)
    alpha = np.clip((16 - radius) / 6, 0, 1)
    colour = np.stack([0.3 + 0.5 * x / SIZE, 0.6 * y / SIZE, np.full_like(x, 0.45)], -1)
    return colour, alpha


def capture(behind: object, *, noise: float = 0.0, straight: bool = False, masked: bool = True) -> Capture:
    """A capture of the disc before ``behind`` (3,) or (H, W, 3), rounded to bytes as files are."""
    images, masks = [], []
    for index in range(FRAMES):
        colour, alpha = foreground(index)
        mixed = colour * (alpha[..., None] > 0) if straight else colour * alpha[..., None]
        picture = mixed if straight else mixed + (1 - alpha[..., None]) * np.asarray(behind)
        picture = picture + noise * np.random.default_rng(index).normal(size=picture.shape)
        images.append(np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8))
        masks.append((alpha * 255 + 0.5).astype(np.uint8))
    return Capture(
        "disc", (CaptureCamera("0", SIZE, SIZE),), tuple(Frame(i, 0, "train", str(i)) for i in range(FRAMES)),
        tuple(str(i) for i in range(FRAMES)), lambda i: images[i], lambda i: masks[i] if masked else None, masked,
    )  # fmt: skip


@pytest.mark.parametrize("behind", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.1, 0.7, 0.2)], ids=["white", "black", "green"])
@pytest.mark.parametrize("over", [(1.0, 1.0, 1.0), (0.2, 0.3, 0.9)], ids=["over white", "over blue"])
def test_composites_are_laid_over_another_colour_exactly(behind: tuple[float, ...], over: tuple[float, ...]) -> None:
    found = with_backdrop(capture(behind))
    assert found.backdrop is not None and np.abs(found.backdrop - behind).max() < 1 / 255
    for index in range(FRAMES):
        colour, alpha = foreground(index)
        truth = colour * alpha[..., None] + (1 - alpha[..., None]) * np.array(over)
        assert np.abs(found.composited(index, np.array(over)) - truth).max() < 1.6 / 255


def test_over_their_own_colour_images_stay_as_they_are() -> None:
    found = with_backdrop(capture((1.0, 1.0, 1.0)))
    assert np.abs(found.composited(2, np.ones(3)) * 255 - found.image(2)).max() < 1e-3


def test_a_wall_is_not_flat() -> None:
    wall = 0.5 + 0.1 * np.random.default_rng(0).random((SIZE, SIZE, 3))
    assert with_backdrop(capture(wall)).backdrop is None
    assert with_backdrop(capture((0.6, 0.6, 0.6), noise=0.02)).backdrop is None


def test_straight_alpha_is_blended_as_such() -> None:
    """A cut-out picture is black where nothing is, but its edge is not mixed with black."""
    found = with_backdrop(capture((0, 0, 0), straight=True))
    assert found.backdrop is None
    colour, alpha = foreground(0)
    truth = colour * alpha[..., None] + (1 - alpha[..., None])
    assert np.abs(found.composited(0, np.ones(3)) - truth).max() < 1.6 / 255


def test_without_masks_there_is_nothing_to_find() -> None:
    found = with_backdrop(capture((1.0, 1.0, 1.0), masked=False))
    assert found.backdrop is None
    assert flat_backdrop(found.image, found.mask, FRAMES) is None
    full = capture((1.0, 1.0, 1.0))
    assert flat_backdrop(full.image, lambda i: np.full((SIZE, SIZE), 255, np.uint8), FRAMES) is None
