"""What is painted follows words, seed, mask and noise; and is the same whoever is painted beside it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from avatarkit_ip2p.editor import wished
from torch import Tensor

from avatarkit.contracts import Correspondences, EditStep
from avatarkit.edit.plan import KeyframeText, Operation
from avatarkit.errors import InputError
from avatarkit.events import Notice, Progress, Run, collect
from avatarkit.registry import registry
from avatarkit.testing import conformance

from .conftest import blocks, edited, editor, square, step


def change(one: Tensor, other: Tensor, masks: Tensor) -> float:
    """Mean absolute difference where the masks are 1."""
    return float(((one - other).abs() * masks).sum() / (3 * masks.sum()))


def test_words_make_the_picture(tiny_model: Path) -> None:
    views, masks, part = blocks(2), square(2), editor(tiny_model)
    red, blue = (edited(part, views, masks, step(2, words)) for words in ("red hair", "a blue hat"))
    without = edited(part, views, masks, step(2, "red hair", negative="a blue hat"))
    assert change(red, views, masks) > 0.1
    assert change(red, blue, masks) > 0.01 and change(red, without, masks) > 0.01


def test_every_view_has_its_own_words(tiny_model: Path) -> None:
    views, masks, part = blocks(2), square(2), editor(tiny_model)
    both = step(2)
    mixed = replace(both, texts=(both.texts[0], KeyframeText("k1", "a blue hat", "")))
    one, other = (edited(part, views, masks, said) for said in (both, mixed))
    torch.testing.assert_close(one[0], other[0])
    assert change(one[1:], other[1:], masks[1:]) > 0.01


def test_a_view_without_words_has_those_of_the_operation(tiny_model: Path) -> None:
    views, masks, part, said = blocks(1), square(1), editor(tiny_model), step(1)
    silent = replace(said, texts=(KeyframeText("k0", "", ""),))
    assert torch.equal(edited(part, views, masks, said), edited(part, views, masks, silent))


def test_the_seed_decides(tiny_model: Path) -> None:
    views, masks, part = blocks(2), square(2), editor(tiny_model)
    one, again, other = (edited(part, views, masks, step(2), seed=seed) for seed in (1, 1, -2))
    assert torch.equal(one, again) and change(one, other, masks) > 0.05
    assert change(one[:1], one[1:], masks[:1]) > 0.05  # no two views have the same noise


def test_a_view_does_not_depend_on_the_others(tiny_model: Path) -> None:
    views, masks = blocks(3), square(3)
    together, singly = (edited(editor(tiny_model, batch=n), views, masks, step(3)) for n in (3, 1))
    alone = edited(editor(tiny_model), views[:1], masks[:1], step(1))
    torch.testing.assert_close(together, singly, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=1e-4)


def test_outside_the_mask_the_picture_comes_back(tiny_model: Path) -> None:
    views, masks = blocks(2), square(2)
    masks[0, :, 12:14] = 0.25
    out = edited(editor(tiny_model, grow=1), views, masks, step(2))
    beside = masks.expand_as(views) == 0
    assert torch.equal(out[beside], views[beside])
    full = edited(editor(tiny_model, grow=1), views, (masks > 0).float(), step(2))
    expected = 0.75 * views[0, :, 12:14, 8:24] + 0.25 * full[0, :, 12:14, 8:24]
    torch.testing.assert_close(out[0, :, 12:14, 8:24], expected, atol=1e-4, rtol=0)


def test_an_empty_mask_changes_nothing(tiny_model: Path) -> None:
    views = blocks(1)
    assert torch.equal(edited(editor(tiny_model), views, torch.zeros(1, 1, 32, 32), step(1)), views)


def test_less_noise_stays_closer(tiny_model: Path) -> None:
    views, masks, part = blocks(2), square(2), editor(tiny_model, steps=8)
    changes = [
        change(edited(part, views, masks, step(2, noise=noise)), views, masks) for noise in (0.02, 0.1, 0.3, 0.6)
    ]
    assert changes == sorted(changes) and changes[-1] > 4 * changes[0]


@pytest.mark.parametrize(("noise", "expected"), [(1.0, 10), (0.98, 10), (0.6, 6), (0.3, 3), (0.1, 2), (0.001, 2)])
def test_noise_takes_its_part_of_the_steps_and_at_least_two(tiny_model: Path, noise: float, expected: int) -> None:
    run, events = collect()
    edited(editor(tiny_model, steps=10), blocks(1), square(1), step(1, noise=noise), run=run)
    assert sum(isinstance(event, Progress) for event in events) == expected


def test_references_are_where_it_starts(tiny_model: Path) -> None:
    views, references, masks = blocks(2), blocks(2, seed=5), square(2)
    out = edited(editor(tiny_model), views, masks, step(2, noise=0.02), references=references)
    assert change(out, references, masks) < 0.25 * change(out, views, masks)
    beside = masks.expand_as(views) == 0
    assert torch.equal(out[beside], views[beside])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 20), (17, 31), (90, 64)])
def test_pictures_of_any_size(tiny_model: Path, height: int, width: int) -> None:
    """Hardly noised, a picture of soft colours comes back as it was: nothing is stretched or out of place."""
    colours = torch.rand(1, 3, 4, 3, generator=torch.Generator().manual_seed(2))
    views = torch.nn.functional.interpolate(colours, (height, width), mode="bilinear", align_corners=True)
    masks = torch.ones(1, 1, height, width)
    out = edited(editor(tiny_model, size=64, guidance=1.0, image_guidance=1.0), views, masks, step(1, noise=0.001))
    assert out.shape == views.shape and out.dtype == torch.float32
    assert change(out, views, masks) < 0.03
    assert min(change(out, views.roll(views.shape[axis] // 4, axis), masks) for axis in (2, 3)) > 0.09


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision(tiny_model: Path, dtype: str) -> None:
    views, masks = blocks(2), square(2)
    full, half = (edited(editor(tiny_model, dtype=d), views, masks, step(2, noise=0.3)) for d in ("fp32", dtype))
    assert half.dtype == torch.float32 and bool(half.isfinite().all())
    assert change(full, half, masks) < 0.25 * change(full, views, masks)
    assert torch.equal(half, edited(editor(tiny_model, dtype=dtype), views, masks, step(2, noise=0.3)))


def test_progress_is_told(tiny_model: Path) -> None:
    run, events = collect()
    edited(editor(tiny_model, batch=2), blocks(3), square(3), step(3), run=run)
    assert events == [
        Progress("painting", done, 8) for done in range(1, 9)
    ]  # the core says when painting begins and ends


def test_it_stops_when_asked(tiny_model: Path) -> None:
    run, events = collect()
    run.add_sink(lambda event: run.stop() if isinstance(event, Progress) and event.step == 3 else None)
    part = editor(tiny_model, steps=20)
    with pytest.raises(KeyboardInterrupt):
        edited(part, blocks(1), square(1), step(1), run=run)
    assert sum(isinstance(event, Progress) for event in events) == 3
    assert edited(part, blocks(1), square(1), step(1)).shape == (1, 3, 32, 32)  # and can be used again


def test_words_that_are_too_long_are_told(tiny_model: Path) -> None:
    run, events = collect()
    edited(editor(tiny_model), blocks(1), square(1), step(1, "red hair " * 8), run=run)
    told = [event for event in events if isinstance(event, Notice)]
    assert len(told) == 1 and "k0" in told[0].text and "24 tokens" in told[0].text and told[0].level == "warning"
    assert told[0].text.endswith("tokens that the model reads; their end is left out")


def test_what_is_wished() -> None:
    said = step(1, "put on red glasses", negative="blur")
    assert wished(said, 0) == ("put on red glasses", "blur")
    painted = replace(said, latent="delete")
    assert wished(painted, 0) == (
        "a head",
        "a put on red glasses head, blur",
    )  # what another operation painted too much
    operation = Operation("delete", "glasses", prompt="remove the glasses", source_caption="a head with glasses")
    deleted = EditStep(operation, (KeyframeText("k", "take off the glasses", "a head"),), latent="delete")
    assert wished(deleted, 0) == ("take off the glasses", "a head with glasses")
    with pytest.raises(InputError, match="no words for 'k'"):
        wished(EditStep(Operation("restyle", "hair"), (KeyframeText("k", "", ""),)), 0)


def test_shapes_that_do_not_fit(tiny_model: Path) -> None:
    part, views, masks, said = editor(tiny_model), blocks(2), square(2), step(2)
    seen = Correspondences(
        torch.zeros(1, 32, 32, dtype=torch.int32), torch.zeros(1, 32, 32, 3), torch.zeros(1, 32, 32, 3)
    )
    for match, given in (
        ("the shape of views", {"views": views[0]}),
        ("the shape of masks", {"masks": masks[:1]}),
        ("the shape of references", {"references": views[:1]}),
        ("the shape of triangle", {"correspondences": seen}),
        ("words for 1 views; expected 2", {"said": step(1)}),
        ("noise is 0", {"said": step(2, noise=0.0)}),
        ("unknown latent operation 'melt'", {"said": step(2, latent="melt")}),
    ):
        with pytest.raises(InputError, match=match):
            edited(part, **{"views": views, "masks": masks, "said": said, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize("check", conformance.checks("editor"), ids=conformance.name)
def test_conformance(tiny_model: Path, check: conformance.Check) -> None:
    check(registry().create("editor", "ip2p", {"model": str(tiny_model), "size": 64, "steps": 4}))


def test_gradients_and_threads_are_left_alone(tiny_model: Path) -> None:
    threads, views = torch.get_num_threads(), blocks(1).requires_grad_()
    out = edited(editor(tiny_model), views, square(1), step(1), run=Run())
    assert not out.requires_grad and torch.get_num_threads() == threads
    (out * torch.ones((), requires_grad=True)).sum().backward()  # a picture that losses can be computed with


def test_the_entry_module_is_light() -> None:
    code = (
        "import sys, avatarkit_ip2p.provider as p, avatarkit_ip2p.options; list(p.avatarkit_editors()); "
        "print(p.instruct_pix2pix().ok, [m for m in ('torch', 'diffusers', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"
