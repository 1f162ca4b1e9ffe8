"""Region masks of a FLAME-topology head against where its landmarks are."""

from __future__ import annotations

import pytest
import torch

from avatarkit.head.flame import FlameModel
from avatarkit.head.regions import REGIONS

# MediaPipe's landmarks (subject's right: small numbers) whose nearest vertices must be in a region.
LANDMARKS = {
    "r_brow": (52, 65, 105), "l_brow": (282, 295, 334), "r_eye_region": (159, 145, 33), "l_eye_region": (386, 374, 263),
    "nose": (4, 5, 195, 197), "u_lip": (0, 37, 267, 40, 270), "l_lip": (17, 84, 314, 91, 321),
}  # fmt: skip


@pytest.fixture(scope="module")
def toothed(open_flame: FlameModel) -> FlameModel:
    return open_flame.with_teeth()


def test_every_region_is_a_mask_with_something_in_it(toothed: FlameModel) -> None:
    assert set(toothed.regions) == set(REGIONS)
    for name, mask in toothed.regions.items():
        assert mask.shape == (5143,) and mask.dtype == torch.float32
        assert set(mask.unique().tolist()) == {0.0, 1.0}, name
        assert mask.sum() >= 15, name


@pytest.mark.parametrize("name", sorted(LANDMARKS))
def test_landmarks_lie_in_their_regions(open_flame: FlameModel, name: str) -> None:
    assert open_flame.landmarks is not None
    points = open_flame.landmarks.points(open_flame.template, open_flame.faces)
    for index in LANDMARKS[name]:
        point = points[open_flame.landmarks.indices == index][0]
        nearest = (open_flame.template[:3931] - point).norm(dim=1).argsort()[:4]  # the skin, not the eyeballs
        assert open_flame.regions[name][nearest].any(), index


def test_sides_mirror(open_flame: FlameModel) -> None:
    """Each right region is the left one's mirror image, within a few of its vertices."""
    for part in ("eye", "eye_region", "brow", "ear"):
        left, right = (open_flame.template[open_flame.regions[f"{side}_{part}"] > 0] for side in "lr")
        assert left[:, 0].min() > 0 > right[:, 0].max()
        away = torch.cdist(left * torch.tensor([-1.0, 1, 1]), right).min(1).values
        assert away.quantile(0.9) < 0.005, part


def test_parts_exclude_each_other_and_cover_the_skin(toothed: FlameModel) -> None:
    outside = ("face", "scalp", "l_ear", "r_ear", "neck", "boundary", "mouth", "l_eye", "r_eye")
    count = sum(toothed.regions[name] for name in outside)
    assert torch.equal(count, torch.ones(5143))
    u_lip, l_lip = toothed.regions["u_lip"], toothed.regions["l_lip"]
    assert torch.equal(u_lip + l_lip, toothed.regions["lips"])
    lid_and_brow = toothed.regions["l_brow"] * toothed.regions["l_eye_region"]
    assert not lid_and_brow.any()


def test_order_from_top_to_bottom(toothed: FlameModel) -> None:
    names = ("scalp", "forehead", "l_brow", "l_eye", "nose", "u_lip", "l_lip", "jaw", "neck", "boundary")
    heights = [toothed.template[toothed.regions[name] > 0, 1].mean().item() for name in names]
    nose = heights.pop(4)
    jaw = heights.pop(6)
    assert heights == sorted(heights, reverse=True)
    assert heights[3] > nose > heights[4]
    assert heights[4] > jaw > heights[-2]


def test_expression_moves_what_it_is_named_for(open_flame: FlameModel) -> None:
    """The support of ARKit modes, which the regions were not made from."""
    modes = open_flame.rig.motion_basis[:51].view(51, 3, -1).norm(dim=1)
    for mode, region in (
        ("eyeBlinkLeft", "l_eye_region"), ("eyeBlinkRight", "r_eye_region"), ("browDownLeft", "l_brow"),
        ("browDownRight", "r_brow"), ("mouthUpperUpLeft", "u_lip"), ("mouthLowerDownRight", "l_lip"),
    ):  # fmt: skip
        motion = modes[open_flame.expr_names.index(mode)]
        inside, overall = motion[open_flame.regions[region] > 0].mean(), motion.mean()
        assert inside > 5 * overall, (mode, region)
