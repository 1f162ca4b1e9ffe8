"""Which patches are seen, and what is done to them, against counting and a naive version."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from avatarkit_hinge_gan.discriminator import HingeDiscriminator
from avatarkit_hinge_gan.drawing import Draw, draw_patches
from avatarkit_hinge_gan.options import HingeGanConfig
from torch import Tensor, nn

SIZE = 128
Box = tuple[int, int, int, int]  # top, bottom, left, right
EYES, MOUTH, HAIR = (40, 48, 40, 90), (84, 92, 55, 75), (24, 30, 30, 100)


def seeing(**options: Any) -> HingeDiscriminator:
    """A discriminator whose logits are what its net is given: (B, n·7, h, w)."""
    part = HingeDiscriminator(HingeGanConfig(**{"patch": 32, **options}))
    part.network = nn.Sequential(nn.Identity())
    return part


def drawn(part: HingeDiscriminator, focus: Tensor | None, condition: Tensor) -> Draw:
    part.attend(focus)
    part.logits(condition[:, :3], condition)
    assert part._draw is not None
    return part._draw


def centres(draw: Draw) -> list[tuple[int, int]]:
    return [(top + draw.size[0] // 2, left + draw.size[1] // 2) for _, top, left in draw.places]


def inside(place: tuple[int, int], box: Box, margin: int = 0) -> bool:
    (y, x), (top, bottom, left, right) = place, box
    return top - margin <= y < bottom + margin and left - margin <= x < right + margin


def maps(focus_weights: dict[Box, float], region: Box) -> tuple[Tensor, Tensor]:
    focus, condition = torch.zeros(1, 1, SIZE, SIZE), torch.zeros(1, 4, SIZE, SIZE)
    for (top, bottom, left, right), weight in focus_weights.items():
        focus[0, 0, top:bottom, left:right] = weight
    top, bottom, left, right = region
    condition[0, 3, top:bottom, left:right] = 1.0
    return focus, condition


def test_half_of_the_patches_are_taken_at_eyes_and_mouth_and_half_at_the_region() -> None:
    focus, condition = maps({EYES: 1.0, MOUTH: 1.0}, HAIR)
    part = seeing(patches=8, patch=24, seed=3)
    found = [place for _ in range(50) for place in centres(drawn(part, focus, condition))]
    at_focus = [place for place in found if inside(place, EYES) or inside(place, MOUTH)]
    rest = [place for place in found if place not in at_focus]
    assert len(found) == 400 and abs(len(at_focus) / 400 - 0.5) < 0.02  # the region's own may fall on an eye
    assert all(inside(place, HAIR, 24 // 4) for place in rest)
    assert sum(inside(place, HAIR) for place in rest) < len(rest)  # its surroundings too
    eyes, mouth = sum(inside(place, EYES) for place in at_focus), sum(inside(place, MOUTH) for place in at_focus)
    share = 400 / (400 + 160)  # pixels of the eyes' box and of the mouth's
    assert abs(eyes / (eyes + mouth) - share) < 3 * (share * (1 - share) / len(at_focus)) ** 0.5


def test_places_follow_the_weights_of_the_focus() -> None:
    focus, condition = maps({EYES: 1.0, MOUTH: 7.5}, HAIR)  # 400·1 against 160·7.5: a quarter and three quarters
    draw = draw_patches(condition[:, 3], focus[:, 0], 16, 2000, (), torch.Generator().manual_seed(1))
    at_mouth = sum(inside(place, MOUTH) for place in centres(draw))
    assert abs(at_mouth / 1000 - 0.75) < 3 * (0.75 * 0.25 / 1000) ** 0.5


def test_without_focus_all_fall_on_the_region_and_without_region_anywhere() -> None:
    focus, condition = maps({}, HAIR)
    part = seeing(patches=64, patch=16)
    for none in (None, focus):  # nothing to attend to, or hidden in this view
        assert all(inside(place, HAIR, 4) for place in centres(drawn(part, none, condition)))
    anywhere = torch.tensor(centres(drawn(part, None, torch.zeros(1, 4, SIZE, SIZE))))
    assert bool((anywhere.amax(0) > 100).all()) and bool((anywhere.amin(0) < 28).all())


def test_views_of_a_batch_have_their_own_places() -> None:
    one, two = maps({EYES: 1.0}, HAIR), maps({MOUTH: 1.0}, HAIR)
    focus, condition = torch.cat([one[0], two[0]]), torch.cat([one[1], two[1]])
    draw = drawn(seeing(patches=4), focus, condition)
    assert [view for view, _, _ in draw.places] == [0] * 4 + [1] * 4
    at = centres(draw)
    assert all(inside(place, EYES) for place in at[:2]) and all(inside(place, MOUTH) for place in at[4:6])


def coordinates(count: int = 1) -> Tensor:
    """A picture whose colours say where a pixel is: (row, column, view) in [0, 1]."""
    rows = torch.arange(SIZE)[:, None].expand(SIZE, SIZE) / SIZE
    return torch.stack([torch.stack([rows, rows.T, torch.full_like(rows, k / 8)]) for k in range(count)])


def test_patches_lie_where_it_says_for_real_fake_and_condition_alike() -> None:
    part = seeing(patches=3, augment=())
    picture = coordinates(2)
    condition = torch.cat([picture, picture[:, :1]], 1)
    part.attend(None)
    given: list[Tensor] = []
    part.network.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    part.d_loss(picture, picture.clone(), condition)
    part.g_loss(picture.clone(), condition)
    assert part._draw is not None
    real, fake = given[0].split(6)
    assert torch.equal(real, fake) and torch.equal(real, given[1])
    for patch, (view, top, left) in zip(real, part._draw.places, strict=True):
        expected = picture[view, :, top : top + 32, left : left + 32] * 2 - 1
        assert torch.equal(patch[:3], expected) and torch.equal(patch[3:6], expected)
        assert torch.equal(patch[6], expected[0])


def naive(picture: Tensor, draw: Draw, k: int) -> Tensor:
    """Patch k of (B, 7, H, W) in [0, 1], pixel by pixel, as Zhao et al. describe it: colour, then translation, then cutout."""
    view, top, left = draw.places[k]
    height, width = draw.size
    patch = picture[view, :, top : top + height, left : left + width] * 2 - 1
    assert draw.colour is not None
    brightness, saturation, contrast = draw.colour[k].tolist()
    parts = []
    for image in (patch[:3], patch[3:6]):
        image = image + brightness
        grey = image.mean(0)
        image = torch.stack([grey + (channel - grey) * saturation for channel in image])
        mean = image.mean()
        parts.append(mean + (image - mean) * contrast)
    patch = torch.cat([*parts, patch[6:]])
    (down, right), (hole_top, hole_left) = draw.shifts[k], draw.holes[k]
    result = torch.zeros_like(patch)
    for y in range(height):
        for x in range(width):
            from_y, from_x = y - down, x - right
            hidden = hole_top <= y < hole_top + height // 2 and hole_left <= x < hole_left + width // 2
            if 0 <= from_y < height and 0 <= from_x < width and not hidden:
                result[:, y, x] = patch[:, from_y, from_x]
    return result


def test_augmentation_is_the_naive_one() -> None:
    generator = torch.Generator().manual_seed(4)
    x, condition = torch.rand(2, 3, 40, 50, generator=generator), torch.rand(2, 4, 40, 50, generator=generator)
    draw = draw_patches(condition[:, 3], None, 24, 8, ("colour", "translation", "cutout"), generator)
    found = draw.apply(x, condition)
    assert len(set(draw.shifts)) > 4 and any(down < 0 for down, _ in draw.shifts) and any(r > 0 for _, r in draw.shifts)
    for k in range(16):
        torch.testing.assert_close(found[k], naive(torch.cat([x, condition], 1), draw, k))


def test_amounts_are_the_papers() -> None:
    draw = draw_patches(
        torch.zeros(1, 80, 80), None, 32, 2000, ("colour", "translation", "cutout"), torch.Generator().manual_seed(0)
    )
    assert draw.colour is not None
    low, high = draw.colour.amin(0), draw.colour.amax(0)
    torch.testing.assert_close(low, torch.tensor([-0.5, 0.0, 0.5]), atol=0.01, rtol=0)
    torch.testing.assert_close(high, torch.tensor([0.5, 2.0, 1.5]), atol=0.01, rtol=0)
    assert {down for down, _ in draw.shifts} == {right for _, right in draw.shifts} == set(range(-4, 5))
    assert {top for top, _ in draw.holes} == set(range(-8, 25))


def test_augmentation_is_differentiable() -> None:
    generator = torch.Generator().manual_seed(6)
    x = torch.rand(1, 3, 11, 12, generator=generator, dtype=torch.float64, requires_grad=True)
    condition = torch.rand(1, 4, 11, 12, generator=generator, dtype=torch.float64)
    draw = draw_patches(condition[:, 3], None, 8, 2, ("colour", "translation", "cutout"), generator)
    assert torch.autograd.gradcheck(lambda picture: draw.apply(picture, condition), (x,))


@pytest.mark.parametrize("augment", [(), ("colour",), ("translation",), ("cutout",)])
def test_each_augmentation_can_be_left_out(augment: tuple[str, ...]) -> None:
    draw = draw_patches(torch.ones(1, 64, 64), None, 32, 4, augment, torch.Generator().manual_seed(0))
    assert (draw.colour is not None, bool(draw.shifts), bool(draw.holes)) == tuple(
        name in augment for name in ("colour", "translation", "cutout")
    )


def test_a_step_keeps_its_draw_and_the_next_has_another() -> None:
    part = seeing(patches=4)
    _, condition = maps({}, HAIR)
    first = drawn(part, None, condition)
    part.g_loss(condition[:, :3], condition)
    assert part._draw is first
    assert drawn(part, None, condition).places != first.places
    wider = torch.zeros(2, 4, SIZE, SIZE)
    part.logits(wider[:, :3], wider)  # another batch in the same step: its own draw
    assert part._draw is not None and part._draw.shape == (2, SIZE, SIZE)


def test_a_seed_repeats() -> None:
    focus, condition = maps({EYES: 1.0, MOUTH: 1.0}, HAIR)
    runs = []
    for seed in (1, 1, 2):
        part = seeing(patches=4, seed=seed)
        runs.append([part_draw for _ in range(3) for part_draw in (drawn(part, focus, condition),)])
    for one, same, other in zip(*runs, strict=True):
        assert (one.places, one.shifts, one.holes) == (same.places, same.shifts, same.holes)
        assert one.colour is not None and same.colour is not None and torch.equal(one.colour, same.colour)
        assert one.places != other.places


def test_whole_views_without_a_step_and_in_evaluation() -> None:
    part = seeing(patches=4)
    picture = coordinates()
    condition = torch.cat([picture, picture[:, :1]], 1)
    whole = torch.cat([picture, condition], 1) * 2 - 1
    assert torch.equal(part.logits(picture, condition), whole)
    part.attend(None)
    assert part.logits(picture, condition).shape == (1, 4 * 7, 32, 32)
    part.eval()
    assert torch.equal(part.logits(picture, condition), whole)


def test_a_smaller_view_is_one_patch_and_a_narrow_one_is_cut_along_its_length() -> None:
    small = torch.rand(2, 4, 30, 28)
    draw = drawn(seeing(patches=4), None, small)
    assert draw.places == ((0, 0, 0), (1, 0, 0)) and draw.size == (30, 28) and len(draw.shifts) == 2
    narrow = torch.rand(1, 4, 20, 90)
    draw = drawn(seeing(patches=4), None, narrow)
    assert draw.size == (20, 32) and len(draw.places) == 4 and {top for _, top, _ in draw.places} == {0}
    assert all(0 <= left <= 58 for _, _, left in draw.places)
