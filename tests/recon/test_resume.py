"""Stopping and going on is, to the bit, never having stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avatarkit.contracts import Segmenter
from avatarkit.events import Event, Notice, Progress, Run, Scalars
from avatarkit.gaussians.tensor_file import load_tensors
from avatarkit.recon import checkpoint
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.loop import reconstruct
from avatarkit.recon.step import TrainState
from avatarkit.segment.head_regions import HeadRegions

from .conftest import Parts

STOP = 13  # between density events (after 4, 8, 12, 16, 20), in the middle of gathering head gradients


def tensors_of(state: TrainState, folder: Path) -> dict[str, Tensor]:
    """Everything that a checkpoint holds."""
    return load_tensors(checkpoint.save(state, Run(folder)), checkpoint.FORMAT)[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of tensors that differ."""
    assert set(one) == set(other)
    return [name for name in one if not torch.equal(one[name], other[name])]


def trained(
    parts: Parts, config: ReconConfig, folder: Path, *, stop: int | None = None, resume: bool = False,
    segmenter: Segmenter | None = None,
) -> TrainState:  # fmt: skip
    run = Run(folder)

    def watch(event: Event) -> None:
        if isinstance(event, Scalars | Progress) and event.step == stop:
            run.stop()

    run.add_sink(watch)
    return reconstruct(parts.sequence, parts.head, config, run, parts.rasterizer, resume=resume, segmenter=segmenter)


