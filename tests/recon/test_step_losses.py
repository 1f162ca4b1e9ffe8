"""The losses of a step against closed forms, and label images against a map that is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatarkit.contracts import View
from avatarkit.errors import InputError
from avatarkit.events import Run, Scalars, collect
from avatarkit.labels import LABEL_COLOURS, LABEL_INDEX, NUM_LABELS
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.head_tuning import posed
from avatarkit.recon.label_images import LabelImages, label_colours
from avatarkit.recon.loop import reconstruct, start
from avatarkit.recon.schedule import Schedule
from avatarkit.recon.step import Aids, label_losses, picture_losses, train_step
from avatarkit.recon.views import Views
from avatarkit.render.sh import Y00
from avatarkit.segment.head_regions import HeadRegions

from .conftest import Parts

NOTHING = {"l1": 0.0, "dssim": 0.0}


def flat(value: float) -> Tensor:
    return torch.full((1, 3, 24, 20), value)


class Distance:
    """In LPIPS' place: twice the mean difference."""

    net = "twice"

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        return 2.0 * (image - target).abs().mean((1, 2, 3))


class TopAndBottom:
    """Hair above, skin below, whatever the picture shows."""

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, images: Tensor, views: list[View]) -> Tensor:
        self.calls += 1
        found = torch.zeros(len(images), NUM_LABELS, *images.shape[2:])
        half = images.shape[2] // 2
        found[:, LABEL_INDEX["hair"], :half] = 1.0
        found[:, LABEL_INDEX["skin"], half:] = 1.0
        return found


def test_picture_losses_of_flat_pictures() -> None:
    """Two flat pictures a and b: L1 = a − b, L2 = (a − b)²."""
    config = ReconConfig(**(NOTHING | {"l1": 0.5, "l2": 3.0, "perceptual": 0.25}))
    parts, loss = picture_losses(flat(0.7), flat(0.3), config, Aids(Distance()))  # type: ignore[arg-type]
    assert float(parts["l1"]) == pytest.approx(0.4, rel=1e-5)
    assert float(parts["l2"]) == pytest.approx(0.16, rel=1e-5)
    assert float(parts["lpips"]) == pytest.approx(0.8, rel=1e-5)
    assert float(loss) == pytest.approx(0.5 * 0.4 + 3.0 * 0.16 + 0.25 * 0.8, rel=1e-5)


def test_dssim_stands_in_for_a_missing_lpips() -> None:
    image, target = torch.rand(2, 1, 3, 24, 20, generator=torch.Generator().manual_seed(1))
    stands_in = picture_losses(image, target, ReconConfig(**(NOTHING | {"perceptual": 0.2})), Aids())
    dssim = picture_losses(image, target, ReconConfig(**(NOTHING | {"dssim": 0.2})), Aids())
    assert float(stands_in[1]) == float(dssim[1]) == pytest.approx(0.2 * float(dssim[0]["dssim"]), rel=1e-5)
    assert "lpips" not in stands_in[0]


def test_label_losses_of_flat_pictures() -> None:
    config = ReconConfig(label_l2=2.0, label_perceptual=0.5)
    parts, loss = label_losses(flat(0.9), flat(0.4), config, Aids(Distance()))  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(2.0 * 0.25 + 0.5 * 1.0, rel=1e-5)
    parts, loss = label_losses(flat(0.9), flat(0.4), config, Aids())
    assert float(loss) == pytest.approx(2.0 * 0.25 + 0.5 * float(parts["label_dssim"]), rel=1e-5)


