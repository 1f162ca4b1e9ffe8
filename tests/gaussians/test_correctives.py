"""Correctives: weights of poses against a plain principal component analysis, corrected Gaussians against hand-moved ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatarkit.errors import InputError
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.carried import world_splats
from avatarkit.gaussians.correctives import LIMIT, PoseWeights, corrected, pose_weights
from avatarkit.gaussians.gaussians import CORRECTIVES, Gaussians
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.recon.density import prune, split_worst


def poses(steps: int = 40, expressions: int = 5) -> HeadParams:
    """Two expressions that move apart from each other, a third that moves a little, and a neck that turns."""
    random = np.random.default_rng(0)
    params = HeadParams.zeros(steps, 2, expressions)
    params.expr[:, 0] = torch.from_numpy(random.uniform(0, 1, steps))
    params.expr[:, 1] = torch.from_numpy(random.uniform(0, 0.5, steps))
    params.expr[:, 2] = torch.from_numpy(random.uniform(0, 0.1, steps))
    params.neck_pose[:, 1] = torch.from_numpy(random.normal(0, 0.02, steps))
    return params


def gaussians(count: int = 6, correctives: int = 3) -> Gaussians:
    random = torch.Generator().manual_seed(1)
    made = Gaussians.fresh(
        torch.randn(count, 3, generator=random), torch.randn(count, 3, generator=random) - 3.0, 0.6,
        torch.rand(count, 3, generator=random), torch.tensor([0, 1, -1, 1, -2, 0])[:count], sh_degree=1,
    ).with_correctives(correctives)  # fmt: skip
    for name in CORRECTIVES:
        setattr(made, name, 0.1 * torch.randn(count, 3, correctives, generator=random))
    return made


def found(params: HeadParams, count: int, steps: list[int] | None = None) -> PoseWeights:
    made = pose_weights(params, list(range(len(params))) if steps is None else steps, count)
    assert made is not None
    return made


def test_weights_are_uncorrelated_and_spread_by_how_much_their_component_moves() -> None:
    params = poses()
    weigh = found(params, 3)
    inside = replace(weigh, limits=torch.full((3,), 1e6))
    weights = inside(params).double().numpy()
    features = np.concatenate([params.expr.numpy(), 4.0 * params.neck_pose.numpy()], 1).astype(np.float64)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(features.T, bias=True))[::-1][:3])
    np.testing.assert_allclose(weights.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.cov(weights.T, bias=True), np.diag(spread / spread[0]), atol=2e-3)
    np.testing.assert_allclose(weigh.limits, LIMIT * np.sqrt(spread / spread[0]), rtol=2e-3)


def test_a_pose_beyond_those_that_were_seen_gets_the_last_ones_correction() -> None:
    weigh = found(poses(), 2)
    params = poses(2)
    params.expr[0, 0], params.expr[1, 0] = 1e3, -1e3
    weights = weigh(params)
    assert torch.equal(weights[:, 0].abs(), weigh.limits[:1].expand(2)) and weights[0, 0] == -weights[1, 0]


def test_where_the_world_is_turned_makes_no_difference() -> None:
    """A phone held upside down, or a world with z up: the turn of the skull counts beside its mean."""
    params = poses()
    params = replace(params, rotation=0.05 * torch.randn(40, 3, generator=torch.Generator().manual_seed(3)))
    world = Rotation.from_rotvec([2.9, 0.3, -0.4])
    turned = world * Rotation.from_rotvec(params.rotation.double().numpy())
    other = replace(params, rotation=torch.from_numpy(turned.as_rotvec()).float())
    # the mean turn is one of the world, which the feature takes out on the left: what is left is the same rotation
    torch.testing.assert_close(found(params, 4)(params).abs(), found(other, 4)(other).abs(), atol=1e-3, rtol=1e-3)


def test_a_timestep_has_the_same_weights_alone_and_among_others() -> None:
    params = poses()
    weigh = found(params, 4)
    assert torch.equal(torch.cat([weigh(params[t]) for t in range(40)]), weigh(params))


def test_there_are_no_more_than_the_poses_move_in_ways() -> None:
    assert len(found(poses(), 30)) == 4
    still = HeadParams.zeros(5, 2, 3)
    assert pose_weights(still, [0, 1, 2, 3, 4], 8) is None
    assert pose_weights(poses(), [0, 1, 2], 0) is None


def test_only_the_training_poses_say_what_components_are() -> None:
    params = poses()
    loud = replace(params, expr=params.expr.clone())
    loud.expr[30:, 4] = 50.0
    few = list(range(30))
    torch.testing.assert_close(found(params, 3, few).axes, found(loud, 3, few).axes)


def test_corrected_gaussians_are_those_that_were_moved_by_hand() -> None:
    here, weights = gaussians(), torch.tensor([0.5, -1.0, 2.0])
    sh = here.sh.clone()
    sh[:, 0] += torch.einsum("nck,k->nc", here.colour_correctives, weights)
    by_hand = replace(
        here, means=here.means + torch.einsum("nck,k->nc", here.mean_correctives, weights), sh=sh
    ).with_correctives(0)
    vertices = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    joints, faces = torch.eye(4).repeat(3, 1, 1), torch.tensor([[0, 1, 2], [1, 2, 3]])
    centre = torch.tensor([0.1, 0.2, 3.0])
    ours = pose_gaussians(here, vertices, joints, faces, camera_centre=centre, weights=weights[None])
    theirs = pose_gaussians(by_hand, vertices, joints, faces, camera_centre=centre)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert corrected(here, None) is here and corrected(by_hand, weights) is by_hand
    with pytest.raises(InputError, match="2 weights of a pose; these Gaussians have 3 correctives"):
        pose_gaussians(here, vertices, joints, faces, weights=torch.zeros(2))


def test_a_splat_has_the_colours_and_places_of_its_pose() -> None:
    here, weights = gaussians(), torch.tensor([[0.5, -1.0, 2.0]])
    faces = torch.tensor([[0, 1, 2], [1, 2, 3]])
    vertices = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(2))
    pose = HeadPose(vertices, torch.eye(4).repeat(1, 3, 1, 1), weights=weights)
    by_hand = corrected(here, weights).with_correctives(0)
    ours, theirs = (world_splats(given, pose, faces) for given in (here, by_hand))
    np.testing.assert_allclose(ours.sh, theirs.sh, rtol=1e-6)
    np.testing.assert_allclose(ours.means, theirs.means, rtol=1e-6)
    assert not np.allclose(ours.sh[:, 0], here.sh[:, 0], atol=1e-3)


def test_gradients_by_finite_differences() -> None:
    here, weights = gaussians(), torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    exact = Gaussians(**{n: v.double() if v.is_floating_point() else v for n, v in here.tensors().items()})
    target = torch.randn(6, 3, generator=torch.Generator().manual_seed(4)).double()

    def loss(mean: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
        made = corrected(replace(exact, mean_correctives=mean, colour_correctives=colour), weights)
        return ((made.means - target) ** 2).sum() + (made.sh[:, 0].sin() * target).sum()

    leaves = [getattr(exact, name).clone().requires_grad_(True) for name in CORRECTIVES]
    assert torch.autograd.gradcheck(loss, leaves)


def test_children_and_neighbours_keep_them() -> None:
    here = gaussians()
    split = split_worst(here, torch.tensor([0.0, 5.0, 0.0, 0.0, 0.0, 0.0]), 1, 6, np.random.default_rng(0)).gaussians
    for name in CORRECTIVES:
        assert torch.equal(getattr(split, name)[-2:], getattr(here, name)[[1, 1]])
        assert torch.equal(getattr(prune(here, torch.arange(6) > 3, 6).gaussians, name), getattr(here, name)[4:])
    hat = gaussians(2, 0)
    both = Gaussians.cat([here, hat])
    assert both.num_correctives == 3 and not both.mean_correctives[6:].any() and not both.colour_correctives[6:].any()
    assert torch.equal(both.mean_correctives[:6], here.mean_correctives)
