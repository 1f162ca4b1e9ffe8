"""The four latent operations: what each changes, what stays, where things move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from avatarkit_ip2p.framing import Frame
from avatarkit_ip2p.latent_operations import MODERATE, SHORT, STRONG, shifted, started
from torch import Tensor

from avatarkit.contracts import EditStep

from .conftest import SCALING, blocks, edited, editor, square, step

FRAME = Frame.of(32, 32, 32, 2, 2)


def encoded(pictures: Tensor) -> Tensor:
    """What the VAE of these tests does."""
    return torch.nn.functional.avg_pool2d(2.0 * pictures - 1.0, 2)


def begun(
    said: EditStep, views: Tensor, masks: Tensor, references: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    start = started(encoded, SCALING, FRAME, views, masks, references, said, 0)
    return start.base / SCALING, start.shown, start.level, start.mask


def inside(masks: Tensor) -> Tensor:
    return FRAME.latent_mask(masks, 0)


def other_in(masks: Tensor, views: Tensor, seed: int) -> Tensor:
    """The views with something else where the masks are."""
    return torch.where(masks > 0.5, blocks(len(views), seed=seed), views)


@pytest.mark.parametrize(("latent", "level"), [("", 0.5), ("add", STRONG), ("delete", STRONG), ("change", 0.5)])
def test_only_the_mask_is_painted_and_how_strongly(latent: str, level: float) -> None:
    views, masks = blocks(2), square(2)
    found = begun(step(2, noise=0.5, latent=latent), views, masks)
    assert torch.equal(found[2], level * inside(masks)) and torch.equal(found[3], masks)
    torch.testing.assert_close(found[0] * ~inside(masks), encoded(views) * ~inside(masks))


def test_a_change_is_moderate() -> None:
    found = begun(step(1, noise=0.98, latent="change"), blocks(1), square(1))
    assert float(found[2].max()) == pytest.approx(MODERATE)


def test_what_is_seen_and_what_it_starts_from() -> None:
    views, references, masks = blocks(1), blocks(1, seed=4), square(1)
    for latent in ("", "add", "change"):
        base, shown, _, _ = begun(step(1, latent=latent), views, masks, references)
        torch.testing.assert_close(shown, encoded(views))  # the picture before the edit, as the model was trained
        torch.testing.assert_close(base, torch.where(inside(masks), encoded(references), encoded(views)))


def test_add_paints_anew_whatever_was_there(tiny_model: Path) -> None:
    """From strong noise the region is new, also where the round's cap is low, and follows the words."""
    views, masks, part = blocks(1), square(1), editor(tiny_model)
    low, added = (edited(part, views, masks, step(1, noise=0.02, latent=latent)) for latent in ("", "add"))
    other = edited(part, views, masks, step(1, "a blue hat", noise=0.02, latent="add"))
    moved = [float(((out - views).abs() * masks).sum() / masks.sum() / 3) for out in (low, added)]
    assert moved[1] > 4 * moved[0] and not torch.allclose(added, other, atol=0.01)
    assert torch.equal(added * (1 - masks), views * (1 - masks))


def test_delete_leaves_no_trace(tiny_model: Path) -> None:
    """Two pictures that differ only in what is deleted become one picture."""
    views, masks, part = blocks(2), square(2), editor(tiny_model)
    other, said = other_in(masks, views, 9), step(2, latent="delete")
    one, two = (edited(part, pictures, masks, said) for pictures in (views, other))
    assert torch.equal(one, two) and not torch.equal(one, views)
    assert torch.equal(one * (1 - masks), views * (1 - masks))
    added, again = (edited(part, pictures, masks, replace(said, latent="add")) for pictures in (views, other))
    assert not torch.allclose(added, again, atol=0.01)  # which is not so where the thing may be seen


@pytest.mark.parametrize("latent", ["delete", "reposition"])
def test_references_are_where_a_correction_goes_on(latent: str) -> None:
    """They show what the avatar has learnt; the views still have the thing, and what the model is shown is of them."""
    views, references, masks = blocks(1), blocks(1, seed=3), square(1, low=4, high=12)
    said = step(1, latent=latent, shift=(0.25, 0.0), round=1, noise=0.6)
    alone = begun(said, views, masks)
    base, shown, level, mask = begun(said, views, masks, references)
    assert torch.equal(shown, alone[1]) and torch.equal(level, alone[2]) and torch.equal(mask, alone[3])
    torch.testing.assert_close(base, torch.where(level > 0, encoded(references), encoded(views)))


