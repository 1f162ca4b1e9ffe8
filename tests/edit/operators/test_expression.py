"""Weights of expression, added to the motion at every timestep and kept within what faces do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from avatarkit.edit.operators import expression
from avatarkit.edit.plan import Weight
from avatarkit.edit.region import Located
from avatarkit.errors import InputError
from avatarkit.head.arkit import ExpressionMap
from avatarkit.head.arkit_names import ARKIT_NAMES
from avatarkit.head.parameters import HeadParams

from ..labelled import Labelled, carried_out, operation, posed

SMILE = (Weight("mouthSmileLeft", 0.7), Weight("mouthSmileRight", 0.7))


def column(which: Labelled, name: str) -> int:
    return list(which.scene.head.expr_names).index(name)


def test_weights_are_added_and_clamped_at_every_time(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("expression", "face", weights=SMILE))
    old, new = bare.avatar.motion.expr, after.avatar.motion.expr
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        torch.testing.assert_close(new[:, column(bare, name)], torch.tensor([0.7, 1.0, 0.7, 0.7]))
    others = [i for i, name in enumerate(bare.scene.head.expr_names) if "Smile" not in name]
    assert torch.equal(new[:, others], old[:, others])
    assert torch.equal(after.avatar.gaussians.means, bare.avatar.gaussians.means)
    assert torch.equal(after.avatar.motion.jaw_pose, bare.avatar.motion.jaw_pose)


@pytest.mark.parametrize("timestep", [0, 2, 3])
def test_a_smile_lifts_the_corners_of_the_mouth(bare: Labelled, timestep: int) -> None:
    after = carried_out(bare.scene, operation("expression", "face", weights=SMILE))
    lips = bare.of("u_lip", "l_lip")
    corners = lips & (bare.rest[:, 0].abs() > 0.020)
    turn = bare.scene.pose(timestep).joints[0, 1, :3, :3]
    shift = (posed(after, timestep).means - posed(bare.scene, timestep).means) @ turn
    assert float(shift[corners][:, 1].median()) > 0.002
    assert float(shift[bare.of("hair", "cloth", "l_ear")].norm(dim=1).max()) < 1e-3


def test_a_negative_weight_ends_at_nothing(bare: Labelled) -> None:
    after = carried_out(
        bare.scene, operation("expression", "face", weights=(Weight("mouthSmileLeft", -1.0), Weight("jawOpen", -0.3)))
    )
    assert float(after.avatar.motion.expr[:, column(bare, "mouthSmileLeft")].abs().max()) == 0.0
    torch.testing.assert_close(after.avatar.motion.expr[:, column(bare, "jawOpen")], torch.tensor([0.0, 0.0, 0.4, 0.0]))


def test_what_went_beyond_the_range_before_keeps_its_range(bare: Labelled) -> None:
    """Tuned motion may exceed 1; adding to another timestep does not cut it off."""
    expr = bare.avatar.motion.expr.clone()
    at = column(bare, "mouthSmileLeft")
    expr[1, at] = 1.2
    scene = bare.scene.with_avatar(replace(bare.avatar, motion=replace(bare.avatar.motion, expr=expr)))
    after = carried_out(scene, operation("expression", "face", weights=SMILE))
    torch.testing.assert_close(after.avatar.motion.expr[:, at], torch.tensor([0.7, 1.2, 0.7, 0.7]))


def test_strength_scales_the_weights(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("expression", "face", strength=0.5, weights=SMILE))
    assert float(after.avatar.motion.expr[0, column(bare, "mouthSmileLeft")]) == pytest.approx(0.35)


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_every_name_of_arkit_moves_something(bare: Labelled, name: str) -> None:
    after = carried_out(bare.scene, operation("expression", "face", weights=(Weight(name, 0.6),)))
    first, second = bare.avatar.motion, after.avatar.motion
    moved = (
        (first.expr != second.expr).any(1)
        | (first.jaw_pose != second.jaw_pose).any(1)
        | (first.eyes_pose != second.eyes_pose).any(1)
    )
    assert bool(moved[0])


LIKE_FLAME = ExpressionMap(
    ("jawOpen", "mouthSmileLeft"), torch.tensor([[0.0, 0.8], [0.0, -0.3], [0.1, 0.0]]),
    torch.tensor([[0.35, 0.0], [0.0, 0.0], [0.0, 0.0]]), torch.zeros(6, 2),
)  # fmt: skip
"""What two of ARKit's weights do on a head whose three modes have no names and whose mouth opens by its jaw joint."""


@pytest.fixture
def expressed(bare: Labelled, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HeadParams]:
    """``expressed(motion, weight, …)``: the motion of such a head after they were added."""
    monkeypatch.setattr(expression, "fit_named_expressions", lambda head: LIKE_FLAME)
    head = SimpleNamespace(name="flame", expr_names=("", "", ""))

    def made(motion: HeadParams, *weights: Weight) -> HeadParams:
        scene = SimpleNamespace(head=head, avatar=replace(bare.avatar, motion=motion))
        asked = operation("expression", "face", weights=weights)
        return expression.express(scene, asked, Located(torch.zeros(0), torch.zeros(3))).motion  # type: ignore[arg-type]

    return made


def test_no_jaw_closes_beyond_shut(expressed: Callable[..., HeadParams]) -> None:
    motion = HeadParams.zeros(4, 0, 3)
    motion.jaw_pose[:, 0] = torch.tensor([0.3, 0.02, 0.0, 0.0])
    closed = expressed(motion, Weight("jawOpen", -0.5)).jaw_pose[:, 0]
    assert closed.tolist() == pytest.approx([0.125, 0.0, 0.0, 0.0])
    motion.jaw_pose[2:, 0] = -0.03  # a tracker's idea of shut
    closed = expressed(motion, Weight("jawOpen", -0.5)).jaw_pose[:, 0]
    assert closed.tolist() == pytest.approx([0.125, -0.03, -0.03, -0.03])
    opened = expressed(motion, Weight("jawOpen", 0.5)).jaw_pose[:, 0]
    assert opened.tolist() == pytest.approx([0.3 + 0.0875, 0.02 + 0.175, -0.03 + 0.175, -0.03 + 0.175])


def test_modes_without_names_keep_near_the_motions_range(expressed: Callable[..., HeadParams]) -> None:
    smile, asked = Weight("mouthSmileLeft", 1.0), LIKE_FLAME.expr[:, 1]
    still = HeadParams.zeros(4, 0, 3)
    torch.testing.assert_close(expressed(still, smile).expr, asked.expand(4, -1))
    laughing = replace(still, expr=torch.stack([2.0 * asked, asked, 0.0 * asked, 0.0 * asked]))
    after = expressed(laughing, smile).expr
    torch.testing.assert_close(after, torch.stack([2.5 * asked, 2.0 * asked, asked, asked]))


def test_a_head_that_cannot_says_so(bare: Labelled) -> None:
    with pytest.raises(InputError, match="cannot show grin"):
        carried_out(bare.scene, operation("expression", "face", weights=(Weight("grin", 0.6),)))
