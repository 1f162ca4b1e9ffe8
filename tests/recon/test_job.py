"""The job keeps its folder in order: a new run in an old folder is new, and its sinks leave with it."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avatarkit.errors import ConfigError, FileFormatError, InputError
from avatarkit.events import Event, Notice, Run, Scalars, Started
from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.interrupts import interruptible
from avatarkit.labels import LABEL_INDEX, NUM_LABELS
from avatarkit.recon.checkpoint import load_newest
from avatarkit.recon.job import PARTS, Job, resumed_config, resumed_parts, run_job, shown
from avatarkit.recon.log import read_scalars
from avatarkit.recon.loop import start
from avatarkit.recon.pace import Costs
from avatarkit.recon.prepare import TRACKED

from .conftest import Parts


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def job(parts: Parts, capture: Path, folder: Path, steps: int) -> Job:
    config = parts.config(run_iterations=steps, densify_every=0, free_gaussians=0, log_every=1, eval_every=0)
    return Job([capture], folder / "me.avatar", config, report=False)


def test_a_new_run_in_an_old_folder_does_not_inherit(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    first, second = job(parts, tiny_capture, tmp_path, 8), job(parts, tiny_capture, tmp_path, 3)
    run_job(first, Run(first.folder))
    run_job(second, Run(second.folder))
    assert [f.name for f in (first.folder / "checkpoints").iterdir()] == ["step-00000003.safetensors"]
    assert read_scalars(first.folder / "events.jsonl")["psnr"][0] == [1, 2, 3]
    assert load_avatar(second.output).meta["training"]["steps"] == 3


def test_a_resumed_run_has_one_curve_and_the_stored_config(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    asked = job(parts, tiny_capture, tmp_path, 8)
    run = Run(asked.folder)
    run.add_sink(lambda event: run.stop() if isinstance(event, Scalars) and event.step == 5 else None)
    summary = run_job(asked, run)
    assert summary["steps"] == 5 and "metrics" not in summary
    other = replace(asked, resume=True, config=parts.config(run_iterations=99, seed=7))
    assert resumed_config(other).seed == 0 and resumed_config(other).run_iterations == 8
    assert run_job(other, Run(other.folder))["steps"] == 8
    assert read_scalars(asked.folder / "events.jsonl")["psnr"][0] == list(range(1, 9))


def test_a_damaged_config_of_a_run_is_named(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    asked = replace(job(parts, tiny_capture, tmp_path, 3), resume=True)
    asked.folder.mkdir(parents=True)
    for damaged, words in ((b"l1: [", "not valid YAML: "), (b"\xff", "not text in UTF-8"), (b"- 1", "")):
        (asked.folder / "config.yaml").write_bytes(damaged)
        with pytest.raises(ConfigError, match=rf"me\.run/config\.yaml: {words}"):
            resumed_config(asked)


def test_the_steps_that_fit_into_minutes_are_kept_from_the_first_step(
    parts: Parts, tiny_capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its first checkpoint a run would else measure another rate."""
    totals = iter([(61, Costs(0.1, 0.2, 0.3)), (62, Costs(1.0, 2.0, 3.0))])
    monkeypatch.setattr("avatarkit.recon.loop.measured_total", lambda *_, **__: next(totals))
    asked = job(parts, tiny_capture, tmp_path, 3)
    asked = replace(asked, config=replace(asked.config, minutes=1.0, run_iterations=None))
    run = Run(asked.folder)
    run.add_sink(lambda event: run.stop() if isinstance(event, Started) and event.stage == "recon" else None)
    monkeypatch.setattr("avatarkit.recon.loop.train_step", lambda *_: pytest.fail("stopped before"))
    run_job(asked, run)
    kept = load_newest(Run(asked.folder))
    assert kept is not None and (kept.total, kept.origin, kept.costs) == (61, 0.0, (0.1, 0.2, 0.3))


