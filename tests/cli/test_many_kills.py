"""One chain of a run that is killed with -9 at random moments and resumed each time: it ends, to the bit, as if never touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.gaussians.tensor_file import load_tensors
from avatarkit.recon import checkpoint
from avatarkit.recon.log import read_scalars

ROOT = Path(__file__).resolve().parents[2]
STEPS = 450
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and POSIX signals")


def chain(
    environment: dict[str, str], capture: Path, folder: Path, steps: int, kills: int, seconds: float
) -> dict[str, Any]:
    line = [
        sys.executable,
        str(Path(__file__).with_name("killed_run.py")),
        str(capture),
        str(folder),
        str(steps),
        str(kills),
    ]
    one_thread = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*line, "7", str(seconds)], env={**os.environ, **environment, **one_thread}, cwd=ROOT, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ended_alike(one: Path, other: Path, steps: int) -> None:
    """The last checkpoints but for the clock, and the avatars."""
    files = [folder / "me.run" / "checkpoints" / f"step-{steps:08d}.safetensors" for folder in (one, other)]
    (left, about), (right, also) = (load_tensors(file, checkpoint.FORMAT) for file in files)
    assert set(left) == set(right) and [name for name in left if not torch.equal(left[name], right[name])] == []
    for metadata in (about, also):
        metadata["seconds"] = 0.0
        for row in metadata["curve"]:
            row["seconds"] = 0.0
    assert about == also
    avatars = [load_avatar(folder / "me.avatar").gaussians.tensors() for folder in (one, other)]
    assert all(torch.equal(avatars[0][name], avatars[1][name]) for name in avatars[0])


def checked(environment: dict[str, str], capture: Path, folder: Path, steps: int, kills: int, share: float) -> None:
    whole = chain(environment, capture, folder / "whole", steps, 0, 0.0)
    broken = chain(environment, capture, folder / "broken", steps, kills, share * whole["seconds"] / kills)
    print(f"{kills} kills: {broken['seconds']:.0f} s; unbroken {whole['seconds']:.0f} s; at {broken['steps']}")
    assert broken["kills"] == kills
    assert broken["steps"] == sorted(broken["steps"]), "nothing that was saved is lost"
    assert len(set(broken["steps"])) > kills // 3 and broken["steps"][-1] < steps
    ended_alike(folder / "whole", folder / "broken", steps)
    run = folder / "broken" / "me.run"
    assert len(list((run / "checkpoints").iterdir())) == checkpoint.KEPT, "no half-written files are left"
    psnr = read_scalars(run / "events.jsonl")["psnr"][0]
    assert psnr[-1] == steps


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_kills(environment: dict[str, str], tiny_capture: Path, tmp_path: Path) -> None:
    checked(environment, tiny_capture, tmp_path, STEPS, 100, 0.8)
