"""Votes and cross-entropy on scenes whose labels are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarkit.contracts import View
from avatarkit.events import Event, Finished, Run, Scalars
from avatarkit.gaussians.binding import gaussians_in_pose
from avatarkit.labels import LABEL_INDEX, NUM_LABELS
from avatarkit.recon import labelling
from avatarkit.recon.head_tuning import posed
from avatarkit.recon.initial import initial_gaussians
from avatarkit.recon.labelling import LabelMap, label_field, label_gaussians, label_loss
from avatarkit.recon.schedule import spread

from .conftest import Parts


class Halves:
    """Skin where the mask is, on the left of the picture; hair on the right.  Every ``wrong``-th view is the other way round."""

    def __init__(self, wrong: int = 0) -> None:
        self.wrong, self.seen, self.batches = wrong, 0, list[int]()

    def segment(self, images: torch.Tensor, views: Sequence[View]) -> torch.Tensor:
        self.batches.append(len(views))
        height, width = images.shape[-2:]
        found = torch.zeros(len(images), NUM_LABELS, height, width)
        for at, view in enumerate(views):
            self.seen += 1
            left, right = LABEL_INDEX["skin"], LABEL_INDEX["hair"]
            if self.wrong and self.seen % self.wrong == 0:
                left, right = right, left
            assert (view.cameras.height, view.cameras.width) == (height, width)
            assert view.mask is not None and view.pose is not None and view.head is not None
            found[at, left, :, : width // 2] = view.mask[0, :, : width // 2]
            found[at, right, :, width // 2 :] = view.mask[0, :, width // 2 :]
            found[at, 0] = 1.0 - view.mask[0]
        return found


def labelled(parts: Parts, segmenter: Halves, **changes: object) -> tuple[torch.Tensor, float, float]:
    """Logits; share of foreground pixels of one training view whose rendered label is the map's; its cross-entropy."""
    config = parts.config(label_views=3, free_gaussians=0, **changes)
    sequence = front_only(parts)
    pose = posed(parts.head, sequence.params)
    gaussians = initial_gaussians(sequence, parts.head, pose, config)
    logits = label_gaussians(gaussians, sequence, parts.head, pose, segmenter, parts.rasterizer, config, Run())
    index = sequence.capture.indices("train")[0]
    step = sequence.capture.frames[index].timestep
    field = label_field(
        gaussians, logits, pose[step], parts.head.faces, sequence.cameras([index]), parts.rasterizer, True,
    )  # fmt: skip
    torch.testing.assert_close(field.sum(1), torch.ones_like(field[:, 0]), atol=1e-4, rtol=0)
    found = field[0].argmax(0).numpy()
    width = found.shape[1]
    truth = np.where(np.arange(width) < width // 2, LABEL_INDEX["skin"], LABEL_INDEX["hair"])[None].repeat(
        len(found), 0
    )
    inside = found > 0
    maps = torch.nn.functional.one_hot(torch.from_numpy(truth * (found > 0)), NUM_LABELS).permute(2, 0, 1)[None].float()
    return logits, float((found == truth)[inside].mean()), float(label_loss(field, LabelMap.of(maps)))


def front_only(parts: Parts):  # type: ignore[no-untyped-def]
    """The frames of one camera, so that left and right of the picture are left and right of the head."""
    capture = parts.sequence.capture
    first = capture.frames[capture.indices("train")[0]].camera
    frames = tuple(replace(f, split=f.split if f.camera == first else "val") for f in capture.frames)
    return replace(parts.sequence, capture=replace(capture, frames=frames))


def test_a_vote_puts_labels_where_the_maps_have_them(parts: Parts) -> None:
    logits, right, _ = labelled(parts, Halves(), label_steps=0)
    assert right > 0.95
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(len(logits)), atol=1e-4, rtol=0)


def test_what_no_view_shows_is_what_its_neighbours_are(parts: Parts) -> None:
    """The back of the head, from in front; every Gaussian has a label, and its side's."""
    sequence = front_only(parts)
    pose = posed(parts.head, sequence.params)
    config = parts.config(label_views=3, free_gaussians=0, label_steps=0)
    gaussians = initial_gaussians(sequence, parts.head, pose, config)
    heard: list[Tensor] = []
    whole = labelling.beforehand

    def listening(votes: Tensor, places: Tensor) -> Tensor:
        heard.append(votes.sum(0))
        return whole(votes, places)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelling, "beforehand", listening)
        logits = label_gaussians(gaussians, sequence, parts.head, pose, Halves(), parts.rasterizer, config, Run())
    unseen = heard[0] < 1e-3
    assert 0.1 < float(unseen.float().mean()) < 0.9
    assert float(logits.max(1).values.min()) > math.log(0.3), "nobody is without an opinion"
    skin = logits.argmax(1) == LABEL_INDEX["skin"]
    across = gaussians_in_pose(gaussians, pose[0], parts.head.faces, sh_degree=0).means @ sequence.viewmats[0, 0, :3]
    across = across + sequence.viewmats[0, 0, 3]
    clear = unseen & (across.abs() > 0.03)
    assert float((skin == (across < 0))[clear].float().mean()) > 0.95


