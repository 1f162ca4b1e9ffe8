"""``Paint`` as an editor: the contract, what is left alone, how much is put on."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from avatarkit.contracts import Editor
from avatarkit.edit.paint.asked import STYLES
from avatarkit.edit.paint.looks import LOOKS
from avatarkit.edit.paint.painter import Paint
from avatarkit.edit.plan import Attributes, Operation
from avatarkit.edit.vocabulary import MAKEUP
from avatarkit.errors import InputError
from avatarkit.events import Progress, Run, collect
from avatarkit.testing import conformance

from .heads import SIZE, Head, add, restyle

DRAWN = tuple(style for style in STYLES if style not in MAKEUP)
SOME: dict[str, tuple[Operation, str]] = {
    **{style: (restyle(style), "head") for style in DRAWN},
    **{style: (restyle(style, "face"), "face") for style in MAKEUP},
    "lipstick on lips": (restyle("lipstick", "lips"), "lips"),
    "eyeshadow on eyelids": (restyle("eyeshadow", "eyelids"), "eyelids"),
    **{look: (Operation("identity", "head", attributes=Attributes(name=look)), "face") for look in LOOKS},
    "heart": (add("tattoo", form="heart"), "l_cheek"),
    "freckles": (add("freckles"), "cheeks"),
    "gold hair": (Operation("recolour", "hair", attributes=Attributes(material="gold")), "hair"),
    "darker skin": (Operation("recolour", "skin", attributes=Attributes(lightness=-0.3)), "face"),
}  # fmt: skip


def test_it_keeps_the_contract() -> None:
    results = conformance.check(Paint(), "editor")
    assert len(results) >= 3
    assert all(result.ok and not result.skipped for result in results), results
    assert isinstance(Paint(), Editor)


@pytest.mark.parametrize("name", SOME)
def test_outside_of_the_mask_nothing_changes_and_inside_it_does(head: Head, name: str) -> None:
    operation, region = SOME[name]
    mask, before = head.region(region)[:2], head.views[:2].clone()
    painted = head.paint(operation, region, batch=(0, 1))
    assert torch.equal(head.views[:2], before)
    assert torch.equal(torch.where(mask > 0, before, painted), before)
    assert float(painted.min()) >= 0 and float(painted.max()) <= 1 and bool(painted.isfinite().all())
    change = (painted - before).abs().amax(1, keepdim=True)
    assert float((change > 0.02).float().sum() / (mask > 0.5).float().sum()) > 0.01


@pytest.mark.parametrize("name", ["cartoon", "marble", "zombie", "heart", "lipstick on lips"])
def test_mask_strength_and_amount_blend(head: Head, name: str) -> None:
    operation, region = SOME[name]
    mask, view = head.region(region), head.views[:1]
    full = head.paint(operation, mask, batch=(0,))
    expected = view + 0.5 * (full - view)
    weaker = Operation(operation.kind, operation.target, attributes=operation.attributes, strength=0.5)
    assert torch.allclose(head.paint(weaker, mask, batch=(0,)), expected, atol=2e-3)
    if operation.kind != "add":  # a paler mask is a smaller region to a decal's room
        assert torch.allclose(head.paint(operation, 0.5 * mask, batch=(0,)), expected, atol=2e-3)
    nothing = Operation(operation.kind, operation.target, attributes=operation.attributes, strength=0.0)
    assert torch.equal(head.paint(nothing, mask, batch=(0,)), view)


def test_no_style_looks_like_another(head: Head) -> None:
    painted = {style: head.paint(restyle(style), batch=(0,)) for style in DRAWN}
    inside = head.region("head")[:1].expand(1, 3, SIZE, SIZE) > 0.5
    for style, picture in painted.items():
        assert float((picture - head.views[:1]).abs()[inside].mean()) > 0.015, style
    for first, second in combinations(DRAWN, 2):
        assert float((painted[first] - painted[second]).abs()[inside].mean()) > 0.012, (first, second)


def test_a_colour_is_honoured(head: Head) -> None:
    """Ink, grout, metal: whatever a style does with a colour, another colour is another picture, and its own hue shows."""
    for style in DRAWN:
        plain, green = (head.paint(restyle(style, colour=colour), batch=(0,)) for colour in ("", "#1f8f3a"))
        assert float((plain - green).abs().mean()) > 5e-4, style
        change = (green - plain)[0]
        assert float((change[1] - 0.5 * (change[0] + change[2])).sum()) > 0, style


def test_views_without_a_region_or_without_a_head_come_back(head: Head) -> None:
    mask = head.region("l_cheek").clone()
    mask[1] = 0.0
    painted = head.paint(add("tattoo"), mask)
    assert torch.equal(painted[1], head.views[1]) and not torch.equal(painted[0], head.views[0])
    assert head.paint(restyle("oil"), batch=()).shape == (0, 3, SIZE, SIZE)


@pytest.mark.parametrize("style", DRAWN)
def test_it_works_without_correspondences(head: Head, style: str) -> None:
    painted = head.paint(restyle(style), batch=(0,), anchored=False)
    assert float((painted - head.views[:1]).abs().mean()) > 0.004


def test_a_mask_of_one_pixel_is_no_trouble(head: Head) -> None:
    mask = torch.zeros_like(head.region("head"))
    mask[0, 0, SIZE // 2, SIZE // 2] = 1.0
    for operation, _ in SOME.values():
        painted = head.paint(operation, mask, batch=(0,))
        assert bool(painted.isfinite().all())


def test_progress_is_told_and_a_stop_is_heeded(head: Head) -> None:
    run, events = collect()
    head.paint(restyle("cartoon"), batch=(0, 1), run=run)
    assert [event.step for event in events if isinstance(event, Progress)] == [1, 2]
    stopped = Run()
    stopped.stop()
    with pytest.raises(KeyboardInterrupt):
        head.paint(restyle("cartoon"), run=stopped)


def test_what_cannot_be_painted_is_refused_in_words(head: Head) -> None:
    with pytest.raises(InputError, match="no style for 'stained glass'"):
        head.paint(restyle("other", name="stained glass"))
    with pytest.raises(InputError, match=r"no look for 'elf'.*ip2p"):
        head.paint(Operation("identity", "head", attributes=Attributes(name="elf")))
    for latent in ("delete", "reposition"):
        with pytest.raises(InputError, match=f"paint cannot '{latent}' what is in a picture"):
            head.paint(add("mole"), "l_cheek", latent=latent)
    for latent in ("add", "change"):
        assert head.paint(add("mole"), "l_cheek", batch=(0,), latent=latent).shape == (1, 3, SIZE, SIZE)
    with pytest.raises(InputError, match="needs correspondences"):
        head.paint(restyle("makeup", "face"), "face", anchored=False)
    with pytest.raises(InputError, match="needs correspondences"):
        head.paint(Operation("identity", "head", attributes=Attributes(name="zombie")), anchored=False)
    assert Paint().can_paint(add("mole")) and not Paint().can_paint(add("hat"))


def test_shapes_that_do_not_fit_are_named(head: Head) -> None:
    with pytest.raises(InputError, match=r"masks has shape \(4, 1, 20, 20\); expected \(4, 1, 224, 224\)"):
        head.paint(restyle("oil"), torch.ones(4, 1, 20, 20))
    with pytest.raises(InputError, match="references has shape"):
        head.paint(restyle("oil"), references=torch.zeros(4, 3, 20, 20))