@pytest.fixture(scope="module")
def whole(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainState, dict[str, Tensor]]:
    """Never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    state = trained(parts, parts.config(log_every=1), folder)
    assert state.gaussians.mean_correctives.any() and state.gaussians.colour_correctives.any()
    return state, tensors_of(state, folder)


def test_the_run_densified_before_and_after_the_stop(
    whole: tuple[TrainState, dict[str, Tensor]], parts: Parts, tmp_path: Path
) -> None:
    early = trained(parts, parts.config(log_every=1), tmp_path, stop=STOP)
    first = int(early.gaussians.ids.max())
    assert early.step == STOP and first > len(early.gaussians) - 1, "some were split before"
    assert int(whole[0].gaussians.ids.max()) > first, "and some after"
    assert float(early.head.touched.sum()) > 0 and float(early.head.vertex_gradient.abs().max()) > 0, (
        "gradients in hand"
    )


def test_a_stop_and_a_resume_change_no_bit(
    whole: tuple[TrainState, dict[str, Tensor]], parts: Parts, tmp_path: Path
) -> None:
    config = parts.config(log_every=1)
    trained(parts, config, tmp_path, stop=STOP)
    resumed = trained(parts, config, tmp_path, resume=True)
    assert resumed.step == 24 and same(whole[1], tensors_of(resumed, tmp_path)) == []
    untimed = [[{k: v for k, v in row.items() if k != "seconds"} for row in s.curve] for s in (whole[0], resumed)]
    assert untimed[0] == untimed[1] and [row["step"] for row in untimed[0]] == [12, 24]


def test_label_images_are_the_same_after_a_resume(parts: Parts, tmp_path: Path) -> None:
    """Maps are made when they are first needed; by then the head has been tuned, and a resumed run makes all of them anew."""
    config = parts.config(log_every=1, label_l2=0.5, tune_every=2, lr_pose=0.02)
    folders = tmp_path / "unbroken", tmp_path / "stopped"
    unbroken = trained(parts, config, folders[0], segmenter=HeadRegions())
    assert trained(parts, config, folders[1], stop=STOP, segmenter=HeadRegions()).step == STOP
    resumed = trained(parts, config, folders[1], resume=True, segmenter=HeadRegions())
    assert same(tensors_of(unbroken, folders[0]), tensors_of(resumed, folders[1])) == []
    moved = unbroken.head.params.rotation - parts.sequence.params.rotation
    assert float(moved.abs().max()) > 0.01, "or tuning hardly changes the maps"


def test_a_reset_of_opacity_comes_after_what_is_scored_and_kept(parts: Parts, tmp_path: Path) -> None:
    """Due where the run is scored, stopped and goes on: once, to the bit, and never on what is looked at."""
    config = parts.config(log_every=1, reset_every=12, iterations=24, densify_until=20)
    folders = [tmp_path / name for name in ("whole", "parted")]
    unbroken = trained(parts, config, folders[0])
    stopped = trained(parts, config, folders[1], stop=12)
    assert stopped.step == 12 and float(stopped.gaussians.opacity_logits.detach().max()) > 0.0, "not reset yet"
    resumed = trained(parts, config, folders[1], resume=True)
    assert same(tensors_of(unbroken, folders[0]), tensors_of(resumed, folders[1])) == []
    never = trained(parts, parts.config(log_every=1), tmp_path / "never")
    assert unbroken.curve[0]["val_psnr"] == never.curve[0]["val_psnr"], "scored before"
    assert (
        float(unbroken.gaussians.opacity_logits.detach().mean())
        < float(never.gaussians.opacity_logits.detach().mean()) - 0.5
    )


def test_what_holds_for_one_camera_resumes_to_the_bit(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its floors under gradients are measured before the stop and after it."""
    monkeypatch.setattr("avatarkit.recon.loop.several_sides", lambda sequence: False)
    monkeypatch.setattr("avatarkit.recon.step.MEASURED", 5)
    config = parts.config(log_every=1)
    unbroken = trained(parts, config, tmp_path / "unbroken")
    assert float(unbroken.adam.floor.min()) > 1e-9
    trained(parts, config, tmp_path / "stopped", stop=STOP)
    resumed = trained(parts, config, tmp_path / "stopped", resume=True)
    assert same(tensors_of(unbroken, tmp_path / "unbroken"), tensors_of(resumed, tmp_path / "stopped")) == []


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    whole: tuple[TrainState, dict[str, Tensor]], parts: Parts, tmp_path: Path
) -> None:
    config = parts.config(log_every=1)
    trained(parts, config, tmp_path, stop=7)
    trained(parts, config, tmp_path, stop=STOP, resume=True)
    files = sorted((tmp_path / "checkpoints").iterdir())
    assert [file.name for file in files] == ["step-00000007.safetensors", "step-00000013.safetensors"]
    content = bytearray(files[1].read_bytes())
    content[len(content) // 2] ^= 1
    files[1].write_bytes(content)
    heard: list[Event] = []
    run = Run(tmp_path, sinks=(heard.append,))
    resumed = reconstruct(parts.sequence, parts.head, config, run, parts.rasterizer, resume=True)
    texts = [event.text for event in heard if isinstance(event, Notice)]
    assert "trying the checkpoint before it" in texts[0] and str(files[1]) in texts[0] and "step 7 of 24" in texts[1]
    assert same(whole[1], tensors_of(resumed, tmp_path)) == []


def test_the_seed_decides_everything(whole: tuple[TrainState, dict[str, Tensor]], parts: Parts, tmp_path: Path) -> None:
    again = tensors_of(trained(parts, parts.config(log_every=1), tmp_path / "same"), tmp_path / "same")
    assert same(whole[1], again) == []
    other = trained(parts, parts.config(log_every=1, seed=1), tmp_path / "other")
    assert not torch.equal(other.gaussians.means[:1000], whole[0].gaussians.means[:1000])


def test_one_thread_or_two_give_the_same_bits(
    whole: tuple[TrainState, dict[str, Tensor]], parts: Parts, tmp_path: Path
) -> None:
    import numba

    before = torch.get_num_threads(), numba.get_num_threads()
    other = 1 if before[1] > 1 else min(2, numba.config.NUMBA_NUM_THREADS)
    if other == before[1]:
        pytest.skip("one core here: there is no second number of threads")
    try:
        torch.set_num_threads(other)
        numba.set_num_threads(other)
        state = trained(parts, parts.config(log_every=1), tmp_path)
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])
    assert same(whole[1], tensors_of(state, tmp_path)) == []


def test_how_often_a_checkpoint_is_written_changes_nothing(
    whole: tuple[TrainState, dict[str, Tensor]], parts: Parts, tmp_path: Path
) -> None:
    state = trained(parts, parts.config(checkpoint_every=0.0), tmp_path)
    assert len(list((tmp_path / "checkpoints").iterdir())) == checkpoint.KEPT
    assert same(whole[1], tensors_of(state, tmp_path)) == []
    loaded = checkpoint.load(tmp_path / "checkpoints" / "step-00000024.safetensors")
    names = [
        f.name
        for f in dataclasses.fields(TrainState)
        if f.name not in ("gaussians", "adam", "head", "screen_gradient", "seen")
    ]
    assert {name: getattr(loaded, name) for name in names} == {name: getattr(state, name) for name in names}
