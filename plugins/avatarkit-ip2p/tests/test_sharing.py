"""Attention across views: against attention written out, what is left alone, and that it brings the same places together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from avatarkit_ip2p.framing import Frame
from avatarkit_ip2p.matching import Match, match, token_points
from avatarkit_ip2p.sharing import Sharing, shared
from torch import Tensor

from avatarkit.contracts import Correspondences
from avatarkit.events import Run

from .conftest import blocks, edited, editor, saved, step, tiny
from .heads import nowhere, seen

SIDE, REACH, CPU = 64, 0.02, torch.device("cpu")
FRAME = Frame.of(SIDE, SIDE, SIDE, 2, 2)


@pytest.fixture(scope="module")
def head() -> Correspondences:
    """From the front, from the side with the mouth open, from behind."""
    return seen(SIDE, [(0.0, 0.0), (0.5, 0.3), (3.14159, 0.0)])


@pytest.fixture(scope="module")
def loud_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a UNet of random weights self-attention hardly speaks beside the residuals; here it does."""
    pipeline = tiny(prediction_type="v_prediction")
    with torch.no_grad():
        for name, module in pipeline.unet.named_modules():
            if name.endswith("attn1"):
                for part, gain in (
                    (module.to_out[0], 30.0),
                    (module.to_v, 3.0),
                    (module.to_q, 4.0),
                    (module.to_k, 4.0),
                ):
                    part.weight.mul_(gain)
    return saved(pipeline, tmp_path_factory.mktemp("models") / "loud")


def attention(states: Tensor, seen_by_it: Tensor) -> Tensor:
    """Softmax attention without projections."""
    return torch.softmax(states @ seen_by_it.transpose(1, 2), -1) @ seen_by_it


def states(views: int, tokens: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(3 * views, tokens, 5, generator=torch.Generator().manual_seed(seed))


def test_attention_is_extended_to_partners() -> None:
    """Row by row: view 0 sees itself and view 2, view 1 itself, in each of three branches."""
    given = states(3)
    sharing = Sharing([frozenset({2}), frozenset(), frozenset({0})], {}, 8)
    out = sharing.attended("layer", range(3), given, attention).reshape(3, 3, 6, 5)
    for branch in range(3):
        one = given.reshape(3, 3, 6, 5)[branch]
        for view, others in enumerate(((0, 2), (1,), (2, 0))):
            keys = torch.cat([one[other] for other in others])
            for token in range(6):
                weights = torch.softmax(keys @ one[view, token], 0)
                torch.testing.assert_close(out[branch, view, token], (weights[:, None] * keys).sum(0))


def test_matched_tokens_are_averaged() -> None:
    given = states(2)
    weight = torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0, 0.0])
    to_other = Match(torch.tensor([3, 4, 0, 0, 0, 0]), weight)
    sharing = Sharing([frozenset(), frozenset()], {6: {(0, 1): to_other}}, 8)
    out = sharing.attended("layer", range(2), given, lambda own, _: own).reshape(3, 2, 6, 5)
    before = given.reshape(3, 2, 6, 5)
    torch.testing.assert_close(out[:, 0, 0], (before[:, 0, 0] + before[:, 1, 3]) / 2)
    torch.testing.assert_close(out[:, 0, 1], (before[:, 0, 1] + 0.5 * before[:, 1, 4]) / 1.5)
    torch.testing.assert_close(out[:, 0, 2:], before[:, 0, 2:])
    torch.testing.assert_close(out[:, 1], before[:, 1])


def test_later_parts_listen_to_the_first() -> None:
    """Two parts of two views: what the second is given is what it would see if it were called with the first."""
    given = states(4).reshape(3, 4, 6, 5)
    partners = [frozenset(range(4)) - {view} for view in range(4)]
    parts = Sharing(partners, {}, 2)
    first, second = (parts.attended("l", some, given[:, some].flatten(0, 1), attention) for some in ([0, 1], [2, 3]))
    together = Sharing(partners, {}, 4).attended("l", range(4), given.flatten(0, 1), attention).reshape(3, 4, 6, 5)
    pair = Sharing(partners, {}, 4).attended("l", [0, 1], given[:, :2].flatten(0, 1), attention)
    torch.testing.assert_close(first, pair)  # who leads does not hear who follows
    torch.testing.assert_close(second.reshape(3, 2, 6, 5), together[:, 2:])


