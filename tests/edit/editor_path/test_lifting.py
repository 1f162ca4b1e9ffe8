"""Edited pictures become colours of the Gaussians that show in them."""

from __future__ import annotations

import torch

from avatarkit.edit.keyframes import keyframe
from avatarkit.edit.lifting import SHOWN, TOUCHED, lift, lifted_change
from avatarkit.edit.membership import colours
from avatarkit.edit.region import Located
from avatarkit.edit.scene import Scene

SHIFT = torch.tensor([0.05, -0.04, 0.08])


def test_a_constant_change_is_found_for_every_gaussian_that_shows(scene: Scene, hair: Located) -> None:
    frame = keyframe(scene, hair, scene.places()[0])
    view = frame.source + SHIFT[:, None, None]
    change, pixels = lifted_change(scene, frame, view)
    assert torch.allclose(change[pixels > SHOWN], SHIFT.expand(int((pixels > SHOWN).sum()), 3), atol=1e-4)
    outside = hair.weights < 1e-3
    assert float(pixels[outside].sum()) < 0.2 * float(pixels.sum())


def test_views_are_averaged_by_how_much_they_show(scene: Scene, hair: Located) -> None:
    frames = [keyframe(scene, hair, scene.places()[k]) for k in (0, 1)]
    views = [frames[0].source + SHIFT[:, None, None], frames[1].source - SHIFT[:, None, None]]
    lifted = lift(scene, list(zip(frames, views, strict=True)), torch.ones(len(hair.weights)))
    shares = [lifted_change(scene, frame, view)[1] for frame, view in zip(frames, views, strict=True)]
    expected = (shares[0] - shares[1]) / (shares[0] + shares[1])
    moved = colours(lifted) - colours(scene.avatar)
    seen = (shares[0] + shares[1] > SHOWN) & ((colours(scene.avatar) - 0.5).abs().amax(1) < 0.3)
    assert torch.allclose(moved[seen], expected[seen, None] * SHIFT, atol=2e-3)


def test_what_is_not_of_the_region_keeps_every_bit(scene: Scene, hair: Located) -> None:
    frame = keyframe(scene, hair, scene.places()[0])
    lifted = lift(scene, [(frame, torch.zeros_like(frame.source))], hair.weights)
    before, after = scene.avatar.gaussians, lifted.gaussians
    outside = hair.weights <= TOUCHED
    assert 1000 < int(outside.sum()) < len(outside) - 1000
    for name, value in before.tensors().items():
        assert torch.equal(getattr(after, name)[outside], value[outside]), name
        if name != "sh":
            assert torch.equal(getattr(after, name), value), name
    assert not torch.equal(after.sh, before.sh)


def test_half_the_weight_is_half_the_change(scene: Scene, hair: Located) -> None:
    frame = keyframe(scene, hair, scene.places()[0])
    own = (hair.weights > 0.5).float()
    whole, half = (colours(lift(scene, [(frame, frame.source + 0.05)], share * own)) for share in (1.0, 0.5))
    old = colours(scene.avatar)
    free = (old < 0.9).all(1)  # of the limits of colours
    assert int((free & ((whole - old).amin(1) > 0.04)).sum()) > 50
    torch.testing.assert_close(2.0 * (half - old)[free], (whole - old)[free], atol=1e-4, rtol=0)