def test_label_images_are_the_segmenters_classes_in_flat_colours(parts: Parts) -> None:
    segmenter = TopAndBottom()
    pose = posed(parts.head, parts.sequence.params)
    images = LabelImages(parts.sequence, parts.head, pose, segmenter)  # type: ignore[arg-type]
    index = parts.sequence.capture.indices("train")[0]
    height, width = parts.sequence.capture.image(index).shape[:2]
    whole = images(index, height, width)
    assert whole.shape == (1, 3, height, width)
    hair, skin = (torch.tensor(LABEL_COLOURS[LABEL_INDEX[name]]) / 255.0 for name in ("hair", "skin"))
    torch.testing.assert_close(whole[0, :, 0, 0], hair)
    torch.testing.assert_close(whole[0, :, -1, -1], skin)
    half = images(index, height // 2, width // 2)
    torch.testing.assert_close(half[0, :, 0, 0], hair)
    assert segmenter.calls == 1, "maps are made once"


def test_rendered_labels_have_the_colour_of_the_class_that_is_certain(parts: Parts) -> None:
    gaussians = start(parts.sequence, parts.head, parts.config(free_gaussians=0)).gaussians
    gaussians.label_logits = torch.zeros(len(gaussians), NUM_LABELS)
    gaussians.label_logits[:, LABEL_INDEX["hat"]] = 50.0
    expected = torch.tensor(LABEL_COLOURS[LABEL_INDEX["hat"]]) / 255.0
    torch.testing.assert_close(label_colours(gaussians), expected.expand(len(gaussians), 3), atol=1e-5, rtol=0)


def test_every_loss_of_the_paper_has_its_curve(parts: Parts) -> None:
    run, events = collect()
    config = parts.config(
        iterations=6, l1=0.0, dssim=0.0, l2=0.81, perceptual=0.09, label_l2=0.09, label_perceptual=0.01
    )
    state = reconstruct(parts.sequence, parts.head, config, run, parts.rasterizer, segmenter=HeadRegions())
    curves = [event.values for event in events if isinstance(event, Scalars) and "loss" in event.values]
    assert curves and {"l2", "dssim", "label_l2", "label_dssim"} <= set(curves[-1])
    assert state.gaussians.label_logits.abs().max() > 0, "labels are voted before the first step"
    assert sum("stands in for LPIPS" in getattr(event, "text", "") for event in events) == 1


def test_colours_that_follow_the_pose_have_a_prior_with_a_curve(parts: Parts) -> None:
    def tinted(prior: float) -> tuple[float, set[str]]:
        run, events = collect()
        config = parts.config(
            iterations=24, correctives=2, correctives_from=1, tint=prior, lr_correctives_colour=0.5,
            lr_correctives_colour_final=0.5,
        )  # fmt: skip
        state = reconstruct(parts.sequence, parts.head, config, run, parts.rasterizer)
        told = {name for event in events if isinstance(event, Scalars) for name in event.values}
        return float(state.gaussians.colour_correctives.detach().square().mean()), told

    (free, bare), (held, told) = tinted(0.0), tinted(1000.0)
    assert "tint" in told and "tint" not in bare
    assert 0 < held < 0.5 * free, (held, free)


def test_colours_of_one_camera_stay_what_a_screen_has(parts: Parts) -> None:
    def colours(**changes: object) -> Tensor:
        config = parts.config(tune_head=False, coarse_until=0, lr_colour=1.0, lr_colour_final=1.0, **changes)
        config = config.seen_from(several_sides=False)
        state = start(parts.sequence, parts.head, config)
        view = Views(parts.sequence, parts.sequence.capture.indices("train"), config.background).view(0)
        schedule, white = Schedule(config, 24), torch.ones(3)
        for _ in range(4):
            assert train_step(state, [view], parts.head, config, schedule, parts.rasterizer, white) is not None
            state.step += 1
        return 0.5 + Y00 * state.gaussians.sh[:, 0].detach()

    free = colours(in_gamut=False)
    assert float(free.max()) > 1.05 and float(free.min()) < -0.05
    held = colours()
    assert 0.0 < float(held.min()) < 0.003 and 0.997 < float(held.max()) < 1.0


def test_label_losses_need_a_segmenter(parts: Parts) -> None:
    with pytest.raises(InputError, match="segmenter"):
        reconstruct(parts.sequence, parts.head, parts.config(label_l2=0.1), Run(), parts.rasterizer)
