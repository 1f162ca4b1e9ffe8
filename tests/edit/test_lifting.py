"""Pictures to Gaussians: what an edited view asks of each is what was painted where it shows."""

from __future__ import annotations

import torch

from avatarkit.edit.keyframes import Keyframe
from avatarkit.edit.lifting import lift, lifted_change
from avatarkit.edit.region import region_mask
from avatarkit.edit.scene import Place

from .labelled import Labelled, seen

SHIFT = torch.tensor([-0.10, 0.05, 0.20])


def keyframe(which: Labelled, place: Place) -> Keyframe:
    return Keyframe(place, region_mask(which.scene, which.of("cloth").float(), place), which.scene.picture(place))


def test_a_change_of_the_picture_is_that_of_its_gaussians(bare: Labelled) -> None:
    frame = keyframe(bare, bare.front())
    change, pixels = lifted_change(bare.scene, frame, frame.source + SHIFT[:, None, None])
    shown = pixels > 2.0
    assert int(shown.sum()) > 50 and float((pixels[bare.of("hair")]).max()) < 1e-3
    torch.testing.assert_close(change[shown], SHIFT.expand(int(shown.sum()), 3), atol=1e-4, rtol=0)


def test_lifting_adds_the_mean_of_all_views_inside_the_region_alone(bare: Labelled) -> None:
    cloth = bare.of("cloth")
    frames = [keyframe(bare, bare.scene.place(0, camera)) for camera in (0, 3)]
    views = [frames[0].source + 0.1, frames[1].source + 0.3]
    after = lift(bare.scene, list(zip(frames, views, strict=True)), cloth.float())
    old, new = seen(bare.avatar.gaussians), seen(after.gaussians)
    assert torch.equal(new[~cloth], old[~cloth])
    pixels = [lifted_change(bare.scene, frame, view)[1] for frame, view in zip(frames, views, strict=True)]
    known = cloth & (pixels[0] + pixels[1] > 1.0)
    wanted = (0.1 * pixels[0] + 0.3 * pixels[1]) / (pixels[0] + pixels[1])
    torch.testing.assert_close((new - old)[known], wanted[known, None].expand(-1, 3), atol=2e-3, rtol=0)
    assert torch.equal(new[cloth & (pixels[0] + pixels[1] < 0.4)], old[cloth & (pixels[0] + pixels[1] < 0.4)])


def test_half_the_weight_is_half_the_change(bare: Labelled) -> None:
    frame = keyframe(bare, bare.front())
    whole, half = (
        lift(bare.scene, [(frame, frame.source + 0.2)], share * bare.of("cloth").float()) for share in (1.0, 0.5)
    )
    old = seen(bare.avatar.gaussians)
    torch.testing.assert_close(2.0 * (seen(half.gaussians) - old), seen(whole.gaussians) - old, atol=1e-4, rtol=0)
