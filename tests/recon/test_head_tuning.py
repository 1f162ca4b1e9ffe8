"""Head parameters move by the gradients that were gathered, and the cache of posed heads follows."""

from __future__ import annotations

import pytest
import torch

from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.recon import head_tuning
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.head_tuning import HeadState


class Points:
    """A head of four vertices: expression moves them along fixed directions, translation moves all."""

    def __init__(self) -> None:
        self.basis = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))

    def pose(self, params: HeadParams) -> HeadPose:
        moved = torch.einsum("te,evc->tvc", params.expr, self.basis) + params.translation[:, None]
        joints = torch.eye(4).repeat(len(params), 1, 1, 1)
        joints = torch.cat(
            [joints[..., :3], torch.cat([params.translation, torch.ones(len(params), 1)], 1)[:, None, :, None]], -1
        )
        return HeadPose(moved, joints)


def fit(steps: int, **changes: float) -> tuple[HeadState, HeadParams, Points]:
    """Pull a state towards known parameters by gradients of ½‖vertices − truth‖² at three of five timesteps."""
    head, truth = Points(), HeadParams.zeros(5, 1, 2)
    truth.expr.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    truth.translation.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(2))
    target = head.pose(truth).vertices
    config = ReconConfig(**({"lr_expr": 0.05, "lr_translation": 0.01, "lr_shape": 0.0, "lr_pose": 0.0} | changes))  # type: ignore[arg-type]
    state = HeadState.start(HeadParams.zeros(5, 1, 2), head)  # type: ignore[arg-type]
    for i in range(steps):
        for timestep in (0, 2, 3):
            state.gather(timestep, state.pose.vertices[timestep] - target[timestep], None)
        head_tuning.update(state, head, config, 0.5 ** (i / 100))  # type: ignore[arg-type]
    return state, truth, head


def test_touched_timesteps_reach_the_truth_and_others_stay() -> None:
    state, truth, head = fit(1000)
    torch.testing.assert_close(state.params.expr[[0, 2, 3]], truth.expr[[0, 2, 3]], atol=2e-3, rtol=0)
    torch.testing.assert_close(state.params.translation[[0, 2, 3]], truth.translation[[0, 2, 3]], atol=2e-3, rtol=0)
    assert (state.params.expr[[1, 4]] == 0).all()
    torch.testing.assert_close(state.pose.vertices, head.pose(state.params).vertices)
    assert not state.touched.any()
    assert (state.vertex_gradient == 0).all()


def test_rates_of_zero_hold_parameters() -> None:
    state, _, _ = fit(20, lr_translation=0.0)
    assert (state.params.translation == 0).all()
    assert (state.params.expr[0] != 0).all()


def test_the_smoothness_gradient_is_that_of_its_energy() -> None:
    value = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    rows = torch.tensor([0, 2, 4, 5])
    found = head_tuning.roughness(value.detach(), rows)
    for i, row in enumerate(rows.tolist()):
        if 0 < row < 5:
            energy = 0.5 * ((value[row] - 0.5 * (value[row - 1] + value[row + 1]).detach()) ** 2).sum()
            (gradient,) = torch.autograd.grad(energy, value)
            torch.testing.assert_close(found[i], gradient[row])
        else:
            assert (found[i] == 0).all()


def test_nothing_is_smooth_from_one_clip_to_the_next() -> None:
    value = torch.tensor([[0.0], [1.0], [0.0], [5.0], [9.0], [5.0]])
    rows, clips = torch.arange(6), torch.tensor([0, 0, 0, 1, 1, 1])
    found = head_tuning.roughness(value, rows, clips)
    torch.testing.assert_close(found[:, 0], torch.tensor([0.0, 1.0, 0.0, 0.0, 4.0, 0.0]))
    assert head_tuning.roughness(value, rows)[:, 0].tolist() != found[:, 0].tolist()


def test_smoothness_is_told_for_the_log() -> None:
    head, config = Points(), ReconConfig(smooth=0.5, lr_expr=0.05, lr_translation=0.0, lr_shape=0.0, lr_pose=0.0)
    params = HeadParams.zeros(5, 1, 2)
    params.expr[2] = 1.0
    state = HeadState.start(params, head)  # type: ignore[arg-type]
    for timestep in range(5):
        state.gather(timestep, torch.zeros(4, 3), None)
    # two expressions: 1 in the middle, half of it beside, squared and halved, over five timesteps; others do not move
    assert head_tuning.update(state, head, config, 1.0) == {"smooth": pytest.approx(0.5 * 2 * (1.0 + 0.25 + 0.25) / 5)}  # type: ignore[arg-type]
    assert head_tuning.update(state, head, config, 1.0) == {}, "nothing was touched"  # type: ignore[arg-type]
