"""What editors do wrong is taken back or refused; what they do right gets through."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from avatarkit.edit.config import EditConfig
from avatarkit.edit.gate import NO_CHANGE, Judged, agreed, composited, judge
from avatarkit.edit.keyframes import Keyframe, keyframe
from avatarkit.edit.region import Located
from avatarkit.edit.registration import Registration
from avatarkit.edit.scene import Scene
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import camera_at, render_view
from avatarkit.synthetic.subject import neutral

SIDE = 192
CONFIG = EditConfig()
ROWS, COLUMNS = slice(15, 65), slice(50, 140)  # the region: hair and forehead


@pytest.fixture(scope="module")
def source() -> Tensor:
    view = render_view(Appearance(hair_style="short"), neutral(), camera_at(0.3, 0.0, SIDE, SIDE), samples=2)
    return torch.from_numpy(view.rgb.copy()).permute(2, 0, 1).float() / 255.0


@pytest.fixture(scope="module")
def frame(source: Tensor, scene: Scene) -> Keyframe:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, ROWS, COLUMNS] = 1.0
    return Keyframe(scene.place(0, 0), mask, source)


def edited(source: Tensor) -> Tensor:
    result = source.clone()
    result[:, ROWS, COLUMNS] *= torch.tensor([0.3, 0.9, 0.4])[:, None, None]
    return result


def moved(picture: Tensor, dx: float, dy: float, zoom: float) -> Tensor:
    at = torch.arange(SIDE) + 0.5 - SIDE / 2
    grid = torch.stack(torch.meshgrid((at - dy) / zoom, (at - dx) / zoom, indexing="ij")[::-1], -1)
    found = grid_sample(
        picture[None], grid[None] / (SIDE / 2), mode="bicubic", padding_mode="border", align_corners=False
    )
    return found[0].clamp(0, 1)


@pytest.mark.parametrize(("dx", "dy", "zoom"), [(0.0, 0.0, 1.0), (4.0, -3.0, 1.0), (0.0, 2.0, 1.03)])
def test_a_shifted_or_zoomed_edit_is_laid_over_its_source(
    frame: Keyframe, source: Tensor, dx: float, dy: float, zoom: float
) -> None:
    wanted = edited(source)
    got = moved(wanted, dx, dy, zoom) if (dx, dy, zoom) != (0.0, 0.0, 1.0) else wanted
    judged = judge(frame, got, CONFIG)
    assert judged.accepted and judged.reason == "" and judged.outside < 0.005
    assert judged.registration.shift == pytest.approx((dx, dy), abs=0.4)
    assert judged.registration.zoom == pytest.approx(zoom, abs=0.004)
    core = (slice(None), slice(19, 61), slice(54, 136))
    assert float((judged.view - wanted)[core].abs().mean()) < 0.012
    far = torch.nn.functional.max_pool2d(frame.mask[None], 9, 1, 4)[0, 0] == 0
    assert torch.equal(judged.view[:, far], source[:, far])  # to the bit


def test_where_a_thing_arrives_belongs_to_the_region(frame: Keyframe, source: Tensor) -> None:
    """A patch goes from the mask to 60 pixels below it: 0.3125 of the height."""
    moved_patch = source.clone()
    moved_patch[:, 75:125, 50:140] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    there = judge(frame, moved_patch, CONFIG, (0.0, 60 / SIDE))
    assert there.accepted and there.outside == 0.0
    assert torch.allclose(there.view[:, 80:120, 55:135], moved_patch[:, 80:120, 55:135], atol=0.02)
    assert torch.equal(there.keyframe.mask[0, 75:125], frame.mask[0, 15:65])
    stays = judge(frame, moved_patch, CONFIG)
    assert not stays.accepted and torch.equal(stays.keyframe.mask, frame.mask)
    for x, y in ((1.5, 0.0), (-1.5, -2.0)):  # out of the picture
        assert torch.equal(judge(frame, source, CONFIG, (x, y)).keyframe.mask, frame.mask)


def test_a_correction_is_held_against_what_it_was_given_and_laid_over_what_was_before(
    frame: Keyframe, source: Tensor
) -> None:
    """What the attempt before spoilt outside the region is no fault of the correction, and is not learnt from it."""
    failed = edited(source)
    failed[:, 150:180] = torch.tensor([0.1, 0.8, 0.1])[:, None, None]
    mended = failed.clone()
    mended[:, ROWS, COLUMNS] = torch.tensor([0.2, 0.2, 0.9])[:, None, None]
    judged = judge(replace(frame, failed=failed), mended, CONFIG)
    assert judged.accepted and judged.outside < 0.005
    assert torch.equal(judged.view[:, 150:180], source[:, 150:180])
    assert not judge(frame, mended, CONFIG).accepted


def test_the_seam_is_soft_and_lies_between_the_two(frame: Keyframe, source: Tensor) -> None:
    wanted = edited(source)
    view = composited(source, wanted, frame.mask, 0.02)
    everywhere = composited(torch.zeros(3, SIDE, SIDE), torch.ones(3, SIDE, SIDE), frame.mask, 0.02)[0, 40]
    across = everywhere[44:58]  # the mask begins at 50; 0.02 of 192 pixels are 4
    assert torch.allclose(across, torch.tensor([0, 0, *(k / 9 for k in range(1, 9)), 1, 1, 1, 1]), atol=1e-6)
    low, high = torch.minimum(source, wanted), torch.maximum(source, wanted)
    assert bool((view >= low - 1e-6).all()) and bool((view <= high + 1e-6).all())


def test_what_changes_far_away_on_over_two_percent_of_the_picture_is_refused(frame: Keyframe, source: Tensor) -> None:
    small, large = edited(source), edited(source)
    small[:, 120:136, 80:96] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]  # 0.7 %
    large[:, 110:146, 70:106] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]  # 3.5 %
    fine, wrong = judge(frame, small, CONFIG), judge(frame, large, CONFIG)
    assert fine.accepted and 0.004 < fine.outside < 0.01
    assert torch.equal(fine.view[:, 110:], source[:, 110:]), "what spills a little is not learnt"
    assert not wrong.accepted and 0.03 < wrong.outside < 0.04
    assert wrong.reason.endswith("% of the picture changed far from the region")
    assert judge(frame, large, replace(CONFIG, outside_share=0.05)).accepted


def test_what_runs_over_the_edge_is_cut_off_and_not_refused(frame: Keyframe, source: Tensor) -> None:
    spilt = source.clone()
    spilt[:, 5:80, 35:155] = torch.tensor([0.1, 0.9, 0.2])[
        :, None, None
    ]  # up to 15 pixels beyond the mask, 12 % of the picture
    judged = judge(frame, spilt, CONFIG)
    assert judged.accepted and judged.outside < 0.005
    assert torch.equal(judged.view[:, 70:], source[:, 70:]) and torch.equal(judged.view[..., :44], source[..., :44])
    strict = judge(frame, spilt, replace(CONFIG, spill=0.0))
    assert not strict.accepted and strict.outside > 0.05


def test_a_view_without_the_edit_is_refused(frame: Keyframe, source: Tensor) -> None:
    judged = judge(frame, source.clone(), CONFIG)
    assert not judged.accepted and judged.reason == NO_CHANGE and judged.inside == 0.0
    empty = judge(replace(frame, mask=torch.zeros(1, SIDE, SIDE)), source.clone(), CONFIG)
    assert not empty.accepted


def test_without_the_gate_everything_is_taken_as_it_is(frame: Keyframe, source: Tensor) -> None:
    wrong = moved(edited(source), 9.0, 0.0, 1.1)
    judged = judge(frame, wrong, replace(CONFIG, gate=False))
    assert judged.accepted and torch.equal(judged.view, wrong)


def painted(scene: Scene, hair: Located, colours: list[tuple[float, float, float]]) -> list[Judged]:
    found = []
    for place, colour in zip(scene.places()[: len(colours)], colours, strict=True):
        frame = keyframe(scene, hair, place)
        view = frame.source + frame.mask * (torch.tensor(colour)[:, None, None] - frame.source)
        found.append(Judged(frame, view, Registration(), True, "", 0.0, 20.0))
    return found


def test_one_bad_view_of_several_is_refused(scene: Scene, hair: Located) -> None:
    green, red = (0.1, 0.8, 0.2), (0.9, 0.1, 0.2)
    result = agreed(scene, painted(scene, hair, [green, green, red, green, green]), CONFIG)
    assert [view.accepted for view in result] == [True, True, False, True, True]
    assert result[2].reason == "it disagrees with the other views"
    assert result[2].disagreement > 5 * max(view.disagreement for i, view in enumerate(result) if i != 2)


def test_two_views_cannot_outvote_each_other(scene: Scene, hair: Located) -> None:
    views = painted(scene, hair, [(0.1, 0.8, 0.2), (0.9, 0.1, 0.2)])
    assert all(view.accepted for view in agreed(scene, views, CONFIG))


def test_views_that_agree_are_all_kept(scene: Scene, hair: Located) -> None:
    views = painted(scene, hair, [(0.1, 0.8, 0.2)] * 4)
    views[3] = replace(views[3], accepted=False, reason="another one")
    result = agreed(scene, views, CONFIG)
    assert [view.accepted for view in result] == [True, True, True, False] and result[3].reason == "another one"
