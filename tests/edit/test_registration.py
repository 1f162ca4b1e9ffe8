"""Known shifts, zooms and tints of a drawn subject are found and taken back, while the region itself changes."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import grid_sample

from avatarkit.edit.registration import aligned, register
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import camera_at, render_view
from avatarkit.synthetic.subject import neutral

SIDE = 256


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    view = render_view(Appearance(hair_style="short"), neutral(), camera_at(0.3, 0.0, SIDE, SIDE), samples=2)
    return torch.from_numpy(view.rgb.copy()).permute(2, 0, 1).float() / 255.0


def moved(picture: torch.Tensor, dx: float, dy: float, zoom: float) -> torch.Tensor:
    """What lies at p in ``picture`` lies at zoom·p + (dx, dy) in the result, about the middle, in pixels."""
    at = torch.arange(SIDE) + 0.5 - SIDE / 2
    x, y = (at - dx) / zoom, (at - dy) / zoom
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1) / (SIDE / 2)
    return grid_sample(picture[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False)[0].clamp(
        0, 1
    )


def outside() -> torch.Tensor:
    mask = torch.ones(1, SIDE, SIDE)
    mask[:, 20:90, 70:190] = 0.0  # the region: hair and forehead
    return mask


CASES = [(0.0, 0.0, 1.0), (3.0, -2.0, 1.0), (0.0, 0.0, 1.04), (-5.0, 4.0, 0.97), (11.0, 0.0, 1.0), (2.5, 1.5, 1.02)]


@pytest.mark.parametrize(("dx", "dy", "zoom"), CASES)
def test_shift_and_zoom_are_found(picture: torch.Tensor, dx: float, dy: float, zoom: float) -> None:
    edited = picture.clone()
    edited[:, 20:90, 70:190] *= torch.tensor([0.3, 0.9, 0.4])[:, None, None]  # the edit itself
    found = register(picture, moved(edited, dx, dy, zoom), outside())
    assert found.zoom == pytest.approx(zoom, abs=0.003)
    assert found.shift[0] == pytest.approx(dx, abs=0.35) and found.shift[1] == pytest.approx(dy, abs=0.35)
    back = aligned(moved(edited, dx, dy, zoom), found)
    inner = slice(20, SIDE - 20)
    assert float((back - edited)[:, inner, inner].abs().mean()) < 0.008  # of two resamplings


def test_a_tint_is_taken_back(picture: torch.Tensor) -> None:
    gain, offset = torch.tensor([1.15, 0.9, 1.0])[:, None, None], torch.tensor([-0.02, 0.03, 0.0])[:, None, None]
    tinted = (picture * gain + offset).clamp(0, 1)
    found = register(picture, tinted, outside())
    kept = (tinted > 0.01) & (tinted < 0.99)
    assert float((aligned(tinted, found) - picture)[kept].abs().mean()) < 0.01
    assert found.gain[0] > 1.05 > 0.97 > found.gain[1]


def test_another_picture_is_no_tint(picture: torch.Tensor) -> None:
    found = register(picture, torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)), outside())
    assert found.gain == (1.0, 1.0, 1.0)


def test_nothing_to_register_by(picture: torch.Tensor) -> None:
    found = register(picture, moved(picture, 5.0, 0.0, 1.0), torch.zeros(1, SIDE, SIDE))
    assert found.shift == (0.0, 0.0) and found.zoom == 1.0