def test_free_gaussians_get_labels_too(parts: Parts) -> None:
    sequence = front_only(parts)
    pose = posed(parts.head, sequence.params)
    config = parts.config(label_views=3, free_gaussians=200, label_steps=20)
    gaussians = initial_gaussians(sequence, parts.head, pose, config)
    free = gaussians.binding < 0
    assert int(free.sum()) > 20
    logits = label_gaussians(gaussians, sequence, parts.head, pose, Halves(), parts.rasterizer, config, Run())
    index = sequence.capture.indices("train")[0]
    step = sequence.capture.frames[index].timestep
    places = gaussians_in_pose(gaussians, pose[step], parts.head.faces, sh_degree=0).means[free]
    across = places @ sequence.viewmats[0, 0, :3] + sequence.viewmats[0, 0, 3]
    labels = logits[free].argmax(1)
    named = labels > 0  # what stands just outside the outline is background
    assert float(named.float().mean()) > 0.5
    clear = named & (across.abs() > 0.01)
    assert float(((labels == LABEL_INDEX["skin"]) == (across < 0))[clear].float().mean()) > 0.95


def test_views_are_spread_over_cameras_where_every_nth_is_one_cameras(parts: Parts) -> None:
    """94 timesteps of 7 cameras: every 14th frame of 658 is of one camera."""
    picked = spread(658, 47, 0)
    assert len(picked) == len(set(picked)) == 47 and picked == sorted(picked) == spread(658, 47, 0)
    assert set(np.bincount(np.array(picked) % 7, minlength=7) > 0) == {True}
    assert max(np.diff([0, *picked, 657])) < 2 * 14 and spread(5, 9, 0) == [0, 1, 2, 3, 4]
    assert spread(658, 47, 1) != picked


def test_cross_entropy_sharpens_the_vote(parts: Parts) -> None:
    _, _, voted = labelled(parts, Halves(), label_steps=0)
    _, right, trained = labelled(parts, Halves(), label_steps=60, lr_labels=0.1)
    assert trained < 0.95 * voted and right > 0.97


def test_one_wrong_map_of_three_is_outvoted(parts: Parts) -> None:
    assert labelled(parts, Halves(wrong=3), label_steps=0)[1] > 0.9


def test_the_loss_is_the_cross_entropy_of_its_closed_form() -> None:
    truth, rendered = torch.zeros(1, NUM_LABELS, 1, 2), torch.full((1, NUM_LABELS, 1, 2), 0.5 / (NUM_LABELS - 1))
    truth[0, 3, 0, 0], truth[0, 7, 0, 1] = 1.0, 1.0
    rendered[0, 3, 0, 0], rendered[0, 7, 0, 1] = 0.5, 0.5
    assert float(label_loss(rendered, LabelMap.of(truth))) == pytest.approx(math.log(2))
    rendered[0, 3, 0, 0] = 0.0  # a map that is wrong costs no more than the floor
    assert float(label_loss(rendered, LabelMap.of(truth))) == pytest.approx((math.log(2) + math.log(1e4)) / 2)


def test_the_sparse_loss_and_its_gradient_are_those_of_the_sum_over_all_classes() -> None:
    draw = torch.Generator().manual_seed(0)
    truth = (torch.randn(1, NUM_LABELS, 5, 7, generator=draw) * 3).softmax(1)
    truth = torch.where(truth < 0.05, 0.0, truth)
    levels = (truth * 255).round() / 255  # what a map keeps of it
    rendered = torch.randn(1, NUM_LABELS, 5, 7, generator=draw).softmax(1).requires_grad_()
    sparse, dense = label_loss(rendered, LabelMap.of(truth)), -(levels * rendered.log()).sum(1).mean()
    torch.testing.assert_close(sparse, dense)
    torch.testing.assert_close(*(torch.autograd.grad(loss, rendered)[0] for loss in (sparse, dense)))
    kept = LabelMap.of(truth)
    assert len(kept.places) == int((levels > 0).sum()) < truth.numel() / 3


def test_the_stage_is_heard(parts: Parts) -> None:
    heard: list[Event] = []
    config = parts.config(label_views=2, label_steps=1, free_gaussians=0)
    pose = posed(parts.head, parts.sequence.params)
    gaussians = initial_gaussians(parts.sequence, parts.head, pose, config)
    run = Run(sinks=(heard.append,))
    label_gaussians(gaussians, parts.sequence, parts.head, pose, Halves(), parts.rasterizer, config, run)
    assert any(isinstance(event, Finished) and event.stage == "labels" for event in heard)
    curve = [event.values["label_cross_entropy"] for event in heard if isinstance(event, Scalars)]
    assert len(curve) == 1 and curve[0] > 0.0


def test_pictures_of_one_size_are_shown_together_and_come_back_in_order(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence, config = front_only(parts), parts.config(label_views=3, free_gaussians=0, label_steps=0)
    pose = posed(parts.head, sequence.params)
    gaussians = initial_gaussians(sequence, parts.head, pose, config)
    made = []
    for at_once in (4, 2, 1):
        monkeypatch.setattr(labelling, "AT_ONCE", at_once)
        halves = Halves(wrong=3)
        logits = label_gaussians(gaussians, sequence, parts.head, pose, halves, parts.rasterizer, config, Run())
        made.append((logits, halves.batches))
    assert [batches for _, batches in made] == [[3], [2, 1], [1, 1, 1]]
    assert all(torch.equal(made[0][0], logits) for logits, _ in made)
    assert labelling._alike([(8, 8), (8, 8), (8, 9), (8, 8)]) == [[0], [1], [2], [3]], "one at a time now"
    monkeypatch.setattr(labelling, "AT_ONCE", 4)
    assert labelling._alike([(8, 8), (8, 8), (8, 9), (8, 8)]) == [[0, 1], [2], [3]]
