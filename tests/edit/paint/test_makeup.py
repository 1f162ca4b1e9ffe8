"""Makeup: the asked colour under the light that is there, at the right places of the face."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.stats import spearmanr
from torch import Tensor

from avatarkit.edit.paint.canvas import Canvas, canvas
from avatarkit.edit.paint.lids import lids_of_masks
from avatarkit.edit.paint.marks import face_map, marks
from avatarkit.losses.colour_difference import chroma, hue, hue_difference, lab, linear_from_srgb, luminance
from avatarkit.types import FloatArray

from .heads import SIZE, Head, restyle


def canvases(head: Head, region: str, *batch: int) -> list[Canvas]:
    mask = head.region(region)[:, 0].numpy()
    made = [
        canvas(head.views[k].permute(1, 2, 0).numpy(), mask[k], head.rest[k], head.correspondences.triangle[k].numpy())
        for k in batch
    ]
    return [one for one in made if one is not None]


def pixels(pictures: Tensor, where: Tensor) -> Tensor:
    """(B, 3, H, W) and (B, 1, H, W) bool → (N, 3)."""
    return pictures.permute(0, 2, 3, 1)[where[:, 0]]


@pytest.mark.parametrize("colour", ["#b3203a", "#3050c0", "#d96a2b", "#7a2a8f", "#1f8f3a"])
def test_lipstick_has_the_asked_hue_and_keeps_the_light(head: Head, colour: str) -> None:
    """Hue in CIELAB, which is another space than the painter's; order of luminance by ranks."""
    painted = head.paint(restyle("lipstick", "lips", colour=colour), "lips")
    lips = head.region("lips") > 0.95
    before, after = pixels(head.views, lips), pixels(painted, lips)
    red = lab(before)[:, 1] > 25  # lips, not the skin at their border
    asked = torch.tensor([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    found = lab(after[red]).median(0).values
    assert float(hue_difference(hue(found), hue(lab(asked)))) < 15
    assert float(chroma(found)) > 0.6 * float(chroma(lab(asked)))
    assert abs(float(found[0] - lab(asked)[0])) < 12
    order = spearmanr(luminance(linear_from_srgb(before[red])), luminance(linear_from_srgb(after[red]))).statistic
    assert order > 0.95


def test_a_highlight_on_lips_stays_a_highlight(head: Head) -> None:
    """A lamp's reflection added to the picture: brighter and paler than the paint around it, also afterwards."""
    spot = torch.from_numpy(head.disc(np.array([0.006, -0.049, 0.077]), 0.005).astype(np.float32))[:, None]
    lit = Head(torch.maximum(head.views, 0.93 * spot), *list(vars(head).values())[1:])
    painted = lit.paint(restyle("lipstick", "lips", colour="#8a0f2a"), "lips", batch=(0,))
    inside, around = (
        pixels(painted, spot[:1] > 0.7),
        pixels(painted, (head.region("lips")[:1] > 0.95) & (spot[:1] == 0)),
    )
    assert len(inside) >= 4
    glint, paint = lab(inside).median(0).values, lab(around).median(0).values
    assert glint[0] > paint[0] + 25 and chroma(glint) < 0.8 * chroma(paint)


def test_lipstick_on_the_whole_mouth_spares_what_is_no_lip(head: Head) -> None:
    """Teeth painted into the picture stay white."""
    teeth = torch.from_numpy(head.disc(np.array([0.0, -0.045, 0.078]), 0.004).astype(np.float32))[:, None] > 0.5
    shown = Head(torch.where(teeth, torch.tensor(0.92), head.views), *list(vars(head).values())[1:])
    painted = shown.paint(restyle("lipstick", "whole_mouth", colour="#3050c0"), "lips", batch=(0,))
    assert float((painted - shown.views[:1]).abs()[teeth[:1].expand(1, 3, SIZE, SIZE)].max()) < 0.05
    assert float((painted - shown.views[:1]).abs().amax()) > 0.2


def rim(head: Head) -> FloatArray:
    """(K, 3): skin of the neutral head along the mesh's own eye openings, upper and lower."""
    points = head.rest[(head.shows > 0) & (head.eyeball == 0) & (head.rest[..., 2] > 0.03)]
    balls = head.rest[head.eyeball > 0]
    return points[cKDTree(balls[:, :2]).query(points[:, :2])[0] < 0.0015]


def test_eyeshadow_fades_upwards_from_the_lashes_and_is_not_below_the_eye(head: Head) -> None:
    painted = head.paint(restyle("eyeshadow", "eyelids", colour="#6b4a7a"), "eyelids", batch=(0, 3))
    change = (painted - head.views[[0, 3]]).abs().mean(1).numpy()
    rest, mask = head.rest[[0, 3]], head.region("eyelids")[[0, 3], 0].numpy()
    middle = (np.abs(np.abs(rest[..., 0]) - 0.0315) < 0.006) & (mask > 0.9) & (rest[..., 2] > 0.03)
    height = rest[..., 1] - 0.0298
    bands = [change[middle & (height > low) & (height < low + 0.002)].mean() for low in (0.006, 0.008, 0.010, 0.012)]
    assert bands[0] > 0.05 and all(np.diff(bands) < 0)
    assert change[middle & (height < -0.007)].max() < 0.01


def test_eyeliner_is_a_thin_dark_line_at_the_edge_of_the_lids(head: Head) -> None:
    painted = head.paint(restyle("eyeliner", "eyelids", colour="#100c0c"), "eyelids", batch=(0,))
    darker = (head.views[:1] - painted).mean(1)[0].numpy()
    drawn = darker > 0.1
    away = cKDTree(rim(head)).query(head.rest[0][drawn])[0]
    assert drawn.sum() > 15
    assert np.quantile(away, 0.9) < 0.0035  # of 1.9 mm pixels
    assert drawn.sum() < 0.35 * (head.region("eyelids")[0] > 0.5).sum()
    share = (head.rest[0][drawn][:, 0] > 0).mean()
    assert 0.35 < share < 0.65  # both eyes


def test_a_blink_does_not_move_the_lash_lines(head: Head) -> None:
    """Views 0 and 1 have open eyes; view 3 has them shut."""
    open_eyes, both = lids_of_masks(canvases(head, "eyelids", 0)), lids_of_masks(canvases(head, "eyelids", 0, 3))
    assert len(open_eyes) == len(both) == 2
    for one, other in zip(open_eyes, both, strict=True):
        assert np.hypot(one.x - other.x, one.y - other.y) < 0.0012
        assert abs(one.half_width - other.half_width) < 0.0015 and abs(one.upper - other.upper) < 0.0012
        assert one.side == np.sign(one.x)


def test_a_mask_without_a_hole_is_an_upper_lid(head: Head) -> None:
    """Its lower edge is the lash line."""
    lid = head.region("eyelids") * torch.from_numpy((head.rest[..., 1] > 0.036).astype(np.float32))[:, None]
    painted = head.paint(restyle("eyeliner", "eyelids"), lid, batch=(0,))
    drawn = (head.views[:1] - painted).mean(1)[0].numpy() > 0.08
    height = head.rest[0][drawn][:, 1]
    assert drawn.sum() > 5 and np.quantile(height, 0.9) < 0.0405


def test_blush_is_round_and_soft(head: Head) -> None:
    painted = head.paint(restyle("blush", "cheeks"), "cheeks")
    redder = (lab(painted.permute(0, 2, 3, 1)) - lab(head.views.permute(0, 2, 3, 1)))[..., 1].numpy()
    cheek = head.rest[(head.region("cheeks")[:, 0].numpy() > 0.5) & (head.rest[..., 0] > 0)].mean(0)
    away = np.linalg.norm(head.rest - cheek, axis=-1)
    inside = (head.region("cheeks")[:, 0].numpy() > 0.95) & (head.rest[..., 0] > 0)
    rings = [redder[inside & (away > low) & (away < low + 0.003)].mean() for low in (0.0, 0.005, 0.010, 0.014)]
    assert rings[0] > 4 and all(np.diff(rings) < 0) and rings[-1] < 0.6 * rings[0]


def test_makeup_on_a_face_finds_lips_lids_and_cheeks(head: Head) -> None:
    change = (head.paint(restyle("makeup", "face"), "face") - head.views).abs().mean(1).numpy()
    x, y, z = (head.rest[..., k] for k in range(3))
    places = {
        "lips": np.hypot(x / 0.018, (y + 0.046) / 0.006) < 1,
        "lids": (np.hypot((np.abs(x) - 0.0315) / 0.010, (y - 0.039) / 0.003) < 1) & (head.eyeball == 0),
        "cheeks": np.hypot((np.abs(x) - 0.039) / 0.008, (y + 0.008) / 0.008) < 1,
        "forehead": (y > 0.065) & (y < 0.08), "chin": (y < -0.068) & (y > -0.08), "nose": (np.abs(x) < 0.006) & (np.abs(y) < 0.01),
    }  # fmt: skip
    seen = {name: float(change[place & (z > 0.03) & (head.shows > 0)].mean()) for name, place in places.items()}
    assert min(seen["lips"], seen["lids"]) > 0.05 and seen["cheeks"] > 0.02
    assert max(seen["forehead"], seen["chin"], seen["nose"]) < 0.012


@pytest.mark.parametrize("batch", [(0,), (0, 1), (2, 3), (0, 1, 2, 3)])
def test_eyes_and_mouth_are_found_by_colour(head: Head, batch: tuple[int, ...]) -> None:
    """The head of ``heads`` has eyes at (±31.5, 30) mm and lips at (0, −45) mm."""
    face = face_map(canvases(head, "face", *batch))
    assert face is not None
    found = marks(face)
    for eye, side in zip(found.eyes, (1, -1), strict=True):
        assert np.hypot(eye.x - side * 0.0315, eye.y - 0.030) < 0.003
        assert eye.half_width == pytest.approx(0.0128, abs=0.003)
    assert found.mouth.found and np.hypot(found.mouth.x, found.mouth.y + 0.045) < 0.003
    assert found.lips[1] > found.skin[1] + 0.04
    assert found.skin[0] == pytest.approx(0.77, abs=0.05)


def test_without_lips_the_mouth_is_where_mouths_are(head: Head) -> None:
    """A head of one colour: nothing is found, and the usual places are told as such."""
    plain = Head(torch.full_like(head.views, 0.6), *list(vars(head).values())[1:])
    face = face_map(canvases(plain, "face", 0, 1))
    assert face is not None
    found = marks(face)
    assert not found.mouth.found and found.mouth.y == pytest.approx(-0.045, abs=0.003)
    assert [eye.found for eye in found.eyes] == [False, False]
