"""The figure is the cosine of the model's own embeddings, 0 where nothing changed, and names its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avatarkit_learned_metrics.clip_direction import ClipDirection
from avatarkit_learned_metrics.options import ClipDirectionConfig
from PIL import Image
from torch import Tensor

from avatarkit.contracts import EditedViews, Measured
from avatarkit.edit.plan import Attributes, Operation
from avatarkit.errors import InputError
from avatarkit.evaluate.edit_metrics import edited_views, metric_rows
from avatarkit.events import Run
from avatarkit.testing import conformance

from .conftest import SIDE, plugin_registry, saved_clip

pytest.importorskip("transformers", reason="transformers is not installed")
PLAIN, BLUE = "a photo of a person with hair", "a photo of a person with blue hair"


@pytest.fixture(scope="module")
def metric(clip_folder: Path) -> ClipDirection:
    return ClipDirection(ClipDirectionConfig(model=str(clip_folder), batch=3, device="cpu"))


def views(count: int, seed: int, height: int = SIDE, width: int = SIDE) -> Tensor:
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def scored(metric: Any, before: Tensor, after: Tensor, source: str = PLAIN, target: str = BLUE) -> list[float]:
    (found,) = metric.score(EditedViews(before, after, source, target, ((),) * len(before)), Run())
    assert isinstance(found, Measured) and found.passed is None
    return [float(value) for value in found.views if value is not None]


@pytest.mark.parametrize(("height", "width"), [(SIDE, SIDE), (90, 70)])
def test_it_is_the_cosine_of_the_models_own_embeddings(
    metric: ClipDirection, clip_folder: Path, height: int, width: int
) -> None:
    """Against numpy, with pictures as PIL reads them from a file and the model loaded by itself."""
    from transformers import CLIPModel, CLIPProcessor

    before, after = views(4, 1, height, width), views(4, 2, height, width)
    model, processor = CLIPModel.from_pretrained(clip_folder), CLIPProcessor.from_pretrained(clip_folder)

    def embedded(pictures: Tensor) -> tuple[np.ndarray, np.ndarray]:
        files = [Image.fromarray((p.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)) for p in pictures]
        with torch.no_grad():
            out = model.eval()(**processor(text=[PLAIN, BLUE], images=files, return_tensors="pt", padding=True))
        words, pixels = out.text_embeds.double().numpy(), out.image_embeds.double().numpy()
        return words / np.linalg.norm(words, axis=1)[:, None], pixels / np.linalg.norm(pixels, axis=1)[:, None]

    (words, first), (_, second) = embedded(before), embedded(after)
    wanted, ways = words[1] - words[0], second - first
    cosines = ways @ wanted / np.linalg.norm(ways, axis=1) / np.linalg.norm(wanted)
    assert np.ptp(cosines) > 0.01  # views differ
    assert scored(metric, before, after) == pytest.approx(cosines.tolist(), abs=2e-3)


def test_other_words_give_other_figures_and_the_way_back_the_opposite(metric: ClipDirection) -> None:
    before, after = views(2, 3), views(2, 4)
    there = scored(metric, before, after)
    assert scored(metric, after, before) == pytest.approx([-value for value in there], abs=1e-5)
    assert scored(metric, before, after, BLUE, PLAIN) == pytest.approx([-value for value in there], abs=1e-5)
    other = scored(metric, before, after, PLAIN, "a photo of a person without glasses")
    assert all(abs(a - b) > 1e-3 for a, b in zip(there, other, strict=True))


def test_a_view_that_did_not_change_is_0_beside_one_that_did(metric: ClipDirection) -> None:
    before = views(5, 5)
    after = before.clone()
    after[2] = views(1, 6)[0]
    found = scored(metric, before, after)
    assert [value for k, value in enumerate(found) if k != 2] == [0.0] * 4 and abs(found[2]) > 1e-3
    levels = (before * 255).round()
    assert scored(metric, levels / 255, (levels + 0.3) / 255) == [0.0] * 5  # no step of 8 bits


def test_a_models_rounding_is_no_change(clip_folder: Path) -> None:
    """A model that never gives the same embedding twice, as some kernels do not: what did not change is 0 all the same."""
    shaky = ClipDirection(ClipDirectionConfig(model=str(clip_folder), device="cpu"))
    noise = torch.Generator().manual_seed(0)

    def shake(_: Any, __: Any, out: Any) -> None:
        out.image_embeds = out.image_embeds + 0.01 * torch.randn(out.image_embeds.shape, generator=noise)

    shaky._with.model.register_forward_hook(shake)
    before = views(3, 11)
    assert scored(shaky, before, before.clone()) == [0.0] * 3
    assert all(abs(value) > 1e-4 for value in scored(shaky, before, before.flip(0) * 0.9))


def test_figures_of_a_view_stand_alone(metric: ClipDirection) -> None:
    before, after = views(3, 9), views(3, 10)
    assert scored(metric, before, after)[1:2] == pytest.approx(scored(metric, before[1:2], after[1:2]), abs=1e-4)


def test_an_edit_without_words_has_no_figure(metric: ClipDirection) -> None:
    edit = edited_views(views(2, 1), views(2, 2), [Operation("expression", "mouth")])
    assert metric.score(edit, Run()) == ()


def test_figures_do_not_depend_on_the_batch(metric: ClipDirection, clip_folder: Path) -> None:
    before, after = views(4, 7), views(4, 8)
    alone = ClipDirection(ClipDirectionConfig(model=str(clip_folder), batch=1, device="cpu"))
    assert scored(alone, before, after) == pytest.approx(scored(metric, before, after), abs=1e-4)


def test_the_figure_names_folder_and_weights(metric: ClipDirection, tmp_path: Path) -> None:
    """Other weights in a folder of the same name are another figure."""
    hair = Operation("recolour", "hair", attributes=Attributes(colour="#0000ff"))
    (row,) = metric_rows("clip-direction", metric, edited_views(views(2, 1), views(2, 2), [hair]), Run())
    names = {row["figure"]}
    for seed in (1, 2):
        folder = saved_clip(tmp_path / str(seed) / "random-clip", seed)
        other = ClipDirection(ClipDirectionConfig(model=str(folder), device="cpu"))
        (found,) = other.score(edited_views(views(1, 1), views(1, 2), [hair]), Run())
        names.add(found.name)
    assert len(names) == 3
    assert all(name.startswith("clip-direction (random-clip, ") and len(name) == 38 for name in names)
    assert not any(str(tmp_path) in name for name in names)


def test_long_captions_are_cut(metric: ClipDirection) -> None:
    (value,) = scored(metric, views(1, 1), views(1, 2), PLAIN, "blue " * 200)
    assert abs(value) <= 1


def test_it_stops_when_asked(metric: ClipDirection) -> None:
    run = Run()
    run.stop()
    with pytest.raises(KeyboardInterrupt):
        metric.score(EditedViews(views(1, 1), views(1, 2), PLAIN, BLUE, ((),)), run)


@pytest.mark.parametrize("check", conformance.checks("metric"), ids=conformance.name)
def test_conformance(clip_folder: Path, check: conformance.Check) -> None:
    check(plugin_registry().create("metric", "clip-direction", {"model": str(clip_folder), "device": "cpu"}))


def test_options_out_of_range(clip_folder: Path) -> None:
    with pytest.raises(InputError, match="option 'batch' of 'clip-direction' is 0; expected 1 to 1024"):
        ClipDirection(ClipDirectionConfig(model=str(clip_folder), batch=0))
    with pytest.raises(InputError, match="did you mean 'batch'"):
        plugin_registry().create("metric", "clip-direction", {"batches": 1})