def test_who_listens_to_whom(head: Correspondences) -> None:
    sharing = shared("correspondence", head, 3, FRAME, 2, REACH, 8, CPU)
    assert sharing is not None
    assert sharing.partners == [frozenset({1}), frozenset({0}), frozenset()]  # front and back meet only at the outline
    assert set(sharing.matches) == {32 * 32, 16 * 16} and set(sharing.matches[1024]) == {(0, 1), (1, 0)}
    points = token_points(head, FRAME, 32, 32, REACH)
    assert torch.equal(sharing.matches[1024][0, 1].index, match(points[0], points[1], REACH).index)
    everyone = shared("extended", None, 3, FRAME, 2, REACH, 8, CPU)
    assert everyone is not None and everyone.partners[1] == frozenset({0, 2}) and not everyone.matches
    for mode, seen_there, views in (("none", head, 3), ("correspondence", None, 3), ("extended", None, 1)):
        assert shared(mode, seen_there, views, FRAME, 2, REACH, 8, CPU) is None
    assert shared("correspondence", nowhere(head, 1), 3, FRAME, 2, REACH, 8, CPU) is None


def test_only_the_first_views_are_heard_by_other_parts() -> None:
    front = seen(SIDE, [(0.0, 0.0)] * 4)
    sharing = shared("correspondence", front, 4, FRAME, 2, REACH, 2, CPU)
    assert sharing is not None
    assert sharing.partners == [frozenset({1}), frozenset({0}), frozenset({0, 1, 3}), frozenset({0, 1, 2})]


def test_the_same_places_come_closer(loud_model: Path, head: Correspondences) -> None:
    """Of two views of the head, pixels of the same point come nearer to each other by sharing, more than any two pixels do."""
    points = token_points(head, FRAME, 32, 32, REACH)
    found = match(points[0], points[1], 0.008)
    here = torch.nonzero(found.weight > 0)[:, 0]
    there = found.index[here]
    assert len(here) > 100
    apart = {}
    for share in ("none", "correspondence"):
        part = editor(loud_model, size=SIDE, steps=4, share=share)
        sums = torch.zeros(2)
        for seed in (1, 2):
            out = edited(
                part, blocks(3, SIDE), torch.ones(3, 1, SIDE, SIDE), step(3, noise=0.6), seed, correspondences=head
            )
            tokens = out[:, :, ::2, ::2].flatten(2)
            for k, other in enumerate((there, there.roll(len(there) // 2))):
                sums[k] += (tokens[0][:, here] - tokens[1][:, other]).abs().mean()
        apart[share] = sums
    same, different = (apart["correspondence"] / apart["none"]).tolist()
    assert same < 0.94 and different - same > 0.04, (same, different)


def test_views_that_show_other_surfaces_are_left_alone(loud_model: Path, head: Correspondences) -> None:
    """The view from behind is what it is alone, whatever the others are; those that see each other are not."""
    masks, part = torch.ones(3, 1, SIDE, SIDE), editor(loud_model, size=SIDE, steps=2)
    alone = edited(editor(loud_model, size=SIDE, steps=2, share="none"), blocks(3, SIDE), masks, step(3))
    found = edited(part, blocks(3, SIDE), masks, step(3), correspondences=head)
    others = torch.cat([blocks(2, SIDE, seed=8), blocks(3, SIDE)[2:]])
    beside = edited(part, others, masks, step(3), correspondences=head)
    torch.testing.assert_close(found[2], alone[2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(beside[2], alone[2], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found[0], alone[0], atol=0.05)
    assert torch.equal(found, edited(part, blocks(3, SIDE), masks, step(3), correspondences=head))


def test_views_in_parts_share_too(loud_model: Path) -> None:
    """Three views of one place, two at a time: the third hears the first two, and they do not hear it."""
    front, masks, views = seen(SIDE, [(0.0, 0.0)] * 3), torch.ones(3, 1, SIDE, SIDE), blocks(3, SIDE)
    part = editor(loud_model, size=SIDE, steps=2, batch=2)
    found = edited(part, views, masks, step(3), correspondences=front)
    pair = Correspondences(front.triangle[:2], front.barycentrics[:2], front.rest[:2])
    first = edited(part, views[:2], masks[:2], step(2), correspondences=pair)
    alone = edited(part, views, masks, step(3))
    torch.testing.assert_close(found[:2], first, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found[2], alone[2], atol=0.05)


def test_without_sharing_the_networks_are_as_they_were(tiny_model: Path) -> None:
    from diffusers import UNet2DConditionModel

    own = UNet2DConditionModel.from_pretrained(str(tiny_model / "unet")).eval()
    model = editor(tiny_model)._model(Run())
    given = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0)), 500
    words = model.embedded(["red hair", "a blue hat"])
    with torch.no_grad():
        assert torch.equal(own(*given, words).sample, model.unet(*given, words).sample)
