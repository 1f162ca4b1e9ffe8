"""The fit: its losses against plain arithmetic, and what it must leave alone."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from avatarkit.edit.anchor import CENTIMETRE, Anchor
from avatarkit.edit.config import EditConfig
from avatarkit.edit.fit import CORE, EPS, Edited, Fitting, Opponent, _State, fit, window
from avatarkit.edit.keyframes import Keyframe, keyframe
from avatarkit.edit.lifting import TOUCHED
from avatarkit.edit.region import Located, region_mask
from avatarkit.edit.scene import Place, Scene
from avatarkit.events import Run
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.ssim_torch import ssim_map
from avatarkit.recon.adam import parameters

from .fakes import BLUE, Patches

CONFIG = EditConfig(size=80, steps=6)


def blue(frame: Keyframe) -> Tensor:
    return frame.source + 0.7 * frame.mask * (torch.tensor(BLUE)[:, None, None] - frame.source)


@pytest.fixture(scope="module")
def views(scene: Scene, hair: Located) -> list[Edited]:
    frames = [keyframe(scene, hair, place) for place in scene.places()[:3]]
    return [Edited(frame, blue(frame)) for frame in frames]


def fitting(scene: Scene, hair: Located, config: EditConfig = CONFIG, **more: Any) -> Fitting:
    def mask(place: Place) -> Tensor:
        return region_mask(scene, hair.weights, place)

    anchor = Anchor.of(scene.avatar.gaussians, hair.weights, config)
    return Fitting(hair.weights, anchor, scene.places()[4:6], mask, **more)


def some_gaussians(count: int = 5) -> Gaussians:
    random = torch.Generator().manual_seed(3)
    made = Gaussians.fresh(
        torch.randn(count, 3, generator=random), torch.randn(count, 3, generator=random), 0.6,
        torch.rand(count, 3, generator=random), torch.tensor([0, 4, -2, 7, -1], dtype=torch.int32), sh_degree=1,
    )  # fmt: skip
    made.quats = torch.randn(count, 4, generator=random)
    return made


def test_the_anchor_is_equation_13() -> None:
    """Against loops over Gaussians and numbers."""
    before, random = some_gaussians(), torch.Generator().manual_seed(5)
    after = Gaussians(**before.tensors())
    for name in ("means", "quats", "log_scales", "opacity_logits", "sh"):
        value = getattr(before, name)
        setattr(after, name, value + 0.1 * torch.randn(value.shape, generator=random))
    after.quats[1] = -after.quats[1]  # the same rotation
    weights = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.2])
    config = EditConfig(anchor_position=1.3, anchor_shape=0.4, anchor_colour=0.7, anchor_outside=50.0)
    total = 0.0
    for j in range(5):
        unit = CENTIMETRE if int(before.binding[j]) < 0 else 1.0
        p = sum((unit * float(after.means[j, k] - before.means[j, k])) ** 2 for k in range(3))
        q0 = (before.quats[j] / before.quats[j].norm()).tolist()
        q1 = (after.quats[j] / after.quats[j].norm()).tolist()
        turn = min(sum((a - s * b) ** 2 for a, b in zip(q0, q1, strict=True)) for s in (1.0, -1.0))
        t = turn + sum(float(after.log_scales[j, k] - before.log_scales[j, k]) ** 2 for k in range(3))
        c = float((after.sh[j] - before.sh[j]).square().sum())
        c += float(after.opacity_logits[j].sigmoid() - before.opacity_logits[j].sigmoid()) ** 2
        held = 1.0 * float(weights[j]) + 50.0 * (1.0 - float(weights[j]))
        total += held * (1.3 * p + 0.4 * t + 0.7 * c)
    anchor = Anchor.of(before, weights, config)
    assert float(anchor.loss(after, config)) == pytest.approx(total / 5, rel=1e-5)
    assert float(anchor.loss(before, config)) == pytest.approx(0.0, abs=1e-6)


def test_the_loss_of_a_step_is_equation_17(scene: Scene, hair: Located, views: list[Edited]) -> None:
    config = replace(CONFIG, weight_rgb=1.5, weight_gs=0.2, weight_gan=0.4, rgb_lambda=0.7)
    network = Patches()
    begun = fitting(scene, hair, config, opponent=Opponent.of(network))
    state = _State(scene, begun, config, guarded=True)
    with torch.no_grad():
        state.gaussians.sh += 0.05
    parts, loss, render, _ = state.learn(views[0])
    rows, columns = window(views[0].keyframe.mask)
    picture, target = render.features.detach(), views[0].view[None]
    condition = torch.cat([views[0].keyframe.source, views[0].keyframe.mask])[None]
    gan = -network.logits(picture.clamp(0, 1), condition).mean().detach()  # D after its own step
    picture, target = picture[..., rows, columns], target[..., rows, columns]
    rgb = 0.7 * (picture - target).square().mean() + 0.3 * (1.0 - ssim_map(picture, target).mean())
    gs = begun.anchor.loss(state.gaussians, config).detach()
    assert parts["rgb"] == pytest.approx(float(rgb), rel=1e-4)
    assert parts["gs"] == pytest.approx(float(gs)) and float(gs) > 0
    assert parts["gan"] == pytest.approx(float(gan), rel=1e-4)
    expected = (1.5 * rgb + 0.2 * gs + 0.4 * gan) / (1.5 + 0.2 + 0.4)
    assert loss is not None and float(loss.detach()) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("spot", "rows", "columns"),
    [
        ((100, 103, 200, 204), (77, 125), (178, 226)),  # an iris: the least side, around its middle
        ((0, 2, 297, 300), (0, 48), (252, 300)),  # at a corner
        ((50, 150, 40, 240), (38, 162), (28, 252)),  # hair: with its surroundings
        ((0, 256, 0, 300), (0, 256), (0, 300)),
        ((0, 0, 0, 0), (0, 256), (0, 300)),  # nowhere: everything
    ],
)
def test_pictures_are_compared_around_the_region(
    spot: tuple[int, int, int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    mask = torch.zeros(1, 256, 300)
    mask[:, spot[0] : spot[1], spot[2] : spot[3]] = 0.8
    assert window(mask) == (slice(*rows), slice(*columns))


def test_a_region_learns_as_fast_however_little_of_the_picture_it_is(scene: Scene, hair: Located) -> None:
    """The gradient of what is asked for a few pixels does not shrink with the picture around them."""
    place = scene.place(0, 0)
    source = scene.picture(place)
    mask = torch.zeros(1, *source.shape[1:])
    mask[:, 30:34, 30:34] = 1.0
    view = Edited(Keyframe(place, mask, source), source + mask * (torch.tensor(BLUE)[:, None, None] - source))
    config = replace(CONFIG, weight_gs=0.0, rgb_lambda=1.0)
    parts = _State(scene, fitting(scene, hair, config), config, guarded=True).learn(view)[0]
    wide = _State(scene, fitting(scene, hair, config), config, guarded=False).learn(view)[0]
    assert parts["rgb"] == pytest.approx(wide["rgb"] * source[0].numel() / 48**2, rel=1e-3)


def test_the_discriminators_step_leaves_the_avatar_alone(scene: Scene, hair: Located, views: list[Edited]) -> None:
    network = Patches()
    before = [value.detach().clone() for value in network.parameters()]
    begun = fitting(scene, hair, opponent=Opponent.of(network))
    state = _State(scene, begun, CONFIG, guarded=True)
    render = state.drawn(views[0].keyframe.place)
    assert begun.opponent is not None
    loss = state.against(begun.opponent, render.features, views[0])
    assert all(leaf.grad is None for leaf in parameters(state.gaussians).values()), "D learnt from detached renders"
    assert any(not torch.equal(value, old) for value, old in zip(network.parameters(), before, strict=True))
    # and what the avatar gets is the gradient of −E[D(G)], by finite differences over one colour
    loss.backward()
    gradient = state.gaussians.sh.grad
    assert gradient is not None
    row = int(gradient[:, 0].abs().sum(1).argmax())
    condition = torch.cat([views[0].keyframe.source, views[0].keyframe.mask])[None]
    values = []
    for step in (1e-2, -1e-2):
        with torch.no_grad():
            state.gaussians.sh[row, 0, 1] += step
            picture = state.drawn(views[0].keyframe.place).features
            values.append(-float(network.logits(picture.clamp(0, 1), condition).double().mean()))
            state.gaussians.sh[row, 0, 1] -= step
    assert (values[0] - values[1]) / 2e-2 == pytest.approx(float(gradient[row, 0, 1]), rel=0.05)


def test_the_region_learns_and_all_else_keeps_every_bit(scene: Scene, hair: Located, views: list[Edited]) -> None:
    config = replace(CONFIG, steps=80, unedited=0.25)
    begun = fitting(scene, hair, config)
    fitted = fit(scene, scene, views, begun, config, Run(), seed=0, grow=False)
    after, before = scene.with_avatar(fitted), scene.avatar.gaussians
    outside = hair.weights <= TOUCHED
    for name, value in before.tensors().items():
        assert torch.equal(getattr(fitted.gaussians, name)[outside], value[outside]), name
    for view in views:
        wanted, was = view.view, view.keyframe.source
        gap = float((after.picture(view.keyframe.place) - wanted).square().mean())
        assert gap < 0.5 * float((was - wanted).square().mean())
    again = fit(scene, scene, views, fitting(scene, hair, config), config, Run(), seed=0, grow=False)
    assert all(torch.equal(getattr(again.gaussians, n), v) for n, v in fitted.gaussians.tensors().items())


def test_a_fit_of_colours_leaves_every_shape_and_splits_nothing(
    scene: Scene, hair: Located, views: list[Edited]
) -> None:
    done = fit(
        scene, scene, views, fitting(scene, hair, colours_only=True), replace(CONFIG, grow=1.0), Run(), 0
    ).gaussians
    was = scene.avatar.gaussians
    for name in ("ids", "means", "quats", "log_scales", "opacity_logits"):
        assert torch.equal(getattr(done, name), getattr(was, name)), name
    assert float((done.sh - was.sh).abs().max()) > 0.01


def test_naive_fitting_spares_nothing(scene: Scene, hair: Located, views: list[Edited]) -> None:
    config = replace(CONFIG, fit="naive", steps=3)
    fitted = fit(scene, scene, views, fitting(scene, hair, config), config, Run(), seed=0)
    outside = hair.weights <= TOUCHED
    assert not torch.equal(fitted.gaussians.sh[outside], scene.avatar.gaussians.sh[outside])


def test_only_the_region_is_split_and_children_are_held_to_their_ancestor(
    scene: Scene, hair: Located, views: list[Edited]
) -> None:
    config = replace(CONFIG, steps=12, grow=0.05, unedited=0.0)
    begun = fitting(scene, hair, config)
    fitted = fit(scene, scene, views, begun, config, Run(), seed=0, grow=True).gaussians
    old, count = scene.avatar.gaussians, len(scene.avatar.gaussians)
    core = hair.weights > CORE
    added = len(fitted) - count
    assert 0 < added <= 0.05 * int(core.sum())
    row_of = {int(i): k for k, i in enumerate(old.ids)}
    children = [k for k in range(len(fitted)) if int(fitted.ids[k]) not in row_of]
    ancestors = [row_of.get(int(fitted.parents[k]), -1) for k in children]
    assert added < len(children) < 2 * added, "some were split twice"
    assert len(set(map(int, fitted.ids))) == len(fitted)
    for k, ancestor in zip(children, ancestors, strict=True):
        assert ancestor >= 0, "a child's child names the ancestor that was there before the edit"
        assert bool(core[ancestor]) and fitted.binding[k] == old.binding[ancestor]
        assert torch.equal(begun.anchor.means[k], old.means[ancestor])
        assert torch.equal(begun.anchor.sh[k], old.sh[ancestor]) and begun.weights[k] == hair.weights[ancestor]
    assert len(begun.weights) == len(begun.anchor.means) == len(fitted)


def test_frames_that_were_not_edited_are_watched_outside_the_region(scene: Scene, hair: Located) -> None:
    begun = fitting(scene, hair)
    place = begun.unedited[0]
    state = _State(scene, begun, CONFIG, guarded=True)
    calm = state.watch(scene, place)[0]["unedited"]
    with torch.no_grad():
        state.gaussians.sh[hair.weights > 0.95] += 0.5
    inside = state.watch(scene, place)[0]["unedited"]
    with torch.no_grad():
        state.gaussians.sh[hair.weights < EPS] += 0.5
    outside = state.watch(scene, place)[0]["unedited"]
    assert calm == pytest.approx(0.0, abs=1e-6) and inside < 0.01 * outside and outside > 1e-3


def test_a_picture_that_is_not_finite_teaches_nothing(scene: Scene, hair: Located, views: list[Edited]) -> None:
    wrong = replace(views[0], view=torch.full_like(views[0].view, float("nan")))
    config = replace(CONFIG, unedited=0.0)
    fitted = fit(scene, scene, [wrong], fitting(scene, hair), config, Run(), seed=0, grow=False)
    assert all(torch.equal(getattr(fitted.gaussians, n), v) for n, v in scene.avatar.gaussians.tensors().items())


def test_it_stops_when_time_is_over_or_it_is_asked_to(scene: Scene, hair: Located, views: list[Edited]) -> None:
    for run, deadline in ((Run(), time.monotonic() - 1.0), (Run(), time.monotonic() + 100.0)):
        if deadline > time.monotonic():
            run.stop()
        begun = fitting(scene, hair)
        fitted = fit(scene, scene, views, begun, CONFIG, run, seed=0, deadline=deadline)
        assert begun.curve == [] and torch.equal(fitted.gaussians.sh, scene.avatar.gaussians.sh)