def test_a_finished_run_resumed_is_scored_again(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    asked = job(parts, tiny_capture, tmp_path, 3)
    one = run_job(asked, Run(asked.folder))
    two = run_job(replace(asked, resume=True), Run(asked.folder))
    assert one["metrics"] == two["metrics"] and two["steps"] == 3


def test_a_data_set_is_resumed_from_itself_and_not_from_an_earlier_films_tracking(
    parts: Parts, tiny_capture: Path, tmp_path: Path
) -> None:
    asked = job(parts, tiny_capture, tmp_path, 3)
    one = run_job(asked, Run(asked.folder))
    earlier = Path(shutil.copytree(tiny_capture, asked.folder / TRACKED))
    (earlier / "transforms_test.json").unlink()
    two = run_job(replace(asked, resume=True), Run(asked.folder))
    assert two["metrics"] == one["metrics"] and set(two["metrics"]) == {"val", "test"}


def test_the_gaussians_are_labelled_at_the_end(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    asked = job(parts, tiny_capture, tmp_path, 3)
    run_job(replace(asked, config=replace(asked.config, label_views=4, label_steps=5)), Run(asked.folder))
    logits = load_avatar(asked.output).gaussians.label_logits
    share = logits.argmax(1).bincount(minlength=NUM_LABELS) / len(logits)
    assert share[LABEL_INDEX["skin"]] > 0.1 and share[LABEL_INDEX["hair"]] > 0.05 and (share > 0).sum() > 8


INTERRUPTED = """
from avatarkit.segment.head_regions import HeadRegions

class Interrupted(HeadRegions):
    calls = 0

    def segment(self, images, views):
        type(self).calls += 1
        if self.calls == 2:  # of one picture each: the test says so
            raise KeyboardInterrupt
        return super().segment(images, views)
"""


def test_who_interrupts_labelling_keeps_the_avatar(
    parts: Parts, tiny_capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatarkit.recon.labelling.AT_ONCE", 1)
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    asked = job(parts, tiny_capture, tmp_path, 3)
    config = replace(asked.config, label_views=4, label_steps=2)
    asked = replace(asked, config=config, segmenter=f"{tmp_path / 'interrupted.py'}:Interrupted")
    with pytest.raises(KeyboardInterrupt):
        run_job(asked, Run(asked.folder))
    kept = load_avatar(asked.output)
    assert kept.meta["training"]["steps"] == 3 and float(kept.gaussians.label_logits.std()) == 0.0
    again = replace(
        asked, resume=True, segmenter=None
    )  # the one that the run was begun with; it has calls to spare now
    assert run_job(again, Run(asked.folder))["steps"] == 3
    assert load_avatar(asked.output).meta["segmenter"] == asked.segmenter
    assert resumed_parts(replace(again, segmenter="head-regions")).segmenter == "head-regions"
    (asked.folder / PARTS).write_text("{}")
    with pytest.raises(
        FileFormatError, match=r"parts\.json: damaged; name --head and --segmenter again, and remove it"
    ):
        resumed_parts(again)
    after = load_avatar(asked.output).gaussians
    assert float(after.label_logits.std()) > 0.1
    torch.testing.assert_close(after.means, kept.gaussians.means, rtol=0, atol=0)


def test_an_unknown_segmenter_is_said_before_any_work(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    asked = job(parts, tiny_capture, tmp_path, 1)
    asked = replace(asked, segmenter="none", config=replace(asked.config, label_views=4))
    with pytest.raises(InputError, match="unknown segmenter 'none'"):
        run_job(asked, Run(asked.folder))
    assert list(tmp_path.iterdir()) == []


def test_sinks_leave_with_the_job(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    asked = job(parts, tiny_capture, tmp_path, 1)
    heard: list[Event] = []
    run = Run(asked.folder, sinks=(heard.append,))
    run_job(asked, run)
    size = (asked.folder / "events.jsonl").stat().st_size
    run.notice("afterwards")
    assert (asked.folder / "events.jsonl").stat().st_size == size and isinstance(heard[-1], Notice)


def test_nothing_is_made_for_a_bad_rasterizer_or_a_folder(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    asked = replace(job(parts, tiny_capture, tmp_path, 1), rasterizer="none")
    with pytest.raises(InputError, match="unknown rasterizer 'none'"):
        run_job(asked, Run(asked.folder))
    assert list(tmp_path.iterdir()) == []


def test_the_first_ctrl_c_asks_and_the_second_interrupts() -> None:
    run, found = Run(), signal.getsignal(signal.SIGINT)
    before = signal.default_int_handler  # a job that a shell put into the background finds the signal ignored
    signal.signal(signal.SIGINT, before)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible(run):
            os.kill(os.getpid(), signal.SIGINT)
            assert run.stopping
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, found)


def test_what_no_step_saw_is_left_out(parts: Parts) -> None:
    """And where nothing was seen at all (a run of no steps), everything stays."""
    state = start(parts.sequence, parts.head, parts.config(free_gaussians=0))
    whole = len(state.gaussians)
    assert len(shown(state)) == whole
    state.adam.steps[5:] = 2
    left = shown(state)
    assert torch.equal(left.ids, state.gaussians.ids[5:]) and len(left) == whole - 5
