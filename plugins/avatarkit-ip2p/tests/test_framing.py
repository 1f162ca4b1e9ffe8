"""Where a picture's pixels lie in what the model sees, and which latents a mask frees."""

from __future__ import annotations

import torch
from avatarkit_ip2p.filling import filled
from avatarkit_ip2p.framing import Frame

from .conftest import blocks, square


def test_the_default_model_sees_512_pixels_in_multiples_of_64() -> None:
    assert Frame.of(802, 550, 512, 8, 4) == Frame(802, 550, 512, 351, 512, 384, 8)
    assert Frame.of(200, 200, 512, 8, 4) == Frame(200, 200, 512, 512, 512, 512, 8)
    assert Frame.of(10, 1000, 512, 8, 4) == Frame(10, 1000, 5, 512, 64, 512, 8)


def test_edges_are_repeated_and_cut_off_again() -> None:
    frame = Frame.of(24, 20, 24, 2, 3)
    assert (frame.rows, frame.columns, frame.down, frame.across) == (24, 20, 24, 24)
    views = blocks(1, 32)[..., :24, :20]
    shown = frame.shown(views)
    assert torch.equal(shown[..., :20], views) and torch.equal(shown[..., 20:], views[..., 19:].expand(-1, -1, -1, 4))
    assert torch.equal(frame.back(shown), views)


def test_the_centres_of_tokens() -> None:
    """A token's centre is the pixel in which the middle of its square lies; one in the repeated edge has none."""
    frame = Frame.of(12, 10, 24, 2, 2)  # twice as large; 20 of 20 columns, 12 tokens down at half the pixels
    rows, columns = frame.centres(6, 5)
    assert rows.tolist() == [1, 3, 5, 7, 9, 11] and columns.tolist() == [1, 3, 5, 7, 9]
    frame = Frame.of(24, 18, 24, 2, 3)
    assert frame.across == 24 and frame.centres(3, 3)[1].tolist() == [4, 12, -1]


def test_every_latent_pixel_with_some_mask_is_free() -> None:
    frame = Frame.of(32, 32, 32, 2, 2)
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, 0, 9, 9], masks[1, 0, 20, 21] = 1.0, 0.2
    masks[1, 0, 3, 3] = 0.05  # nearly nothing
    free = frame.latent_mask(masks, 0)
    assert torch.nonzero(free).tolist() == [[0, 0, 4, 4], [1, 0, 10, 10]]
    assert int(frame.latent_mask(masks, 1).sum()) == 18
    assert torch.equal(frame.pixels(frame.latent_mask(square(1), 0)).float(), square(1))


def test_a_hole_is_filled_from_its_surroundings() -> None:
    hole = square(2) > 0.5
    views = blocks(2)
    other = torch.where(hole, 0.0, views)
    fill = filled(views, hole)
    assert torch.equal(fill, filled(other, hole))  # no trace of what stood there
    assert torch.equal(torch.where(hole, 0.0, fill), other)  # the rest to the bit
    inside = fill[hole.expand_as(fill)]
    assert float(views.min()) <= float(inside.min()) and float(inside.max()) <= float(views.max())
    flat = filled(torch.where(hole, 0.9, torch.full_like(views, 0.3)), hole)
    torch.testing.assert_close(flat, torch.full_like(views, 0.3))


def test_a_fill_goes_on_with_what_is_near() -> None:
    """Between a dark and a bright half it runs from one to the other."""
    views = torch.linspace(0.0, 1.0, 32).expand(1, 3, 32, 32).clone()
    row = filled(torch.where(square(1) > 0.5, 0.5, views), square(1) > 0.5)[0, 0, 16]
    assert bool((row[9:23].diff() > -0.02).all()) and float(row[22] - row[9]) > 0.25
    assert torch.equal(
        filled(views[..., :1, :5], torch.ones(1, 1, 1, 5, dtype=torch.bool)), torch.full((1, 3, 1, 5), 0.5)
    )
