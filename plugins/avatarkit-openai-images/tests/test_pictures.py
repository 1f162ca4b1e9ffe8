"""Squares, masks and files against closed forms."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from avatarkit_openai_images.pictures import Square, UnusablePicture, decoded, mask_png, picture_png
from PIL import Image


@pytest.mark.parametrize(("height", "width"), [(256, 256), (128, 128), (97, 256), (256, 31), (511, 700)])
def test_a_view_there_and_back_is_itself(height: int, width: int) -> None:
    """A ramp survives resizing; what lies beyond the view does not come back."""
    down, across = torch.linspace(0.1, 0.9, height), torch.linspace(0.2, 0.7, width)
    view = torch.stack([down[:, None].expand(-1, width), across.expand(height, -1), torch.full((height, width), 0.4)])
    square = Square(height, width, 256)
    shown = square.shown(view[None])
    assert shown.shape == (1, 3, 256, 256)
    back = square.back(np.asarray((shown[0] * 255).round().byte().permute(1, 2, 0)))
    assert back.shape == view.shape
    torch.testing.assert_close(back, view, atol=0.012, rtol=0)
    top, left = square.top, square.left
    assert bool((shown[:, :, : top + 1] == shown[:, :, top : top + 1]).all())  # beyond the view its edge goes on
    assert bool((shown[..., : left + 1] == shown[..., left : left + 1]).all())
    painted = np.full((256, 256, 3), 255, np.uint8)
    painted[top : top + square.rows, left : left + square.columns] = 51
    inner = square.back(painted)[:, height // 8 : -(height // 8) or None, width // 8 : -(width // 8) or None]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.2))


def test_a_view_as_large_as_the_square_is_left_as_it_is() -> None:
    view = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Square(64, 64, 64).shown(view), view)


def test_faint_masks_count_and_fainter_ones_do_not() -> None:
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 10:20, 10:20], masks[..., 40:50, 40:50] = 0.2, 0.05
    wanted = Square(64, 64, 64).wanted(masks, 0.0)
    assert int(wanted.sum()) == 100 and bool(wanted[0, 10:20, 10:20].all())


def test_a_mask_grows_by_its_share_in_all_directions() -> None:
    masks = torch.zeros(1, 1, 32, 64)
    masks[..., 16, 32] = 1.0
    wanted = Square(32, 64, 64).wanted(masks, 5 / 64)[0]  # the view lies in rows 16 to 48 of the square
    expected = torch.zeros(64, 64, dtype=torch.bool)
    expected[16 + 16 - 5 : 16 + 16 + 6, 32 - 5 : 32 + 6] = True
    assert torch.equal(wanted, expected)


def test_the_mask_file_is_transparent_where_the_model_may_paint() -> None:
    wanted = torch.zeros(16, 24, dtype=torch.bool)
    wanted[3:7, 5:9] = True
    image = Image.open(io.BytesIO(mask_png(wanted)))
    assert image.format == "PNG" and image.mode == "RGBA" and image.size == (24, 16)
    assert np.array_equal(np.asarray(image)[..., 3] == 0, wanted.numpy())


def test_pixels_survive_the_file() -> None:
    view = torch.arange(256).float()[None, None].expand(3, 4, -1)[..., :4] / 255
    below = torch.zeros(3, 4, 4)
    assert np.array_equal(decoded(picture_png(view), below), np.asarray((view * 255).byte().permute(1, 2, 0)))


def test_a_palette_with_a_transparent_colour_shows_what_is_beneath() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (4, 0, 8, 8))
    file = io.BytesIO()
    image.save(file, format="PNG", transparency=0)
    pixels = decoded(file.getvalue(), torch.full((3, 8, 8), 0.2))
    assert (pixels[:, :4] == 51).all() and (pixels[:, 4:] == (0, 255, 0)).all()


@pytest.mark.parametrize(("width", "height", "fits"), [(104, 100, True), (100, 104, True), (112, 100, False)])
def test_nearly_square_is_square(width: int, height: int, fits: bool) -> None:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, format="PNG")
    if fits:
        assert decoded(file.getvalue(), torch.zeros(3, 8, 8)).shape == (height, width, 3)
    else:
        with pytest.raises(UnusablePicture, match=f"{width}×{height} pixels, which is no square"):
            decoded(file.getvalue(), torch.zeros(3, 8, 8))
