"""Depth's spread along a ray against a closed form, what takes part, and that gradients bring Gaussians together."""

from __future__ import annotations

import pytest
import torch

from avatarkit.cameras import Cameras
from avatarkit.gaussians.binding import Posed
from avatarkit.losses.depth_spread import FREE, MOST, TOLERANCE, UNIT, depth_features, depth_spread_loss
from avatarkit.render.cpu import CpuRasterizer

SIDE = 24
CAMERA = Cameras(torch.eye(4)[None], torch.tensor([[[40.0, 0, 12.0], [0, 40.0, 12.0], [0, 0, 1.0]]]), SIDE, SIDE)
# A wall at 1 m that faces the camera, counterclockwise from there (y is down), and one that is seen edge-on
VERTICES = torch.tensor([[-1.0, -1, 1], [-1, 1, 1], [1, -1, 1], [0, -1, 1.0], [0, 1, 1.0], [0, 0, 3.0]])
FACES = torch.tensor([[0, 1, 2], [3, 4, 5]])


def posed(depths: list[float], opacities: list[float]) -> Posed:
    """Broad Gaussians, one behind the other."""
    count = len(depths)
    means = torch.tensor([[0.0, 0.0, depth] for depth in depths], requires_grad=True)
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1)
    scales = torch.tensor([[30.0, 30.0, 1e-4]]).repeat(count, 1)
    return Posed(means, quats, scales, torch.tensor(opacities, requires_grad=True), torch.rand(count, 3))


def spread(where: Posed, binding: list[int]) -> torch.Tensor:
    features = depth_features(where, torch.tensor(binding), VERTICES, FACES, CAMERA)
    render = CpuRasterizer().render(
        where.means, where.quats, where.scales, where.opacities, features, CAMERA, background=torch.zeros(3)
    )
    return depth_spread_loss(render.features, render.alpha)


def test_two_layers_are_as_far_apart_as_a_variance_says() -> None:
    """0.6 of the pixel at 1 m and 0.4·0.95 at 1.01 m."""
    weights = torch.tensor([0.6, 0.4 * 0.95])
    share = weights / weights.sum()
    sigma = float((share[0] * share[1]).sqrt()) * 1.0  # centimetres; a pixel counts as far as it is opaque
    found = float(spread(posed([1.0, 1.01], [0.6, 0.95]), [0, 0]).detach())
    assert found == pytest.approx(0.98 * (sigma - TOLERANCE), rel=2e-3)


def test_one_layer_and_what_is_as_thin_as_skin_costs_nothing() -> None:
    assert float(spread(posed([1.0, 1.0], [0.6, 0.95]), [0, 0]).detach()) == 0.0
    assert float(spread(posed([1.0, 1.003], [0.6, 0.95]), [0, 0]).detach()) == 0.0


def test_what_turns_away_does_not_count_and_free_ones_count_less() -> None:
    layers = [1.0, 1.02], [0.6, 0.95]
    bound = float(spread(posed(*layers), [0, 0]).detach())
    assert bound > 0.5
    assert float(spread(posed(*layers), [1, 1]).detach()) == 0.0
    # what a pixel counts is blended, too: with its alpha of 0.98
    assert float(spread(posed(*layers), [-1, -1]).detach()) == pytest.approx(FREE * bound, rel=1e-3)


def test_a_pixel_that_the_wall_shows_through_does_not_count_and_the_farthest_have_a_limit() -> None:
    assert float(spread(posed([1.0, 1.02], [0.3, 0.3]), [0, 0]).detach()) == 0.0
    far = spread(posed([1.0, 2.0], [0.6, 0.95]), [0, 0])
    assert float(far.detach()) == pytest.approx(MOST * 0.98, rel=1e-2)


def test_gradients_bring_layers_together_and_make_the_front_opaque() -> None:
    where = posed([1.0, 1.01], [0.6, 0.95])
    spread(where, [0, 0]).backward()  # type: ignore[no-untyped-call]
    assert where.means.grad is not None and where.opacities.grad is not None
    near, far = where.means.grad[:, 2].tolist()
    assert near < 0 < far, "descending moves the near one back and the far one forward"
    assert float(where.opacities.grad[0]) < 0, "and makes the near one more opaque"


def test_depth_is_told_apart_by_a_tenth_of_a_millimetre() -> None:
    features = depth_features(posed([1.0, 1.0001], [0.5, 0.5]), torch.tensor([0, -1]), VERTICES, FACES, CAMERA)
    assert float((features[1, 0] - features[0, 0]).detach()) == pytest.approx(1e-4 / UNIT, rel=1e-2)
    assert features[:, 2].tolist() == [1.0, FREE]
