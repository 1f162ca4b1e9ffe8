"""Children inherit binding, labels, group and parent id; offsets are drawn in the local frame."""

from __future__ import annotations

import numpy as np
import torch

from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.recon import density


def table(count: int = 6) -> Gaussians:
    gaussians = Gaussians.fresh(
        torch.arange(count * 3).reshape(count, 3).float(),
        torch.full((count, 3), -1.0),
        0.5,
        torch.rand(count, 3),
        torch.arange(count),
    )
    gaussians.binding[-1] = -2
    gaussians.label_logits[:] = torch.randn(count, 19)
    gaussians.groups[:] = torch.arange(count)
    return gaussians


def test_the_worst_are_split_and_children_inherit() -> None:
    before = table()
    score = torch.tensor([0.0, 5.0, 1.0, 0.0, 4.0, 9.0])
    change = density.split_worst(before, score, 2, next_id=100, random=np.random.default_rng(0))
    assert len(change.gaussians) == 8
    assert change.source.tolist() == [0, 2, 3, 4, 1, 1, 5, 5]
    assert change.fresh.tolist() == [False] * 4 + [True] * 4
    children = change.gaussians.select(change.fresh)
    assert children.ids.tolist() == [100, 101, 102, 103]
    assert children.parents.tolist() == [1, 1, 5, 5]
    for name in ("binding", "label_logits", "groups", "quats", "sh", "opacity_logits"):
        assert torch.equal(getattr(children, name), getattr(before, name)[[1, 1, 5, 5]])
    torch.testing.assert_close(children.log_scales.exp() * 1.6, before.log_scales[[1, 1, 5, 5]].exp())
    assert change.next_id == 104


def test_nothing_without_a_gradient_is_split() -> None:
    change = density.split_worst(table(), torch.zeros(6), 4, 100, np.random.default_rng(0))
    assert len(change.gaussians) == 6
    assert not change.fresh.any()


def test_offsets_have_the_gaussians_own_covariance() -> None:
    """R(q) diag(s)² R(q)ᵀ, from 20 000 children of one rotated, stretched Gaussian."""
    count = 10_000
    one = Gaussians.fresh(
        torch.zeros(count, 3),
        torch.log(torch.tensor([0.5, 0.1, 0.02])).repeat(count, 1),
        0.5,
        torch.zeros(count, 3),
        torch.zeros(count).int(),
    )
    one.quats[:] = 2.0 * torch.tensor([0.8, 0.3, -0.4, 0.33])  # any length
    change = density.split_worst(one, torch.ones(count), count, count, np.random.default_rng(1))
    w, x, y, z = (one.quats[0] / one.quats[0].norm()).double().tolist()
    rotation = torch.tensor([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    expected = rotation @ torch.diag(torch.tensor([0.25, 0.01, 0.0004])) @ rotation.T
    found = torch.cov(change.gaussians.means.T)
    torch.testing.assert_close(found, expected.float(), rtol=0.05, atol=2e-3)


def test_small_ones_are_cloned_and_large_ones_split_up_to_the_limit() -> None:
    before = table()
    gradient, size = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0]), torch.tensor([0.001, 0.1, 0.1, 0.001, 0.1, 0.1])
    change = density.clone_and_split(before, gradient, 0.5, size, 0.01, 100, 50, np.random.default_rng(0))
    assert len(change.gaussians) == 6 + 3
    clones = change.gaussians.select(torch.tensor([5, 6]))
    assert torch.equal(clones.means, before.means[[0, 3]])
    assert 1 not in change.gaussians.ids.tolist()
    limited = density.clone_and_split(
        before, gradient * torch.arange(6), 0.5, size, 0.01, 7, 50, np.random.default_rng(0)
    )
    assert len(limited.gaussians) == 7


def test_pruning_keeps_the_rest_as_it_was() -> None:
    before = table()
    keep = torch.tensor([True, False, True, True, False, True])
    change = density.prune(before, keep, 6)
    assert change.source.tolist() == [0, 2, 3, 5]
    assert torch.equal(change.gaussians.means, before.means[keep])
