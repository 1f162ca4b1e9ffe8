"""Checkpoints hold everything, are replaced atomically, and are refused in one line when they are not ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from avatarkit.errors import FileFormatError
from avatarkit.events import Run
from avatarkit.gaussians.tensor_file import load_tensors, save_tensors
from avatarkit.recon import checkpoint
from avatarkit.recon.loop import start

from .conftest import Parts


def test_a_state_comes_back_to_the_bit(parts: Parts, tmp_path: Path) -> None:
    state = start(parts.sequence, parts.head, parts.config())
    state.step, state.total, state.curve = 3, 24, [{"step": 2, "val_psnr": 20.0}]
    state.origin, state.costs = -1.25, (0.1, 0.2, 0.3)
    path = checkpoint.save(state, Run(tmp_path))
    again = checkpoint.save(checkpoint.load(path), Run(tmp_path / "again"))
    assert path.name == "step-00000003.safetensors" and again.read_bytes() == path.read_bytes()


def test_the_last_two_are_kept_and_forgotten_together(parts: Parts, tmp_path: Path) -> None:
    run = Run(tmp_path)
    state = start(parts.sequence, parts.head, parts.config())
    for step in (5, 10, 15):
        state.step = step
        checkpoint.save(state, run)
    names = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000010.safetensors", "step-00000015.safetensors"]
    checkpoint.forget(run)
    assert checkpoint.load_newest(run) is None and list((tmp_path / "checkpoints").iterdir()) == []


def test_what_is_no_checkpoint_of_ours_is_named(parts: Parts, tmp_path: Path) -> None:
    path = checkpoint.save(start(parts.sequence, parts.head, parts.config()), Run(tmp_path))
    tensors, metadata = load_tensors(path, checkpoint.FORMAT)
    metadata.pop("next_id")
    save_tensors(tmp_path / "a.safetensors", tensors, metadata, checkpoint.FORMAT)
    with pytest.raises(FileFormatError, match=r"a.safetensors: not a checkpoint of this version: 'next_id'"):
        checkpoint.load(tmp_path / "a.safetensors")
    save_tensors(tmp_path / "b.safetensors", {"a": torch.zeros(1)}, {}, "avatarkit/1")
    with pytest.raises(FileFormatError, match="expected 'avatarkit-checkpoint/1'"):
        checkpoint.load(tmp_path / "b.safetensors")