def test_later_rounds_have_their_caps() -> None:
    """A round that starts from what was learnt does not throw it away."""
    for latent in ("", "add", "delete", "reposition", "change"):
        said = step(1, latent=latent, shift=(0.25, 0.0), round=2, noise=0.2)
        assert float(begun(said, blocks(1), square(1), blocks(1, seed=3))[2].max()) == pytest.approx(0.2)


def test_without_a_shift_nothing_is_moved() -> None:
    for shift in ((0.0, 0.0), (0.02, -0.02)):  # less than half a latent pixel
        one, other = (begun(step(1, latent=latent, shift=shift), blocks(1), square(1)) for latent in ("reposition", ""))
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_delete_turns_the_words_round(tiny_model: Path) -> None:
    """What the picture showed with the thing is the negative: saying it otherwise changes the picture."""
    views, masks, part = blocks(1), square(1), editor(tiny_model)
    said = step(1, latent="delete")
    other = replace(said, texts=(replace(said.texts[0], caption="a man with a beard"),))
    one, two = (edited(part, views, masks, words) for words in (said, other))
    assert not torch.allclose(one, two, atol=0.01)
    one, two = (edited(part, views, masks, replace(words, latent="")) for words in (said, other))
    assert torch.equal(one, two)  # a caption is no instruction otherwise


def test_reposition_moves_latents_and_makes_the_old_place_anew() -> None:
    views, masks = blocks(1), square(1, low=4, high=12)
    base, shown, level, mask = begun(step(1, latent="reposition", shift=(0.25, 0.125)), views, masks)
    latents, old = encoded(views), inside(masks)
    new = shifted(old, 4, 2)
    assert torch.equal(base[new.expand_as(base)], latents[old.expand_as(latents)])  # 8 pixels right, 4 down
    assert torch.equal(level, torch.where(new, SHORT, torch.where(old & ~new, STRONG, 0.0)))
    torch.testing.assert_close(base * ~(old | new), latents * ~(old | new))
    assert torch.equal(mask, torch.maximum(masks, shifted(masks, 8, 4)))
    torch.testing.assert_close(shown, base)  # the model is shown the thing at its new place
    vacated = (old & ~new).expand_as(base)
    again = begun(step(1, latent="reposition", shift=(0.25, 0.125)), other_in(masks, views, 6), masks)
    assert torch.equal(base[vacated], again[0][vacated])  # nothing of the thing is left behind


def test_a_repositioned_thing_is_still_itself(tiny_model: Path) -> None:
    """After the short denoising the new place is nearer to the thing than to what stood there; the rest is as it was."""
    views, masks = blocks(2), square(2, low=4, high=12)
    part = editor(tiny_model, steps=30, guidance=1.0, image_guidance=1.0)
    out = edited(part, views, masks, step(2, noise=0.05, latent="reposition", shift=(0.375, 0.0)))
    new = shifted(masks, 12, 0)
    far = lambda other: float(((out - other).abs() * new).sum() / new.sum() / 3)  # noqa: E731
    assert far(shifted(views, 12, 0)) < 0.5 * far(views)
    beside = (torch.maximum(masks, new) == 0).expand_as(views)
    assert torch.equal(out[beside], views[beside])


def test_what_leaves_the_picture_is_lost() -> None:
    values = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert shifted(values, 1, 0)[0, 0].tolist() == [[0, 0, 1, 2], [0, 4, 5, 6], [0, 8, 9, 10]]
    assert shifted(values, -2, 1)[0, 0].tolist() == [[0, 0, 0, 0], [2, 3, 0, 0], [6, 7, 0, 0]]
    assert not shifted(values, 0, 3).any() and not shifted(values, -9, 0).any()


def test_change_keeps_more_than_add(tiny_model: Path) -> None:
    views, masks, part = blocks(2), square(2), editor(tiny_model, guidance=1.0, image_guidance=1.0)
    moved = []
    for latent in ("change", "add"):
        out = edited(part, views, masks, step(2, noise=0.3, latent=latent))
        assert torch.equal(out * (1 - masks), views * (1 - masks))
        moved.append(float(((out - views).abs() * masks).sum()))
    assert 0.0 < moved[0] < 0.75 * moved[1]
