"""NaN and infinity put into a loss, a gradient, an image and a pose: the step is skipped, said, and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarkit.errors import DivergedError
from avatarkit.events import Notice, Run
from avatarkit.recon import loop, step
from avatarkit.recon.guard import finite
from avatarkit.recon.loop import reconstruct, start
from avatarkit.recon.schedule import Schedule
from avatarkit.recon.step import TrainState, train_step
from avatarkit.recon.views import TrainingView, Views
from avatarkit.track.sequence_files import load_sequence

from .conftest import Parts

BAD = (float("nan"), float("inf"), float("-inf"))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("shape", [(1,), (7,), (5000, 3)])
def test_one_bad_number_among_many_is_found(value: float, shape: tuple[int, ...]) -> None:
    good = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    bad = good.clone()
    bad.view(-1)[-1] = value
    assert finite([good, None]) and finite([]) and not finite([good, bad])
    both = bad.clone()
    both.view(-1)[0] = -value
    assert not finite([both]), "infinities of both signs do not cancel"


def in_a_loss(value: float, patch: pytest.MonkeyPatch, state: TrainState, view: TrainingView) -> TrainingView:
    """The second view's."""
    whole, added = step.position_loss, iter((0.0, value))
    patch.setattr(step, "position_loss", lambda *a: whole(*a) + next(added))
    return view


def in_a_gradient(value: float, patch: pytest.MonkeyPatch, state: TrainState, view: TrainingView) -> TrainingView:
    """The loss is finite; one number of one gradient is not."""

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        spoiled = gradient.clone()
        spoiled[3, 0] = value
        return spoiled

    state.gaussians.sh.register_hook(spoil)
    return view


def in_the_gradient_of_the_head(value: float, patch: pytest.MonkeyPatch, state: TrainState, view: TrainingView) -> TrainingView:  # fmt: skip
    whole = step.pose_gaussians

    def posed(gaussians: Any, vertices: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        vertices.register_hook(lambda gradient: gradient * value)
        return whole(gaussians, vertices, *arguments, **options)

    patch.setattr(step, "pose_gaussians", posed)
    return view


def in_an_image(value: float, patch: pytest.MonkeyPatch, state: TrainState, view: TrainingView) -> TrainingView:
    target = view.target.clone()
    target[0, 1, 40, 40] = value
    return replace(view, target=target)


def in_a_pose(value: float, patch: pytest.MonkeyPatch, state: TrainState, view: TrainingView) -> TrainingView:
    state.head.pose.vertices[view.timestep, 17, 1] = value
    return view


def in_a_joint(value: float, patch: pytest.MonkeyPatch, state: TrainState, view: TrainingView) -> TrainingView:
    state.head.pose.joints[view.timestep, 1, 0, 3] = value
    return view


def everything(state: TrainState) -> dict[str, torch.Tensor]:
    head = {name: getattr(state.head.params, name) for name in state.head.first}
    adam = {f"first {name}": value for name, value in state.adam.first.items()}
    adam |= {f"second {name}": value for name, value in state.adam.second.items()}
    gathered = {
        "gathered": state.head.vertex_gradient,
        "joints": state.head.joint_gradient,
        "touched": state.head.touched,
    }
    rest = {"steps": state.adam.steps, "screen": state.screen_gradient, "seen": state.seen}
    tensors = {**state.gaussians.tensors(), **head, **adam, **gathered, **rest}
    return {name: value.detach().clone() for name, value in tensors.items()}


PLACES: dict[Callable[..., TrainingView], str] = {
    in_a_loss: "the loss 'position' of frame {frame}", in_a_gradient: "the gradient by 'sh'",
    in_the_gradient_of_the_head: "the gradient by the posed head", in_an_image: "the picture of frame {frame}",
    in_a_pose: "the posed head of timestep {timestep}", in_a_joint: "the posed head of timestep {timestep}",
}  # fmt: skip
"""Where a bad number is put, and what is said to be broken."""


@pytest.mark.parametrize(("place", "value"), [*((place, BAD[0]) for place in PLACES), (in_a_gradient, BAD[1])])
def test_a_step_with_a_bad_number_changes_nothing_and_names_it(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, place: Callable[..., TrainingView], value: float
) -> None:
    config = parts.config(tune_head=True, position=0.01)
    state = start(parts.sequence, parts.head, config)
    state.total = 24
    views = Views(parts.sequence, parts.sequence.capture.indices("train"), config.background)
    schedule, white = Schedule(config, state.total), torch.ones(3)
    assert train_step(state, [views.view(0)], parts.head, config, schedule, parts.rasterizer, white) is not None
    view = views.view(1)
    bad = place(value, monkeypatch, state, view)
    before = everything(state)
    assert train_step(state, [views.view(0), bad], parts.head, config, schedule, parts.rasterizer, white) is None
    after = everything(state)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert state.broken == PLACES[place].format(frame=bad.frame, timestep=bad.timestep)


def test_gradients_that_stay_bad_end_the_run_and_are_counted(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the fourth step on: ten skipped, one roll-back, ten skipped, and the error."""
    whole, calls = step.finite, [0]

    def spoiled(values: Any) -> bool:
        calls[0] += 1
        return bool(whole(values)) and calls[0] <= 2 * 3  # two checks a step: the head, and the gradients

    monkeypatch.setattr(step, "finite", spoiled)
    heard: list[Any] = []
    with pytest.raises(DivergedError, match="training diverged"):
        reconstruct(
            parts.sequence, parts.head, parts.config(eval_frames=0, checkpoint_every=0.0),
            Run(tmp_path, sinks=(heard.append,)), parts.rasterizer,
        )  # fmt: skip
    texts = [event.text for event in heard if isinstance(event, Notice)]
    assert sum("the loss or its gradient is not finite; skipped" in text for text in texts) == 2 * loop.MAX_SKIPPED
    assert sum("resuming at step 3" in text for text in texts) == 1


def test_a_pose_that_is_not_finite_is_refused_before_training(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    import shutil

    import numpy as np

    from avatarkit.errors import FileFormatError

    folder = Path(shutil.copytree(tiny_capture, tmp_path / "bad"))
    file = folder / "flame_param" / "00002.npz"
    arrays = dict(np.load(file))
    arrays["neck_pose"] = np.full_like(arrays["neck_pose"], np.inf)
    np.savez(file, **arrays)
    with pytest.raises(FileFormatError, match=r"00002\.npz: 'neck_pose' has a value that is not finite"):
        load_sequence(folder, parts.head, cache_dir=tmp_path / "cache")
