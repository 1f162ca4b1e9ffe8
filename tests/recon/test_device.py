"""The step on a GPU that is not there: torch's fake tensors know shapes and devices and have no values.

A step that mixes devices, or asks for a value (``item``, ``bool``, ``numpy``, ``nonzero``), fails on them; what it copies from the host
to the device is counted.  The same bodies then run on the CPU with values and are held to the compiled step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from avatarkit.bodies import plain_torch
from avatarkit.cameras import Cameras
from avatarkit.contracts import Render
from avatarkit.head.frames import with_frames
from avatarkit.losses import photometric_torch
from avatarkit.recon import label_images
from avatarkit.recon.adapt import densify
from avatarkit.recon.checkpoint import load_newest, save
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.loop import start
from avatarkit.recon.placing import placed, placed_head
from avatarkit.recon.schedule import Schedule
from avatarkit.recon.step import TrainState, train_step
from avatarkit.recon.views import TrainingView, Views

from .conftest import Parts

GPU = "meta"
"""The device that stands for one: torch's autograd wants a real context behind "cuda"."""


class Copies(TorchDispatchMode):
    """Copies between devices, as "operation from→to"."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = [a for a in args if isinstance(a, Tensor)]
        if func._schema.name in ("aten::_to_copy", "aten::copy_") and given:
            ends = [given[-1].device.type, made.device.type]
            if ends[0] != ends[1] and not (func._schema.name == "aten::copy_" and given[-1].ndim == 0):
                self.seen.append(f"{func._schema.name} {'→'.join(ends)}")
        return made


class Screen:
    """A rasterizer of plain torch with the shapes and gradients of a real one; every Gaussian shows."""

    name, device = "screen", GPU
    capabilities = frozenset({"antialiased"})

    def render(self, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, features: Tensor, cameras: Cameras, *, background: Tensor | None = None, **_: Any) -> Render:  # fmt: skip
        seen = means @ cameras.viewmats[0, :3, :3].T + cameras.viewmats[0, :3, 3]
        means2d = (seen[:, :2] * cameras.Ks[0, 0, 0] / seen[:, 2:] + cameras.Ks[0, :2, 2])[None]
        means2d.retain_grad()
        rows = torch.arange(cameras.height, device=means.device) / cameras.height
        weight = opacities * scales.mean(1) * quats.square().sum(1) * (1.0 + 1e-3 * means2d[0].sum(1))
        level = (features * weight[:, None]).mean(0)
        alpha = torch.sigmoid(weight.mean()) * torch.ones(1, 1, cameras.height, cameras.width, device=means.device)
        image = level[None, :, None, None] * (0.5 + rows[None, None, :, None]) * alpha
        if background is not None:
            image = image + (1 - alpha) * background[None, :, None, None]
        shown = torch.ones(1, len(means), dtype=torch.int32, device=means.device)
        return Render(image, alpha, alpha, means2d.detach(), shown, mean2d_gradients=lambda: means2d.grad)


CONFIGS: dict[str, dict[str, object]] = {
    "default": {"tune_head": False, "sh_degree": 0},
    "everything": {
        "tune_head": True, "sh_degree": 2, "sh_every": 1, "position": 0.01, "scale": 0.01, "line_of_sight": 0.05,
        "line_of_sight_every": 1, "depth_spread": 0.01, "coarse_until": 0, "l2": 0.1, "batch": 2,
        "densify_until": 21,  # five events, none of which has to choose between two that are as good
    },
    "label losses": {"tune_head": False, "label_l2": 0.1, "label_perceptual": 0.1},
}  # fmt: skip


def settings(parts: Parts, name: str) -> tuple[ReconConfig, TrainState, Any]:
    config = parts.config(**CONFIGS[name])
    head = with_frames(parts.head, "triangle" if name == "everything" else "skin")
    state = start(parts.sequence, head, config)
    state.total, state.step = 24, 3
    state.adam.count()
    return config, state, head


def faked(mode: FakeTensorMode, state: TrainState, head: Any) -> tuple[TrainState, Any]:
    """Both on an imagined GPU."""
    fake = mode.from_tensor
    state.gaussians = type(state.gaussians)(**{k: fake(v) for k, v in state.gaussians.tensors().items()})
    adam, poses = state.adam, state.head
    adam.steps, adam.floor = fake(adam.steps), fake(adam.floor)
    for group in (adam.first, adam.second, poses.first, poses.second, poses.counts):
        group.update({name: fake(value) for name, value in group.items()})
    poses.params = poses.params.map(fake)
    skin = poses.pose.skin and replace(
        poses.pose.skin, neutral=fake(poses.pose.skin.neutral), weights=fake(poses.pose.skin.weights)
    )
    poses.pose = replace(poses.pose, vertices=fake(poses.pose.vertices), joints=fake(poses.pose.joints), skin=skin)
    for name in ("vertex_gradient", "joint_gradient", "touched"):
        setattr(poses, name, fake(getattr(poses, name)))
    state.screen_gradient, state.seen = fake(state.screen_gradient), fake(state.seen)

    class Faces:
        faces, template = fake(head.faces), fake(head.template)
        joint_names = head.joint_names

    return placed(state, GPU), placed_head(Faces(), GPU)  # type: ignore[arg-type]


def fake_views(mode: FakeTensorMode, views: list[TrainingView]) -> list[TrainingView]:
    made = []
    for view in views:
        cameras = replace(
            view.cameras, viewmats=mode.from_tensor(view.cameras.viewmats), Ks=mode.from_tensor(view.cameras.Ks)
        )
        made.append(replace(view, cameras=cameras.to(GPU), target=mode.from_tensor(view.target).to(GPU)))
    return made


@pytest.fixture
def fresh_constants() -> Any:
    """Constants that are brought to a device once must not outlive an imagined one."""
    caches = (photometric_torch._weights, label_images.palette)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_stays_on_the_device_and_asks_for_nothing(
    parts: Parts, name: str, fresh_constants: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatarkit.recon.step.MEASURED", 1)  # the usual gradient, too
    config, state, head = settings(parts, name)
    views = Views(parts.sequence, parts.sequence.capture.indices("train"), config.background)
    real = [views.view(i) for i in range(config.batch)]
    schedule = Schedule(config, state.total)
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        state, moved = faked(mode, state, head)
        batch = fake_views(mode, real)
        aids = {}
        if name == "label losses":
            aids["aids"] = step_aids(batch)
        background = torch.ones(3, device=GPU)
        for _ in range(2):  # the first one brings constants
            with Copies() as copies:
                assert train_step(state, batch, moved, config, schedule, Screen(), background, **aids) == {}
            state.step += 1
    assert copies.seen == []
    tensors = [*state.gaussians.tensors().values(), *state.adam.first.values(), state.adam.steps, state.seen]
    assert {tensor.device.type for tensor in [*tensors, state.screen_gradient, state.unsound]} == {GPU}


def step_aids(batch: list[TrainingView]) -> Any:
    from avatarkit.recon.step import Aids

    return Aids(None, lambda frame, height, width: torch.zeros(1, 3, height, width, device=GPU))  # type: ignore[arg-type]


def test_reading_is_what_the_test_above_would_notice(parts: Parts, fresh_constants: None) -> None:
    config, state, head = settings(parts, "default")
    real = [Views(parts.sequence, parts.sequence.capture.indices("train"), config.background).view(0)]
    with FakeTensorMode() as mode:
        state, moved = faked(mode, state, head)
        batch = fake_views(mode, real)
        with pytest.raises(Exception, match=r"(?i)data.?dependent|_local_scalar_dense"):
            train_step(state, batch, moved, config, Schedule(config, 24), Screen(), torch.ones(3, device=GPU), True)
        there = torch.ones(3, device=GPU)
        with Copies() as copies:
            there + torch.ones(3).to(there)
    assert copies.seen == ["aten::_to_copy cpu→meta"]


@pytest.mark.parametrize("name", ["default", "everything"])
def test_the_plain_step_does_what_the_compiled_one_does(parts: Parts, name: str) -> None:
    """Five steps by each, a density event among them: losses, parameters, moments and counters agree.

    With an epsilon for Adam: it moves by the sign of a gradient that is all rounding, else.
    """
    ended, told = [], []
    for plain in (False, True):
        config, state, head = settings(parts, name)
        state.adam.floor.fill_(1e-6)
        views = Views(parts.sequence, parts.sequence.capture.indices("train"), config.background)
        schedule, white, values = Schedule(config, state.total), torch.ones(3), []
        for step in range(5):
            batch = [views.view((step + i) % len(views), True) for i in range(config.batch)]
            if plain:
                with plain_torch():
                    values.append(train_step(state, batch, head, config, schedule, parts.rasterizer, white, True))
            else:
                values.append(train_step(state, batch, head, config, schedule, parts.rasterizer, white, True))
            if step == 2:
                densify(state, config, schedule, head)
            state.step += 1
        ended.append(state)
        told.append(values)
    for step, (ours, theirs) in enumerate(zip(*told, strict=True)):
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert theirs[key] == pytest.approx(value, rel=2e-3 if step else 5e-4, abs=1e-5), key
    one, other = ended
    assert len(one.gaussians) == len(other.gaussians)
    for ours, theirs in ((one.adam.steps, other.adam.steps), (one.seen, other.seen)):
        assert (ours != theirs).double().mean() < 0.01, "the edge of a picture may round otherwise"
    close = [(one.screen_gradient, other.screen_gradient)]
    close += [(one.adam.first[k], other.adam.first[k]) for k in one.adam.first]
    close += [(getattr(one.gaussians, k), getattr(other.gaussians, k)) for k in one.adam.first]
    if config.tune_head:
        close.append((one.head.vertex_gradient, other.head.vertex_gradient))
        assert torch.equal(one.head.touched, other.head.touched)
    same = one.gaussians.ids == other.gaussians.ids
    assert same.double().mean() > 0.99
    for ours, theirs in close:
        rows = same if len(ours) == len(same) else slice(None)
        assert (ours[rows] - theirs[rows]).norm() <= 0.02 * ours[rows].norm()


def test_a_bad_number_moves_nothing_and_is_read_with_the_log(parts: Parts) -> None:
    config, state, head = settings(parts, "default")
    views = Views(parts.sequence, parts.sequence.capture.indices("train"), config.background)
    schedule, white = Schedule(config, state.total), torch.ones(3)
    good = views.view(0, True)
    target = good.target.clone()
    target[0, 1, 10, 10] = float("nan")
    bad = replace(good, target=target)

    def step(view: TrainingView, measure: bool = False) -> Any:
        with plain_torch():
            return train_step(state, [view], head, config, schedule, parts.rasterizer, white, measure)

    assert step(good) == {}
    before = {k: v.detach().clone() for k, v in state.gaussians.tensors().items()}
    moments, seen = {k: v.clone() for k, v in state.adam.second.items()}, state.seen.clone()
    assert step(bad) == {} and step(bad) == {}
    for name, value in state.gaussians.tensors().items():
        assert torch.equal(value, before[name]), name
    assert all(torch.equal(v, moments[k]) for k, v in state.adam.second.items()) and torch.equal(state.seen, seen)
    assert step(bad, True) is None and state.skipped == 2, "two before it"
    values = step(good, True)
    assert values is not None and "skipped" not in values
    step(bad)
    values = step(good, True)
    assert values is not None and values["skipped"] == 1.0 and values["psnr"] > 0


@pytest.mark.gpu
def test_training_on_the_gpu_is_training(parts: Parts, tmp_path: Any) -> None:
    """The same run on both devices reaches the same quality; its state comes back to the CPU and its checkpoint loads there."""
    from avatarkit.events import Run
    from avatarkit.recon.loop import reconstruct
    from avatarkit.registry import registry

    config = parts.config(eval_every=24, tune_head=True)
    scores = []
    for name in ("cpu", "gsplat"):
        run = Run(tmp_path / name)
        state = reconstruct(parts.sequence, parts.head, config, run, registry().create("rasterizer", name))  # type: ignore[arg-type]
        assert state.gaussians.means.device.type == "cpu" and state.head.params.expr.device.type == "cpu"
        scores.append(state.curve[-1]["val_psnr"])
        save(state, run)
        loaded = load_newest(run)
        assert loaded is not None and torch.equal(loaded.gaussians.means, state.gaussians.means)
    assert abs(scores[0] - scores[1]) < 0.5


@pytest.mark.gpu
def test_streamed_pictures_are_the_kept_ones(parts: Parts) -> None:
    frames = parts.sequence.capture.indices("train")
    kept = Views(parts.sequence, frames, (1.0, 1.0, 1.0))
    streamed = Views(parts.sequence, frames, (1.0, 1.0, 1.0), "cuda", limit=0)
    for position in range(len(frames)):
        streamed.prefetch([(position + 1) % len(frames)])
        ours, theirs = streamed.view(position), kept.view(position)
        assert ours.target.is_cuda and torch.equal(ours.target.cpu(), theirs.target)
        assert torch.equal(ours.cameras.viewmats.cpu(), theirs.cameras.viewmats)


@pytest.mark.gpu
def test_a_real_gpu_is_never_waited_for(parts: Parts) -> None:
    """torch's own alarm.  The rasterizer is the one in this file: gsplat itself reads the number of intersections once a render."""
    config, state, head = settings(parts, "everything")
    views = Views(parts.sequence, parts.sequence.capture.indices("train"), config.background, "cuda")
    state, head = placed(state, "cuda"), placed_head(head, "cuda")
    background, schedule = torch.ones(3, device="cuda"), Schedule(config, state.total)
    batch = [views.view(0), views.view(1)]
    for k in range(2):
        torch.cuda.set_sync_debug_mode("error" if k else "default")
        try:
            train_step(state, batch, head, config, schedule, Screen(), background)
        finally:
            torch.cuda.set_sync_debug_mode("default")
