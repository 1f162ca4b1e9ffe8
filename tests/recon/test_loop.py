"""Losses that are not finite: skipped, counted, rolled back once, then an error that names the tensor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarkit.errors import DivergedError
from avatarkit.events import Event, Notice, Run
from avatarkit.head.frames import with_frames
from avatarkit.recon import loop
from avatarkit.recon.loop import MAX_SKIPPED, reconstruct

from .conftest import Parts


class Faulty:
    """The CPU rasterizer, whose pictures are NaN on the chosen training calls (those that want gradients), from 0."""

    name = "cpu"

    def __init__(self, inner: Any, calls: set[int]) -> None:
        self.inner, self.calls, self.count = inner, calls, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def render(self, means: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        from dataclasses import replace

        drawn = self.inner.render(means, *arguments, **options)
        if not torch.is_grad_enabled():
            return drawn
        self.count += 1
        return replace(drawn, features=drawn.features * float("nan")) if self.count - 1 in self.calls else drawn


def train(parts: Parts, calls: set[int], folder: Path | None, **changes: object) -> tuple[Any, list[str], Faulty]:
    heard: list[Event] = []
    rasterizer = Faulty(parts.rasterizer, calls)
    run = Run(folder, sinks=(heard.append,))
    config = parts.config(eval_frames=0, **changes)
    try:
        state: Any = reconstruct(parts.sequence, parts.head, config, run, rasterizer)
    except DivergedError as error:
        state = error
    return state, [event.text for event in heard if isinstance(event, Notice)], rasterizer


def test_a_step_that_is_not_finite_is_skipped_and_said(parts: Parts, tmp_path: Path) -> None:
    state, texts, _ = train(parts, {3, 4, 9}, tmp_path)
    assert state.step == 24 and state.skipped == 0 and not state.rolled_back
    assert [text.split(":")[0] for text in texts] == ["step 3", "step 4", "step 9"]
    assert "(2 in a row)" in texts[1] and "(1 in a row)" in texts[2]
    assert all(torch.isfinite(value).all() for value in state.gaussians.tensors().values())


def test_a_skipped_step_changes_no_parameter(parts: Parts, tmp_path: Path) -> None:
    one, _, _ = train(parts, set(), tmp_path / "a", run_iterations=3, iterations=3, densify_every=0)
    two, _, _ = train(parts, set(range(3, 8)), tmp_path / "b", run_iterations=8, iterations=3, densify_every=0)
    assert two.skipped == 5 and not torch.equal(one.gaussians.means, torch.zeros_like(one.gaussians.means))
    earlier = loop.start(parts.sequence, parts.head, parts.config())
    assert len(two.gaussians) == len(earlier.gaussians) == len(one.gaussians)
    stopped, _, _ = train(parts, set(range(8)), tmp_path / "c", run_iterations=8, iterations=8)
    assert torch.equal(stopped.gaussians.means, earlier.gaussians.means)


def test_after_ten_in_a_row_it_goes_back_to_the_last_checkpoint_once(parts: Parts, tmp_path: Path) -> None:
    bad = set(range(6, 6 + MAX_SKIPPED))
    state, texts, rasterizer = train(parts, bad, tmp_path, checkpoint_every=0.0)
    assert state.step == 24 and state.rolled_back
    assert sum("not finite; skipped" in text for text in texts) == MAX_SKIPPED
    assert sum("resuming at step 6 of 24" in text for text in texts) == 1
    assert rasterizer.count == 24 + MAX_SKIPPED, "the steps after the checkpoint were done again, all of them"


def test_a_second_time_is_an_error(parts: Parts, tmp_path: Path) -> None:
    error, texts, _ = train(parts, set(range(6, 100)), tmp_path, checkpoint_every=0.0)
    assert isinstance(error, DivergedError) and error.exit_code == 1 and "\n" not in str(error)
    assert "training diverged at step" in str(error) and "try lower learning rates" in str(error)
    assert sum("not finite; skipped" in text for text in texts) == 2 * MAX_SKIPPED
    assert (tmp_path / "checkpoints" / "step-00000006.safetensors").is_file(), "what was good is still there"


def test_without_a_folder_there_is_nothing_to_go_back_to(parts: Parts) -> None:
    error, _, _ = train(parts, set(range(100)), None)
    assert isinstance(error, DivergedError) and re.search("the loss 'l1' of frame [0-9]+ is not finite", str(error))


def test_the_error_names_the_tensor(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = loop.start

    def spoiled(*arguments: Any) -> Any:
        state = begin(*arguments)
        with torch.no_grad():
            state.gaussians.opacity_logits.fill_(float("nan"))
        return state

    monkeypatch.setattr(loop, "start", spoiled)
    error, _, _ = train(parts, set(range(100)), None)
    assert isinstance(error, DivergedError) and "'opacity_logits' is not finite" in str(error)


def test_stopping_before_the_first_step_leaves_a_checkpoint(parts: Parts, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.stop()
    state = reconstruct(parts.sequence, parts.head, parts.config(), run, parts.rasterizer)
    assert state.step == 0 and (tmp_path / "checkpoints" / "step-00000000.safetensors").is_file()


def test_after_going_back_it_is_the_run_that_it_would_have_been(parts: Parts, tmp_path: Path) -> None:
    """To the bit, with what checkpoints leave out: the frames of the skinning."""
    skinned = Parts(parts.sequence, with_frames(parts.head, "skin"), parts.rasterizer)
    clean, _, _ = train(skinned, set(), tmp_path / "clean", checkpoint_every=0.0)
    state, _, _ = train(skinned, set(range(6, 6 + MAX_SKIPPED)), tmp_path / "back", checkpoint_every=0.0)
    assert state.rolled_back and state.head.pose.skin is not None
    assert torch.equal(state.gaussians.means, clean.gaussians.means)
